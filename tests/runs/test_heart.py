"""Signs of life of imports, registrations and copies: they come when they are needed, and an end that is wished is heard."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pkgrun.errors import Killed, PkgrunError, RunLost
from pkgrun.observe import Event, Progress, silent
from pkgrun.records import Intent
from pkgrun.runs.copying import copy
from pkgrun.runs.handle import Run
from pkgrun.runs.heart import working
from pkgrun.runs.importing import bring_in
from pkgrun.runs.recover import give_up, settle
from pkgrun.runs.registering import register
from pkgrun.store import operations
from pkgrun.store.objects import Objects
from pkgrun.store.operations import key
from pkgrun.store.root import Store, open_store
from pkgrun.testing.slow import Slow
from tests.e2e.lab import MAIN, TRAIN, until
from tests.store.entries import BY, intent, outcome

LARGE = 24 << 20
FOUR_MEGABYTES = 4e6
"""A second for a connection of a store that takes six for what the tests give it."""


def begun(store: Store) -> Intent:
    asked = intent(operations.new_run_id(), kind="import")
    operations.begin(store.backend, asked)
    return asked


def test_what_ends_soon_gives_no_sign_of_life_of_its_own(store: Store) -> None:
    asked = begun(store)
    with working(store.backend, asked) as check:
        check()
    assert os.listdir(Path(store.url, "runs", asked.run)) == ["intent.json"]


def test_what_takes_long_gives_signs_of_life(store: Store) -> None:
    asked = begun(store)
    path = Path(store.url, key(asked.run, "heartbeat.json"))
    with working(store.backend, asked, every=0.1):
        until(path.exists, 10, "the first beat")
        first = path.read_bytes()
        until(lambda: path.read_bytes() != first, 10, "the second beat")
    beat = operations.heartbeat(store.backend, asked.run)
    assert beat is not None
    assert (beat.pid, beat.phase, beat.status) == (os.getpid(), "import", "running")


def ends(check: Callable[[], None]) -> PkgrunError:
    """The error that the check comes to raise."""
    raised: list[PkgrunError] = []

    def told() -> bool:
        try:
            check()
        except PkgrunError as error:
            raised.append(error)
        return bool(raised)

    until(told, 10, "an end")
    return raised[0]


def test_a_wish_that_it_ends_is_heard(store: Store) -> None:
    asked = begun(store)
    with working(store.backend, asked) as check:
        Run(store, asked.run).kill()
        error = ends(check)
    assert isinstance(error, Killed)
    assert error.run_id == asked.run


def test_that_it_was_given_up_is_heard(store: Store) -> None:
    asked = begun(store)
    with working(store.backend, asked) as check:
        operations.decide(store.backend, outcome(asked.run, "LOST"))
        assert isinstance(ends(check), RunLost)


# ---------------------------------------------------------------- the real operations, on a store that takes its time


def slow(folder: Path) -> Store:
    """A store behind a thin wire."""
    store = open_store(str(folder), create=True)
    backend = Slow(store.backend, 0, bandwidth=FOUR_MEGABYTES)
    return Store(backend, Objects(backend), store.id)


def large(folder: Path) -> Path:
    """A folder, also a package's, with one large file."""
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "main.py").write_text(MAIN)
    (folder / "requirements.txt").write_text("")
    (folder / "large.bin").write_bytes(os.urandom(LARGE))
    return folder


def importing(store: Store, folder: Path, cache: Path, source: Path) -> None:
    bring_in(store, str(folder), name=None, description=None, tags={}, by=BY, observer=silent)


def registering(store: Store, folder: Path, cache: Path, source: Path) -> None:
    register(
        *(store, "rows", str(folder)),
        description=None,
        tags={},
        by=BY,
        cache=str(cache),
        cache_limit=1 << 30,
        observer=silent,
    )


def copying(store: Store, folder: Path, cache: Path, source: Path) -> None:
    given = open_store(str(source), create=True)
    registering(given, folder, cache, source)
    copy(given, store, package=None, by=BY, observer=silent)


Work = Callable[[Store, Path, Path, Path], None]


@pytest.mark.parametrize("work", [importing, registering, copying])
@pytest.mark.parametrize("how", ["killed", "lost"])
def test_an_operation_that_shall_end_ends_and_leaves_nothing_but_its_record(
    tmp_path: Path, work: Work, how: str
) -> None:
    store, folder = slow(tmp_path / "store"), large(tmp_path / "p")
    failure: list[BaseException] = []

    def do() -> None:
        try:
            work(store, folder, tmp_path / "cache", tmp_path / "source")
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    until(lambda: list(operations.runs(store.backend)), 30, "the beginning")
    [run] = operations.runs(store.backend)
    if how == "killed":
        Run(store, run).kill()
    else:
        assert give_up(store, run, silent_for=0).status == "lost"
    thread.join(30)

    assert not thread.is_alive()
    assert isinstance(failure[0], Killed if how == "killed" else RunLost)
    assert settle(store, run).status == how
    assert not Path(store.url, "packages").exists()
    assert not Path(store.url, "datasets").exists()


def test_many_small_files_can_be_broken_off_too(tmp_path: Path) -> None:
    """They are read by processes of their own."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(12_000):
        (folder / f"{number}.txt").write_text(str(number))
    store = open_store(str(tmp_path / "store"), create=True)

    def observer(event: Event) -> None:
        if isinstance(event, Progress):
            raise Killed("now")

    with pytest.raises(Killed):
        register(
            *(store, "rows", str(folder)),
            description=None,
            tags={},
            by=BY,
            cache=str(tmp_path / "cache"),
            cache_limit=1 << 30,
            observer=observer,
        )
    [run] = operations.runs(store.backend)
    assert settle(store, run).status == "killed"
