"""A lab for each test, as the whole sessions have it."""

from tests.e2e.conftest import lab, lone_lab

__all__ = ["lab", "lone_lab"]
