"""Training in a sandbox and under limits: what the user asks, what the code finds, what the record says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import UsageError
from pkgrun.worker import cgroups

from .lab import Lab

TRAIN = """
import os, tempfile

class Main:
    def train(self, training_directory):
        open(os.path.join(training_directory, "scribble"), "w").write("mine")
        print(os.environ["HOME"], tempfile.gettempdir(), sorted(n for n in os.environ if n.startswith("XDG_")))
        for place in (os.environ["HOME"], tempfile.gettempdir()):
            print(oct(os.stat(place).st_mode & 0o777), os.listdir(place))
            open(os.path.join(place, "left"), "w").write("x")
        exec(os.environ.get("DO", ""))

    def save(self):
        with open("model.txt", "a") as file:
            file.write("x")
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has network namespaces")
needs_groups = pytest.mark.skipif(not cgroups.places("memory"), reason="no control group can be made here")


def lines(lab: Lab) -> list[str]:
    """What the newest run has printed."""
    [newest, *_] = lab.workspace().runs()
    return [event.text for event in lab.workspace().run(newest.run).log() if hasattr(event, "text")]


def facts(document: Any) -> Any:
    return document["record"]["facts"]


@linux
@pytest.mark.parametrize("mount", ["overlay", "copy"])
@pytest.mark.parametrize("sandbox", ["process", "no-network"])
def test_the_code_has_a_home_of_its_own_that_goes_with_the_run(lab: Lab, sandbox: str, mount: str) -> None:
    data = lab.folder / "data"
    data.mkdir()
    (data / "rows").write_text("1")
    words = ("--data", data, "--sandbox", sandbox, "--mount", mount)
    document = lab.document("train", lab.package("p", TRAIN), *words, XDG_CACHE_HOME="/nowhere")
    place = f"{lab.cache}/work/{document['run_id']}"
    assert lines(lab)[:3] == [f"{place}/.home {place}/.tmp []", "0o700 []", "0o700 []"]
    assert lab.leftovers() == []
    assert document["record"]["request"]["sandbox"] == sandbox
    assert facts(document)["confined"] == {"sandbox": sandbox, "memory": None, "cpus": None, "storage": None}
    assert not {"HOME", "TMPDIR", "XDG_CACHE_HOME"} & set(facts(document)["inherited"])
    assert os.listdir(data) == ["rows"]
    assert sandbox in lab.pkgrun("run", "show", document["run_id"]).out


def test_without_a_sandbox_nothing_is_different(lab: Lab) -> None:
    document = lab.document(
        "train", lab.package("p", TRAIN.replace('open(os.path.join(place, "left")', 'open("left"'))
    )
    assert lines(lab)[0].split()[0] == os.environ["HOME"]
    assert facts(document)["confined"] is None


def test_a_home_that_is_given_as_a_parameter_counts(lab: Lab) -> None:
    home = lab.folder / "mine"
    home.mkdir()
    lab.pkgrun("train", lab.package("p", TRAIN), "--sandbox", "process", "-e", f"HOME={home}")
    assert lines(lab)[0].split()[0] == str(home)


@linux
def test_code_that_wants_the_network_is_told_that_there_is_none(lab: Lab) -> None:
    package = lab.package("p", TRAIN)
    do = "DO=import socket; socket.create_connection(('192.0.2.1', 9))"
    ended = lab.pkgrun("train", package, "--sandbox", "no-network", "-e", do, code=1)
    assert "Network is unreachable" in ended.err
    assert "hint: the run has no network: --sandbox no-network took it away" in ended.err


@linux
def test_the_environment_is_made_with_the_network(lone_lab: Lab) -> None:
    """It is built before the code runs, by processes outside of the sandbox."""
    wheel = lone_lab.package(
        "p", TRAIN, {"local/setup.py": SETUP, "local/mine.py": "", "requirements.txt": "./local\n"}
    )
    lone_lab.pkgrun("train", wheel, "--sandbox", "no-network", "-e", "DO=import mine")


SETUP = "from setuptools import setup; setup(name='mine', version='1', py_modules=['mine'])\n"


