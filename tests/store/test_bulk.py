"""A dataset of many small files is read by processes of their own, with the same result as by this one."""

from __future__ import annotations

import _thread
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pkgrun.errors import Damaged, DataInvalid, NotFound, PermissionDenied, Temporary
from pkgrun.store import bulk, hand, hands
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import Portion, ingest, portions, take_all
from pkgrun.store.local import LocalBackend
from pkgrun.store.objects import SMALL, digest_of
from pkgrun.store.packs import Contents, contents_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.scan import Listing, scan
from pkgrun.store.sinks import Hashing, Sink
from tests import folders
from tests.processes import hands_running, kill_hands, open_folder, powerless
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


def read(listing: Listing, sink: Sink | None = None) -> tuple[dict[str, str], dict[str, int]]:
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
        def keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
            kept.update(blobs)

        def pack(self, place: memoryview, laid: Sequence[tuple[bytes, int, int]]) -> None:
            kept.update({raw: bytes(place[at : at + size]) for raw, at, size in laid})

    read(scan(str(many)), Keeping())
    assert all(digest_of(data) == "sha256:" + raw.hex() for raw, data in kept.items())
    contents = {path.read_bytes() for path in many.rglob("*") if path.is_file()}
    assert set(kept.values()) == {data for data in contents if len(data) < SMALL}


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    """More than two packs full, and every twentieth file has the bytes of the one before."""
    root = tmp_path / "heavy"
    for number in range(6_000):
        folder = root / str(number % 13)
        folder.mkdir(parents=True, exist_ok=True)
        content = number - 1 if number % 20 == 0 else number
        (folder / f"{number}.bin").write_bytes(b"%d " % content * 3_000)
    return root


def packs_of(store: Store) -> list[Contents]:
    names = [path.stem for path in Path(store.url, "packs").iterdir()]
    return [contents_of(LocalBackend(Path(store.url)), name) for name in names]


def keep(listing: Listing, store: Store) -> dict[str, str]:
    found, _ = read(listing, store.objects)
    store.objects.flush()
    return found


def test_what_hands_read_becomes_packs_where_it_lies(heavy: Path, store: Store) -> None:
    found = keep(scan(str(heavy)), store)
    kept = packs_of(store)
    assert sum(len(pack) > 1_000 for pack in kept) >= 2
    again = open_store(store.url, create=False).objects
    for path, digest in found.items():
        assert again.read(digest) == (heavy / path).read_bytes()


def test_what_is_there_already_is_left_out_of_the_pack(heavy: Path, store: Store, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    for number in range(0, 1_000, 3):
        shutil.copy(heavy / str(number % 13) / f"{number}.bin", tmp_path / "some")
    ingest(str(tmp_path / "some"), store.objects)
    store.objects.flush()
    found = keep(scan(str(heavy)), store)
    entries = [part.digest for pack in packs_of(store) for part in pack]
    # Two processes may each meet the same new bytes at the same time, and both keep them.
    assert len(set(found.values())) <= len(entries) <= len(set(found.values())) + 20
    again = open_store(store.url, create=False).objects
    assert all(again.read(digest) == (heavy / path).read_bytes() for path, digest in found.items())


def test_what_changed_meanwhile_is_no_part_of_a_pack_unless_it_is_told(heavy: Path, store: Store) -> None:
    listing = scan(str(heavy))
    for number in range(0, 6_000, 500):
        (heavy / str(number % 13) / f"{number}.bin").write_bytes(b"another")
    found, odd = read(listing, store.objects)
    store.objects.flush()
    assert set(odd.values()) == {7}
    assert len(odd) == 12
    again = open_store(store.url, create=False).objects
    assert all(again.read(digest) == (heavy / path).read_bytes() for path, digest in found.items())


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

    @property
    def size(self) -> int:
        return sum(stamp[0] for _, stamp in self.portion.files)

    @property
    def behind(self) -> int:
        return 0

    def order(self, place: memoryview) -> tuple[Any, ...]:
        portion = self.portion
        names = "\0".join(portion.folder.place(index) for index, _ in portion.files)
        sizes = [stamp[0] for _, stamp in portion.files]
        return "read", os.fsencode(portion.directory), os.fsencode(names), sizes, None

    def done(self, answer: tuple[Any, ...], area: hands.Area, at: int) -> None:
        self.told()


def works(many: Path, told: Callable[[], object]) -> Iterator[Wanted]:
    return (Wanted(portion, told) for portion in portions(scan(str(many))) if not portion.large)


def test_a_hand_that_dies_is_an_error_and_leaves_nobody(many: Path) -> None:
    with pytest.raises(hands.Ended):
        hands.do(works(many, kill_hands), room=8 << 20)
    assert not hands_running()


def test_what_dead_hands_left_is_read_here(many: Path) -> None:
    """Whatever becomes of them: here they are killed while they work."""
    listing = scan(str(many))
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.001):
            kill_hands()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found, _ = read(listing)
    finally:
        done.set()
        killer.join()
    assert found == expected(listing)


def test_what_dead_hands_had_read_is_kept(heavy: Path, store: Store) -> None:
    """They die one after the other when a good deal is read."""
    listing = scan(str(heavy))

    def told(portion: Portion, digests: bytes, changed: dict[int, int]) -> None:
        assert not changed
        for at, (index, _) in enumerate(portion.files):
            path = portion.folder.below(portion.folder.names[index])
            found[path] = "sha256:" + digests[at * 32 : at * 32 + 32].hex()
        if len(found) > 4_000:
            kill_hands()

    found: dict[str, str] = {}
    bulk.take(portions(listing), store.objects, told, progress=lambda size: None)
    store.objects.flush()
    again = open_store(store.url, create=False).objects
    assert len(found) == 6_000
    assert all(again.read(digest) == (heavy / path).read_bytes() for path, digest in found.items())


