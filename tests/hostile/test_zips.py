"""Row 3: zips of every malice. Each is refused as a whole, by a reason and by the name of what is wrong; nothing of it is
written anywhere, and what a sound zip holds is what comes out (`test_fuzz_zips.py` has those that nobody thought of).
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pkgrun.errors import PackageInvalid, PkgrunError
from pkgrun.observe import Event, Notice
from pkgrun.packages import archives
from tests.hostile.scene import Scene
from tests.hostile.zips import DEVICE, FILE, FOLDER, LINK, PIPE, PROGRAM, Part, local, sound, written
from tests.packages.folders import TRAIN

pytestmark = pytest.mark.row(3)


def beside(*more: Part) -> bytes:
    """A sound package with something more in its zip."""
    return written([*sound(), *more])


def overlapping() -> bytes:
    first = Part("pack/a", b"12345678" * 20)
    return written([*sound(), first, Part("pack/b", b"x", central={"offset": len(local(sound()[0])) + 10})])


def quine() -> bytes:
    """Many lines of the directory that lead to one content, as in the bombs of 2019."""
    one = Part("pack/a", b"x" * 100)
    at = sum(len(local(part)) for part in sound())
    same = {"offset": at, "name": b"pack/a"}
    return written([*sound(), one, *(Part(f"pack/{n}", b"x" * 100, central=same) for n in range(3))])


def cut(count: int) -> Callable[[], bytes]:
    return lambda: beside()[:-count]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "up": (lambda: beside(Part("../train.py", b"x")), "leads elsewhere"),
    "up from inside": (lambda: beside(Part("pack/../../train.py", b"x")), "leads elsewhere"),
    "dot": (lambda: beside(Part("pack/./train.py", b"x")), "leads elsewhere"),
    "two slashes": (lambda: beside(Part("pack//train.py", b"x")), "leads elsewhere"),
    "absolute": (lambda: beside(Part("/etc/train.py", b"x")), "absolute path"),
    "drive": (lambda: beside(Part("C:/train.py", b"x")), "absolute path"),
    "drive without a slash": (lambda: beside(Part("c:train.py", b"x")), "absolute path"),
    "backslash": (lambda: beside(Part("pack\\..\\..\\train.py", b"x")), "backslash"),
    "NUL": (lambda: beside(Part("pack/a\0.py", b"x")), "control characters"),
    "escape": (lambda: beside(Part("pack/\x1b[31m", b"x")), "control characters"),
    "newline": (lambda: beside(Part("pack/a\n", b"x")), "control characters"),
    "only a slash": (lambda: beside(Part("/", mode=FOLDER)), "leads elsewhere"),
    "long name": (lambda: beside(Part("pack/" + "n" * 256, b"x")), "too long"),
    "deep": (lambda: beside(Part("pack/" + "d/" * 200 + "x", b"x")), "too long"),
    "not UTF-8": (lambda: beside(Part(b"pack/\xff", b"x")), "in which alphabet"),
    "no alphabet told": (
        lambda: beside(Part("pack/ä", local={"flags": 0}, central={"flags": 0})),
        "in which alphabet",
    ),
    "one name twice": (lambda: beside(Part("pack/train.py", b"x")), "is there twice"),
    "case twins": (lambda: beside(Part("pack/TRAIN.py", b"x")), "are one name"),
    "case twins of folders": (lambda: beside(Part("pack/a/x"), Part("pack/A/y")), "are one name"),
    "sharp s": (lambda: beside(Part("pack/straße"), Part("pack/STRASSE")), "are one name"),
    "two forms of one letter": (lambda: beside(Part("pack/\u00e4"), Part("pack/a\u0308")), "are one name"),
    "a file that is a folder": (lambda: beside(Part("pack/a"), Part("pack/a/b")), "a file and a folder"),
    "a folder that was a file": (lambda: beside(Part("pack/a/b"), Part("pack/a")), "a file and a folder"),
    "link": (lambda: beside(Part("pack/l", b"/etc/passwd", LINK)), "symbolic link"),
    "link to inside": (lambda: beside(Part("pack/l", b"train.py", LINK)), "symbolic link"),
    "link as a folder": (lambda: beside(Part("pack/l/", b"", LINK)), "symbolic link"),
    "device": (lambda: beside(Part("pack/zero", b"", DEVICE)), "is not a file"),
    "pipe": (lambda: beside(Part("pack/pipe", b"", PIPE)), "is not a file"),
    "a folder with content": (lambda: beside(Part("pack/a/", b"x", FOLDER)), "folder with content"),
    "encrypted": (lambda: beside(Part("pack/a", b"x" * 20, flags=0x1)), "is encrypted"),
    "strongly encrypted": (lambda: beside(Part("pack/a", b"x" * 20, flags=0x41)), "is encrypted"),
    "masked directory": (lambda: beside(Part("pack/a", b"x", flags=0x2000)), "is encrypted"),
    "odd method": (lambda: beside(Part("pack/a", b"x", method=12)), "packed by method 12"),
    "overlapping": (overlapping, "overlap"),
    "one content for many": (quine, "overlap"),
    "other name in place": (
        lambda: beside(Part("pack/a", b"x", local={"name": b"pack/b"})),
        "described differently",
    ),
    "other size in place": (lambda: beside(Part("pack/a", b"x", local={"size": 2})), "described differently"),
    "other sum in place": (lambda: beside(Part("pack/a", b"x", local={"crc": 2})), "described differently"),
    "other method in place": (
        lambda: beside(Part("pack/a", b"x", local={"method": 8})),
        "described differently",
    ),
    "encrypted in place": (lambda: beside(Part("pack/a", b"x", local={"flags": 1})), "described differently"),
    "other name in Unicode": (
        lambda: beside(Part("pack/a", b"x", central={"extra": b"\x75\x70\x0b\0\1\0\0\0\0pack/b"})),
        "a second name",
    ),
    "another content": (
        lambda: beside(Part("pack/a", b"xy", local={"crc": 7}, central={"crc": 7})),
        "is damaged",
    ),
    "more than it says": (
        lambda: beside(Part("pack/a", b"x" * 500, method=8, local={"size": 7}, central={"size": 7})),
        "larger than the zip says",
    ),
    "less than it says": (
        lambda: beside(Part("pack/a", b"x" * 50, method=8, local={"size": 700}, central={"size": 700})),
        "is damaged",
    ),
    "not what it is packed by": (
        lambda: beside(Part("pack/a", b"x" * 50, local={"method": 8}, central={"method": 8})),
        "is damaged",
    ),
    "stored in another size": (
        lambda: beside(Part("pack/a", b"x" * 50, local={"size": 7}, central={"size": 7})),
        "with another size",
    ),
    "before": (lambda: written(sound(), before=b"#!/bin/sh\n"), "before the first file"),
    "between": (lambda: beside(Part("pack/a", b"x", behind=b"hidden")), "in no list lies behind"),
    "behind": (lambda: beside() + b"more", "cut off"),
    "a wrong count": (lambda: written(sound(), here=3, count=3), "counts 3"),
    "several disks": (lambda: written(sound(), disk=1), "one part of several"),
    "an end in the comment": (lambda: written(sound(), comment=written([])), "not where its end says"),
    "empty": (lambda: written([]), "the zip is empty"),
    "empty file": (lambda: b"", "no zip"),
    "no zip": (lambda: b"print('hello')\n" * 100, "no zip"),
    "cut off in its end": (cut(5), "cut off"),
    "cut off in its directory": (cut(60), "cut off"),
    "cut off in the middle": (cut(400), "cut off"),
    "no root folder": (lambda: written([Part("train.py", TRAIN.encode())]), "no root folder: 'train.py'"),
    "a file beside the root folder": (lambda: beside(Part("readme.txt")), "no root folder: 'readme.txt'"),
    "two root folders": (lambda: beside(Part("other/train.py")), "several root folders: 'other', 'pack'"),
    "only what is beside": (lambda: written([Part("__MACOSX/._x")]), "the zip is empty"),
}


def add(scene: Scene, data: bytes) -> None:
    (scene.root / "home" / "bad.zip").write_bytes(data)
    before = scene.outside()
    try:
        scene.workspace.add("bad.zip")
    finally:
        assert scene.outside() == before
        assert scene.left() == []


@pytest.mark.parametrize("what", REFUSED)
def test_row_3_it_is_refused_by_its_reason(scene: Scene, what: str) -> None:
    make, reason = REFUSED[what]
    with pytest.raises(PackageInvalid) as refused:
        add(scene, make())
    assert refused.value.message.startswith("bad.zip: ")
    assert reason in refused.value.message
    assert refused.value.hint
    assert "\x1b" not in refused.value.message
    assert scene.workspace.packages() == {}


def test_row_3_python_would_have_overwritten_what_is_refused(scene: Scene) -> None:
    """Why members are not left to `extractall`: it drops the `..`, and the second one wins."""
    data = written([Part("pack/train.py", b"good"), Part("../pack/train.py", b"evil")])
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        file.extractall(scene.root / "home")
    assert (scene.root / "home/pack/train.py").read_bytes() == b"evil"
    with pytest.raises(PackageInvalid, match="leads elsewhere"):
        add(scene, data)


def test_row_3_a_member_of_ten_gigabytes_is_refused_before_anything_is_written(scene: Scene) -> None:
    """10 MB that say that they hold 10 GB: refused by what the directory says, with the limit and the way out."""
    told = {"method": 8, "size": 0xFFFFFFFF, "extra": struct.pack("<2HQ", 1, 8, 10**10)}
    huge = Part("pack/a", b"z" * 10**7, local=told, central=told)
    with pytest.raises(
        PackageInvalid, match=r"10,00\d,\d+ bytes and .* holds 10,000,000,\d+: more than 100"
    ) as refused:
        add(scene, written([*sound(), huge]))
    assert refused.value.hint == "if that is right, unpack it yourself and add the folder"


def test_row_3_a_bomb_that_lies_about_its_size_ends_where_it_said(scene: Scene) -> None:
    bomb = Part("pack/a", b"\0" * (64 << 20), method=8, local={"size": 1000}, central={"size": 1000})
    with pytest.raises(PackageInvalid, match="larger than the zip says"):
        add(scene, written([*sound(), bomb]))


def test_row_3_a_million_members_are_refused_by_their_count(scene: Scene) -> None:
    lines = b"".join(_lines(1_000_000))
    end = _end_64(1_000_000, len(lines))
    with pytest.raises(
        PackageInvalid, match="lists 1,000,000 files and folders, and 100,000 are the most"
    ) as refused:
        add(scene, lines + end)
    assert refused.value.hint == "unpack it yourself and add the folder"


def _lines(count: int) -> list[bytes]:
    return [b"PK\1\2" + b"\0" * 42] * count


def _end_64(count: int, size: int) -> bytes:
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, size, 1)
    return (
        record + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )


def test_row_3_the_total_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "TOTAL_BYTES", 1000)
    with pytest.raises(PackageInvalid, match="1,000 are the most that is unpacked"):
        add(scene, beside(Part("pack/a", os.urandom(2000))))


def test_row_3_what_lies_beside_the_root_folder_of_a_mac_is_left_out_and_said(scene: Scene) -> None:
    data = beside(
        Part(".DS_Store", b"x"), Part("__MACOSX/pack/._train.py", b"x"), Part("pack/.DS_Store", b"kept")
    )
    (scene.root / "mac.zip").write_bytes(data)
    heard: list[Event] = []
    scene.workspace.add(scene.root / "mac.zip", observer=heard.append)
    assert [path for path, _ in scene.workspace.files("pack")] == [
        ".DS_Store", "main.py", "requirements.txt", "train.py",
    ]  # fmt: skip
    said = [event.message for event in heard if isinstance(event, Notice)]
    assert any("left out what lies beside the package: .DS_Store, __MACOSX" in message for message in said)


def test_row_3_what_is_malicious_beside_the_root_folder_is_refused_too(scene: Scene) -> None:
    with pytest.raises(PackageInvalid, match="leads elsewhere"):
        add(scene, beside(Part("__MACOSX/../../x")))


def test_row_3_it_is_unpacked_where_only_we_may_look(tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(
        beside(Part("pack/run.sh", b"x", PROGRAM), Part("pack/sub/deep/f", b"x", FILE))
    )
    (tmp_path / "fresh").mkdir(mode=0o700)
    before = os.umask(0)
    try:
        root = archives.unpack(str(tmp_path / "p.zip"), str(tmp_path / "fresh"), label="p.zip")
    finally:
        os.umask(before)
    for folder, names, files in os.walk(root):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in files:
            wanted = 0o700 if name == "run.sh" else 0o600
            assert stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) == wanted
        assert names is not None


@pytest.mark.parametrize("where", ["pack", "pack/sub", "pack/sub/f"])
def test_row_3_a_link_that_somebody_puts_in_the_way_is_not_followed(tmp_path: Path, where: str) -> None:
    """The folder is fresh and ours; this is what holds if it were not."""
    (tmp_path / "p.zip").write_bytes(beside(Part("pack/sub/f", b"evil")))
    (tmp_path / "victim").mkdir()
    link = tmp_path / "fresh" / where
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "victim")
    with pytest.raises(PkgrunError):
        archives.unpack(str(tmp_path / "p.zip"), str(tmp_path / "fresh"), label="p.zip")
    assert list((tmp_path / "victim").iterdir()) == []


def test_row_3_a_pipe_or_a_device_is_no_zip_and_nothing_waits(scene: Scene) -> None:
    os.mkfifo(scene.root / "pipe.zip")
    for path in (scene.root / "pipe.zip", Path("/dev/zero")):
        with pytest.raises(PackageInvalid, match="no folder and no zip"):
            scene.workspace.add(path)


@pytest.mark.parametrize("bits", [0x8, 0x808])
@pytest.mark.parametrize("magic", [b"PK\7\x08", b""])
def test_row_3_a_zip_that_was_written_in_one_go_is_taken(scene: Scene, bits: int, magic: bytes) -> None:
    """What was not known when its header was written stands behind it; that is sound, and common."""
    data = b"x" * 70
    words = magic + struct.pack("<3L", zlib.crc32(data), len(data), len(data))
    nothing = {"crc": 0, "packed": 0, "size": 0}
    (scene.root / "p.zip").write_bytes(beside(Part("pack/a", data, flags=bits, local=nothing, behind=words)))
    assert scene.workspace.add(scene.root / "p.zip").new
    (scene.root / "p.zip").write_bytes(
        beside(Part("pack/a", data, flags=bits, local=nothing, behind=words[:-1] + b"\1"))
    )
    with pytest.raises(PackageInvalid, match="described differently"):
        scene.workspace.add(scene.root / "p.zip")


def test_row_3_check_says_the_same_without_a_store(scene: Scene) -> None:
    (scene.root / "home" / "bad.zip").write_bytes(beside(Part("../x")))
    said = scene.call("package", "check", "bad.zip", store=False)
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("error: bad.zip: '../x' has a path that leads elsewhere")
    (scene.root / "home" / "good.zip").write_bytes(beside())
    said = scene.call("package", "check", "good.zip", store=False)
    assert (said.code, said.out) == (0, "pipelines: training, evaluation, full\nserving: yes\n")
