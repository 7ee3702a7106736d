"""Numbers: each given once, none left out, whoever races for them or does the work twice."""

from __future__ import annotations

import math
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Damaged, InvalidName, NotFound
from pkgrun.identity import Version
from pkgrun.records import Head, VersionEntry
from pkgrun.store import numbers
from pkgrun.store.backend import Backend
from pkgrun.store.local import LocalBackend
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store
from tests.processes import race
from tests.store.entries import entry


@pytest.fixture
def backend(store: Store) -> Backend:
    return store.backend


def imported(backend: Backend, content: object, **given: object) -> Version:
    """An import, carried out from the head of now."""
    wanted = entry(content, kind="import", **given)
    return numbers.take(backend, wanted, numbers.head(backend, wanted.package, None)).version


def trained(backend: Backend, major: int, content: object = 0) -> Version:
    """A training, likewise."""
    wanted = entry(content)
    return numbers.take(backend, wanted, numbers.head(backend, wanted.package, major)).version


@given(st.one_of(st.integers(0, 300), st.integers(0, 10**8)))
def test_gallop_finds_the_end(count: int) -> None:
    asked = []

    def exists(number: int) -> bool:
        asked.append(number)
        return number < count

    assert numbers.gallop(exists) == (count - 1 if count else None)
    assert len(asked) <= 2 * math.log2(count + 1) + 3
    assert min(asked) == 0


def test_numbers_follow_each_other(backend: Backend) -> None:
    assert imported(backend, "a") == (1, 0)
    assert [trained(backend, 1) for _ in range(5)] == [(1, minor) for minor in range(1, 6)]
    assert imported(backend, "b") == (2, 0)
    assert trained(backend, 2) == (2, 1)
    assert trained(backend, 1) == (1, 6)
    assert numbers.majors(backend, "p") == [1, 2]
    assert [record.version for record in numbers.versions(backend, "p")] == [
        *((1, minor) for minor in range(7)),
        (2, 0),
        (2, 1),
    ]
    assert numbers.newest(backend, "p").version == (2, 1)
    assert numbers.newest(backend, "p", 1).version == (1, 6)
    assert numbers.packages(backend) == ["p"]


def test_records_lie_where_the_format_says(backend: Backend) -> None:
    imported(backend, "a", package="some.pack-age_1")
    assert backend.stat("packages/some.pack-age_1/00000001/00000000.json") is not None


def test_each_record_holds_the_digest_of_the_one_before(backend: Backend) -> None:
    for content in ("a", "b"):
        version = imported(backend, content)
        for _ in range(3):
            trained(backend, version.major)
    before = {Version(2, 0): Version(1, 0)}
    for record in numbers.versions(backend, "p"):
        major, minor = record.version
        earlier = Version(major, minor - 1) if minor else before.get(record.version)
        expected = digest_of(backend.read(numbers.key("p", earlier))) if earlier else None
        assert record.previous == expected


def test_taking_again_finds_the_number_it_has(backend: Backend) -> None:
    imported(backend, "a")
    head = numbers.head(backend, "p", 1)
    mine, other = entry("mine"), entry("other")
    first = numbers.take(backend, mine, head)
    numbers.take(backend, other, head)
    trained(backend, 1)
    assert numbers.take(backend, mine, head) == first
    assert numbers.take(backend, other, head).version == (1, 2)
    assert len(list(numbers.versions(backend, "p"))) == 4


def test_two_entries_race_from_one_head(backend: Backend) -> None:
    imported(backend, "a")
    head = numbers.head(backend, "p", 1)
    assert head == Head(major=1, minor=0)
    found = [numbers.take(backend, entry(content), head).version for content in "xy"]
    assert found == [(1, 1), (1, 2)]


