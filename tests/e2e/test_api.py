"""The library as programs use it: handles, waiting, stopping, the same call twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import pkgrun
from pkgrun import Event, Log, Notice, Phase, Run
from pkgrun.errors import (
    Conflict,
    InvalidName,
    Killed,
    NotFound,
    PackageInvalid,
    PkgrunError,
    RunLost,
    Temporary,
    TimedOut,
    UsageError,
    UserCodeFailed,
)

from .lab import TRAIN, Lab, until

PATIENT = """
import os, time

class Main:
    def train(self, training_directory):
        print("waiting")
        open(os.environ["began"], "w").close()
        while not os.path.exists(os.environ["go"]):
            time.sleep(0.01)
        print("going on")

    def save(self):
        open("model.txt", "w").close()
"""

FAILING = """
import os

class Main:
    def train(self, training_directory):
        if os.path.exists(os.environ["fail"]):
            raise ValueError("not yet")

    def save(self):
        open("model.txt", "w").close()
"""


def marks(lab: Lab) -> dict[str, str]:
    return {"began": str(lab.mark("began")), "go": str(lab.mark("go"))}


def has_begun(lab: Lab) -> Callable[[], bool]:
    return lab.mark("began").exists


@contextmanager
def waiting_run(lab: Lab) -> Iterator[Run]:
    """A run of another process, which waits for the mark `go`; seen by its id from this one."""
    package = lab.package("p", PATIENT)
    given = [word for name, value in marks(lab).items() for word in ("-e", f"{name}={value}")]
    process = lab.start("train", package, *given)
    try:
        until(has_begun(lab), what="the training's beginning")
        [record] = lab.workspace().runs()
        yield lab.workspace().run(record.run)
    finally:
        lab.mark("go").touch()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=30)


def test_a_training_is_a_handle_and_waits_only_when_asked(lab: Lab) -> None:
    run = lab.workspace().train(lab.package("p", PATIENT), env=marks(lab))
    until(has_begun(lab))
    assert run.record().status in {"packaging", "running"}
    with pytest.raises(Temporary, match="has not ended yet") as caught:
        run.wait(timeout=0.01)
    assert caught.value.run_id == run.id

    lab.mark("go").touch()
    result = run.wait()

    assert (result.status, str(result.version), str(result.parent)) == ("successful", "1.1", "1.0")
    assert result.run_id == run.id
    assert run.record() == result.record
    assert result.results is not None


def test_the_events_of_a_run_come_while_it_runs_and_end(lab: Lab) -> None:
    run = lab.workspace().train(lab.package("p", PATIENT), env=marks(lab))
    seen: list[Event] = []
    for event in run.events():
        seen.append(event)
        if isinstance(event, Log) and event.text == "waiting":
            lab.mark("go").touch()

    assert [event.name for event in seen if isinstance(event, Phase)] == [
        *("stage", "environment", "mount", "start", "init", "train", "save", "collect", "commit")
    ]
    assert [event.text for event in seen if isinstance(event, Log)] == ["waiting", "going on"]
    assert run.wait().status == "successful"
    assert list(run.events()) == seen
    assert list(lab.workspace().run(run.id).events()) == seen


def test_the_observer_is_told_what_the_events_say(lab: Lab) -> None:
    told: list[Event] = []
    run = lab.workspace().train(lab.package(), observer=told.append)
    run.wait()

    kept = [event for event in told if isinstance(event, Phase | Log)]
    assert kept == [event for event in run.events() if isinstance(event, Phase | Log)]
    assert any(isinstance(event, Notice) and "imported as p 1.0" in event.message for event in told)


def test_another_process_sees_the_events_and_waits_for_the_end(lab: Lab) -> None:
    with waiting_run(lab) as run:
        seen: list[Event] = []
        for event in run.events():
            seen.append(event)
            if isinstance(event, Log) and event.text == "waiting":
                assert run.record().status == "running"
                lab.mark("go").touch()
        result = run.wait(30)

    assert str(result.version) == "1.1"
    assert [event.text for event in seen if isinstance(event, Log)] == ["waiting", "going on"]
    assert [event.name for event in seen if isinstance(event, Phase)][-1] == "commit"


def test_another_process_kills_a_run(lab: Lab) -> None:
    with waiting_run(lab) as run:
        run.kill()
        with pytest.raises(Killed) as caught:
            run.wait(30)

    assert (caught.value.kind, caught.value.exit_code, caught.value.run_id) == ("killed", 130, run.id)
    assert run.record().status == "killed"
    assert [str(one.version) for one in lab.workspace().versions("p")] == ["1.0"]


def test_killing_a_run_that_has_ended_changes_nothing(lab: Lab) -> None:
    run = lab.workspace().train(lab.package())
    before = run.wait().record
    lab.workspace().run(run.id).kill()

    assert lab.workspace().run(run.id).wait().record == before


def test_kill_of_ones_own_run(lab: Lab) -> None:
    run = lab.workspace().train(lab.package("p", PATIENT), env=marks(lab))
    until(has_begun(lab))
    run.kill()
    with pytest.raises(Killed):
        run.wait(30)

    assert run.record().error is not None


# ---------------------------------------------------------------- the same call twice


def test_a_key_gives_the_same_run_while_it_runs_and_afterwards(lab: Lab) -> None:
    package, given = lab.package("p", PATIENT), marks(lab)
    first = lab.workspace().train(package, env=given, idempotency_key="k")
    until(has_begun(lab))
    second = lab.workspace().train(package, env=given, idempotency_key="k")
    lab.mark("go").touch()

    assert second.id == first.id
    assert second.wait(30).version == first.wait(30).version
    assert lab.workspace().train(package, env=given, idempotency_key="k").id == first.id
    assert len(list(lab.workspace().runs())) == 1
    assert lab.workspace().train(package, env=given, idempotency_key="other").id != first.id


def test_a_key_stands_for_a_new_attempt_after_a_failure(lab: Lab) -> None:
    package, given = lab.package("p", FAILING), {"fail": str(lab.mark("fail"))}
    lab.mark("fail").touch()
    first = lab.workspace().train(package, env=given, idempotency_key="k")
    with pytest.raises(UserCodeFailed):
        first.wait(30)
    lab.mark("fail").unlink()

    second = lab.workspace().train(package, env=given, idempotency_key="k")
    assert second.id != first.id
    assert str(second.wait(30).version) == "1.1"
    assert lab.workspace().train(package, env=given, idempotency_key="k").id == second.id


def test_a_key_with_other_arguments_is_a_conflict(lab: Lab) -> None:
    package = lab.package()
    run = lab.workspace().train(package, idempotency_key="k")
    run.wait()

    with pytest.raises(Conflict, match="other arguments") as caught:
        lab.workspace().train(package, env={"a": "1"}, idempotency_key="k")
    assert (caught.value.exit_code, caught.value.kind) == (7, "conflict")
    assert run.id in caught.value.message


def test_a_key_and_a_secret_whose_value_changes(lab: Lab) -> None:
    package = lab.package()
    run = lab.workspace().train(package, secrets={"TOKEN": "a-secret-of-a-kind"}, idempotency_key="k")
    run.wait()
    again = lab.workspace().train(package, secrets={"TOKEN": "quite-another-one"}, idempotency_key="k")

    assert again.id == run.id


def test_sixteen_calls_with_one_key_at_once_make_one_run(lab: Lab) -> None:
    lab.workspace().add(lab.package())
    source = """
        import os, sys, time, pkgrun
        open(sys.argv[2] + "-" + sys.argv[3], "w").close()
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.005)
        run = pkgrun.open(sys.argv[1]).train("p", environment="current", idempotency_key="k")
        print(run.id, run.wait(60).version)
    """
    go = lab.mark("go")
    started = [lab.python(source, lab.store, go, str(number)) for number in range(16)]
    until(lambda: len(list(go.parent.iterdir())) == 16, what="sixteen beginnings")
    go.touch()
    said = {process.communicate(timeout=120)[0] for process in started}

    assert len(said) == 1
    assert said.pop().endswith(" 1.1\n")
    assert len(list(lab.workspace().runs())) == 1


# ---------------------------------------------------------------- ends


def test_out_of_time(lab: Lab) -> None:
    run = lab.workspace().train(lab.package("p", PATIENT), env=marks(lab), timeout=0.5)
    with pytest.raises(TimedOut) as caught:
        run.wait(30)

    error = caught.value
    assert (error.kind, error.exit_code, error.run_id) == ("timeout", 5, run.id)
    assert error.hint is not None
    assert run.record().status == "timed-out"


@pytest.mark.parametrize(
    ("call", "expected", "code"),
    [
        (lambda ws, lab: ws.train("nobody"), NotFound, 6),
        (lambda ws, lab: ws.train("p@9.9"), NotFound, 6),
        (lambda ws, lab: ws.train("p@1.x"), UsageError, 2),
        (lambda ws, lab: ws.train("p@"), UsageError, 2),
        (lambda ws, lab: ws.train("p@1.0", version="1.0"), UsageError, 2),
        (lambda ws, lab: ws.train("p x@1"), InvalidName, 2),
        (lambda ws, lab: ws.train("./nowhere"), NotFound, 6),
        (lambda ws, lab: ws.train("p", data="nowhere"), NotFound, 6),
        (lambda ws, lab: ws.train("p", data="wxyz://bucket/x"), UsageError, 2),
        (lambda ws, lab: ws.train("p", data="/dev/null"), UsageError, 2),
        (lambda ws, lab: ws.train("p", timeout=0), UsageError, 2),
        (lambda ws, lab: ws.train("p", timeout=float("nan")), UsageError, 2),
        (lambda ws, lab: ws.train("p", env={"a b": "1"}), UsageError, 2),
        (lambda ws, lab: ws.train("p", env={"a": "x" * (1 << 19)}), UsageError, 2),
        (lambda ws, lab: ws.train("p", environment="current", upgrade=True), UsageError, 2),
        (lambda ws, lab: ws.train("bare"), PackageInvalid, 4),
        (lambda ws, lab: ws.run("0000"), NotFound, 6),
        (lambda ws, lab: ws.run("no-id"), InvalidName, 2),
        (lambda ws, lab: ws.version("p@7"), NotFound, 6),
        (lambda ws, lab: ws.versions("nobody"), NotFound, 6),
    ],
)
def test_what_is_wrong_is_said_before_anything_begins(
    lab: Lab,
    call: Callable[[pkgrun.Workspace, Lab], object],
    expected: type[PkgrunError],
    code: int,
) -> None:
    workspace = lab.workspace()
    workspace.add(lab.package())
    workspace.add(lab.package("bare", "class Main: pass\n"))
    with pytest.raises(expected) as caught:
        call(workspace, lab)

    assert caught.value.exit_code == code
    assert caught.value.message
    assert caught.value.run_id is None
    assert list(workspace.runs()) == []


def test_no_store_is_not_found_and_none_is_made(lab: Lab) -> None:
    with pytest.raises(NotFound) as caught:
        pkgrun.open(lab.store, create=False)

    assert caught.value.hint is not None
    assert not lab.store.exists()


# ---------------------------------------------------------------- signals


INTERRUPTED = """
    import pkgrun, sys
    run = pkgrun.open(sys.argv[1]).train(sys.argv[2], env={"began": sys.argv[3], "go": sys.argv[4]})
    print(run.id, flush=True)
    try:
        run.wait()
    except KeyboardInterrupt:
        print(run.record().status, flush=True)
