"""Tests of the worker: real processes, real environments."""
