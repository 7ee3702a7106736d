"""The same call twice, with one idempotency key: it makes one version, wherever the first try died or still goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pkgrun.errors import RunLost
from pkgrun.store import operations
from pkgrun.store.operations import key
from pkgrun.store.root import open_store

from .lab import Lab, chain_is_intact, minors
from .patience import HOUR, patient, waiting

DIES_AT_RECORD = """
    import os, signal, sys
    import pkgrun
    from pkgrun.store.objects import Objects
    from pkgrun.store.root import Store, open_store
    from pkgrun.store.wrappers import Wrapper

    part, when = sys.argv[2:]

    class Mortal(Wrapper):
        # The process dies before or after a record is created.

        def around(self, call, work):
            mine = call.method == "create" and part in call.key
            if mine and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = work()
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    store = open_store(sys.argv[1], create=False)
    backend = Mortal(store.backend)
    workspace = pkgrun.Workspace(Store(backend, Objects(backend), store.id))
    workspace.train("p@1.0", environment="current", idempotency_key="k").wait()
"""

KEYED = ("train", "p@1.0", "--environment", "current", "--idempotency-key", "k")


@pytest.mark.parametrize(
    ("part", "when", "committed"),
    [
        ("keys/", "before", False),
        ("keys/", "after", False),
        ("intent.json", "before", False),
        ("intent.json", "after", False),
        ("outcome.json", "before", False),
        ("outcome.json", "after", True),
        ("packages/", "before", True),
        ("packages/", "after", True),
    ],
)
def test_a_key_makes_one_version_wherever_the_first_try_died(
    lab: Lab, part: str, when: str, committed: bool
) -> None:
    lab.workspace().add(lab.package())
    first = lab.python(DIES_AT_RECORD, lab.store, part, when)
    first.wait(60)
    assert first.returncode == -9

    before = [record.run for record in lab.workspace().runs()]
    document = lab.document(*KEYED)
    assert (document["status"], document["version"]) == ("successful", "1.1")
    assert (document["run_id"] in before) == committed
    assert lab.document(*KEYED)["run_id"] == document["run_id"]
    assert minors(lab.store, "p") == [0, 1]
    assert chain_is_intact(lab.store, "p", 1)
    assert lab.workspace().recover().done == ()


def test_the_second_call_follows_the_run_of_the_first(lab: Lab) -> None:
    first, run = waiting(lab, "--idempotency-key", "k")
    second = lab.start(*patient(lab), "--idempotency-key", "k")
    assert second.stderr is not None
    said = ""
    for line in second.stderr:
        said += line
        if "waiting" in line:
            break
    lab.mark("go").touch()
    ends = [process.communicate(timeout=30) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert f"note: the idempotency key stands for the run {run}" in said
    assert "going on" in ends[1][1]
    assert ends[0][0] == ends[1][0]
    assert "1.1" in ends[1][0]
    assert len(list(lab.workspace().runs())) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_only_follows_a_run_does_not_stop_it(lab: Lab, number: int) -> None:
    first, run = waiting(lab, "--idempotency-key", "k")
    second = lab.start(*patient(lab), "--idempotency-key", "k")
    assert second.stderr is not None
    until_line(second, "waiting")
    second.send_signal(number)
    _, said = second.communicate(timeout=30)
    assert second.returncode == 128 + number
    assert f"`pkgrun run kill {run}` stops it" in said
    lab.mark("go").touch()
    first.communicate(timeout=30)
    assert first.returncode == 0


def until_line(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return
    raise AssertionError(f"{word} was never said")


def test_the_follower_of_a_run_that_dies_is_told_and_the_next_call_begins_anew(lab: Lab) -> None:
    first, run = waiting(lab, "--idempotency-key", "k")
    second = lab.start(*patient(lab), "--idempotency-key", "k")
    until_line(second, "waiting")
    first.kill()
    first.wait()
    _, said = second.communicate(timeout=30)
    assert second.returncode == 75
    assert "was lost" in said
    lab.mark("go").touch()
    document = lab.document(*patient(lab), "--idempotency-key", "k")
    assert document["run_id"] != run
    assert document["version"] == "1.1"


def test_a_key_with_other_arguments_is_a_conflict(lab: Lab) -> None:
    lab.workspace().add(lab.package())
    run = lab.document(*KEYED)["run_id"]
    said = lab.pkgrun(*KEYED, "-e", "epochs=2", code=7)
    assert "was used with other arguments" in said.err
    assert run in said.err
    assert lab.document(*KEYED, "-e", "epochs=2", code=7)["error"]["kind"] == "conflict"


def test_a_key_whose_version_was_removed_gives_the_same_run_and_says_so(lab: Lab) -> None:
    """Removing is no undoing: who calls again has not asked for a second training, and must know what became of the first."""
    lab.workspace().add(lab.package())
    first = lab.document(*KEYED)
    assert first["removed"] is None
    lab.pkgrun("package", "remove", "p@1.1", "--yes", "--reason", "bad labels")

    again = lab.document(*KEYED)
    assert (again["run_id"], again["version"], again["status"]) == (first["run_id"], "1.1", "successful")
    assert again["removed"]["reason"] == "bad labels"
    assert again["removed"]["created"]
    said = lab.pkgrun(*KEYED)
    assert "the idempotency key stands for the run" in said.err
    assert re.search(r"^  removed just now by \S+: bad labels$", said.out, re.MULTILINE)
    result = lab.workspace().train("p@1.0", environment="current", idempotency_key="k").wait()
    assert result.removal is not None
    assert (str(result.removal.version), result.removal.reason) == ("1.1", "bad labels")
    assert minors(lab.store, "p") == [0, 1]


def test_a_key_still_stands_for_its_run_when_what_that_started_from_was_removed(lab: Lab) -> None:
    lab.workspace().add(lab.package())
    run = lab.document(*KEYED)["run_id"]
    lab.pkgrun("package", "remove", "p@1.0", "--yes", "--force")
    assert lab.document(*KEYED)["run_id"] == run


@pytest.mark.parametrize("ago", [60.0, HOUR])
def test_a_first_try_on_a_machine_that_is_gone_stands_for_the_key_until_it_is_silent(
    lab: Lab, ago: float
) -> None:
    """Its claim and its intent are there, its heart beats no more, and nobody here can see that it is dead."""
    lab.workspace().add(lab.package())
    first = lab.python(DIES_AT_RECORD, lab.store, "outcome.json", "before")
    first.wait(60)
    [run] = operations.undecided(open_store(str(lab.store), create=False).backend)
    move_away(lab, run, ago)

    second = lab.workspace().train("p@1.0", environment="current", idempotency_key="k")
    if ago < HOUR:
        assert (second.id, second.live) == (run, False)
        assert second.record().status == "running"
        return
    assert second.id != run
    assert str(second.wait(60).version) == "1.1"
    with pytest.raises(RunLost, match="has not been heard since"):
        lab.workspace().run(run).wait()


def move_away(lab: Lab, run: str, ago: float) -> None:
    """Make an operation that died here one of another machine, which was heard so long ago."""
    backend = open_store(str(lab.store), create=False).backend
    changed: dict[str, Any] = {"host": "far", "boot": "another"}
    changed["at"] = datetime.now(UTC) - timedelta(seconds=ago)
    beat = operations.heartbeat(backend, run) or operations.intent(backend, run).alive
    assert beat is not None
    backend.write(key(run, "heartbeat.json"), beat.model_copy(update=changed).to_bytes())
    at = time.time() - ago
    os.utime(lab.store / key(run, "heartbeat.json"), (at, at))
