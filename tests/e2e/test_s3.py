"""A store on S3, as a user has it: everything that a directory does, from any process that knows the server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pkgrun
from pkgrun import Event, Notice, Phase
from pkgrun.errors import Temporary
from tests.servers import Server
from tests.servers.proxy import LOST, Fault, Proxy, proxy

from .lab import EXAMPLES, Lab, until

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


# ---------------------------------------------------------------------- a server that is away for a while

FINISHED = """
import os, time

class Main:
    def train(self, training_directory):
        open(os.environ["began"], "w").close()
        while not os.path.exists(os.environ["go"]):
            time.sleep(0.01)

    def save(self):
        open("model.txt", "w").write("hours of work")
        open("artifacts/curve.csv", "w").write("1,2")
"""


@pytest.fixture
def between(ministack: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What this process reaches S3 by."""
    with proxy(ministack) as made:
        for name, value in made.server.env.items():
            monkeypatch.setenv(name, value)
        yield made


class Watcher:
    """Has the server leave when a phase begins; does something when it is told that somebody waits."""

    def __init__(self, between: Proxy, phase: str, then: Callable[[], object]) -> None:
        self._between, self._phase, self._then = between, phase, then
        self.notes: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Phase) and event.name == self._phase:
            self._between.leave()
        if isinstance(event, Notice):
            self.notes.append(event.message)
            if "does not answer; waiting" in event.message:
                self._then()


def finished(lab: Lab) -> Path:
    """A package that is trained at once; what `go` says is there."""
    lab.mark("go").touch()
    return lab.package("p", FINISHED)


def marks(lab: Lab) -> dict[str, str]:
    return {name: str(lab.mark(name)) for name in ("began", "go")}


@pytest.mark.parametrize("phase", [pytest.param("collect", marks=pytest.mark.slow), "commit"])
def test_a_training_waits_for_a_server_that_is_away_at_its_end(lab: Lab, between: Proxy, phase: str) -> None:
    watcher = Watcher(between, phase, between.come_back)
    workspace = pkgrun.open(f"{between.server.url}/s")
    done = workspace.train(finished(lab), env=marks(lab), environment="current", observer=watcher).wait(120)
    assert str(done.version) == "1.1"
    assert [note for note in watcher.notes if "answers again" in note]
    assert not lab.leftovers()


@pytest.mark.slow
def test_what_was_trained_stays_when_nobody_waits_for_the_server(lab: Lab, between: Proxy) -> None:
    stopped = threading.Event()
    watcher = Watcher(between, "collect", stopped.set)
    workspace = pkgrun.open(f"{between.server.url}/s")
    run = workspace.train(finished(lab), env=marks(lab), environment="current", observer=watcher)
    assert stopped.wait(60)
    run.kill()
    with pytest.raises(
        Temporary, match=f"what the run {run.id} made is kept, but not in the store"
    ) as caught:
        run.wait(120)
    assert caught.value.run_id == run.id
    kept = lab.cache / "work" / run.id / "p"
    assert f"`pkgrun package add {kept}`" in str(caught.value.hint)
    assert f"the work directory stays: {kept}" in watcher.notes
    assert (kept / "model.txt").read_text() == "hours of work"
    assert (kept.parent / "artifacts" / "curve.csv").read_text() == "1,2"
    between.come_back()
    assert not run.record().final
    assert [str(one.version) for one in workspace.versions("p")] == ["1.0"]
    added = workspace.add(kept)
    assert (str(added.record.version), added.new) == ("2.0", True)
    assert "model.txt" in dict(workspace.files("p@2.0"))
    assert "artifacts" not in dict(workspace.files("p@2.0"))


@pytest.mark.slow
def test_ctrl_c_ends_the_waiting_and_the_folder_is_named(lab: Lab, between: Proxy) -> None:
    lab.env.update(between.server.env, PKGRUN_STORE=f"{between.server.url}/s")
    given = [word for name, value in marks(lab).items() for word in ("-e", f"{name}={value}")]
    process = lab.start("train", lab.package("p", FINISHED), *given, "--environment", "current")
    assert process.stderr is not None
    until(lab.mark("began").exists, what="the training's beginning")
    between.leave()
    lab.mark("go").touch()
    said = ""
    while "does not answer; waiting" not in said:
        said = process.stderr.readline()
        assert said, "it ended without waiting"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    folder = Path(told.partition("the work directory stays: ")[2].splitlines()[0])
    assert (folder / "model.txt").read_text() == "hours of work"


def test_a_first_dataset_makes_its_store_in_few_requests(lab: Lab, between: Proxy) -> None:
    """At most 50 where the data fills 13 packs more, which are a request each: 20,000 files of 20 kB."""
    lab.env.update(between.server.env, PKGRUN_STORE=f"{between.server.url}/s")
    data = lab.folder / "data"
    for folder in range(20):
        (data / str(folder)).mkdir(parents=True)
        for number in range(10):
            (data / str(folder) / str(number)).write_bytes(os.urandom(200))
    between.requests.clear()
    lab.pkgrun("dataset", "add", "rows", data)
    methods = [one.method for one in between.requests]
    assert len(methods) <= 50 - 13, methods
