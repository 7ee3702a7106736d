"""A dataset of many small files is read by processes of their own, with the same result as by this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pkgrun.errors import Damaged, NotFound, PermissionDenied, Temporary
from pkgrun.store import bulk, hand, hands
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import Portion, ingest, portions, take_all
from pkgrun.store.objects import SMALL, Hashing, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.scan import Listing, scan
from tests.processes import open_folder, powerless
from tests.store.blobs import DAMAGE

COUNT = 5_000  # many more than are worth a process


@pytest.fixture
def many(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    for number in range(COUNT):
        folder = root / os.fsdecode(b"part \xff %d" % (number % 7)) if number % 7 else root
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_bytes(b"%d" % number * (number % 100))
    (root / "large").write_bytes(bytes(SMALL))
    (root / "almost").write_bytes(b"x" * (SMALL - 1))
    return root


def read(listing: Listing, sink: Hashing | None = None) -> tuple[dict[str, str], dict[str, int]]:
    """The digests by path, and the sizes of what was not as it had been seen."""
    found: dict[str, str] = {}
    odd: dict[str, int] = {}
    lock = threading.Lock()

    def got(portion: Portion, digests: bytes, changed: dict[int, int]) -> None:
        with lock:
            for at, (index, _) in enumerate(portion.files):
                path = portion.folder.below(portion.folder.names[index])
                assert path not in found
                found[path] = "sha256:" + digests[at * 32 : at * 32 + 32].hex()
                if index in changed:
                    odd[path] = changed[index]

    sizes: list[int] = []
    bulk.take(portions(listing), sink or Hashing(), got, progress=sizes.append)
    assert odd or sum(sizes) == sum(os.path.getsize(os.path.join(listing.root, path)) for path in found)
    return found, odd


def expected(listing: Listing) -> dict[str, str]:
    taken = take_all(listing, Hashing())
    return {file.path: one.digest for file, one in zip(listing.files, taken, strict=True)}


def test_it_is_what_one_process_reads(many: Path) -> None:
    assert hands.available()
    listing = scan(str(many))
    found, odd = read(listing)
    assert found == expected(listing)
    assert len(found) == COUNT + 2
    assert not odd


def test_all_of_it_is_kept(many: Path, store: Store) -> None:
    kept: dict[bytes, bytes] = {}

    class Keeping(Hashing):
        def keep(self, blobs: object) -> None:
            kept.update(blobs)  # type: ignore[call-overload]

    read(scan(str(many)), Keeping())
    assert all(digest_of(data) == "sha256:" + raw.hex() for raw, data in kept.items())
    contents = {path.read_bytes() for path in many.rglob("*") if path.is_file()}
    assert set(kept.values()) == {data for data in contents if len(data) < SMALL}


def test_what_changed_since_the_look_is_told(many: Path) -> None:
    listing = scan(str(many))
    (many / "7.txt").write_bytes(b"longer than it was, by far")
    (many / "14.txt").write_bytes(b"")
    os.truncate(many / "almost", 5)
    os.utime(many / "21.txt", ns=(1, 1))
    found, odd = read(listing)
    assert odd == {"7.txt": 26, "14.txt": 0, "almost": 5, "21.txt": os.path.getsize(many / "21.txt")}
    assert found["7.txt"] == digest_of(b"longer than it was, by far")
    assert found["almost"] == digest_of(b"xxxxx")


def test_what_vanished_is_named(many: Path) -> None:
    listing = scan(str(many))
    (many / "700.txt").unlink()
    with pytest.raises(NotFound, match=r"many/700\.txt vanished while it was read"):
        read(listing)


def test_what_may_not_be_read_is_named(many: Path) -> None:
    with open_folder() as root:
        source = shutil.copytree(many, Path(root, "many"))
        (source / "700.txt").chmod(0)
        kind, message = powerless(lambda: read(scan(str(source))))
    assert kind == PermissionDenied.kind
    assert "many/700.txt" in message


class Wanted(NamedTuple):
    """A portion to be read, and who is told."""

    portion: Portion
    told: Callable[[], object]

    def order(self, place: memoryview) -> tuple[Any, ...]:
        portion = self.portion
        files = [(os.fsencode(portion.folder.place(index)), stamp[0]) for index, stamp in portion.files]
        return "read", os.fsencode(portion.directory), files

    def done(self, answer: tuple[Any, ...], place: memoryview) -> None:
        self.told()


def works(many: Path, told: Callable[[], object]) -> Iterator[Wanted]:
    return (Wanted(portion, told) for portion in portions(scan(str(many))) if not portion.large)


def running() -> list[int]:
    """The hands that this process has."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found += [int(pid) for pid in children.read_text().split()]
    return [pid for pid in found if is_hand(pid)]


def is_hand(pid: int) -> bool:
    try:
        return b"hand.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def kill_all() -> None:
    for pid in running():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_hand_that_dies_is_an_error_and_leaves_nobody(many: Path) -> None:
    with pytest.raises(hands.Ended):
        hands.do(works(many, kill_all), room=8 << 20)
    assert not running()


def test_what_dead_hands_left_is_read_here(many: Path) -> None:
    """Whatever becomes of them: here they are killed while they work."""
    listing = scan(str(many))
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.001):
            kill_all()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found, _ = read(listing)
    finally:
        done.set()
        killer.join()
    assert found == expected(listing)


def test_an_error_of_whoever_is_told_ends_it(many: Path) -> None:
    def told() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        hands.do(works(many, told), room=8 << 20)
    assert not running()


def test_a_hand_ends_with_its_input() -> None:
    memory = os.memfd_create("test")
    os.ftruncate(memory, 4096)
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", hand.__file__, str(memory)],
            input=b"",
            pass_fds=(memory,),
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(memory)
    assert (process.returncode, process.stderr) == (0, b"")


# ---------------------------------------------------------------------- and back


@pytest.fixture
def kept(many: Path, store: Store) -> str:
    tree = ingest(str(many), store.objects).tree
    store.objects.flush()
    return tree.digest


def test_what_hands_write_is_what_was_read(many: Path, store: Store, kept: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done: list[int] = []
    checkout(store.objects, kept, str(tmp_path / "out"), progress=done.append)
    assert ingest(str(tmp_path / "out"), Hashing()).tree.digest == kept
    assert sum(done) == sum(path.stat().st_size for path in many.rglob("*") if path.is_file())
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "out" / "7.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_hands_write_no_byte_that_is_another(store: Store, kept: str, tmp_path: Path) -> None:
    digest = digest_of(b"4242" * 42)
    DAMAGE["flipped"](store, digest)
    (tmp_path / "out").mkdir()
    with pytest.raises(Damaged, match=f"is damaged.*{digest}"):
        checkout(open_store(store.url, create=False).objects, kept, str(tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("4242.txt"))


def test_hands_overwrite_nothing(store: Store, kept: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "4242.txt").symlink_to("/nowhere")
    with pytest.raises(Temporary, match=r"4242\.txt: File exists"):
        checkout(store.objects, kept, str(tmp_path / "out"))
    assert (tmp_path / "out" / "4242.txt").readlink() == Path("/nowhere")
