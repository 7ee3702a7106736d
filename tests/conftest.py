"""What every test may use: a fresh store, a cache shared by the session, and Hypothesis the same on every machine.

`HYPOTHESIS_PROFILE=search` looks for new examples instead of the same ones.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pkgrun.store.root import Store, open_store

pytest_plugins = ["tests.servers.fixtures"]

settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("same"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A shell that starts us in the background, or nohup, has these ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A fresh store."""
    return open_store(str(tmp_path / "store"), create=True)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder of the session, so that an environment is built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(shared_cache: Path) -> Iterator[Path]:
    """The session's cache, as what `PKGRUN_CACHE` names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKGRUN_CACHE", str(shared_cache))
        yield shared_cache
