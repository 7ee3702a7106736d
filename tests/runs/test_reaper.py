"""Going over a store: what is decided is carried out, what nobody works on is lost, all else is left alone."""

from __future__ import annotations

import math
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import Damaged, UsageError
from pkgrun.records import CopyRequest, DatasetRequest, Heartbeat, Intent, TrainingRequest
from pkgrun.runs.heart import BEAT
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.reaper import LEAST, Recovery, reap
from pkgrun.runs.recover import SILENT, give_up, settle
from pkgrun.store import clock, numbers, operations
from pkgrun.store.operations import key
from pkgrun.store.root import Store
from tests.store.entries import entry, intent, outcome, tree

HOUR = 3600.0


def far(run: str, **given: Any) -> Heartbeat:
    """A sign of life from another machine, of which nobody here can see whether it lives."""
    known = sign_of_life(run, "running", "train")
    return known.model_copy(update={"host": "far", "boot": "another start", "pid": 7} | given)


def begun(store: Store, *, ago: float = 0, **given: Any) -> Intent:
    """An operation of another machine that has begun, so many seconds ago, and was not heard since."""
    run = operations.new_run_id()
    asked = intent(run, **{"created": old(ago), "alive": far(run, at=old(ago))} | given)
    operations.begin(store.backend, asked)
    if ago:
        age(store, key(run, "intent.json"), ago)
    return asked


def trained(store: Store) -> Intent:
    """The same, of a training."""
    return begun(store, training=TrainingRequest(base="1.0", tree=tree(0), data=None))


def age(store: Store, name: str, seconds: float) -> None:
    """Make a record older, by the store's clock."""
    path = Path(store.url, name)
    os.utime(path, (time.time() - seconds, path.stat().st_mtime - seconds))


def ends(found: Recovery) -> list[tuple[str, str, str]]:
    return [(one.record.run, one.done, one.record.status) for one in found.done]


def test_where_all_is_in_order_there_is_nothing_to_do(store: Store) -> None:
    assert reap(store) == Recovery((), (), ())


def test_a_run_that_goes_on_is_left_alone(store: Store) -> None:
    asked = begun(store)
    assert reap(store) == Recovery((), (asked.run,), ())
    assert settle(store, asked.run).status == "running"
    assert settle(store, asked.run).heard is not None


def test_a_run_that_is_not_heard_for_long_is_silent_and_then_lost(store: Store) -> None:
    asked = trained(store)
    store.backend.write(key(asked.run, "heartbeat.json"), far(asked.run, at=old(HOUR)).to_bytes())
    age(store, key(asked.run, "heartbeat.json"), HOUR)
    seen = settle(store, asked.run)
    assert (seen.status, seen.final, seen.phase) == ("silent", False, "train")
    assert seen.heard is not None
    assert abs(seen.heard - old(HOUR)) < timedelta(seconds=60)

    assert ends(reap(store, silent_for=2 * HOUR)) == []
    assert ends(reap(store)) == [(asked.run, "given-up", "lost")]
    lost = settle(store, asked.run)
    assert lost.error is not None
    assert lost.error.kind == "lost"
    assert "process 7 on far, has not been heard since" in lost.error.message
    assert Path(store.url, key(asked.run, "_results.json")).exists()
    assert reap(store) == Recovery((), (), ())


def old(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def test_a_clock_that_is_wrong_makes_nobody_silent(store: Store) -> None:
    """What counts is when the store got the sign of life, not when its writer thought it was."""
    asked = begun(store)
    for wrong in (2 * HOUR, -2 * HOUR):
        store.backend.write(key(asked.run, "heartbeat.json"), far(asked.run, at=old(wrong)).to_bytes())
        assert settle(store, asked.run).status == "running"
    age(store, key(asked.run, "heartbeat.json"), HOUR)
    assert settle(store, asked.run).status == "silent"


def test_another_start_of_this_machine_proves_nothing(store: Store) -> None:
    """A container on the same machine may have its name and another life; only silence ends the run."""
    run = operations.new_run_id()
    beat = sign_of_life(run, "running", "train").model_copy(update={"boot": "before", "pid": dead_process()})
    operations.begin(store.backend, intent(run, created=datetime.now(UTC), alive=beat))
    assert settle(store, run).status == "running"
    assert reap(store).open == (run,)
    age(store, key(run, "intent.json"), HOUR)
    assert ends(reap(store)) == [(run, "given-up", "lost")]


def dead_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_one_that_has_died_here_is_not_waited_for(store: Store) -> None:
    run = operations.new_run_id()
    beat = sign_of_life(run, "running", "train").model_copy(update={"pid": dead_process()})
    operations.begin(store.backend, intent(run, alive=beat))
    found = reap(store)
    assert ends(found) == [(run, "given-up", "lost")]
    assert found.done[0].record.error is not None
    assert found.done[0].record.error.message.endswith(", died")


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "import"},
        {"kind": "dataset", "package": None, "dataset": "rows", "registration": DatasetRequest(source="x")},
        {
            "kind": "copy",
            "package": None,
            "copy_": CopyRequest(source="x", store=operations.new_run_id()),
        },
    ],
)
def test_every_kind_of_operation_can_be_given_up(store: Store, given: dict[str, Any]) -> None:
    asked = begun(store, ago=HOUR, **given)
    assert settle(store, asked.run).status == "silent"
    assert ends(reap(store)) == [(asked.run, "given-up", "lost")]


