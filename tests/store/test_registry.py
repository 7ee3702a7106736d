"""Numbers of datasets: from 1 on, without gaps, one for each content in turn, whoever asks at once."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pkgrun.errors import Damaged, InvalidName, NotFound
from pkgrun.records import DatasetEntry, DatasetRecord, Head
from pkgrun.store import registry
from pkgrun.store.local import LocalBackend
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import new_run_id
from tests.processes import race
from tests.store.entries import NOW, tree


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path)


def entry(content: object, name: str = "rows", run: str | None = None) -> DatasetEntry:
    return DatasetEntry(dataset=name, run=run or new_run_id(), tree=tree(content), source="s", created=NOW)


def take(backend: LocalBackend, content: object, head: int = 0, run: str | None = None) -> DatasetRecord:
    return registry.take(backend, entry(content, run=run), Head(major=head))


def test_numbers_begin_at_one(backend: LocalBackend) -> None:
    made = [take(backend, content) for content in "abc"]
    assert [one.number for one in made] == [1, 2, 3]
    assert [one.label for one in registry.records(backend, "rows")] == ["rows@1", "rows@2", "rows@3"]
    assert registry.newest(backend, "rows") == made[2]
    assert registry.newest_number(backend, "rows") == 3
    assert registry.names(backend) == ["rows"]


def test_each_holds_the_digest_of_the_one_before(backend: LocalBackend) -> None:
    for content in "abc":
        take(backend, content)
    assert registry.read(backend, "rows", 1).previous is None
    for number in (2, 3):
        before = backend.read(registry.key("rows", number - 1))
        assert registry.read(backend, "rows", number).previous == digest_of(before)


def test_the_same_content_as_the_newest_is_no_new_number(backend: LocalBackend) -> None:
    assert take(backend, "a").number == 1
    assert take(backend, "a", head=1).number == 1
    assert take(backend, "b", head=1).number == 2
    assert take(backend, "a", head=2).number == 3  # it was something else in between


def test_the_same_run_has_one_number(backend: LocalBackend) -> None:
    """Whoever carries it out, and however often."""
    run = new_run_id()
    first = take(backend, "a", run=run)
    for content in "bc":
        take(backend, content, head=1)
    assert take(backend, "a", run=run) == first
    assert registry.newest_number(backend, "rows") == 3


def test_processes_at_once_leave_no_gap(tmp_path: Path) -> None:
    def work(number: int, barrier: Barrier) -> list[int]:
        backend = LocalBackend(tmp_path)
        barrier.wait()
        return [take(backend, (number, turn)).number for turn in range(5)]

    given = [number for numbers in race(16, work) for number in numbers]
    assert sorted(given) == list(range(1, 81))
    backend = LocalBackend(tmp_path)
    chain = [backend.read(registry.key("rows", number)) for number in range(1, 81)]
    named = [record.previous for record in registry.records(backend, "rows")]
    assert named == [None, *map(digest_of, chain[:-1])]


def test_processes_at_once_with_the_same_content_share_a_number(tmp_path: Path) -> None:
    def work(number: int, barrier: Barrier) -> int:
        barrier.wait()
        return take(LocalBackend(tmp_path), "same").number

    assert race(16, work) == [1] * 16


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a@1", "-x", "a" * 129, "ä", "a\0", "a\n"])
def test_what_is_no_name(backend: LocalBackend, name: str) -> None:
    for ask in (registry.newest, registry.newest_number):
        with pytest.raises(InvalidName):
            ask(backend, name)
    with pytest.raises(InvalidName):
        registry.read(backend, name, 1)


def test_what_is_not_there(backend: LocalBackend) -> None:
    assert registry.names(backend) == []
    with pytest.raises(NotFound, match="there is no dataset rows"):
        registry.newest(backend, "rows")
    take(backend, "a")
    for number in (0, 2, 10**8):
        with pytest.raises(NotFound, match=f"rows@{number}"):
            registry.read(backend, "rows", number)


def test_a_record_in_another_place_is_refused(backend: LocalBackend) -> None:
    take(backend, "a")
    for key in (registry.key("rows", 2), registry.key("other", 1)):
        backend.write(key, backend.read(registry.key("rows", 1)))
    for name, number in (("rows", 2), ("other", 1)):
        with pytest.raises(Damaged, match="is the record of rows@1"):
            registry.read(backend, name, number)


def test_strangers_are_passed_over(backend: LocalBackend, tmp_path: Path) -> None:
    take(backend, "a")
    (tmp_path / "datasets" / "empty").mkdir()
    (tmp_path / "datasets" / "@eaDir").mkdir()
    (tmp_path / "datasets" / "file").write_bytes(b"")
    assert registry.names(backend) == ["rows"]
