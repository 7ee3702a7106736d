"""The supervisor dies by SIGKILL, at every point there is; whoever comes next finds everything in order.

Three ways of dying: an observer that dies when a phase begins, a store that dies before or after its k-th call, and
`strace`, which kills the real console script at a system call.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pkgrun import RunRecord
from pkgrun.store.root import open_store
from tests.store.blobs import lacking

from .lab import SCRIPT, Lab, chain_is_intact, minors, processes, until

pytestmark = pytest.mark.row(8)

PHASES = ("stage", "environment", "mount", "start", "init", "train", "save", "collect", "commit")

DAEMON = """
import os, subprocess, sys

SLEEPER = "import time; time.sleep(300)"

class Main:
    def __init__(self):
        if "daemons" in os.environ:
            subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True)

    def train(self, training_directory):
        subprocess.Popen([sys.executable, "-c", SLEEPER]) if "daemons" in os.environ else None

    def save(self):
        with open("model.txt", "a") as file:
            file.write("x")
"""

DIES_IN_PHASE = """
    import os, signal, sys
    import pkgrun

    def observer(event):
        if isinstance(event, pkgrun.Phase) and event.name == sys.argv[3]:
            os.kill(os.getpid(), signal.SIGKILL)

    run = pkgrun.open(sys.argv[1]).train("p@1.0", data=sys.argv[2], observer=observer, env={"daemons": "1"})
    run.wait()
"""

DIES_AT_CALL = """
    import os, signal, sys, threading
    import pkgrun
    from pkgrun.store.objects import Objects
    from pkgrun.store.root import Store, open_store

    class Mortal:
        # Wraps a backend, or an upload of it; the process dies before, or just after, the k-th call that writes.

        def __init__(self, inner, at, after, calls, writing=("create", "write", "delete", "flush", "upload")):
            self._inner, self._at, self._after, self._calls, self._writing = inner, at, after, calls, writing

        def apart(self):
            return Mortal(self._inner.apart(), self._at, self._after, self._calls)

        def __getattr__(self, name):
            value = getattr(self._inner, name)
            if name not in self._writing:
                return value

            def call(*arguments, **more):
                if "heartbeat" in str(arguments[:1]) or "/events/" in str(arguments[:1]):
                    return value(*arguments, **more)  # the heart's, which come as often as the machine has time
                self._calls.append(name)
                dying = len(self._calls) == self._at
                if dying and not self._after:
                    os.kill(os.getpid(), signal.SIGKILL)
                answer = value(*arguments, **more)
                if dying:
                    os.kill(os.getpid(), signal.SIGKILL)
                if name == "upload":
                    return Mortal(answer, self._at, self._after, self._calls, ("write", "publish", "discard"))
                return answer

            return call

    store = open_store(sys.argv[1], create=False)
    mortal = Mortal(store.backend, int(sys.argv[3]), sys.argv[4] == "after", [])
    workspace = pkgrun.Workspace(Store(mortal, Objects(mortal), store.id))
    workspace.train("p@1.0", data=sys.argv[2], environment="current", save_training_data=True).wait()
"""


def prepared(lab: Lab) -> Path:
    """A store with p@1.0, and a dataset."""
    lab.workspace().add(lab.package("p", DAEMON))
    data = lab.folder / "dataset"
    data.mkdir(exist_ok=True)
    (data / "rows.csv").write_text("a,b\n")
    (data / "large.csv").write_bytes(b"1,2\n" * (1 << 18))
    return data


def in_order(lab: Lab, data: Path, *, before: int) -> RunRecord:
    """Check all that must hold after a death, with `before` trainings before it; the dead run's record."""
    until(lambda: not lab.processes(), 3, "the end of all processes")
    [dead] = [run for run in lab.workspace().runs() if run.parent is not None][:1]
    assert dead.status in {"lost", "successful"}
    decided = dead.status == "successful"
    assert (dead.version is not None) == decided

    after = lab.workspace().train("p@1.0", data=data, environment="current").wait(60)
    assert str(after.version) == f"1.{before + decided + 1}"
    assert minors(lab.store, "p") == list(range(before + decided + 2))
    assert chain_is_intact(lab.store, "p", 1)
    assert lab.leftovers() == []
    assert lacking(open_store(str(lab.store), create=False)) == set()

    results = json.loads((lab.store / "runs" / dead.run / "_results.json").read_text())
    assert results["run_summary"]["outputs"]["version"] == (str(dead.version) if decided else None)
    listed = {run.run: run.status for run in lab.workspace().runs()}
    assert listed[dead.run] == dead.status
    return dead


@pytest.mark.parametrize("phase", PHASES)
def test_death_at_the_beginning_of_a_phase(lone_lab: Lab, phase: str) -> None:
    data = prepared(lone_lab)
    process = lone_lab.python(DIES_IN_PHASE, lone_lab.store, data, phase)
    process.wait(60)
    assert process.returncode == -9

    dead = in_order(lone_lab, data, before=0)
    assert dead.status == "lost"
    assert dead.error is not None
    assert dead.error.kind == "lost"
    listed = lone_lab.document("run", "list")["runs"]
    assert [run["status"] for run in listed] == ["successful", "lost"]


