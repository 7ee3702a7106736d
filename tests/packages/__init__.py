"""Tests of how packages are read."""
