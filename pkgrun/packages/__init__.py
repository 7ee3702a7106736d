"""Packages: what their authors were promised, and where they come from."""
