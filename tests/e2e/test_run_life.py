"""The life of runs as their users see it: stopped from elsewhere, given up when nobody is heard.

Other machines are played by records: a run whose intent and heartbeat name another host and another start of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pkgrun.errors import Temporary, UsageError
from pkgrun.records import Intent
from pkgrun.runs.here import sign_of_life
from pkgrun.store import operations
from pkgrun.store.operations import key, new_run_id
from pkgrun.store.root import open_store
from tests.store.entries import intent

from .lab import SCRIPT, Lab, minors, until
from .patience import HOUR, PATIENT, patient, waiting


def far(lab: Lab, *, ago: float = 0) -> Intent:
    """A run of another machine, which was heard so many seconds ago."""
    run, at = new_run_id(), datetime.now(UTC) - timedelta(seconds=ago)
    beat = sign_of_life(run, "running", "train").model_copy(
        update={"host": "far", "boot": "another", "pid": 7, "at": at}
    )
    asked = intent(run, created=at, alive=beat)
    operations.begin(open_store(str(lab.store), create=True).backend, asked)
    os.utime(lab.store / key(run, "intent.json"), (at.timestamp(), at.timestamp()))
    return asked


# ---------------------------------------------------------------------- silent, lost, recovered


def test_a_run_that_nobody_hears_of_is_silent_and_then_lost(lab: Lab) -> None:
    run = far(lab, ago=HOUR).run
    [listed] = lab.document("run", "list")["runs"]
    assert (listed["run_id"], listed["status"]) == (run, "silent")
    assert "? silent" in lab.pkgrun("run", "list").out
    assert "last heard" in lab.pkgrun("run", "show", run).out

    table = lab.pkgrun("run", "recover").out
    assert "what was done" in table
    assert "lost: its supervisor, process 7 on far, has not been heard since" in table
    assert lab.document("run", "show", run)["status"] == "lost"
    assert lab.pkgrun("run", "recover").err == "nothing to recover\n"


def test_recover_leaves_alone_what_goes_on(lab: Lab) -> None:
    run = far(lab, ago=60).run
    said = lab.pkgrun("run", "recover")
    assert (said.out, said.err) == ("", "nothing to recover\n1 operation still going on, left alone\n")
    document = lab.document("run", "recover", "--silent-for", "30s")
    assert [(one["run_id"], one["done"], one["status"]) for one in document["recovered"]] == [
        (run, "given-up", "lost")
    ]
    assert (document["open"], document["failed"]) == ([], [])


def test_recover_refuses_to_give_up_what_may_live(lab: Lab) -> None:
    run = far(lab, ago=20).run
    said = lab.pkgrun("run", "recover", "--silent-for", "5s", code=2).err
    assert "error: 5 s without a sign of life prove nothing: a live run gives one every 10 s" in said
    assert "hint: give 30 s at least" in said
    with pytest.raises(UsageError):
        lab.workspace().recover(silent_for=0)
    assert lab.document("run", "show", run)["status"] == "running"


@pytest.mark.parametrize("words", ["soon", "-1", "1y", "", "1 h", "1e9"])
def test_what_is_no_duration_is_a_wrong_call(lab: Lab, words: str) -> None:
    far(lab)
    assert "is no duration" in lab.pkgrun("run", "recover", f"--silent-for={words}", code=2).err


def test_who_waits_for_a_silent_run_is_told(lab: Lab) -> None:
    run = lab.workspace().run(far(lab, ago=HOUR).run)
    with pytest.raises(Temporary, match="no sign of life since"):
        run.wait()
    with pytest.raises(Temporary, match="no sign of life since"):
        list(run.events())


@pytest.mark.parametrize("finishes", [True, False])
def test_a_zombie_ends_by_itself_and_makes_no_version(lone_lab: Lab, finishes: bool) -> None:
    """Stopped, given up and woken again: whether its code goes on meanwhile or is still at work."""
    lab = lone_lab
    process, run = waiting(lab)
    process.send_signal(signal.SIGSTOP)
    until(lambda: _state(process.pid) == "T")
    if finishes:
        lab.mark("go").touch()
    for beat in Path(lab.store, "runs", run).glob("*.json"):
        os.utime(beat, (time.time() - HOUR,) * 2)
    assert [one.record.run for one in lab.workspace().recover().done] == [run]

    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "was lost: its supervisor" in said
    until(lambda: not lab.processes(), 3, "the end of all processes")
    assert minors(lab.store, "p") == [0]
    assert lab.document("run", "show", run)["status"] == "lost"
    assert lab.leftovers() == []


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# ---------------------------------------------------------------------- run kill


def test_kill_ends_a_run_of_another_process_and_says_how(lab: Lab) -> None:
    process, run = waiting(lab)
    said = lab.pkgrun("run", "kill", run)
    assert said.out == f"{run} killed\n"
    assert "somebody stopped it, in train()" in said.err
    process.communicate(timeout=30)
    assert process.returncode == 130
    until(lambda: not lab.processes(), 3, "the end of all processes")

    again = lab.pkgrun("run", "kill", run[:13])
    assert again.out == f"{run} killed\n"
    assert "had ended before" in again.err


def test_kill_tells_of_many_runs_in_one_document(lab: Lab) -> None:
    done = lab.workspace().train(lab.package("q"), environment="current")
    done.wait(60)
    process, run = waiting_besides(lab, done.id)
    document = lab.document("run", "kill", run, done.id, run)
    assert [(one["run_id"], one["status"]) for one in document["runs"]] == [
        (run, "killed"),
        (done.id, "successful"),
    ]
    process.communicate(timeout=30)


def waiting_besides(lab: Lab, other: str) -> tuple[subprocess.Popen[str], str]:
    process = lab.start(*patient(lab))
    until(lab.mark("began").exists, what="the training's beginning")
    [run] = [record.run for record in lab.workspace().runs() if record.run != other]
    return process, run


def test_kill_without_waiting_only_asks(lab: Lab) -> None:
    process, run = waiting(lab)
    said = lab.pkgrun("run", "kill", run, "--no-wait")
    assert said.out == f"{run} running\n"
    assert "was asked to end" in said.err
    process.communicate(timeout=30)
    assert lab.document("run", "show", run)["status"] == "killed"


def test_kill_of_a_dead_run_says_that_it_is_lost(lab: Lab) -> None:
    process, run = waiting(lab)
    process.kill()
    process.wait()
    said = lab.pkgrun("run", "kill", run)
    assert said.out == f"{run} lost\n"
    assert f"process {process.pid}" in said.err


def test_kill_of_a_silent_run_hints_at_recover(lab: Lab) -> None:
    run = far(lab, ago=HOUR).run
    began = time.monotonic()
    said = lab.pkgrun("run", "kill", run, code=75)
    assert time.monotonic() - began < 20, "nobody waits for whom nobody hears"
    assert said.out == f"{run} silent\n"
    assert "on h has given no sign of life since" in said.err
    assert "`pkgrun run recover` gives it up" in said.err
    assert (lab.store / key(run, "kill.json")).exists()


def test_kill_of_what_is_not_there_stops_nothing(lab: Lab) -> None:
    run = far(lab).run
    lab.pkgrun("run", "kill", run, "0000", code=6)
    assert not (lab.store / key(run, "kill.json")).exists()


# ---------------------------------------------------------------------- another machine on the same store

ELSEWHERE = [
    "unshare",
    "--uts",
    "--pid",
    "--fork",
    "--mount-proc",
    "sh",
    "-c",
    'hostname elsewhere && exec "$0" "$@"',
]


GIVE_UP = """
import sys
from pkgrun.runs.recover import give_up
from pkgrun.store.root import open_store

