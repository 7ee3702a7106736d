"""What runs inside a package's own environment: standard library only, any Python from 3.8 on, never imported by user code."""
