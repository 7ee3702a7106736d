"""The servers as fixtures: each is started when a test first asks for it, and each test gets a bucket of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Server, ceph, debian, ministack, moto, rclone, swift


@pytest.fixture(scope="session")
def ministack_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's ministack."""
    with ministack.serving(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's rclone, which ignores conditions."""
    with rclone.serving(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's moto."""
    with moto.serving(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's Swift that has no conditional writes."""
    with swift.serving(tmp_path_factory.mktemp("swift"), swift.HONEST) as server:
        yield server


@pytest.fixture(scope="session")
def racy_swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's Swift whose conditional writes are not atomic."""
    with swift.serving(tmp_path_factory.mktemp("racy_swift"), swift.RACY) as server:
        yield server


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's Ceph, where its packages are; where all tests must run, they must be."""
    if (missing := debian.missing()) and not debian.required():
        pytest.skip(f"needs the Debian packages {', '.join(missing)}: `python -m tests --install` as root")
    with ceph.serving(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(name="ministack")
def own_ministack(ministack_server: Server) -> Server:
    """An S3 server that does all that pkgrun asks for, with an empty bucket."""
    return ministack_server.with_own_bucket()


@pytest.fixture(name="rclone")
def own_rclone(rclone_server: Server) -> Server:
    """An S3 server that ignores conditions and says it does not, with an empty bucket."""
    return rclone_server.with_own_bucket()


@pytest.fixture(name="moto")
def own_moto(moto_server: Server) -> Server:
    """An S3 server by other authors, with an empty bucket."""
    return moto_server.with_own_bucket()


@pytest.fixture(name="swift")
def own_swift(swift_server: Server) -> Server:
    """An S3 server that answers 501 to conditions, with an empty bucket."""
    return swift_server.with_own_bucket()


@pytest.fixture(name="racy_swift")
def own_racy_swift(racy_swift_server: Server) -> Server:
    """An S3 server that keeps its word unless two ask at once, with an empty bucket."""
    return racy_swift_server.with_own_bucket()


@pytest.fixture(name="ceph")
def own_ceph(ceph_server: Server) -> Server:
    """A genuine S3 server that checks signatures, with an empty bucket."""
    return ceph_server.with_own_bucket()
