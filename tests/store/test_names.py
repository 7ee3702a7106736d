"""File names: one written form each, none refused that a file system has; links that could lead out are."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Damaged
from pkgrun.store import names
from tests import folders
from tests.folders import ODD_NAMES, Folder, Link


@given(st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name))
def test_every_name_comes_back(raw: bytes) -> None:
    name = os.fsdecode(raw)
    text = names.write(name)
    text.encode("utf-8")
    assert names.read(text) == name


@given(st.text(max_size=20))
def test_a_text_is_the_one_form_of_a_name_or_refused(text: str) -> None:
    try:
        name = names.read(text)
    except Damaged:
        return
    assert names.write(name) == text


@given(st.lists(st.binary(max_size=4), min_size=2, unique=True))
def test_different_names_are_written_differently(raw: list[bytes]) -> None:
    assert len({names.write(os.fsdecode(name)) for name in raw}) == len(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"train.py", "train.py"),
        (b"100%.csv", "100%25.csv"),
        ("grün".encode(), "grün"),
        (b"gr\xfcn", "gr%FCn"),
        ("50% grün".encode() + b"\xff", "50%25 grün%FF"),
        (b"\xed\xa0\x80", "%ED%A0%80"),  # a surrogate, which is no UTF-8
        (b"a\nb", "a\nb"),
    ],
)
def test_how_names_are_written(raw: bytes, text: str) -> None:
    assert names.write(os.fsdecode(raw)) == text


@pytest.mark.parametrize(
    "text", ["%", "%4", "%41", "%zz", "%ff", "%C3%A4", "%2e%2e", "%2E%2E", "%252e%", "\ud800", "a%2Fb", "%00"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(Damaged, match="no file name"):
        names.read(text)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "/etc", "../x", "a\0"])
def test_no_entry_has_such_a_name(name: str) -> None:
    assert not names.is_entry(name)


@pytest.mark.parametrize("name", [os.fsdecode(name) for name in ODD_NAMES])
def test_odd_names_are_names(name: str) -> None:
    assert names.is_entry(name)


@pytest.mark.parametrize(
    ("depth", "target", "leaves"),
    [
        (0, "a", False),
        (0, "a/b/./c", False),
        (0, ".", False),
        (0, "./a//b/", False),
        (1, "../a", False),
        (2, "../../a", False),
        (1, "..", False),
        (0, "..", True),
        (0, "../a", True),
        (1, "../../a", True),
        (0, "a/..", True),  # `a` may be a link to a place higher up
        (3, "a/../b", True),
        (0, "/etc/passwd", True),
        (0, "//x", True),
        (0, "", True),
        (5, "a\0b", True),
        (0, "...", False),
        (0, "..a", False),
    ],
)
def test_which_links_may_lead_out(depth: int, target: str, leaves: bool) -> None:
    assert names.leaves(depth, target) is leaves


@st.composite
def linked(draw: st.DrawFn, depth: int = 0) -> Folder:
    """Folders of few names, with links to all sorts of places."""
    found: Folder = {}
    for name in (b"a", b"b", b"c"):
        kind = draw(st.integers(0, 3))
        if kind == 0 and depth < 2:
            found[name] = draw(linked(depth + 1))
        elif kind >= 2:
            parts = draw(
                st.lists(st.sampled_from((b"a", b"b", b"c", b"..", b".", b"")), min_size=1, max_size=5)
            )
            found[name] = Link(b"/".join(parts) or b".")
    return found


@given(linked())
def test_no_chain_of_accepted_links_leads_out(folder: Folder) -> None:
    """The kernel resolves what was accepted, on a disk: the judge that the rule has to please."""
    with tempfile.TemporaryDirectory() as top:
        root = os.path.join(os.fsencode(os.path.realpath(top)), b"1", b"2", b"root")
        os.makedirs(root)
        for outside in (os.path.dirname(root), os.path.dirname(os.path.dirname(root))):
            for name in (b"a", b"b", b"c"):  # so that a link that leads out leads somewhere
                os.mkdir(os.path.join(outside, name))
        folders.make(_accepted(folder, 0), root)
        for path in folders.paths(folder):
            try:
                there = os.path.realpath(os.path.join(root, path), strict=True)
            except OSError:  # a loop, or nothing there
                continue
            assert there == root or there.startswith(root + b"/"), (path, there)


def _accepted(folder: Folder, depth: int) -> Folder:
    kept: Folder = {}
    for name, one in folder.items():
        if isinstance(one, dict):
            kept[name] = _accepted(one, depth + 1)
        elif not (isinstance(one, Link) and names.leaves(depth, os.fsdecode(one.target))):
            kept[name] = one
    return kept
