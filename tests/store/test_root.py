"""Opening: a store is made once, found again, and nothing else is taken for one."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import orjson
import pytest

from pkgrun.errors import Conflict, Damaged, NotFound, UsageError
from pkgrun.records import StoreRecord
from pkgrun.store.root import KEY, open_store
from tests.processes import open_folder, powerless, race


def test_made_once_and_found_again(tmp_path: Path) -> None:
    made = open_store(str(tmp_path / "a" / "b"), create=True)
    assert made.url == str(tmp_path / "a" / "b")
    for create in (True, False):
        assert open_store(made.url, create=create).id == made.id
    record = StoreRecord.from_bytes(Path(made.url, KEY).read_bytes(), key=KEY)
    assert (record.store, record.format) == (made.id, 1)


def test_sixteen_processes_open_one_store(tmp_path: Path) -> None:
    def work(number: int, barrier: Barrier) -> list[str]:
        ids = []
        for turn in range(5):
            barrier.wait()
            ids.append(open_store(str(tmp_path / str(turn)), create=True).id)
        return ids

    answers = race(16, work)
    assert all(ids == answers[0] for ids in answers)
    assert len(set(answers[0])) == 5


def test_not_made_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no store at"):
        open_store(str(tmp_path / "none"), create=False)
    assert not list(tmp_path.iterdir())


def test_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_bytes(b"")
    with pytest.raises(Conflict, match=r"'thesis\.tex' is in it"):
        open_store(str(tmp_path), create=True)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_hidden_files_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    open_store(str(tmp_path), create=True)


@pytest.mark.parametrize("create", [True, False])
def test_a_file_is_no_store(tmp_path: Path, create: bool) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError if create else NotFound):
            open_store(str(path), create=create)


@pytest.mark.parametrize("location", ["", "a\0b", "s3://bucket/store", "file:///tmp/x"])
def test_hostile_locations(location: str) -> None:
    with pytest.raises(UsageError):
        open_store(location, create=True)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), create=True)
    record = orjson.loads((tmp_path / KEY).read_bytes())
    (tmp_path / KEY).write_bytes(orjson.dumps(record | {"format": 2}))
    with pytest.raises(Conflict, match="has format 2; this release reads up to 1") as caught:
        open_store(store.url, create=True)
    assert caught.value.hint == "upgrade pkgrun"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"5", b"{}", b'{"format":1}', b'{"format":"1"}', b'{"format":1.5}', b'{"format":0}',
     b'{"format":-1}', b'{"format":1,"store":"../x","created":"2026-11-20T00:00:00Z"}'],
)  # fmt: skip
def test_a_damaged_record_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / KEY).write_bytes(data)
    with pytest.raises(Damaged, match=KEY):
        open_store(str(tmp_path), create=True)
    assert (tmp_path / KEY).read_bytes() == data


def test_a_place_that_may_not_be_written() -> None:
    with open_folder() as root:
        kind, message = powerless(lambda: open_store(f"{root}/store", create=True))
    assert (kind, message) == ("permission", f"{root}/store: Permission denied")


def test_a_store_that_may_only_be_read() -> None:
    with open_folder() as root:
        made = open_store(root, create=True)
        assert powerless(lambda: open_store(root, create=True).id) == made.id


@pytest.mark.parametrize("kind", ["packs", "erased"])
def test_what_a_later_release_wrote_is_refused(tmp_path: Path, kind: str) -> None:
    open_store(str(tmp_path / "s"), create=True)
    (tmp_path / "s" / kind).mkdir()
    open_store(str(tmp_path / "s"), create=False)
    (tmp_path / "s" / kind / "aa").mkdir()
    with pytest.raises(Conflict, match=f"holds {kind}/") as error:
        open_store(str(tmp_path / "s"), create=False)
    assert error.value.hint == "upgrade pkgrun"
