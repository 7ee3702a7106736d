"""Every backend, and every wrapper around one, does what `pkgrun.store.backend` says it must."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from pkgrun.errors import Temporary
from pkgrun.store import aws
from pkgrun.store.backend import Backend, Upload
from pkgrun.store.local import LocalBackend
from pkgrun.store.remote import RemoteBackend
from pkgrun.store.wrappers import ReadOnly, Retrying
from pkgrun.testing import (
    BackendConformance,
    Counting,
    Fault,
    Faulty,
    MemoryBackend,
    Plan,
    ReadingConformance,
    Slow,
)
from tests.servers import Server

WRAPPERS: dict[str, Callable[[Backend], Backend]] = {
    "retrying": Retrying,
    "faulty": lambda backend: Faulty(backend, Plan()),
    "slow": lambda backend: Slow(backend, 0.0001, bandwidth=2e9),
    "counting": Counting,
}


class TestLocal(BackendConformance):
    """A directory."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return LocalBackend(tmp_path)

    def reopen(self, backend: Backend) -> Callable[[], Backend] | None:
        return partial(LocalBackend, Path(backend.url))

    def spoil(self, backend: Backend, upload: Upload) -> bool:
        for name in os.listdir(os.path.join(backend.url, "objects")):
            os.unlink(os.path.join(backend.url, "objects", name))
        return True


class TestMemory(BackendConformance):
    """A dict, which may or may not learn a blob's key at the end."""

    @pytest.fixture(params=[True, False], ids=["renaming", "not-renaming"])
    def backend(self, request: pytest.FixtureRequest) -> Backend:
        return MemoryBackend(rename=request.param)


class TestWrappedMemory(BackendConformance):
    """Each wrapper around a dict."""

    @pytest.fixture(params=sorted(WRAPPERS))
    def backend(self, request: pytest.FixtureRequest) -> Backend:
        return WRAPPERS[request.param](MemoryBackend(rename=False))


class TestWrappedLocal(BackendConformance):
    """Each wrapper around a directory."""

    @pytest.fixture(params=sorted(WRAPPERS))
    def backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
        return WRAPPERS[request.param](LocalBackend(tmp_path))


class TestReadOnly(ReadingConformance):
    """A place that is filled by somebody else."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return ReadOnly(LocalBackend(tmp_path))

    def fill(self, backend: Backend, records: Mapping[str, bytes]) -> None:
        assert isinstance(backend, ReadOnly)
        super().fill(backend.backend, records)


class TestRetryingWhatFails(BackendConformance):
    """A place where every third call fails, as often before it has done its work as after."""

    @pytest.fixture
    def backend(self) -> Backend:
        faults = [
            Fault(method, at, "before" if at % 2 else "after", Temporary("the server is busy"))
            for method in ("read", "stream", "stat", "create", "write", "list", "walk", "delete", "upload")
            for at in range(1, 600, 3)
        ]
        return Retrying(Faulty(MemoryBackend(), Plan(*faults)), 12, first=0)

    def test_create_says_whether_the_key_was_free(self, backend: Backend) -> None:
        """But for records that hold the very same bytes: an answer that was lost may have been about either."""
        for turn in range(20):
            assert backend.create(f"runs/{turn}/intent.json", b"first") is True
            assert backend.create(f"runs/{turn}/intent.json", b"second") is False
            assert backend.read(f"runs/{turn}/intent.json") == b"first"


def remote(server: Server) -> Backend:
    """A prefix of a bucket."""
    return RemoteBackend(f"{server.url}/some/prefix", aws.access(server.env))


class TestS3(BackendConformance):
    """Servers that do all that is asked of them."""

    @pytest.fixture(params=["ministack", "moto"])
    def server(self, request: pytest.FixtureRequest) -> Server:
        found: Server = request.getfixturevalue(request.param)
        return found

    @pytest.fixture
    def backend(self, server: Server) -> Backend:
        self.running = server
        return remote(server)

    def reopen(self, backend: Backend) -> Callable[[], Backend] | None:
        return partial(remote, self.running)


class TestWrappedS3(BackendConformance):
    """Each wrapper around a server."""

    @pytest.fixture(params=sorted(WRAPPERS))
    def backend(self, request: pytest.FixtureRequest, ministack: Server) -> Backend:
        return WRAPPERS[request.param](remote(ministack))


@pytest.mark.slow
class TestCeph(TestS3):
    """A genuine server, with signatures."""

    @pytest.fixture
    def server(self, ceph: Server) -> Server:
        return ceph