error = give_up(open_store(sys.argv[1], create=False), sys.argv[2], silent_for=0).error
print(error and error.message)
"""
"""Without the time that must go by before a command may."""


def elsewhere(lab: Lab, *words: str, code: int = 0, program: Sequence[str] = (str(SCRIPT),)) -> str:
    """What the command prints where no process of this machine can be seen, and the machine has another name."""
    if subprocess.run([*ELSEWHERE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no other machine can be played here")
    ended = subprocess.run(
        [*ELSEWHERE, *program, *words],
        env=lab.variables(),
        cwd=lab.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout


@pytest.fixture(params=["directory", "s3"])
def shared(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """A lab whose store several machines can reach, with the package of `patient`."""
    if request.param == "s3":
        server = request.getfixturevalue("ministack")
        lab.env.update(server.env, PKGRUN_STORE=f"{server.url}/life")
    lab.pkgrun("package", "add", lab.package("p", PATIENT))
    return lab


def begun(lab: Lab) -> tuple[subprocess.Popen[str], str]:
    given = [word for name in ("began", "go") for word in ("-e", f"{name}={lab.mark(name)}")]
    process = lab.start("train", "p@1.0", "--environment", "current", *given)
    until(lab.mark("began").exists, 60, "the training's beginning")
    [run] = lab.document("run", "list")["runs"]
    return process, run["run_id"]


def test_kill_works_from_another_machine(shared: Lab) -> None:
    process, run = begun(shared)
    assert elsewhere(shared, "run", "kill", run) == f"{run} killed\n"
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_another_machine_gives_up_only_what_is_silent(shared: Lab) -> None:
    process, run = begun(shared)
    process.kill()
    process.wait()
    assert run[:13] in elsewhere(shared, "run", "list")
    assert elsewhere(shared, "run", "recover") == ""
    assert "going on" not in elsewhere(shared, "run", "recover", "--silent-for", "1d")
    elsewhere(shared, "run", "recover", "--silent-for", "29s", code=2)
    store = shared.variables()["PKGRUN_STORE"]
    said = elsewhere(shared, store, run, program=[sys.executable, "-c", GIVE_UP])
    assert "its supervisor" in said
    assert "has not been heard since" in said
    assert shared.document("run", "show", run)["status"] == "lost"


# ---------------------------------------------------------------------- the end takes all processes with it

FAMILY = """
import os, signal, subprocess, sys, time

SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {say}; time.sleep(300)"

def note(name):
    return f"open({os.environ['marks']!r} + '/{name}', 'w').close()"

class Main:
    def train(self, training_directory):
        signal.signal(signal.SIGTERM, self.tidy)
        for name, apart in (("child", False), ("session", True)):
            command = [sys.executable, "-c", SLEEPER.format(say=note(name))]
            subprocess.Popen(command, start_new_session=apart)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (0, 1, 2):
                    os.dup2(os.open(os.devnull, os.O_RDWR), number)
                os.execv(sys.executable, [sys.executable, "-c", SLEEPER.format(say=note("daemon"))])
            os._exit(0)
        os.wait()
        while True:
            time.sleep(0.01)

    def tidy(self, number, frame):
        exec(note("tidied"))
        sys.exit(3)

    def save(self): pass
"""


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        ("SIGTERM", 143, "killed"),
        ("SIGINT", 130, "killed"),
        ("SIGHUP", 129, "killed"),
        ("deadline", 5, "timed-out"),
        ("kill", 130, "killed"),
    ],
)
def test_an_end_takes_all_descendants_with_it_and_leaves_a_record(
    lone_lab: Lab, how: str, code: int, status: str
) -> None:
    """A child, one in a session of its own and a daemon, all deaf to SIGTERM; the code itself may tidy up."""
    lab = lone_lab
    marks = lab.mark("child").parent
    deadline = ["--timeout", "4"] if how == "deadline" else []
    words = ["train", str(lab.package("p", FAMILY)), "--environment", "current", "-e", f"marks={marks}"]
    process = lab.start(*words, *deadline)
    until(lambda: all(lab.mark(name).exists() for name in ("child", "session", "daemon")))
    assert len(lab.processes()) >= 6
    [record] = lab.workspace().runs()
    if how == "kill":
        lab.pkgrun("run", "kill", record.run)
    elif how != "deadline":
        process.send_signal(signal.Signals[how])
    process.communicate(timeout=30)

    assert process.returncode == code
    assert lab.mark("tidied").exists()
    until(lambda: not lab.processes(), 3, "the end of all processes")
    ended = lab.workspace().run(record.run).record()
    assert ended.status == status
    assert ended.facts is not None
    assert ended.facts.log is not None, "what was logged is kept"
    assert lab.leftovers() == []


@pytest.mark.parametrize("words", [["package", "add"], ["dataset", "add", "rows"]])
def test_an_import_that_is_asked_to_end_leaves_a_record(lab: Lab, words: list[str]) -> None:
    folder = lab.package("p")
    with open(folder / "large.bin", "wb") as file:
        file.truncate(1 << 29)
    process = lab.start(*words, folder)
    until(lambda: list(lab.store.glob("runs/*/intent.json")), what="the beginning")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    [record] = lab.workspace().runs(everything=True)
    assert record.status == "killed"
    assert not (lab.store / "packages").exists()
    assert not (lab.store / "datasets").exists()
