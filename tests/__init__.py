"""The tests mirror the modules; what several of them need lies beside them."""