def test_an_intent_that_says_nothing_of_life_is_given_up_too(store: Store) -> None:
    asked = begun(store, alive=None, ago=HOUR)
    assert settle(store, asked.run).status == "silent"
    assert ends(reap(store)) == [(asked.run, "given-up", "lost")]


def test_what_is_decided_is_carried_out(store: Store) -> None:
    asked = trained(store)
    made = entry(run=asked.run)
    operations.decide(store.backend, outcome(asked.run, "COMMIT", entry=made))
    assert ends(reap(store)) == [(asked.run, "carried-out", "successful")]
    assert [record.run for record in numbers.versions(store.backend, "p")] == [asked.run]


def test_a_run_whose_end_nobody_wrote_down_gets_its_record(store: Store) -> None:
    asked = trained(store)
    operations.decide(store.backend, outcome(asked.run, "FAILED"))
    assert ends(reap(store)) == [(asked.run, "carried-out", "failed")]
    assert reap(store).done == ()


@pytest.mark.parametrize("name", ["run.json", "_results.json"])
def test_what_is_missing_is_written_again(store: Store, name: str) -> None:
    asked = trained(store)
    operations.decide(store.backend, outcome(asked.run, "COMMIT", entry=entry(run=asked.run)))
    reap(store)
    before = store.backend.read(key(asked.run, name))
    store.backend.delete(key(asked.run, name))
    [(run, done, status)] = ends(reap(store))
    assert (run, status) == (asked.run, "successful")
    assert done == ("rewritten" if name == "_results.json" else "carried-out")
    assert store.backend.read(key(asked.run, name)) == before


def test_what_is_damaged_keeps_nobody_else_from_being_recovered(store: Store) -> None:
    broken, asked = begun(store), begun(store, ago=HOUR)
    Path(store.url, key(broken.run, "intent.json")).write_bytes(b"{")
    found = reap(store)
    assert [one.record.run for one in found.done] == [asked.run]
    [failed] = found.failed
    assert failed.run == broken.run
    assert isinstance(failed.error, Damaged)


def test_folders_and_files_that_are_no_operations_are_passed_by(store: Store) -> None:
    for name in ("runs/x/intent.json", "runs/intent.json", f"runs/{operations.new_run_id()}/run.json"):
        store.backend.write(name, b"{}")
    assert reap(store) == Recovery((), (), ())


@pytest.mark.parametrize("seconds", [-1.0, math.nan, 0.0, BEAT, math.nextafter(LEAST, 0)])
def test_a_silence_that_a_live_run_may_keep_gives_nobody_up(store: Store, seconds: float) -> None:
    asked = begun(store, ago=LEAST - 5)
    with pytest.raises(UsageError, match="a live run gives one every 10 s") as caught:
        reap(store, silent_for=seconds)
    assert "give 30 s at least" in str(caught.value.hint)
    assert not settle(store, asked.run).final


def test_the_least_silence_that_proves_something_is_some_heartbeats(store: Store) -> None:
    heard, unheard = begun(store, ago=LEAST - 5), begun(store, ago=LEAST + 5)
    found = reap(store, silent_for=LEAST)
    assert ends(found) == [(unheard.run, "given-up", "lost")]
    assert found.open == (heard.run,)


def test_who_is_given_up_can_commit_no_more(store: Store) -> None:
    asked = begun(store, ago=SILENT + 60)
    assert give_up(store, asked.run).status == "lost"
    standing = operations.decide(store.backend, outcome(asked.run, "COMMIT", entry=entry(run=asked.run)))
    assert standing.decision == "LOST"
    assert list(numbers.versions(store.backend, "p")) == []


def test_giving_up_a_run_that_has_decided_changes_nothing(store: Store) -> None:
    asked = trained(store)
    operations.decide(store.backend, outcome(asked.run, "COMMIT", entry=entry(run=asked.run)))
    age(store, key(asked.run, "intent.json"), HOUR)
    assert give_up(store, asked.run).status == "successful"


def test_the_stores_clock_goes_on(store: Store) -> None:
    first = clock.now(store.backend)
    assert abs(first - time.time()) < 60
    assert clock.now(store.backend) >= first
