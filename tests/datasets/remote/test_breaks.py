"""Fetching that breaks off, and processes that fetch the same: nothing that is finished is fetched again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote import transfer
from pkgrun.datasets.remote.fetching import fetch
from pkgrun.errors import Killed, Temporary
from tests.datasets.remote.fetched import LARGE, content
from tests.datasets.remote.web_server import Asked, File, WebServer
from tests.servers import Server, s3
from tests.worker.trial import until


def _killed_and_fetched(
    web: WebServer, tmp_path: Path, copies: Copies, gate: threading.Event, *, noted: int
) -> list[Asked]:
    """What is asked again of a file whose fetching is killed once so many bytes of it are noted."""
    child = _child(f"{web.url}/f", tmp_path)
    assert web.begun.wait(30)
    assert until(lambda: _noted(copies) >= noted, 30)
    child.kill()
    child.wait()
    gate.set()
    web.files["/f"] = File(LARGE)
    before = len(web.downloads)
    assert content(f"{web.url}/f", copies) == LARGE
    return web.downloads[before:]


class TestABreak:
    def test_by_kill_9_loses_no_finished_file_and_no_finished_range(
        self, web: WebServer, tmp_path: Path, copies: Copies
    ) -> None:
        gate = threading.Event()
        web.files["/f"] = File(LARGE, gate=gate, gated=f"-{len(LARGE) - 1}", before=1)
        again = _killed_and_fetched(web, tmp_path, copies, gate, noted=4 * transfer.RANGE)
        assert [asked.range for asked in again] == [f"bytes={4 * transfer.RANGE}-{len(LARGE) - 1}"]

    def test_by_kill_9_costs_a_range_no_more_than_its_last_piece(
        self, web: WebServer, tmp_path: Path, copies: Copies
    ) -> None:
        gate, come = threading.Event(), 6 * transfer.PIECE
        web.files["/f"] = File(LARGE, gate=gate, gated=f"-{2 * transfer.RANGE - 1}", before=come)
        kept = come - 2 * transfer.PIECE  # a piece is what comes at once longer
        again = _killed_and_fetched(web, tmp_path, copies, gate, noted=3 * transfer.RANGE + 3 + kept)
        asked = sum(map(_asked, again))  # other ranges may have been a little late, too
        assert transfer.RANGE - come <= asked <= transfer.RANGE - kept

    def test_by_kill_9_loses_no_finished_file_of_a_folder(
        self, bucket: Server, copies: Copies, tmp_path: Path
    ) -> None:
        for number in range(40):
            s3.put(bucket, f"d/{number:02}", b"%02d" % number * 1000)
        child = _child(f"{bucket.url}/d", tmp_path)
        assert until(lambda: len(_notes(copies)) >= 3, 30)
        child.kill()
        child.wait()
        [content_] = Path(copies.folder).glob("*/*/content")
        done = {json.loads(line)[0] for line in _notes(copies)}
        before = {name: os.stat(content_ / name).st_ctime_ns for name in done}
        with fetch(f"{bucket.url}/d", copies) as fetched:
            assert len(os.listdir(fetched.path)) == 40
            after = {name: os.stat(os.path.join(fetched.path, name)).st_ctime_ns for name in done}
        assert after == before

    def test_and_damage_to_what_was_kept(self, web: WebServer, tmp_path: Path, copies: Copies) -> None:
        web.files["/f"] = File(LARGE, fails=0)
        with fetch(f"{web.url}/f", copies) as fetched:
            path = Path(fetched.path)
        slot = path.parent.parent
        (slot / "manifest").unlink()  # as if it had never come to an end
        with path.open("r+b") as file:
            file.write(b"damage")
        before = len(web.downloads)
        assert content(f"{web.url}/f", copies) == LARGE
        assert len(web.downloads) > before

    def test_by_whoever_started_it(self, web: WebServer, tmp_path: Path) -> None:
        web.files["/f"] = File(LARGE, gate=threading.Event(), before=5)
        copies = Copies(str(tmp_path / "cache"), 10**10, stop=web.begun.is_set)
        with pytest.raises(Killed):
            content(f"{web.url}/f", copies)

    def test_by_whoever_started_it_costs_nothing_that_has_come(self, web: WebServer, tmp_path: Path) -> None:
        gate, come = threading.Event(), transfer.PIECE // 2
        web.files["/f"] = File(LARGE, gate=gate, gated=f"-{2 * transfer.RANGE - 1}", before=come)
        copies = Copies(str(tmp_path / "cache"), 10**10)

        def come_so_far() -> bool:
            for path in Path(copies.folder).glob("*/*/content/f"):
                with path.open("rb") as file:
                    file.seek(transfer.RANGE + come - 1)
                    return file.read(1) == b"\xff" and _noted(copies) == 3 * transfer.RANGE + 3
            return False

        copies.stop = come_so_far
        with pytest.raises(Killed):
            content(f"{web.url}/f", copies)
        assert _noted(copies) == 3 * transfer.RANGE + 3 + come

    def test_of_the_server_is_no_reason_to_fetch_all_again(
        self, web: WebServer, copies: Copies, quick: None
    ) -> None:
        web.files["/f"] = File(LARGE)

        def die(file: File) -> None:
            file.status = 503 if len(web.downloads) >= 2 else 200

        web.files["/f"].served = die
        with pytest.raises(Temporary):
            content(f"{web.url}/f", copies)
        kept = _noted(copies)
        assert kept
        web.files["/f"] = File(LARGE)
        before = len(web.downloads)
        assert content(f"{web.url}/f", copies) == LARGE
        assert sum(map(_asked, web.downloads[before:])) == len(LARGE) - kept


def test_sixteen_processes_fetch_it_once(web: WebServer, tmp_path: Path) -> None:
    web.files["/f"] = File(LARGE, ranges=False)
    children = [_child(f"{web.url}/f", tmp_path) for _ in range(16)]
    assert [child.wait() for child in children] == [0] * 16
    assert len(web.downloads) == 1


def _child(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process of its own that fetches."""
    code = (
        "import sys; from pkgrun.datasets.cache import Copies; from pkgrun.datasets.remote.fetching import fetch\n"
        "with fetch(sys.argv[1], Copies(sys.argv[2], 10**10)): pass"
    )
    place = str(folder / "cache" / "datasets")
    return subprocess.Popen([sys.executable, "-c", code, url, place])


def _asked(asked: Asked) -> int:
    """How many bytes."""
    first, _, last = (asked.range or "").removeprefix("bytes=").partition("-")
    return int(last) + 1 - int(first)


def _noted(copies: Copies) -> int:
    """How many bytes of a large file are noted."""
    found = 0
    for line in _notes(copies):
        with suppress(ValueError):  # one that is being written
            _, _, _, start, end, *_ = json.loads(line)
            found += end - start
    return found


def _notes(copies: Copies) -> list[str]:
    """What a copy that is being fetched says of itself: a line for what is finished."""
    found = [path.read_text() for path in Path(copies.folder).glob("*/*/notes")]
    return [line for text in found for line in text.splitlines() if line.strip()]
