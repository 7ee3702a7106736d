"""Datasets at URLs: what is there, fetched in parallel and resumed. fsspec and its drivers are known here only."""
