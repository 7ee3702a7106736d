"""Opening: a store is made once, found again, and nothing else is taken for one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import orjson
import pytest

from pkgrun.errors import Conflict, Damaged, NotFound, PermissionDenied, UsageError
from pkgrun.records import StoreRecord
from pkgrun.store import operations
from pkgrun.store.marker import Lost
from pkgrun.store.parallel import each
from pkgrun.store.root import KEY, open_damaged, open_store
from tests.processes import open_folder, powerless, race
from tests.servers import Server, s3
from tests.servers.proxy import Fault, proxy
from tests.store.entries import intent


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


@pytest.mark.row(1)
@pytest.mark.parametrize(
    "location",
    [
        "",
        "a\0b",
        "file:///tmp/PW",
        "gs://bucket/PW",
        "az://PW",
        "s3:/PW",
        "S3://u:PW@bucket/p",
        "s3://u:PW@bucket/p",
    ],
)
def test_hostile_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        open_store(location, create=True)
    assert "PW" not in f"{caught.value} {caught.value.hint}"


def test_a_directory_needs_no_client() -> None:
    code = (
        "import sys, pkgrun.store.root; print({'obstore', 'botocore', 'fsspec', 's3fs'} & set(sys.modules))"
    )
    assert subprocess.check_output((sys.executable, "-c", code), text=True) == "set()\n"


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


# ---------------------------------------------------------------------- on S3

Reach = Callable[[Server], None]


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Reach:
    """Says which server S3 is, as a user says it."""

    def reach(server: Server) -> None:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)

    return reach


def test_made_once_on_s3_and_found_again(ministack: Server, reach: Reach) -> None:
    reach(ministack)
    made = open_store(f"{ministack.url}/team/store/", create=True)
    assert made.url == f"{ministack.url}/team/store"
    for create in (True, False):
        assert open_store(made.url, create=create).id == made.id
    record = s3.request(ministack, "GET", f"team/store/{KEY}").body
    assert StoreRecord.from_bytes(record, key=KEY).store == made.id
    assert [key for key, _ in made.backend.walk("")] == [KEY]


def test_not_made_on_s3_unless_asked(ministack: Server, reach: Reach) -> None:
    reach(ministack)
    with pytest.raises(NotFound, match=f"there is no store at {ministack.url}/p") as caught:
        open_store(f"{ministack.url}/p", create=False)
    assert "package add" in str(caught.value.hint)
    for create in (True, False):
        with pytest.raises(NotFound, match="there is no bucket no-such-bucket") as caught:
            open_store("s3://no-such-bucket/p", create=create)
        assert "pkgrun makes no buckets" in str(caught.value.hint)


def test_something_else_on_s3_is_left_alone(ministack: Server, reach: Reach) -> None:
    reach(ministack)
    s3.request(ministack, "PUT", "thesis/chapter/one.tex", body=b"x")
    with pytest.raises(
        Conflict, match=f"{ministack.url}/thesis is not empty and no store \\('chapter' is in it"
    ):
        open_store(f"{ministack.url}/thesis", create=True)
    open_store(f"{ministack.url}/the", create=True)


def test_what_others_try_out_is_nothing_else(ministack: Server, reach: Reach) -> None:
    """Or was left by somebody who was killed while they did; a folder of that name is."""
    reach(ministack)
    s3.request(ministack, "PUT", "p/trials/0123456789abcdef", body=b"x")
    s3.request(ministack, "PUT", "q/trials/best.csv", body=b"x")
    open_store(f"{ministack.url}/p", create=True)
    with pytest.raises(Conflict, match="'trials' is in it"):
        open_store(f"{ministack.url}/q", create=True)


def test_a_server_that_overwrites_is_refused(rclone: Server, reach: Reach) -> None:
    reach(rclone)
    with pytest.raises(
        UsageError, match=rf"{rclone.endpoint} does not honour If-None-Match \(of 4"
    ) as caught:
        open_store(f"{rclone.url}/p", create=True)
    assert "in a directory, or on a server" in str(caught.value.hint)
    assert s3.request(rclone, "GET", f"p/{KEY}").status == 404


def test_a_store_that_was_moved_to_such_a_server_is_refused(
    rclone: Server, ministack: Server, reach: Reach
) -> None:
    reach(ministack)
    open_store(f"{ministack.url}/p", create=True)
    s3.request(rclone, "PUT", f"p/{KEY}", body=s3.request(ministack, "GET", f"p/{KEY}").body)
    reach(rclone)
    with pytest.raises(UsageError, match=f"{rclone.endpoint} ignores Range"):
        open_store(f"{rclone.url}/p", create=False)


@pytest.mark.slow
def test_a_server_that_knows_no_conditions_is_refused(swift: Server, reach: Reach) -> None:
    reach(swift)
    with pytest.raises(
        UsageError, match=rf"{swift.endpoint} does not honour If-None-Match \(it answers 501\)"
    ):
        open_store(f"{swift.url}/p", create=True)
    assert s3.request(swift, "GET", f"p/{KEY}").status == 404


@pytest.mark.slow
def test_a_server_that_looks_first_and_writes_then_is_refused(racy_swift: Server, reach: Reach) -> None:
    reach(racy_swift)
    with pytest.raises(UsageError, match=r"of 4 that created one key at once, \d+ were told that they had"):
        open_store(f"{racy_swift.url}/p", create=True)
    assert s3.request(racy_swift, "GET", f"p/{KEY}").status == 404


def test_a_store_on_s3_that_may_only_be_read(ministack: Server, reach: Reach) -> None:
    reach(ministack)
    made = open_store(f"{ministack.url}/p", create=True)
    with proxy(ministack) as between:
        between.always("PUT", Fault(status=403))
        reach(between.server)
        reader = open_store(made.url, create=False)
        assert reader.id == made.id
        with pytest.raises(PermissionDenied, match="refuses"):
            reader.backend.create("runs/r/intent.json", b"{}")
        assert len(between.requests) == 3  # the record, the probe; and the create


def test_sixteen_make_one_store_on_s3(ministack: Server, reach: Reach) -> None:
    reach(ministack)
    made = each(lambda turn: open_store(f"{ministack.url}/p", create=True).id, range(16), threads=16, run=1)
    assert len(set(made)) == 1


def holding(path: Path) -> Path:
    """A store in which somebody has begun something."""
    store = open_store(str(path), create=True)
    operations.begin(store.backend, intent(operations.new_run_id()))
    return path


@pytest.mark.parametrize("create", [True, False])
def test_a_store_without_its_record_is_known_and_the_way_out_is_told(tmp_path: Path, create: bool) -> None:
    store = holding(tmp_path / "store")
    (store / KEY).unlink()
    with pytest.raises(Damaged, match=r"as a store does, and its pkgrun-store\.json is missing") as failure:
        open_store(str(store), create=create)
    assert failure.value.hint == f"`pkgrun store repair --store {store}` writes it anew"
    assert not (store / KEY).exists()


@pytest.mark.parametrize("names", [["runs/1/intent.json", "packages/web/package.json"], ["runs", "objects"]])
def test_a_folder_that_only_looks_like_one_is_none(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}") if "." in name else (tmp_path / name).mkdir()
    with pytest.raises(NotFound):
        open_store(str(tmp_path), create=False)
    with pytest.raises(NotFound):
        open_damaged(str(tmp_path))
    with pytest.raises(Conflict):
        open_store(str(tmp_path), create=True)
    (tmp_path / KEY).write_text("{")
    with pytest.raises(NotFound, match="no record of one is there"):
        open_damaged(str(tmp_path))


def test_the_id_that_is_legible_in_a_damaged_record_stays(tmp_path: Path) -> None:
    store = holding(tmp_path)
    id_ = open_store(str(store), create=False).id
    (store / KEY).write_bytes((store / KEY).read_bytes()[:-1])
    with pytest.raises(Damaged, match="is not a store's record") as failure:
        open_store(str(store), create=False)
    assert "store repair" in (failure.value.hint or "")
    found = open_damaged(str(store))
    assert (found.id, found.lost) == (id_, Lost(id_, legible=True))


@pytest.mark.parametrize("left", ["its record is damaged", "its record is lost"])
def test_what_may_be_a_newer_store_is_not_mended(tmp_path: Path, left: str) -> None:
    store = holding(tmp_path)
    if left == "its record is damaged":
        (store / KEY).write_text('{"format":2,')
    else:
        (store / KEY).unlink()
        newer = intent(operations.new_run_id())
        data = orjson.loads(newer.to_bytes()) | {"format": 2}
        (store / "runs" / newer.run).mkdir()
        (store / "runs" / newer.run / "intent.json").write_bytes(orjson.dumps(data))
    with pytest.raises(Conflict, match="has format 2"):
        open_damaged(str(store))
