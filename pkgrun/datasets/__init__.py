"""Datasets: where they come from, and how they appear at `data/` without their source being at risk."""