@linux
@needs_groups
def test_too_much_memory_is_told_with_the_limit(lab: Lab) -> None:
    package = lab.package("p", TRAIN)
    do = "DO=bytearray(600_000_000)"
    document = lab.document("train", package, "--memory", "200MB", "--sandbox", "process", "-e", do, code=1)
    assert document["error"]["message"] == "train() took more memory than the limit of 200 MB"
    assert document["error"]["hint"] == "use a smaller dataset or batch, or a larger --memory"
    assert facts(document)["exit"] == {"reason": "out-of-memory", "code": None, "signal": 9, "cause": "limit"}
    assert facts(document)["confined"]["memory"] in {"cgroup-v1", "cgroup-v2"}
    assert document["record"]["request"]["memory"] == 200_000_000


def test_too_much_storage_is_told_with_the_limit(lab: Lab) -> None:
    do = "DO=open('big', 'wb').write(bytes(30_000_000))"
    document = lab.document("train", lab.package("p", TRAIN), "--storage", "10MB", "-e", do, code=1)
    assert document["error"]["message"] == "train() wrote more than the limit of 10 MB"
    assert "File too large" in document["error"]["traceback"]
    assert facts(document)["exit"]["reason"] == "storage-exceeded"
    assert facts(document)["confined"]["storage"] == "watch"


def test_what_is_written_to_the_data_counts(lab: Lab) -> None:
    """Under an overlay it lands in a layer outside of the work directory."""
    data = lab.folder / "data"
    data.mkdir()
    (data / "rows").write_bytes(bytes(20_000_000))
    do = "DO=[open(f'data/{n}', 'wb').write(bytes(1_000_000)) for n in range(30)]"
    words = ("--data", data, "--storage", "10MB")
    lab.pkgrun("train", lab.package("p", TRAIN), *words)
    document = lab.document("train", "p", *words, "-e", do, code=1)
    assert facts(document)["exit"]["reason"] == "storage-exceeded"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--memory", "lots"), "'lots' is no size of memory"),
        (("--memory", "0"), "'0' is no size of memory"),
        (("--memory", "1"), "'1' is too little memory for Python itself\nhint: give 16MB at least"),
        (("--memory", "15MB"), "'15MB' is too little memory for Python itself"),
        (("--storage", "-1"), "'-1' is no size of storage"),
        (("--cpus", "0"), "0.0 is no number of processors"),
        (("--cpus", "nan"), "nan is no number of processors"),
    ],
)
def test_what_is_no_limit_is_refused_before_anything_begins(
    lab: Lab, words: tuple[str, str], said: str
) -> None:
    assert said in lab.pkgrun("train", lab.package("p", TRAIN), *words, code=2).err
    assert [run for run in lab.workspace().runs(everything=True) if run.kind == "training"] == []


def test_the_library_takes_the_same(lab: Lab) -> None:
    workspace = lab.workspace()
    with pytest.raises(UsageError, match="'jail' is no sandbox"):
        workspace.train(lab.package("p", TRAIN), sandbox="jail")  # type: ignore[arg-type]
    run = workspace.train(
        lab.package("p", TRAIN), sandbox="process", memory=10**9, cpus=1, storage="1GiB", idempotency_key="k"
    )
    run.wait(60)
    request = run.record().request
    assert request is not None
    assert (request.memory, request.cpus, request.storage) == (10**9, 1.0, 1 << 30)


REFUSED = """
    import ctypes, sys
    from pathlib import Path
    libc = ctypes.CDLL(None)
    assert libc.unshare(0x10000000) == 0
    for name, text in (("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")):
        Path("/proc/self", name).write_text(text)
    Path("/proc/sys/user/max_net_namespaces").write_text("0")
    from pkgrun.cli.main import main
    sys.argv = ["pkgrun", "train", *sys.argv[1:]]
    main()
"""


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take the right away like that")
def test_where_the_kernel_refuses_nothing_is_begun(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    process = lab.python(REFUSED, lab.package("p", TRAIN), "--sandbox", "no-network")
    process.communicate(timeout=60)
    said = capfd.readouterr().err
    assert process.returncode == 2, said
    assert "error: this system does not allow what is to hold the run: a network namespace" in said
    assert "hint: `pkgrun doctor` tells what it allows" in said
    assert not Path(lab.store, "runs").exists() or not list(lab.workspace().runs())
