"""What a call is about to be given is looked at while the worker waits, and never keeps a run from its end."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import DataInvalid
from pkgrun.observe import Event, Phase
from pkgrun.worker.supervisor import Call, Stop
from pkgrun.worker.window import GO, Window
from tests.worker.mounted import USERS, Ground, ground
from tests.worker.trial import Trial, package, tried

CALLS = (Call("train", ("./data",), looked_at=True), Call("save", looked_at=True))
CODE = """
import os, threading
class Main:
    def __init__(self):
        {init}
    def train(self, folder):
        print("training")
        {train}
    def save(self):
        print("saved")
"""
Looked = Callable[[str, "Path | None", Callable[[], bool]], object]


@pytest.fixture(autouse=True)
def nothing_left_for_others_to_count() -> Iterator[None]:
    """What an exception holds on to, descriptors among it, goes before the next test counts its own."""
    yield
    gc.collect()


def run(folder: Path, look: Looked, init: str = "pass", train: str = "pass", **options: Any) -> Trial:
    workdir = package(folder, CODE.format(init=init, train=train))
    return tried(workdir, calls=CALLS, look=look, **options)


def test_each_call_waits_until_it_was_looked_at(tmp_path: Path) -> None:
    """What the look puts there is there when the call is made."""
    seen = []

    def look(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        seen.append((name, overlay, over(), (tmp_path / "work" / "trained").exists()))
        (tmp_path / "work" / f"{name}.txt").touch()

    trial = run(tmp_path, look, train="assert os.path.exists('train.txt'); open('trained', 'w').close()")

    assert trial.exit.reason == "finished"
    assert seen == [("train", None, False, False), ("save", None, False, True)]
    assert trial.phases == ["init", "train", "save"]


def test_what_a_look_raises_ends_the_run_and_is_raised(tmp_path: Path) -> None:
    def look(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        raise DataInvalid("no such thing can be kept")

    heard: list[Event] = []
    with pytest.raises(DataInvalid, match="no such thing"):
        run(tmp_path, look, watch=heard.append, grace=1.0)
    assert [event.name for event in heard if isinstance(event, Phase)] == ["init"]


def test_a_look_is_told_that_the_run_is_over(tmp_path: Path) -> None:
    stop, told = Stop(), threading.Event()

    def look(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        stop.request()
        wait = threading.Event()
        while not over():
            wait.wait(0.005)
        told.set()

    trial = run(tmp_path, look, stop=stop)

    assert (trial.exit.reason, told.is_set()) == ("killed", True)
    assert "training" not in trial.lines()


def test_looking_takes_none_of_the_time_that_the_code_has(tmp_path: Path) -> None:
    def look(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        threading.Event().wait(1.0)

    assert run(tmp_path, look, timeout=1.5).exit.reason == "finished"
    late = run(tmp_path, look, train="import time; time.sleep(60)", timeout=0.5)
    assert (late.exit.reason, late.exit.phase) == ("timed-out", "train")
    assert 1.4 < late.seconds < 30


def test_a_worker_that_is_gone_needs_no_answer(tmp_path: Path) -> None:
    """It dies while it is looked at; the look, which nobody waits for, is told so and heard no more."""

    def look(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        wait = threading.Event()
        while not over():
            wait.wait(0.005)
        raise DataInvalid("nobody wants to know")

    dies = "threading.Timer(0.2, os._exit, [3]).start()"
    trial = run(tmp_path, look, init=dies)

    assert (trial.exit.reason, trial.exit.code) == ("exited", 3)


def test_code_that_closes_all_descriptors_is_not_waited_for(tmp_path: Path) -> None:
    """As daemons do. What it did to itself is told as its own end; nothing hangs."""
    trial = run(tmp_path, lambda *given: None, init="os.closerange(3, 1 << 20)", timeout=20)

    assert trial.exit.reason == "exited"
    assert trial.seconds < 15


FORGES = """
import fcntl, stat
for name in os.listdir("/proc/self/fd"):
    number = int(name)
    if os.path.exists("/proc/self/fd/" + name) and stat.S_ISFIFO(os.fstat(number).st_mode) and number > 2:
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_WRONLY:
            for said in ("train", "train", "none"):
                os.write(number, b'\\n{"event": "look", "name": "%s"}\\n' % said.encode())
"""


def test_code_that_says_itself_that_it_may_be_looked_at(tmp_path: Path) -> None:
    """It gets no second look, and no look at what is no call."""
    seen: list[str] = []
    forges = f"exec({FORGES!r})"
    trial = run(tmp_path, lambda name, *_: seen.append(name), init=forges, timeout=20)

    assert trial.exit.reason == "finished", trial
    assert sorted(seen) == ["save", "train"]
    assert "the package's code writes on pkgrun's own pipe" in trial.notices


@pytest.fixture(params=USERS)
def place(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(request.param) as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


LOOKED_AT = {"lower": "1", "changed": "1", "gone": "1", "deep/x": "1"}
WRITES = """
open('data/changed', 'w').write('2')
os.remove('data/gone')
os.makedirs('data/made/here')
open('data/made/here/y', 'w').write('3')
"""


def test_an_overlay_is_seen_as_the_code_sees_it(place: Ground) -> None:
    place.fill(LOOKED_AT)
    writes = "; ".join(WRITES.strip().splitlines())

    def here() -> tuple[Trial, list[dict[str, str]]]:
        seen: list[dict[str, str]] = []

        def look(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
            assert overlay is not None
            found = [Path(above, one) for above, _, names in os.walk(overlay) for one in names]
            seen.append({str(path.relative_to(overlay)): path.read_text() for path in found})

        workdir = package(place.root, CODE.format(init="pass", train=writes))
        trial = tried(workdir, calls=CALLS, look=look, overlay=place.layers(), python=place.python)
        return trial, seen

    trial, seen = place.as_user(here)
    assert trial.exit.reason == "finished", trial
    assert seen == [LOOKED_AT, {"lower": "1", "changed": "2", "deep/x": "1", "made/here/y": "3"}]
    assert {path.name for path in place.source.iterdir()} == {"lower", "changed", "gone", "deep"}


def test_nothing_is_left_open(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    run(tmp_path, lambda *given: None)
    before, threads = descriptors(), threading.active_count()
    for _ in range(3):
        run(tmp_path, lambda *given: None)
    assert (descriptors(), threading.active_count()) == (before, threads)


def test_a_window_that_was_never_looked_through_closes() -> None:
    window = Window(lambda *given: None, overlay=True, failed=lambda: None)
    window.given()
    window.close()


def test_the_answer_to_a_look_is_one_byte() -> None:
    window = Window(lambda *given: None, overlay=False, failed=lambda: None)
    theirs = os.dup(window.theirs)
    window.look("train")
    window.look("train")
    assert os.read(theirs, 16) == GO
    window.given()
    window.close()
    assert os.read(theirs, 16) == b""
    os.close(theirs)


def test_a_worker_that_shows_no_folder_is_an_error_of_the_look() -> None:
    failed = threading.Event()
    window = Window(lambda *given: None, overlay=True, failed=failed.set)
    theirs = os.dup(window.theirs)
    os.write(theirs, b"o")
    window.look("train")
    assert failed.wait(10)
    assert isinstance(window.error, OSError)
    window.given()
    window.close()
    os.close(theirs)
