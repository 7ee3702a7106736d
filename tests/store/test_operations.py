"""Operations: one intent, one decision, whoever tries."""

from __future__ import annotations

import uuid
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pkgrun.errors import Damaged, InvalidName, NotFound
from pkgrun.identity import check_run_id
from pkgrun.store import operations
from pkgrun.store.local import LocalBackend
from pkgrun.store.root import Store
from tests.processes import race
from tests.store.entries import heartbeat, intent, outcome


def test_ids_are_uuids_of_version_7() -> None:
    for _ in range(100):
        value = uuid.UUID(check_run_id(operations.new_run_id()))
        assert (value.version, value.variant) == (7, uuid.RFC_4122)


def test_ids_sort_by_time_and_never_meet() -> None:
    ids = [operations.new_run_id() for _ in range(5_000)]
    assert len(set(ids)) == len(ids)
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)


def test_an_operation_begins_once(store: Store) -> None:
    run = operations.new_run_id()
    first, second = intent(run), intent(run, package="other")
    assert not operations.exists(store.backend, run)
    assert operations.begin(store.backend, first)
    assert not operations.begin(store.backend, second)
    assert operations.exists(store.backend, run)
    assert operations.intent(store.backend, run) == first


def test_the_first_decision_stands(store: Store) -> None:
    run = operations.new_run_id()
    assert operations.decided(store.backend, run) is None
    lost, late = outcome(run, "LOST"), outcome(run, "COMMIT")
    assert operations.decide(store.backend, lost) == lost
    assert operations.decide(store.backend, late) == lost
    assert operations.decide(store.backend, lost) == lost
    assert operations.decided(store.backend, run) == lost


def test_of_sixteen_deciders_all_learn_the_same(tmp_path: Path) -> None:
    runs = [operations.new_run_id() for _ in range(30)]

    def work(number: int, barrier: Barrier) -> list[bytes]:
        backend, stand = LocalBackend(tmp_path), []
        for run in runs:
            mine = outcome(run, ("COMMIT", "LOST", "KILLED")[number % 3])
            barrier.wait()
            stand.append(operations.decide(backend, mine).to_bytes())
        return stand

    answers = race(16, work)
    for run, stood in zip(runs, zip(*answers, strict=True), strict=True):
        assert len(set(stood)) == 1
        assert LocalBackend(tmp_path).read(operations.key(run, "outcome.json")) == stood[0]


def test_a_sign_of_life_is_replaced(store: Store) -> None:
    run = operations.new_run_id()
    assert operations.heartbeat(store.backend, run) is None
    for beat in (heartbeat(run), heartbeat(run).model_copy(update={"phase": "save"})):
        store.backend.write(operations.key(run, "heartbeat.json"), beat.to_bytes())
        assert operations.heartbeat(store.backend, run) == beat


def test_runs_are_listed_the_newest_first(store: Store) -> None:
    ids = [f"0191{number:04x}-0000-7000-8000-000000000000" for number in range(20)]
    for run in ids:
        operations.begin(store.backend, intent(run))
    assert list(operations.runs(store.backend)) == ids[::-1]


def test_what_a_crash_left_is_no_run(store: Store) -> None:
    """A supervisor that dies while it creates its intent leaves a folder with a temporary file in it."""
    run = operations.new_run_id()
    left = Path(store.url, "runs", operations.new_run_id())
    left.mkdir(parents=True)
    (left / ".intent.json.0123").write_bytes(b"{")
    Path(store.url, "runs", "lost+found").mkdir()
    operations.begin(store.backend, intent(run))
    assert list(operations.runs(store.backend)) == [run]


@pytest.mark.row(1)
@pytest.mark.parametrize("run", ["", "..", "../x", "a" * 36, "0191-7", "%2e%2e", "x\n"])
def test_hostile_ids(store: Store, run: str) -> None:
    with pytest.raises(InvalidName):
        operations.intent(store.backend, run)


def test_an_unknown_run(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no run"):
        operations.intent(store.backend, operations.new_run_id())


@pytest.mark.parametrize("name", ["intent.json", "outcome.json", "heartbeat.json"])
def test_damage_names_the_record(store: Store, name: str) -> None:
    run = operations.new_run_id()
    store.backend.write(operations.key(run, name), b'{"format":1')
    read = {
        "intent.json": operations.intent,
        "outcome.json": operations.decided,
        "heartbeat.json": operations.heartbeat,
    }
    with pytest.raises(Damaged, match=f"runs/{run}/{name}"):
        read[name](store.backend, run)
