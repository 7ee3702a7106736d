"""Datasets in buckets: folders and objects, what changes in them, and keys that are no paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote.fetching import Fetched, fetch
from pkgrun.errors import DataInvalid, NotFound
from tests.datasets.remote.fetched import LARGE, tree
from tests.servers import Server, s3


class TestABucket:
    def test_a_folder_of_it(self, bucket: Server, copies: Copies) -> None:
        files = {"a.csv": b"1", "sub/b.csv": b"2" * 70_000, "sub/deep er/ü+&#?.csv": b"3", "empty": b""}
        for name, data in files.items():
            s3.put(bucket, f"data/set/{name}", data)
        s3.put(bucket, "data/set/nothing in it/", b"")
        s3.put(bucket, "data/settlement", b"another one")
        for url in (f"{bucket.url}/data/set", f"{bucket.url}/data/set/"):
            assert tree(url, copies) == files
        with fetch(f"{bucket.url}/data/set", copies) as fetched:
            assert (fetched.files, fetched.bytes) == (4, 70_002)
            assert os.path.isdir(os.path.join(fetched.path, "nothing in it"))

    def test_one_object_of_it(self, bucket: Server, copies: Copies) -> None:
        s3.put(bucket, "data/large.bin", LARGE)
        with fetch(f"{bucket.url}/data/large.bin", copies) as fetched:
            assert os.path.basename(fetched.path) == "large.bin"
            assert Path(fetched.path).read_bytes() == LARGE

    def test_only_what_changed_is_fetched_and_what_vanished_is_removed(
        self, bucket: Server, copies: Copies
    ) -> None:
        for number in range(5):
            s3.put(bucket, f"d/{number}", b"%d" % number)
        with fetch(f"{bucket.url}/d", copies) as fetched:
            assert fetched.files == 5
            same, other = (_inode(fetched, name) for name in "01")
        s3.put(bucket, "d/1", b"changed")
        s3.put(bucket, "d/new/one", b"new")
        s3.delete(bucket, "d/2")
        s3.delete(bucket, "d/3")
        s3.put(bucket, "d/3/now", b"a folder")
        assert tree(f"{bucket.url}/d", copies) == {
            "0": b"0",
            "1": b"changed",
            "4": b"4",
            "new/one": b"new",
            "3/now": b"a folder",
        }
        with fetch(f"{bucket.url}/d", copies) as fetched:
            assert _inode(fetched, "0") == same
            assert _inode(fetched, "1") != other

    def test_that_changed_while_another_run_uses_the_copy(self, bucket: Server, copies: Copies) -> None:
        s3.put(bucket, "d/f", b"one")
        s3.put(bucket, "d/same", b"same")
        with fetch(f"{bucket.url}/d", copies) as old:
            s3.put(bucket, "d/f", b"two")
            assert tree(f"{bucket.url}/d", copies) == {"f": b"two", "same": b"same"}
            assert (Path(old.path) / "f").read_bytes() == b"one"
        assert tree(f"{bucket.url}/d", copies) == {"f": b"two", "same": b"same"}

    @pytest.mark.parametrize("key", ["../up", "a/../../up", "/etc/passwd", "a//b", "a/./b", "n" * 300, ".."])
    def test_names_that_lead_out(self, bucket: Server, copies: Copies, key: str) -> None:
        s3.put(bucket, "d/good", b"")
        s3.put(bucket, f"d/{key}", b"x")
        with pytest.raises(DataInvalid, match="cannot be a path"):
            tree(f"{bucket.url}/d", copies)
        assert not Path(copies.folder).exists()

    def test_a_key_that_is_a_file_and_a_folder(self, bucket: Server, copies: Copies) -> None:
        s3.put(bucket, "d/a", b"x")
        s3.put(bucket, "d/a/b", b"x")
        with pytest.raises(DataInvalid, match="both as a file and as a folder"):
            tree(f"{bucket.url}/d", copies)

    def test_on_a_server_that_ignores_ranges(
        self, rclone: Server, copies: Copies, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in rclone.env.items():
            monkeypatch.setenv(name, value)
        s3.put(rclone, "d/large.bin", LARGE)
        assert tree(f"{rclone.url}/d", copies) == {"large.bin": LARGE}

    def test_nothing_there(self, bucket: Server, copies: Copies) -> None:
        for url in (f"{bucket.url}/no/such", f"{bucket.url}/no/such/", "s3://no-such-bucket-at-all/x"):
            with pytest.raises(NotFound, match="there is nothing at s3://"):
                tree(url, copies)


def _inode(fetched: Fetched, name: str) -> tuple[int, int]:
    status = os.stat(os.path.join(fetched.path, name))
    return status.st_ino, status.st_ctime_ns
