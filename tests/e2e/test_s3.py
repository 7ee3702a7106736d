"""A store on S3, as a user has it: everything that a directory does, from any process that knows the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pkgrun
from tests.servers import Server
from tests.servers.proxy import LOST, Fault, proxy

from .lab import EXAMPLES, Lab

TRAIN = ("train", EXAMPLES / "iris", "--data", EXAMPLES / "data" / "iris", "--environment", "current")


@pytest.fixture
def s3_lab(lab: Lab, ministack: Server) -> Lab:
    """A lab whose store is on S3."""
    lab.env.update(ministack.env, PKGRUN_STORE=f"{ministack.url}/team/store")
    return lab


def test_the_first_hour_with_a_store_on_s3(s3_lab: Lab, ministack: Server, tmp_path: Path) -> None:
    trained = s3_lab.document(*TRAIN, "--save-training-data")
    assert trained["version"] == "1.1"
    shown = s3_lab.document("package", "show", "iris")
    assert [one["version"] for one in shown["versions"]] == ["1.0", "1.1"]
    run = s3_lab.document("run", "show", trained["run_id"])
    assert (run["status"], run["version"]) == (trained["status"], "1.1")
    assert s3_lab.pkgrun("run", "logs", trained["run_id"]).out
    s3_lab.pkgrun("package", "files", "iris@1.1", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "train.py").read_bytes() == (EXAMPLES / "iris" / "train.py").read_bytes()
    assert s3_lab.document("run", "artifacts", trained["run_id"])
    assert not s3_lab.store.exists()
    assert f"{ministack.url}/team/store" in s3_lab.pkgrun("run", "show", trained["run_id"]).out


def test_two_trainings_at_once_get_two_numbers(s3_lab: Lab) -> None:
    s3_lab.pkgrun("package", "add", EXAMPLES / "iris")
    train = ("train", "iris", *TRAIN[2:], "--json")
    both = [s3_lab.start(*train, env={"PKGRUN_CACHE": str(s3_lab.folder / cache)}) for cache in ("a", "b")]
    for process in both:
        process.communicate(timeout=300)
    assert [process.returncode for process in both] == [0, 0]
    versions = s3_lab.document("package", "show", "iris")["versions"]
    assert [one["version"] for one in versions] == ["1.0", "1.1", "1.2"]
    assert len({one["run"] for one in versions}) == 3


def test_the_store_is_named_on_the_line_or_in_the_file(lab: Lab, ministack: Server) -> None:
    lab.env.update(ministack.env, PKGRUN_STORE="")
    (lab.folder / "pkgrun.toml").write_text(f'store = "{ministack.url}/p"\n')
    lab.pkgrun("package", "add", EXAMPLES / "iris")
    assert lab.document("package", "list", "--store", f"{ministack.url}/p") == lab.document("package", "list")
    assert "s3:" not in os.listdir(lab.folder)
    assert "no store at s3://" in lab.pkgrun("package", "list", "--store", f"{ministack.url}/q", code=6).err


@pytest.mark.parametrize("fault", [LOST, Fault(status=503)], ids=["lost", "refused"])
def test_no_answer_that_is_lost_makes_a_second_version(
    ministack: Server, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Whichever of its writes it is that seems to fail."""
    with proxy(ministack) as between:
        for name, value in between.server.env.items():
            monkeypatch.setenv(name, value)
        number, writes = 0, 1
        while number < writes:
            workspace = pkgrun.open(f"{ministack.url}/{number}")
            between.requests.clear()
            between.plan("PUT", *[None] * number, fault)
            added = workspace.add(EXAMPLES / "iris")
            writes = [one.method for one in between.requests].count("PUT")
            assert added.new
            (record,) = workspace.versions("iris")
            assert (str(record.version), record.run) == ("1.0", added.record.run)
            number += 1
    assert number > 4


def test_credentials_are_never_told(lab: Lab, rclone: Server) -> None:
    lab.env.update(rclone.env, AWS_SECRET_ACCESS_KEY="WRONGSECRET")
    for arguments in (("-v", "package", "list"), ("package", "list", "--json")):
        ended = lab.pkgrun(*arguments, "--store", f"{rclone.url}/p", code=9)
        assert "WRONGSECRET" not in ended.out + ended.err