def dies(lab: Lab, data: Path, at: int, when: str) -> bool:
    process = lab.python(DIES_AT_CALL, lab.store, data, str(at), when)
    process.wait(60)
    assert process.returncode in {0, -9}
    return process.returncode == -9


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_death_at_every_call_of_the_store(lone_lab: Lab, when: str) -> None:
    """Each death in a store of its own, that of all before it included: what is left over adds up."""
    lab, data, before, statuses = lone_lab, prepared(lone_lab), 0, []
    for at in range(1, 200):
        began = intents(lab)
        if not dies(lab, data, at, when):
            break
        if intents(lab) == began:
            continue
        dead = in_order(lab, data, before=before)
        statuses.append(dead.status)
        before = minors(lab.store, "p")[-1]

    assert at > 8
    assert statuses == sorted(statuses), "once decided, a run stays decided"
    assert set(statuses) == {"lost", "successful"}


def intents(lab: Lab) -> int:
    return len(list((lab.store / "runs").glob("*/intent.json")))


BACKEND = """
import os, time

def wait(*arguments, **more):
    open({mark!r}, "w").close()
    while True:
        time.sleep(0.05)

build_wheel = prepare_metadata_for_build_wheel = get_requires_for_build_wheel = wait
"""


def test_death_while_uv_builds(lone_lab: Lab) -> None:
    """A requirement whose build never ends; uv, and what it started, must end with us."""
    lab, data = lone_lab, prepared(lone_lab)
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project += '[project]\nname = "dep"\nversion = "1"\n'
    files = {"dep/pyproject.toml": project, "dep/backend.py": BACKEND.format(mark=str(lab.mark("building")))}
    slow = lab.package("slow", DAEMON, {**files, "requirements.txt": "./dep\n"})
    process = lab.start("train", slow, "--data", data)
    until(lab.mark("building").exists, 60, "the build")
    process.kill()
    process.wait()

    [dead] = lab.workspace().runs()
    assert (dead.status, dead.package) == ("lost", "slow")
    assert lab.workspace().train("p", data=data).wait(60).status == "successful"
    assert lab.leftovers() == []
    until(lambda: not lab.processes(), 3, "the end of all processes")


def test_ctrl_c_while_uv_builds(lone_lab: Lab) -> None:
    lab = lone_lab
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project += '[project]\nname = "dep"\nversion = "1"\n'
    files = {"dep/pyproject.toml": project, "dep/backend.py": BACKEND.format(mark=str(lab.mark("building")))}
    slow = lab.package("slow", DAEMON, {**files, "requirements.txt": "./dep\n"})
    process = lab.start("train", slow)
    until(lab.mark("building").exists, 60, "the build")
    process.terminate()
    process.communicate(timeout=30)

    assert process.returncode == 143
    [stopped] = lab.workspace().runs()
    assert stopped.status == "killed"
    until(lambda: not lab.processes(), 3, "the end of all processes")


def test_a_running_training_of_a_dead_command_ends_at_once(lone_lab: Lab) -> None:
    lab = lone_lab
    code = "import time\nclass Main:\n    def train(self, training_directory):\n"
    code += f"        open({str(lab.mark('began'))!r}, 'w').close()\n        time.sleep(300)\n"
    code += "    def save(self): pass\n"
    process = lab.start("train", lab.package("p", code))
    until(lab.mark("began").exists)
    [run] = lab.workspace().runs()
    until(
        lambda: lab.workspace().run(run.run).record().phase == "train", 10, "the sign of life that tells it"
    )
    assert lab.processes()
    process.kill()
    process.wait()

    until(lambda: not lab.processes(), 3, "the end of all processes")
    document = lab.document("run", "list")
    assert [run["status"] for run in document["runs"]] == ["lost"]
    assert lab.document("run", "show", run.run)["error"]["kind"] == "lost"
    assert "died (phase train)" in lab.pkgrun("run", "show", run.run).out


def strace_works() -> bool:
    found = shutil.which("strace")
    if found is None:
        return False
    command = [found, "-f", "-qq", "-o", "/dev/null", "-e", "trace=link", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not strace_works(), reason="needs strace and the right to trace")
@pytest.mark.parametrize("call", ["link", "fsync", "rename"])
def test_the_console_script_dies_at_a_system_call(lone_lab: Lab, call: str) -> None:
    """strace counts calls by thread, so that the k-th hits the import, the intent, or the decision."""
    lab, data, died = lone_lab, prepared(lone_lab), 0
    lab.workspace().train("p@1.0", data=data, environment="current").wait(60)
    for at in range(1, 40):
        began, before = intents(lab), minors(lab.store, "p")[-1]
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}"]
        command = ["strace", "-f", "-qq", "-o", "/dev/null", *inject]
        script = [str(SCRIPT), "train", "p@1.0", "--data", str(data), "--environment", "current", "-q"]
        code = subprocess.run(
            [*command, *script], env=lab.variables(), cwd=lab.folder, capture_output=True, check=False
        ).returncode
        if code == 0:
            break
        died += 1
        if intents(lab) > began:
            in_order(lab, data, before=before)

    assert died >= 2


def test_processes_are_found_by_their_canary(tmp_path: Path) -> None:
    """The search that the other tests rely on."""
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE) as process:
        until(lambda: process.pid in processes(str(tmp_path)), 10)
    assert processes(str(tmp_path)) == []
    assert os.getpid() not in processes(str(Path.cwd()))
    assert time.monotonic() > 0
