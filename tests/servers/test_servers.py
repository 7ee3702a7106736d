"""The servers do what the tests that use them rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.servers import Server, s3
from tests.servers.process import listens

HONEST = ["ministack", "moto", pytest.param("ceph", marks=pytest.mark.slow)]
ABSENT = {"If-None-Match": "*"}


def conditional_puts(server: Server) -> list[int]:
    return [s3.request(server, "PUT", "key", headers=ABSENT, body=data).status for data in (b"one", b"two")]


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_server_creates_once(request: pytest.FixtureRequest, name: str) -> None:
    server: Server = request.getfixturevalue(name)
    assert conditional_puts(server) == [200, 412]
    assert s3.request(server, "GET", "key").body == b"one"


@pytest.mark.parametrize("name", HONEST)
def test_of_sixteen_one_creates(request: pytest.FixtureRequest, name: str) -> None:
    assert raced(request.getfixturevalue(name), "key") == 1


def raced(server: Server, key: str) -> int:
    """How many of sixteen at once are told that they created the key."""
    barrier, answers = threading.Barrier(16), []

    def put(number: int) -> None:
        barrier.wait()
        answers.append(s3.request(server, "PUT", key, headers=ABSENT, body=b"%d" % number).status)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 412}
    return answers.count(200)


def test_swift_says_what_it_lacks(swift: Server) -> None:
    assert conditional_puts(swift) == [501, 501]
    assert s3.request(swift, "GET", "key").status == 404


def test_a_newer_swift_keeps_its_word_unless_two_ask_at_once(racy_swift: Server) -> None:
    assert conditional_puts(racy_swift) == [200, 412]
    assert max(raced(racy_swift, f"key{turn}") for turn in range(10)) > 1


def test_rclone_lies(rclone: Server) -> None:
    assert conditional_puts(rclone) == [200, 200]
    assert s3.request(rclone, "GET", "key").body == b"two"


def test_each_test_has_a_bucket_of_its_own(ministack_server: Server) -> None:
    one, other = ministack_server.with_own_bucket(), ministack_server.with_own_bucket()
    s3.request(one, "PUT", "key", body=b"one")
    assert s3.request(other, "GET", "key").status == 404


KILLED = """
import os, signal, sys, tempfile
from pathlib import Path
from tests.servers import ministack

with ministack.serving(Path(sys.argv[1])) as server:
    print(server.endpoint, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_server_dies_with_whoever_started_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent.parent,
        env=os.environ,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    port = int(done.stdout.rpartition(":")[2])
    for _ in range(500):
        if not listens(port):
            return
        threading.Event().wait(0.01)
    raise AssertionError("it still listens")
