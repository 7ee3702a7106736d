"""Models of the protocols, checked exhaustively: every order of steps, a crash after each, an answer lost at each."""
