"""Copies in the cache: filled once, checked at each use, kept while used, removed when there are too many."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies, Fill, Filled, Room
from pkgrun.errors import Killed, Temporary
from pkgrun.observe import Event, Notice
from tests.processes import race

MB = 10**6


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def copies(tmp_path: Path, events: list[Event]) -> Copies:
    return Copies(str(tmp_path / "datasets"), 10 * MB, observer=events.append)


class Source:
    """A dataset that counts how often it was asked for."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.fills = files, 0

    def __call__(self, room: Room) -> Filled:
        self.fills += 1
        for name, data in self.files.items():
            path = Path(room.content, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
        return Filled("")


def said(events: list[Event]) -> str:
    return "\n".join(event.message for event in events if isinstance(event, Notice))


def used(copies: Copies, key: str, fill: Fill) -> Path:
    """Hold a copy for a moment."""
    with copies.hold(key, fill, label=key) as path:
        return Path(path)


def settled(folder: Path) -> None:
    """Let the copy look as if it had been made an hour ago, so that its stats are trusted."""
    head, _, rest = (folder.parent / "manifest").read_bytes().partition(b"\n")
    first = json.loads(head)
    first["at"] += 3600 * 10**9
    (folder.parent / "manifest").write_bytes(json.dumps(first).encode() + b"\n" + rest)


def test_a_copy_is_filled_once(copies: Copies) -> None:
    source = Source({"a": b"1", "sub/b": b"2"})
    with copies.hold("k", source, label="it") as path:
        assert Path(path, "sub/b").read_bytes() == b"2"
    for _ in range(3):
        used(copies, "k", source)
    assert source.fills == 1
    assert os.stat(copies.folder).st_mode & 0o777 == 0o700


def _overwrite(folder: Path) -> None:
    (folder / "a").write_bytes(b"X")


def _overwrite_and_put_the_times_back(folder: Path) -> None:
    status = (folder / "a").stat()
    (folder / "a").write_bytes(b"X")
    os.utime(folder / "a", ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(folder: Path) -> None:
    (folder / "new").write_bytes(b"X")
    (folder / "new").rename(folder / "a")


def _truncate(folder: Path) -> None:
    os.truncate(folder / "a", 0)


def _remove(folder: Path) -> None:
    (folder / "a").unlink()


def _make_a_folder_of_it(folder: Path) -> None:
    (folder / "a").unlink()
    (folder / "a").mkdir()


def _make_a_link_of_it(folder: Path) -> None:
    (folder / "a").unlink()
    (folder / "a").symlink_to("/etc/passwd")


def _make_it_executable(folder: Path) -> None:
    (folder / "a").chmod(0o700)


def _add(folder: Path) -> None:
    (folder / "sub" / "extra").write_bytes(b"X")


def _remove_all(folder: Path) -> None:
    shutil.rmtree(folder)


def _spoil_the_manifest(folder: Path) -> None:
    path = folder.parent / "manifest"
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("old", [False, True], ids=["fresh", "old"])
@pytest.mark.parametrize(
    "damage",
    [
        _overwrite,
        _overwrite_and_put_the_times_back,
        _replace,
        _truncate,
        _remove,
        _make_a_folder_of_it,
        _make_a_link_of_it,
        _make_it_executable,
        _add,
        _remove_all,
        _spoil_the_manifest,
    ],
)
def test_damage_is_noticed_and_mended(
    copies: Copies, events: list[Event], damage: Callable[[Path], None], old: bool
) -> None:
    source = Source({"a": b"1", "sub/b": b"2"})
    folder = used(copies, "k", source)
    if old:
        settled(folder)
    damage(folder)
    with copies.hold("k", source, label="it") as path:
        found = {str(p.relative_to(path)): p.read_bytes() for p in Path(path).rglob("*") if p.is_file()}
        assert found == source.files
        assert not Path(path, "a").is_symlink()
        assert (
            not os.access(os.path.join(path, "a"), os.X_OK) or os.stat(Path(path, "a")).st_mode & 0o111 == 0
        )
    assert source.fills == 2
    assert "cached copy of it was changed or damaged" in said(events)


def test_what_is_only_touched_is_read_again_and_kept(copies: Copies, events: list[Event]) -> None:
    source = Source({"a": b"1", "sub/b": b"2"})
    folder = used(copies, "k", source)
    os.utime(folder / "a", (1, 1))
    os.chmod(folder / "a", 0o640)
    assert used(copies, "k", source) == folder
    assert source.fills == 1
    assert not events


def test_after_a_reboot_all_is_read_again(copies: Copies) -> None:
    """A disk that lost what was never synced keeps the sizes and times: only the bytes are not there."""
    source = Source({"a": b"1"})
    folder = used(copies, "k", source)
    settled(folder)
    manifest = folder.parent / "manifest"
    wrong = manifest.read_text().replace(_digest(b"1"), _digest(b"0"))
    manifest.write_text(wrong)
    used(copies, "k", source)
    assert source.fills == 1  # its stats are trusted
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    manifest.write_text(wrong.replace(boot, "another"))
    used(copies, "k", source)
    assert source.fills == 2


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_damage_while_another_uses_it_leaves_that_one_alone(copies: Copies) -> None:
    source = Source({"a": b"1"})
    with copies.hold("k", source, label="it") as first:
        _overwrite(Path(first))
        with copies.hold("k", source, label="it") as second:
            assert second != first
            assert Path(first, "a").read_bytes() == b"X"
            assert Path(second, "a").read_bytes() == b"1"
    assert used(copies, "k", source).is_dir()


def test_an_interrupted_fill_goes_on_where_it_was(copies: Copies) -> None:
    def broken(room: Room) -> Filled:
        Path(room.content, "a").write_bytes(b"1")
        Path(room.notes).write_bytes(b"a is there")
        raise Temporary("no more")

    def rest(room: Room) -> Filled:
        assert Path(room.notes).read_bytes() == b"a is there"
        assert not room.checked
        Path(room.content, "b").write_bytes(b"2")
        return Filled("")

    with pytest.raises(Temporary, match="no more"):
        used(copies, "k", broken)
    assert sorted(os.listdir(used(copies, "k", rest))) == ["a", "b"]


def test_who_cannot_go_on_gets_an_empty_folder(copies: Copies) -> None:
    def broken(room: Room) -> Filled:
        Path(room.content, "half").write_bytes(b"1")
        raise Temporary("no more")

    source = Source({"a": b"1"})
    for fill in (broken, source):
        try:
            with copies.hold("k", fill, label="it", resumable=False) as path:
                assert os.listdir(path) == ["a"]
        except Temporary:
            continue
    assert source.fills == 1


def test_the_least_recently_used_goes_first_and_never_what_is_held(copies: Copies) -> None:
    sources = {name: Source({"f": b"x" * (4 * MB)}) for name in "abcd"}
    with ExitStack() as held:
        held.enter_context(copies.hold("a", sources["a"], label="a"))
        used(copies, "b", sources["b"])
        used(copies, "c", sources["c"])  # 12 MB: b goes, a is held
        assert _kept(copies) == {"a", "c"}
        held.enter_context(copies.hold("c", sources["c"], label="c"))
        held.enter_context(copies.hold("d", sources["d"], label="d"))
        assert _kept(copies) == {"a", "c", "d"}  # all of them held
    assert len(_kept(copies)) == 2


def _kept(copies: Copies) -> set[str]:
    return {name for name in os.listdir(copies.folder) if not name.endswith(".lock")}


def test_a_dataset_above_the_limit_is_kept_while_used(copies: Copies, events: list[Event]) -> None:
    source = Source({"f": b"x" * (11 * MB)})
    with copies.hold("k", source, label="it") as path:
        copies.evict()
        assert os.path.getsize(os.path.join(path, "f")) == 11 * MB
    assert said(events).count("more than the cache's limit") == 1
    assert os.listdir(copies.folder) == []


def test_leftovers_are_removed(copies: Copies) -> None:
    used(copies, "k", Source({"a": b"1"}))
    gone = Path(copies.folder, ".gone.1234")
    (gone / "sub").mkdir(parents=True)
    copies.evict()
    assert not gone.exists()


def test_a_disk_that_is_too_small(copies: Copies) -> None:
    def fill(room: Room) -> Filled:
        room.require(1 << 60)
        return Filled("")

    with pytest.raises(Temporary, match=r"needs 1,152,921,504,606,846,976 bytes") as caught:
        used(copies, "k", fill)
    assert "PKGRUN_CACHE" in str(caught.value.hint)


def test_sixteen_processes_fill_once(copies: Copies) -> None:
    def work(number: int, barrier: Barrier) -> tuple[int, bytes]:
        source = Source({"a": b"x" * MB})
        barrier.wait()
        path = used(copies, "k", source)
        return source.fills, (path / "a").read_bytes()[:1]

    answers = race(16, work)
    assert sum(fills for fills, _ in answers) == 1
    assert {data for _, data in answers} == {b"x"}


def test_many_keys_and_a_small_limit_never_take_what_is_held(copies: Copies) -> None:
    def work(number: int, barrier: Barrier) -> bool:
        barrier.wait()
        for turn in range(12):
            key = "abc"[(number + turn) % 3]
            with copies.hold(key, Source({"f": key.encode() * (6 * MB)}), label=key) as path:
                if Path(path, "f").read_bytes() != key.encode() * (6 * MB):
                    return False
        return True

    assert all(race(4, work))


def test_who_waits_is_told_and_can_be_stopped(copies: Copies, tmp_path: Path) -> None:
    begun, go_on, told = threading.Event(), threading.Event(), threading.Event()

    def slow(room: Room) -> Filled:
        begun.set()
        go_on.wait(30)
        return Filled("")

    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)
        told.set()

    thread = threading.Thread(target=lambda: used(copies, "k", slow))
    thread.start()
    assert begun.wait(10)
    waiter = Copies(copies.folder, 10 * MB, observer=observe, stop=told.is_set)
    with pytest.raises(Killed, match="while another process was fetching"):
        used(waiter, "k", slow)
    go_on.set()
    thread.join()
    assert f"waiting for k, which process {os.getpid()} is fetching" in said(seen)


def test_who_waits_for_nobody_knows_whom_is_told_so(copies: Copies) -> None:
    """As in the moment before the other one has written down who it is."""
    told = threading.Event()
    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)
        told.set()

    os.makedirs(copies.folder)
    with open(os.path.join(copies.folder, "k.lock"), "w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        with pytest.raises(Killed):
            used(Copies(copies.folder, 10 * MB, observer=observe, stop=told.is_set), "k", Source({}))
    assert "waiting for k, which another process is fetching" in said(seen)


def test_a_filler_that_is_killed_hands_over(copies: Copies) -> None:
    code = (
        "import sys, time, pathlib; from pkgrun.datasets.cache import Copies\n"
        "def fill(room):\n"
        "    pathlib.Path(room.content, 'half').write_bytes(b'1'); print('begun', flush=True); time.sleep(60)\n"
        "with Copies(sys.argv[1], 10**9).hold('k', fill, label='it'): pass"
    )
    with subprocess.Popen([sys.executable, "-c", code, copies.folder], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        child.kill()
    source = Source({"a": b"1"})
    assert sorted(os.listdir(used(copies, "k", source))) == ["a", "half"]
    assert source.fills == 1


def test_names_of_any_bytes(copies: Copies, events: list[Event]) -> None:
    names = ["new\nline", "%0A", "tab\t", os.fsdecode(b"\xff"), "a", "a b", "ü", " "]
    source = Source({name: name.encode("utf-8", "surrogateescape") for name in names})
    source.files |= {"dir/a": b"1", "dir-/a": b"2", "dir!/a": b"3", "dir.x": b"4"}
    for _ in range(3):
        assert sorted(os.listdir(used(copies, "k", source))) == sorted(
            {n.split("/")[0] for n in source.files}
        )
    assert (source.fills, events) == (1, [])