def test_an_import_adopts_the_same_content(backend: Backend) -> None:
    head = numbers.head(backend, "p", None)
    assert head == Head(major=0)
    first = numbers.take(backend, entry("same", kind="import"), head)
    twin = entry("same", kind="import")
    assert numbers.take(backend, twin, head) == first
    assert numbers.take(backend, entry("else", kind="import"), head).version == (2, 0)
    assert numbers.take(backend, twin, head) == first


def test_a_training_never_adopts(backend: Backend) -> None:
    imported(backend, "a")
    head = numbers.head(backend, "p", 1)
    assert [numbers.take(backend, entry("same"), head).version for _ in range(2)] == [(1, 1), (1, 2)]


def test_the_same_content_is_found_among_imports(backend: Backend) -> None:
    for content in "aba":
        imported(backend, content)
    trained(backend, 1, "t")
    found = numbers.same_content(backend, "p", entry("a").tree.digest)
    assert found is not None
    assert found.version == (3, 0)
    assert numbers.same_content(backend, "p", entry("t").tree.digest) is None
    assert numbers.same_content(backend, "none", entry("a").tree.digest) is None


@pytest.mark.parametrize("kind", ["training", "import"])
def test_sixteen_processes_take_sixteen_numbers(tmp_path: Path, kind: str) -> None:
    imported(LocalBackend(tmp_path), "a")
    head = numbers.head(LocalBackend(tmp_path), "p", 1 if kind == "training" else None)
    entries = [entry(number, kind=kind) for number in range(16 * 4)]

    def work(number: int, barrier: Barrier) -> list[Version]:
        backend, found = LocalBackend(tmp_path), []
        for turn in range(4):
            barrier.wait()
            found.append(numbers.take(backend, entries[number * 4 + turn], head).version)
        return found

    answers = [version for found in race(16, work) for version in found]
    assert sorted(answers) == [
        Version(1, 1 + number) if kind == "training" else Version(2 + number, 0) for number in range(64)
    ]
    backend = LocalBackend(tmp_path)
    for wanted, version in zip(entries, answers, strict=True):
        assert numbers.read(backend, "p", version).run == wanted.run


def test_sixteen_processes_carry_out_one_decision(tmp_path: Path) -> None:
    imported(LocalBackend(tmp_path), "a")
    head = numbers.head(LocalBackend(tmp_path), "p", 1)
    decided: list[VersionEntry] = [entry(number) for number in range(10)]

    def work(number: int, barrier: Barrier) -> list[Version]:
        backend, found = LocalBackend(tmp_path), []
        for one in decided:
            barrier.wait()
            found.append(numbers.take(backend, one, head).version)
        return found

    answers = race(16, work)
    assert all(found == answers[0] for found in answers)
    assert sorted(answers[0]) == [(1, minor) for minor in range(1, 11)]


# ---------------------------------------------------------------------- strange stores


def test_a_major_without_its_first_version_is_none(backend: Backend, store: Store) -> None:
    """A crash may leave the folder before the record."""
    imported(backend, "a")
    for name in ("00000002", "1", "x", "００００００03", "000000001"):
        Path(store.url, "packages", "p", name).mkdir()
    Path(store.url, "packages", "empty").mkdir()
    assert numbers.majors(backend, "p") == [1]
    assert numbers.packages(backend) == ["p"]
    assert numbers.newest(backend, "p").version == (1, 0)
    assert imported(backend, "b") == (2, 0)


def test_majors_may_begin_anywhere(backend: Backend) -> None:
    wanted = entry("a", kind="copy")
    assert numbers.take(backend, wanted, Head(major=6)).version == (7, 0)
    assert imported(backend, "b") == (8, 0)
    assert numbers.read(backend, "p", Version(8, 0)).previous == digest_of(
        backend.read(numbers.key("p", Version(7, 0)))
    )


