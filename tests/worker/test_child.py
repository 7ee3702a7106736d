"""The child's own code: it parses and runs on every Python from 3.8 on, costs no heavy import, and speaks JSON."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.worker import child
from pkgrun.worker.child import protocol
from pkgrun.worker.supervisor import CHILD, Call
from tests.worker.trial import environment, package, trained, tried

FOLDER = Path(str(child.__file__)).parent


def interpreters() -> list[str]:
    """This Python, and every other from 3.8 on that the machine has, the newest of each minor version."""
    places = [
        Path(place)
        for place in os.environ.get("PATH", "").split(os.pathsep)
        if place and "shims" not in place
    ]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places += sorted(root.glob("versions/*/bin"))
    found: dict[str, str] = {}
    for minor in range(8, 20):
        for place in places:
            path = shutil.which(f"python3.{minor}", path=str(place))
            if path is not None and minor != sys.version_info.minor:
                found[f"3.{minor}"] = path
    return [sys.executable, *found.values()]


def named(path: str) -> str:
    match = re.search(r"3\.\d+(\.\d+)?", path)
    return match[0] if match and path != sys.executable else "this"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_it_parses_on_python_3_8_and_imports_the_standard_library_only(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    allowed = {*sys.stdlib_module_names, *(file.stem for file in FOLDER.glob("*.py"))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module in allowed | {"collections.abc", "pkgrun.worker.child"}


@pytest.mark.parametrize("python", interpreters(), ids=named)
def test_every_python_runs_a_package_and_tells_its_failure(tmp_path: Path, python: str) -> None:
    source = (
        trained("print(sys.version_info[:2], sys.path[0])") + "    def evaluate(self, folder): return 0.5\n"
    )
    workdir = package(tmp_path, source)
    calls = (Call("train", ("x",)), Call("save"), Call("evaluate", ("y",)))
    trial = tried(workdir, python=python, calls=calls)
    assert trial.exit.ok
    assert trial.lines()[0].endswith(str(workdir))
    assert trial.exit.scores == {"evaluate": 0.5}

    chained = "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('outer') from error"
    trial = tried(package(tmp_path, trained(chained)), python=python)
    assert trial.exit.reason == "raised"
    assert "ZeroDivisionError" in trial.traceback
    assert trial.traceback.endswith("ValueError: outer\n")
    assert "pkgrun/worker" not in trial.traceback


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets the guard adopt orphans")
@pytest.mark.parametrize("python", interpreters(), ids=named)
def test_on_every_python_the_guard_adopts_orphans(tmp_path: Path, python: str) -> None:
    body = """
        if os.fork() == 0:
            os.setsid()
            between = os.getpid()
            if os.fork(): os._exit(0)
            while os.getppid() == between: time.sleep(0.001)
            mark('adopter', os.getppid())
            time.sleep(1000)
        os.wait()
        while not os.path.exists('../adopter'): time.sleep(0.01)
        print(open('../adopter').read() == str(os.getppid()))
    """
    assert tried(package(tmp_path, trained(body)), python=python).lines()[0] == "True"


def test_the_way_to_user_code_imports_nothing_heavy(tmp_path: Path) -> None:
    workdir = package(
        tmp_path, "import sys\nprint(*sys.modules)\nclass Main:\n    def train(self, f): pass\n"
    )
    trial = tried(workdir, calls=(Call("train", ("x",)),))
    bare = subprocess.run(
        [sys.executable, "-u", "-s", "train.py"],
        cwd=workdir,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    more = {*trial.lines()[0].split()} - {*bare.stdout.split()}
    assert more <= {
        "__future__",
        "_json",
        "_ctypes",
        "_struct",
        "fcntl",
        "atexit",
        "faulthandler",
        "train",
        "signal",
    }


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    import socket

    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    command = [sys.executable, str(CHILD), str(theirs.fileno()), str(writer)]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(), writer), stderr=subprocess.PIPE)
    ours.sendall(protocol.encode({"event": "init", "version": -1}))
    assert b"pkgrun was changed while it ran" in process.communicate(timeout=10)[1]
    for descriptor in (reader, writer):
        os.close(descriptor)
    ours.close()
    theirs.close()


def test_a_supervisor_that_is_gone_before_it_spoke_is_not_waited_for() -> None:
    import socket

    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    command = [sys.executable, str(CHILD), str(theirs.fileno()), str(writer)]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(), writer))
    theirs.close()
    ours.close()
    assert process.wait(timeout=10) == 1
    os.close(reader)
    os.close(writer)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values))
def test_what_is_encoded_is_one_line_of_json(message: dict[str, object]) -> None:
    data = protocol.encode(message)
    assert data.startswith(b"\n")
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 2
    assert json.loads(data) == message
    assert protocol.decode(data.strip()) == message


@given(st.text(max_size=300), st.integers(2, 100))
def test_what_is_bounded_keeps_head_and_tail(text: str, limit: int) -> None:
    short = protocol.bounded(text, limit)
    if len(text) <= limit:
        assert short == text
    else:
        assert short.startswith(text[: limit // 2])
        assert short.endswith(text[-(limit - limit // 2) :])
        assert f"{len(text) - limit} characters" in short


def test_the_largest_failure_fits_a_line() -> None:
    worst = "\U0001f600"
    fields = {
        "traceback": protocol.bounded(worst * 100_000, protocol.TRACEBACK_LIMIT),
        "message": protocol.bounded(worst * 100_000, protocol.MESSAGE_LIMIT),
        "notes": protocol.bounded(worst * 100_000, protocol.NOTES_LIMIT),
        "type": worst * 500,
    }
    assert len(protocol.encode(fields)) < protocol.LINE_LIMIT


def test_a_closed_descriptor_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    protocol.send(writer, {"event": "phase"})
    os.close(writer)
    protocol.send(writer, {"event": "phase"})
