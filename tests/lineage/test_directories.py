"""How two directories differ, found without parsing what is the same: whatever their entries are called."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Damaged
from pkgrun.lineage.directories import Child, changes
from pkgrun.records import Blob
from pkgrun.store import trees
from pkgrun.store.objects import digest_of
from pkgrun.store.sinks import Hashing
from pkgrun.store.trees import Entry

D = (b"d" * 32, b"e" * 32)

names = st.sampled_from(
    ["a", "b", "c", 'x},{"', "},{", '"', '},{"}', '},{",', "é", '{"entries":[', "\\", "z},", "z}", "%", "]}"]
)
kinds = st.sampled_from(["file", "tool", "dir", "symlink"])
folders = st.dictionaries(names, st.tuples(kinds, st.integers(0, 3)), max_size=8)


class Kept(Hashing):
    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def node(self, data: bytes) -> Blob:
        self.data = data
        return super().node(data)


def node(folder: dict[str, tuple[str, int]]) -> bytes:
    sink = Kept()
    trees.write_node([_entry(name, *what) for name, what in folder.items()], sink)
    return sink.data


def _entry(name: str, kind: str, content: int) -> Entry:
    digest = digest_of(b"%d" % content)
    if kind == "symlink":
        return Entry(name, "symlink", target='},{"' + str(content))
    if kind == "dir":
        return Entry(name, "dir", digest, content, content)
    return Entry(name, "file", digest, 1, content, executable=kind == "tool")


def said(data: bytes) -> dict[bytes, Child | None]:
    """The same by a parser."""
    lines = orjson.loads(data)["entries"] if data else []
    return {orjson.dumps(line, option=orjson.OPT_SORT_KEYS): _child(line) for line in lines}


def _child(line: dict[str, str]) -> Child | None:
    if line["kind"] == "symlink":
        return None
    return Child(line["name"], bytes.fromhex(line["digest"][7:]), line["kind"] == "dir")


@given(folders, folders, st.booleans())
def test_what_differs_is_what_a_parser_finds(
    one: dict[str, tuple[str, int]], more: dict[str, tuple[str, int]], alike: bool
) -> None:
    old, new = node(one), node(one | more if alike else more)
    found = changes(old, new, D)
    before, now = said(old), said(new)
    assert sorted(found.gone) == sorted(filter(None, (before[line] for line in before.keys() - now.keys())))
    assert sorted(found.come) == sorted(filter(None, (now[line] for line in now.keys() - before.keys())))
    whole = changes(b"", new, D)
    assert (whole.gone, sorted(whole.come)) == ([], sorted(filter(None, now.values())))


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b"7",
        b"no json",
        b'{"entries":{}}',
        b'{"entries":[1]}',
        b'{"entries":[{"kind":"file","name":"a"}]}',
        b'{"entries":[{"digest":"sha256:1","kind":"file","name":"a"}]}',
        b'{"entries":[{"digest":"sha256:%s","kind":"file","name":".."}]}' % (b"0" * 64),
        b'{"entries":[{"digest":"sha256:%s","kind":"file","name":7}]}' % (b"0" * 64),
        b'{"entries":[{"digest":"sha256:%s","kind":"pipe","name":"a"}]}' % (b"0" * 64),
        b'{"parts":[{"digest":"sha256:%s"}]}' % (b"0" * 64),
    ],
)
def test_what_is_no_directory_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged, match=r"sha256:6565.*is no directory"):
        changes(b"", data, D)
