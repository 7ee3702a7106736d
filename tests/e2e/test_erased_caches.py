"""What was erased is not on this machine either: not in the cache of datasets, nor in what runs leave behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import pkgrun
from pkgrun.datasets.cache import Copies, Filled, Room
from pkgrun.errors import Erased
from pkgrun.store.objects import digest_of
from tests.processes import READ_ONLY, WRITABLE, open_folder, powerless

from .erasures import SECRET, anywhere
from .lab import TRAIN, Lab, until, waiting


@pytest.fixture
def data(lone_lab: Lab) -> Path:
    folder = lone_lab.folder / "data"
    folder.mkdir()
    (folder / "a.csv").write_bytes(SECRET)
    (folder / "b.csv").write_bytes(b"1,2\n")
    return folder


@pytest.fixture
def address(data: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(data)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/a.csv"
    server.shutdown()
    server.server_close()
    thread.join()


def begun(lab: Lab, data: Path, *more: str) -> tuple[int, Path]:
    """A training that has its data and waits: its process, and the file that lets it go on."""
    lab.workspace().add(lab.package("slow", waiting("open('model', 'w').close()")))
    go = lab.folder / "go"
    arguments = (
        "slow@1.0",
        "--data",
        data,
        "--environment",
        "current",
        "--mount",
        "copy",
        "--env",
        f"go={go}",
    )
    process = lab.start("train", *arguments, *more)
    phases = ("init", "train")
    until(lambda: any(run.phase in phases for run in lab.workspace().runs()), 30, "the code's start")
    return process.pid, go


def test_a_run_that_keeps_its_folder_takes_it_out_in_the_end(lone_lab: Lab, data: Path) -> None:
    _, go = begun(lone_lab, data, "--keep-workdir")
    assert anywhere(lone_lab.cache / "work")
    said = lone_lab.pkgrun("erase", str(data / "a.csv"), "--reason", "gone", "--yes", code=8).err
    assert "1 folder of this machine's cache may hold it" in said
    go.touch()
    lone_lab.started[0].communicate(timeout=60)
    assert os.listdir(lone_lab.cache / "work")
    assert not anywhere(lone_lab.cache)
    assert lone_lab.workspace().erase(data / "a.csv", reason="again").certain


def test_what_a_killed_run_left_goes(lone_lab: Lab, data: Path) -> None:
    pid, _ = begun(lone_lab, data)
    os.kill(pid, signal.SIGKILL)
    lone_lab.started[0].wait()
    assert anywhere(lone_lab.cache / "work")
    done = lone_lab.workspace().erase(data / "a.csv", reason="gone")
    assert not done.dropped.busy
    assert not anywhere(lone_lab.cache)


def test_what_cannot_be_removed_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept folder in which one may not write."""
    with open_folder() as place:
        kept = Path(place, "cache", "work", "kept")
        kept.mkdir(parents=True)
        for folder in (Path(place), *kept.parents[:2]):
            folder.chmod(WRITABLE)
        (kept / "a.csv").write_bytes(SECRET)
        monkeypatch.setenv("PKGRUN_CACHE", str(kept.parents[1]))

        def erased() -> tuple[int, int, bool]:
            done = pkgrun.open(Path(place, "store")).erase(digest_of(SECRET), reason="gone")
            return done.dropped.files, done.dropped.busy, done.certain

        kept.chmod(READ_ONLY)
        assert powerless(erased) == (0, 1, False)
        kept.chmod(WRITABLE)
        assert powerless(erased) == (1, 0, True)
        assert not anywhere(kept)


@pytest.mark.parametrize("who", ["train", "add"])
def test_what_was_fetched_and_is_refused_does_not_stay(lone_lab: Lab, address: str, who: str) -> None:
    workspace = lone_lab.workspace()
    workspace.add(lone_lab.package("seer", TRAIN))
    workspace.erase(digest_of(SECRET), reason="gone")

    def fetch() -> object:
        if who == "add":
            return workspace.datasets.add("people", address)
        return workspace.train("seer", data=address, environment="current").wait(60)

    for _ in range(2):  # the second time nothing new was erased
        with pytest.raises(Erased):
            fetch()
        assert not anywhere(lone_lab.cache)


def test_a_copy_in_use_goes_when_the_machine_next_uses_the_store(lone_lab: Lab, data: Path) -> None:
    workspace = lone_lab.workspace()
    workspace.add(lone_lab.package("seer", TRAIN))

    def fill(room: Room) -> Filled:
        Path(room.content, "a.csv").write_bytes(SECRET)
        return Filled("")

    with Copies(str(lone_lab.cache / "datasets"), 1 << 30).hold("people", fill, label="people"):
        done = workspace.erase(data / "a.csv", reason="gone")
        assert (done.dropped.busy, done.certain) == (1, False)
        (data / "a.csv").write_bytes(b"nobody")
        workspace.train("seer@1.0", data=data, environment="current").wait(60)
        assert anywhere(lone_lab.cache)
    workspace.train("seer@1.0", data=data, environment="current").wait(60)
    assert not anywhere(lone_lab.cache)


def test_rubbish_of_the_cache_goes_too(lone_lab: Lab, data: Path) -> None:
    gone = lone_lab.cache / "datasets" / ".gone.0123456789abcdef"
    gone.mkdir(parents=True)
    (gone / "a.csv").write_bytes(SECRET)
    assert lone_lab.workspace().erase(data / "a.csv", reason="gone").certain
    assert not anywhere(lone_lab.cache)
