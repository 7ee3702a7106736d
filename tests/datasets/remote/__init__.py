"""Tests of datasets at URLs."""
