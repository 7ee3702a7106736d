"""What may be said of a run whose supervisor is not heard: only what is known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pkgrun.records import Heartbeat, Intent
from pkgrun.runs.here import boot, dead, sign_of_life, started
from pkgrun.runs.recover import never_open, settle
from pkgrun.store import operations
from pkgrun.store.root import Store, open_store
from tests.processes import powerless
from tests.store.entries import intent

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def ended() -> int:
    """The number of a process that was and is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def beat(pid: int, since: str | None = None, where: str | None = None) -> Heartbeat:
    known = sign_of_life(operations.new_run_id(), "running", "train")
    return known.model_copy(
        update={
            "pid": pid,
            "pid_started": known.pid_started if since is None else since,
            "boot": boot() if where is None else where,
        }
    )


def test_this_process_lives() -> None:
    assert started(os.getpid())
    assert not dead(beat(os.getpid()))


def test_a_process_that_is_no_more_is_dead() -> None:
    pid = ended()
    assert started(pid) == ""
    assert dead(beat(pid))


def test_a_process_that_nobody_has_waited_for_is_dead() -> None:
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert started(zombie.pid) == ""
        assert dead(beat(zombie.pid))


def test_a_later_process_of_the_same_number_is_another() -> None:
    assert dead(beat(os.getpid(), since="1"))


def test_of_another_start_of_the_machine_nothing_is_known() -> None:
    assert not dead(beat(ended(), where="another"))


@root
def test_a_process_that_is_hidden_is_not_taken_for_dead(tmp_path: Path) -> None:
    """As where /proc is mounted with hidepid, which many shared machines do."""
    code = (
        "import os, sys; from pkgrun.runs.here import started\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(started(int(sys.argv[1])))"
    )
    shell = 'mount -t proc -o hidepid=2 proc /proc && exec "$0" -c "$1" "$2"'
    command = ["unshare", "-m", "sh", "-c", shell, sys.executable, code, str(os.getpid())]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no hidden /proc can be had here: {found.stderr}")
    assert found.stdout == "None\n"


def fails(store: Store, asked: Intent) -> None:
    with pytest.raises(KeyboardInterrupt), never_open(store, asked):
        raise KeyboardInterrupt


def test_an_operation_that_was_begun_does_not_stay_open(store: Store) -> None:
    asked = intent(operations.new_run_id())
    operations.begin(store.backend, asked)
    fails(store, asked)
    assert settle(store, asked.run).status == "killed"


def test_one_that_was_not_begun_yet_leaves_nothing(store: Store) -> None:
    asked = intent(operations.new_run_id())
    fails(store, asked)
    assert list(store.backend.walk("runs")) == []


def test_one_that_somebody_else_has_begun_goes_on(store: Store) -> None:
    """Two calls with one idempotency key may try to begin the same run."""
    run = operations.new_run_id()
    theirs = intent(run, alive=beat(os.getpid()).model_copy(update={"run": run}))
    operations.begin(store.backend, theirs)
    fails(store, theirs.model_copy(update={"package": "q"}))
    assert settle(store, theirs.run).status == "running"
    assert operations.decided(store.backend, theirs.run) is None


@root
def test_who_may_only_read_sees_a_lost_run_and_changes_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = open_store(str(tmp_path / "store"), create=True)
    asked = intent(operations.new_run_id())
    alive = beat(ended()).model_copy(update={"run": asked.run})
    operations.begin(store.backend, asked.model_copy(update={"alive": alive}))
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o5)
    settle_as_nobody(store, asked.run)
    assert not (tmp_path / "store" / "runs" / asked.run / "outcome.json").exists()
    assert settle(store, asked.run).status == "lost"
    assert (tmp_path / "store" / "runs" / asked.run / "outcome.json").exists()


def settle_as_nobody(store: Store, run: str) -> None:
    assert powerless(lambda: settle(store, run).status) == "lost"
