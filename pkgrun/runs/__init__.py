"""Runs: what a pipeline does, step by step, and what is written of it."""
