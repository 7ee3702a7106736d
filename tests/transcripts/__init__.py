"""Whole sessions with the command line, as text."""