"""


def test_interrupting_the_waiting_kills_the_run(lab: Lab) -> None:
    package = lab.package("p", PATIENT)
    process = lab.python(INTERRUPTED, lab.store, package, *marks(lab).values())
    until(has_begun(lab))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    assert out.split()[1:] == ["killed"]
    until(lambda: not lab.processes(), 3, "the end of all processes")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_command_stops_the_run_and_is_recorded(
    lone_lab: Lab, number: signal.Signals, code: int
) -> None:
    lab = lone_lab
    given = [word for name, value in marks(lab).items() for word in ("-e", f"{name}={value}")]
    process = lab.start("train", lab.package("p", PATIENT), *given)
    until(has_begun(lab))
    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert process.returncode == code, err
    [record] = lab.workspace().runs()
    assert (record.status, record.version) == ("killed", None)
    assert record.error is not None
    assert "Traceback" not in err
    assert lab.leftovers() == []
    until(lambda: not lab.processes(), 3, "the end of all processes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_first_line_stops_the_run_too(lab: Lab, number: signal.Signals) -> None:
    """As soon as the run is named: between the start of the run and the waiting for it."""
    given = [word for name, value in marks(lab).items() for word in ("-e", f"{name}={value}")]
    process = lab.start("train", lab.package("p", PATIENT), *given, "--environment", "current")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("run "):
            break
    process.send_signal(number)
    process.communicate(timeout=60)

    assert process.returncode == 128 + number
    assert [record.status for record in lab.workspace().runs()] == ["killed"]


@pytest.mark.slow
def test_code_that_ignores_the_signal_is_killed_in_the_end(lab: Lab) -> None:
    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PATIENT
    run = lab.workspace().train(lab.package("p", stubborn), env=marks(lab), timeout=0.2)
    with pytest.raises(TimedOut):
        run.wait(60)
    until(lambda: not lab.processes(), 3, "the end of all processes")


def test_a_program_that_does_not_wait_still_ends_its_run(lab: Lab) -> None:
    source = "import pkgrun, sys; pkgrun.open(sys.argv[1]).train(sys.argv[2])"
    process = lab.python(source, lab.store, lab.package("p", TRAIN))
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert [record.status for record in lab.workspace().runs()] == ["successful"]


def test_import_costs_nothing() -> None:
    source = "import sys, pkgrun; print([m for m in ('pydantic', 'orjson', 'click', 'git', 'rich') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout

    assert out == "[]\n"


def test_the_public_names_are_there() -> None:
    assert all(getattr(pkgrun, name) is not None for name in pkgrun.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pkgrun.nonsense
    assert issubclass(RunLost, PkgrunError)
    assert Path(pkgrun.__file__).name == "__init__.py"
