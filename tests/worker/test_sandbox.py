"""What a sandbox keeps from the code, and what it does not: by root and by an ordinary user, with every mount."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import PermissionDenied
from pkgrun.worker.limits import Limits, Sandbox, confined, home_variables, refused
from tests.processes import apart
from tests.worker.mounted import USERS, Ground, ground
from tests.worker.trial import Trial, package, trained, tried

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has network namespaces")

NETWORK = """
    import socket
    def reach(address):
        try: socket.create_connection(address, 5).close(); return 'reached'
        except OSError as error: return error.errno
    server = socket.create_server(('127.0.0.1', 0))
    print(reach(('127.0.0.1', {port})), reach(('192.0.2.1', 9)), reach(server.getsockname()))
    print(sorted(os.listdir('data')))
"""


@pytest.fixture(params=USERS)
def place(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(request.param) as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


def held(place: Ground, body: str, sandbox: Sandbox, **options: Any) -> Trial:
    """What `train` does that has `body`, in a sandbox."""

    def here() -> Trial:
        with confined(Limits(sandbox)) as confines:
            return place.run_here(body, confines=confines, **options)

    trial = place.as_user(here)
    assert isinstance(trial, Trial), trial
    return trial


@pytest.mark.parametrize("mounted", [True, False])
def test_without_the_network_there_is_only_its_own_loopback(place: Ground, mounted: bool) -> None:
    place.fill({"rows": "1"})
    options = {} if mounted else {"overlay": None}
    with socket.create_server(("127.0.0.1", 0)) as ours:
        body = NETWORK.format(port=ours.getsockname()[1])
        with_network = held(place, body, "process", overlay=None)
        trial = held(place, body, "no-network", **options)
    assert with_network.lines()[0].split()[0] == "reached", with_network
    assert trial.exit.ok, trial
    assert trial.lines()[:2] == ["111 101 reached", "['rows']" if mounted else "[]"]


def test_an_ordinary_user_gets_no_powers_by_it(place: Ground) -> None:
    if place.user == "root":
        pytest.skip("root keeps its powers")
    body = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')])"
    assert held(place, body, "no-network", overlay=None).lines()[0] == "['0000000000000000']"


def test_no_core_is_dumped_and_the_child_is_the_first_to_go(place: Ground) -> None:
    body = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE), open('/proc/self/oom_score_adj').read())"
    own = int(Path("/proc/self/oom_score_adj").read_text())
    trial = held(place, body, "process", overlay=None)
    assert trial.lines()[0] == f"(0, 0) {min(1000, own + 500)}"


def test_the_user_s_places_are_not_told() -> None:
    host = {"HOME": "/home/u", "XDG_CACHE_HOME": "/home/u/.cache", "PATH": "/bin"}
    rest, own = home_variables(host, "/run/home", "/run/tmp")
    assert "XDG_CACHE_HOME" not in rest
    assert {**rest, **own} == {
        "HOME": "/run/home", "TMPDIR": "/run/tmp", "TEMP": "/run/tmp", "TMP": "/run/tmp", "PATH": "/bin",
    }  # fmt: skip


def without_namespaces() -> tuple[str | None, object]:
    """What the probe says, and what a run gets, where the kernel hands out no more network namespaces."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x10000000 | 0x40000000) == 0
    for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
        Path("/proc/self", name).write_text(text)
    Path("/proc/sys/user/max_net_namespaces").write_text("0")  # of this user namespace
    return refused(Limits("no-network")), None


def test_where_the_kernel_refuses_it_is_said_and_nothing_weaker_is_run(tmp_path: Path) -> None:
    workdir = package(tmp_path, trained("mark('ran')"))

    def attempt() -> object:
        reason = without_namespaces()[0]
        with confined(Limits("no-network")) as confines:
            try:
                return reason, tried(workdir, confines=confines)
            except PermissionDenied as error:
                return reason, error.message, error.hint

    reason, message, hint = apart(attempt)
    assert reason == "a network namespace: No space left on device"
    assert message == f"the run cannot be without the network: {reason}"
    assert hint == "--sandbox process needs no powers of the system"
    assert not (tmp_path / "ran").exists()
    assert refused(Limits("no-network")) is None or sys.platform != "linux"
