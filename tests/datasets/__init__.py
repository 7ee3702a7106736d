"""Tests of the datasets: real files."""