def test_a_store_that_is_full_is_an_error_and_leaves_nobody(heavy: Path) -> None:
    class Full(Hashing):
        def pack(self, place: memoryview, laid: Sequence[tuple[bytes, int, int]]) -> None:
            raise Temporary("there is no space left")

    with pytest.raises(Temporary, match="no space left"):
        read(scan(str(heavy)), Full())
    assert not hands_running()


def test_an_error_of_whoever_is_told_ends_it(many: Path) -> None:
    def told() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        hands.do(works(many, told), room=8 << 20)
    assert not hands_running()


def test_an_interrupt_ends_it_and_nothing_goes_on_behind(heavy: Path, store: Store) -> None:
    def told(portion: Portion, digests: bytes, changed: dict[int, int]) -> None:
        _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        bulk.take(portions(scan(str(heavy))), store.objects, told, progress=lambda size: None)
    assert not hands_running()
    assert not [one for one in threading.enumerate() if "drive" in one.name]


def test_a_process_that_is_forked_meanwhile_keeps_nobody(many: Path) -> None:
    """It has all our pipes, and lives on."""
    children: list[int] = []

    def told() -> None:
        if not children:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)

    began = time.monotonic()
    try:
        hands.do(works(many, told), room=8 << 20)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert time.monotonic() - began < 50
    assert not hands_running()


def test_a_program_with_many_open_files_has_hands_too(many: Path) -> None:
    """Their pipes have numbers beyond 1023 then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        done: list[None] = []
        hands.do(works(many, lambda: done.append(None)), room=8 << 20)
        assert done
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


ODD = {
    "it is not there": None,
    "it says nothing": "exit 0",
    "it says something else": "echo once upon a time; cat",
}


@pytest.mark.parametrize("how", ODD)
def test_an_application_that_is_no_python_is_done_without(
    many: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """As where Python is embedded."""
    executable, script = tmp_path / "application", ODD[how]
    if script is not None:
        executable.write_text(f"#!/bin/sh\n{script}\n")
        executable.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(executable))
    listing = scan(str(many))
    found, _ = read(listing, store.objects)
    assert found == expected(listing)
    tree = ingest(str(many), store.objects).tree
    store.objects.flush()
    (tmp_path / "out").mkdir()
    checkout(store.objects, tree.digest, str(tmp_path / "out"))
    assert ingest(str(tmp_path / "out"), Hashing()).tree == tree


@pytest.mark.parametrize("locale", [{"PYTHONUTF8": "0"}, {"PYTHONUTF8": "1"}])
def test_names_are_what_they_are_whatever_the_locale(tmp_path: Path, locale: dict[str, str]) -> None:
    """A hand does not decode names as whoever asks it."""
    for number in range(80):
        folder = tmp_path / "source" / f"f\u00fcr {number}"
        (folder / "l\u00e9er").mkdir(parents=True)
        (folder / "s\u00f6").symlink_to("\u00e4")
        for at in range(50):
            (folder / os.fsdecode(b"\xff\xc3\xa4 %d" % at)).write_bytes(b"%d" % at)
    program = """
import sys
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest
from pkgrun.store.sinks import Hashing
from pkgrun.store import bulk, intake, scan
from pkgrun.store.root import open_store
source, out, place = sys.argv[1:]
store = open_store(place, create=True)
tree = ingest(source, store.objects).tree
bulk.take(intake.portions(scan.scan(source)), store.objects, lambda *told: None, progress=lambda size: None)
store.objects.flush()
checkout(store.objects, tree.digest, out)
print(tree.digest == ingest(out, Hashing()).tree.digest)
"""
    (tmp_path / "out").mkdir()
    place = [str(tmp_path / name) for name in ("source", "out", "st\u00f6re")]
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", **locale}
    done = subprocess.run(
        [sys.executable, "-c", program, *place],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
    assert folders.look(os.fsencode(tmp_path / "out")) == folders.look(os.fsencode(tmp_path / "source"))


def test_many_folders_below_one_are_looked_at_as_fast_as_they_come(tmp_path: Path) -> None:
    """A hand's answer is long here; it is taken in one go."""
    reader, writer = os.pipe()
    try:
        data = os.urandom(24 << 20)
        sender = threading.Thread(target=lambda: hand.send(writer, (data,)))
        sender.start()
        began = time.process_time()
        assert hand.receive(reader) == (data,)
        sender.join()
        assert time.process_time() - began < 2
    finally:
        for descriptor in (reader, writer):
            os.close(descriptor)


def test_what_hands_that_died_were_to_write_is_written(
    store: Store, kept: str, many: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    checkout(store.objects, kept, str(tmp_path / "out"), progress=lambda size: kill_hands())
    assert folders.look(os.fsencode(tmp_path / "out")) == folders.look(os.fsencode(many))


def test_a_file_that_became_a_pipe_is_named_though_it_was_empty(many: Path) -> None:
    listing = scan(str(many))
    empty = next(path for path in many.rglob("*.txt") if not path.stat().st_size)
    empty.unlink()
    os.mkfifo(empty)
    with pytest.raises(DataInvalid, match=f"{empty.name} is not a regular file"):
        read(listing)


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
    assert (process.returncode, process.stdout, process.stderr) == (0, hand.READY, b"")


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