def test_a_record_in_anothers_place_is_damage(backend: Backend) -> None:
    imported(backend, "a")
    data = backend.read(numbers.key("p", Version(1, 0)))
    backend.create(numbers.key("p", Version(1, 1)), data)
    backend.create(numbers.key("q", Version(1, 0)), data)
    for package, version in (("p", Version(1, 1)), ("q", Version(1, 0))):
        with pytest.raises(Damaged, match=r"is the record of p@1\.0"):
            numbers.read(backend, package, version)


def test_what_is_not_there(backend: Backend) -> None:
    imported(backend, "a")
    with pytest.raises(NotFound, match=r"there is no p@1\.1"):
        numbers.read(backend, "p", Version(1, 1))
    with pytest.raises(NotFound, match="there is no package q"):
        numbers.newest(backend, "q")
    with pytest.raises(NotFound, match="there is no package p@2"):
        numbers.newest(backend, "p", 2)
    assert numbers.newest_minor(backend, "p", 2) is None
    assert list(numbers.versions(backend, "q")) == []


@pytest.mark.row(1)
@pytest.mark.parametrize("name", ["..", "../runs", "a/b", "", "p\n", "/etc"])
def test_hostile_names(backend: Backend, name: str) -> None:
    for work in (
        lambda: numbers.majors(backend, name),
        lambda: numbers.read(backend, name, Version(1, 0)),
        lambda: numbers.newest(backend, name),
        lambda: list(numbers.versions(backend, name)),
    ):
        with pytest.raises(InvalidName):
            work()


def chosen(backend: Backend, major: int, content: object, head: Head | None = None) -> Version:
    """An import into a major that was asked for."""
    wanted = entry(content, kind="import")
    return numbers.take(backend, wanted, head or numbers.head_within(backend, "p", major)).version


def test_an_import_into_a_major_takes_its_next_minor(backend: Backend) -> None:
    imported(backend, "a")
    trained(backend, 1)
    assert chosen(backend, 1, "b") == (1, 2)
    assert trained(backend, 1) == (1, 3)


def test_an_import_into_a_major_that_is_not_there_begins_it(backend: Backend) -> None:
    imported(backend, "a")
    assert chosen(backend, 7, "b") == (7, 0)
    assert chosen(backend, 7, "c") == (7, 1)
    assert chosen(backend, 3, "d") == (3, 0)
    assert imported(backend, "e") == (8, 0)
    assert numbers.majors(backend, "p") == [1, 3, 7, 8]


def test_two_that_begin_one_major_are_in_it_both(backend: Backend) -> None:
    head = numbers.head_within(backend, "p", 7)
    assert [chosen(backend, 7, content, head) for content in "abc"] == [(7, 0), (7, 1), (7, 2)]
    assert chosen(backend, 7, "b", head) == (7, 1), "the same content is that version"


def test_the_first_of_a_major_that_was_asked_for_names_none_before_it(backend: Backend) -> None:
    """So that a major which comes into a gap later breaks no chain, whoever saw what when it began."""
    imported(backend, "a")
    late = numbers.head(backend, "p", None)
    assert chosen(backend, 3, "c") == (3, 0)
    assert numbers.take(backend, entry("b", kind="import"), late).version == (2, 0)
    assert imported(backend, "d") == (4, 0)
    named = {major: numbers.read(backend, "p", Version(major, 0)).previous for major in (1, 2, 3, 4)}
    assert named == {
        1: None,
        2: numbers.digest(backend, "p", Version(1, 0)),
        3: None,
        4: numbers.digest(backend, "p", Version(3, 0)),
    }


def test_the_same_content_is_found_within_a_major(backend: Backend) -> None:
    imported(backend, "a")
    trained(backend, 1, "t")
    chosen(backend, 1, "b")
    digests = {content: entry(content).tree.digest for content in "abt"}
    found = {name: numbers.same_content(backend, "p", digest, 1) for name, digest in digests.items()}
    assert {name: record and record.version for name, record in found.items()} == {
        "a": (1, 0),
        "b": (1, 2),
        "t": None,
    }
    assert numbers.same_content(backend, "p", digests["a"], 2) is None
