"""Zips damaged in every way that Hypothesis thinks of: they are refused, or what comes out is what every other reader would
read; nothing is written outside (row 3). `HYPOTHESIS_PROFILE=search` looks for more.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import PackageInvalid
from pkgrun.packages import archives
from pkgrun.packages.archive_names import complaint
from tests.hostile.mutations import mutated, within, words
from tests.hostile.zips import DEVICE, FILE, FOLDER, LINK, PROGRAM, Part, sound, written

pytestmark = pytest.mark.row(3)


def by_python() -> bytes:
    """A zip that Python wrote, with large numbers and in one go."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("pack/", b"")
        with file.open("pack/train.py", "w", force_zip64=True) as member:
            member.write(b"class Main: pass\n" * 50)
        file.writestr("pack/ä", b"x")
    return out.getvalue()


DESCRIBED = Part(
    "pack/d", b"", flags=8, local={"crc": 0, "packed": 0, "size": 0}, behind=b"PK\7\x08" + b"\0" * 12
)
WHOLE = [written(sound()), by_python(), written([*sound(), DESCRIBED], comment=b"said")]
NAMES = words("pack", "/", "..", ".", "\\", "C:", "a", "A", "ä", "a\u0308", "\0", "__MACOSX", ".DS_Store")
SIZES = st.sampled_from([0, 1, 2, 20, 0xFFFF, 0xFFFFFFFF, 1 << 31])


@st.composite
def odd_parts(draw: st.DrawFn) -> Part:
    """A member of which anything may be wrong."""

    def values(*more: str) -> dict[str, Any]:
        names = draw(st.lists(st.sampled_from(["crc", "packed", "size", *more]), max_size=2))
        found: dict[str, Any] = {name: draw(SIZES) for name in names}
        if draw(st.integers(0, 5)) == 0:
            found["extra"] = draw(st.binary(max_size=30) | st.just(b"\1\0\x08\0" + b"\0" * 8))
        return found

    return Part(
        draw(NAMES.filter(lambda name: name.isprintable() or "\0" in name)),
        draw(st.binary(max_size=50)),
        draw(st.sampled_from([FILE, PROGRAM, FOLDER, LINK, DEVICE, 0])),
        draw(st.sampled_from([0, 0, 0, 8, 1, 0x800])),
        draw(st.sampled_from([0, 8, 0, 8, 12])),
        values(),
        values("offset"),
        draw(st.sampled_from([b"", b"", b"\0" * 12, b"PK\7\x08" + b"\0" * 12])),
    )


@st.composite
def odd_zips(draw: st.DrawFn) -> bytes:
    parts = draw(st.lists(st.one_of(odd_parts(), st.sampled_from(sound())), max_size=5))
    end = {
        name: draw(SIZES)
        for name in draw(st.lists(st.sampled_from(["at", "size", "count", "here"]), max_size=1))
    }
    fits: dict[str, Any] = {
        name: value & 0xFFFF if name in ("count", "here") else value for name, value in end.items()
    }
    return written(parts, **fits)


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """A sound zip in which a header's number is another one, at the byte where it stands."""
    whole = bytearray(draw(st.sampled_from(WHOLE)))
    heads = [at for at in range(len(whole) - 4) if whole[at : at + 2] == b"PK"]
    at = draw(st.sampled_from(heads)) + draw(st.integers(4, 46))
    put = draw(
        st.sampled_from([b"\0\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\1", b"PK\1\2", b"/", b"\0" * 8])
    )
    whole[at : at + len(put)] = put
    return bytes(whole)


@given(st.one_of(odd_zips(), spliced(), st.sampled_from(WHOLE).flatmap(mutated), st.binary(max_size=100)))
def test_a_zip_is_refused_or_what_other_readers_read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place, within():
        here = Path(place)
        (here / "p.zip").write_bytes(data)
        (here / "fresh").mkdir()
        try:
            root = archives.unpack(str(here / "p.zip"), str(here / "fresh"), label="p.zip")
        except PackageInvalid as error:
            assert error.message.startswith("p.zip: ")  # noqa: PT017
            assert error.hint  # noqa: PT017
        else:
            assert _found(root) == _read_by_python(data)
        assert {path.name for path in here.iterdir()} == {"p.zip", "fresh"}


def _found(root: str) -> dict[str, bytes | None]:
    above = Path(root).parent
    return {
        os.path.relpath(path, above): None if path.is_dir() else path.read_bytes()
        for path in [Path(root), *Path(root).rglob("*")]
    }


def _read_by_python(data: bytes) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        for head in file.infolist():
            parts = head.filename.rstrip("/").split("/")
            if parts[0] in archives.BESIDE:
                continue
            for depth in range(1, len(parts)):
                found.setdefault("/".join(parts[:depth]), None)
            found["/".join(parts)] = None if head.is_dir() else file.read(head)
    return found


def test_the_sound_ones_are_taken() -> None:
    for data in WHOLE:
        with tempfile.TemporaryDirectory() as place:
            Path(place, "p.zip").write_bytes(data)
            Path(place, "fresh").mkdir()
            root = archives.unpack(os.path.join(place, "p.zip"), os.path.join(place, "fresh"), label="p.zip")
            assert _found(root) == _read_by_python(data)


@given(NAMES)
def test_a_path_that_is_taken_leads_nowhere_else(path: str) -> None:
    if complaint(path) is None:
        assert os.path.normpath(path) == path
        assert not os.path.isabs(path)
        assert path.isprintable() or not path.isascii()
