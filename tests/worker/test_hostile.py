"""What package code does to whoever runs it: raise, crash, hang, flood, forge, flee. The run ends, and says how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.observe import Event, Log
from tests.worker.trial import alive, environment, package, trained, tried, until

pytestmark = pytest.mark.row(6)

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="orphans are adopted, and found in /proc, on Linux only"
)

DAEMON = """
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
            {quiet}
            mark('daemon', os.getpid())
            time.sleep(1000)
        os._exit(0)
    os.wait()
    while not os.path.exists('../daemon'): time.sleep(0.01)
"""
QUIET = "null = os.open(os.devnull, os.O_RDWR); [os.dup2(null, n) for n in (0, 1, 2)]; os.closerange(3, 1000)"


@pytest.fixture
def canary() -> str:
    return f"canary-{uuid.uuid4().hex}"


# ---------------------------------------------------------------------- raising


def test_an_exception_is_told_without_frames_of_ours(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("raise ValueError('no rows')")))
    failure = trial.exit.failure
    assert failure is not None
    assert (trial.exit.reason, trial.exit.code, trial.exit.phase) == ("raised", 1, "train")
    assert (failure.phase, failure.type, failure.message) == ("train", "ValueError", "no rows")
    lines = failure.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith(f'"{tmp_path}/work/train.py", line 8, in train')
    assert lines[-1] == "ValueError: no rows"
    assert failure.traceback.count("File ") == 1
    assert trial.lines("err") == []
    assert trial.phases == ["init", "train"]


def test_chained_exceptions_are_told_whole(tmp_path: Path) -> None:
    source = """
        import importlib
        def inner(): importlib.import_module('broken')
        class Main:
            def train(self, folder):
                try: inner()
                except ZeroDivisionError as error: raise RuntimeError('outer') from error
    """
    text = tried(package(tmp_path, source, broken="1 / 0\n")).traceback
    assert "ZeroDivisionError: division by zero" in text
    assert "direct cause" in text
    assert "RuntimeError: outer" in text
    assert "broken.py" in text
    assert "importlib._bootstrap" not in text
    assert "pkgrun/worker" not in text


def test_a_failure_in_save_is_one_of_save(tmp_path: Path) -> None:
    source = (
        "class Main:\n    def train(self, f): pass\n    def save(self): raise OSError(28, 'No space left')\n"
    )
    trial = tried(package(tmp_path, source))
    assert (trial.exit.reason, trial.exit.phase) == ("raised", "save")
    assert trial.exit.failure is not None
    assert trial.exit.failure.type == "OSError"


@pytest.mark.parametrize(
    ("source", "kind", "part"),
    [
        ("class Main(:\n", "SyntaxError", "class Main(:"),
        ("import nowhere\n", "ModuleNotFoundError", "No module named 'nowhere'"),
        ("x = 1\n", "AttributeError", "module 'train' has no attribute 'Main'"),
        ("class Main:\n    def __init__(self): 1 / 0\n", "ZeroDivisionError", "__init__"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt", "raise KeyboardInterrupt"),
        ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E\n", "train.E", "E"),
        ("raise BaseException('\\ud800')\n", "BaseException", "ud800"),
    ],
)
def test_failures_before_the_first_call_are_those_of_init(
    tmp_path: Path, source: str, kind: str, part: str
) -> None:
    trial = tried(package(tmp_path, source))
    assert trial.exit.failure is not None
    assert (trial.exit.reason, trial.exit.failure.phase, trial.exit.failure.type) == ("raised", "init", kind)
    assert part in trial.traceback
    assert "calls.py" not in trial.traceback


def test_deep_recursion_is_a_short_story(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("def f(n): return f(n + 1)\nf(0)")))
    assert trial.exit.failure is not None
    assert trial.exit.failure.type == "RecursionError"
    assert len(trial.traceback) < 5000


def test_a_huge_message_is_cut_in_its_middle(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("raise ValueError('A' + '\\U0001f600' * 5_000_000 + 'Z')")))
    assert trial.exit.failure is not None
    assert trial.exit.failure.message.startswith("A")
    assert trial.exit.failure.message.endswith("Z")
    assert "characters left out" in trial.exit.failure.message
    assert len(trial.traceback) < 70_000


def test_notes_are_kept(tmp_path: Path) -> None:
    body = "error = ValueError('x')\nerror.__notes__ = ['look at row 7', 3]\nraise error"
    failure = tried(package(tmp_path, trained(body))).exit.failure
    assert failure is not None
    assert failure.notes == "look at row 7"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("0", "called sys.exit(0) in train before save"),
        ("", "called sys.exit() in train before save"),
        ("'bye'", "called sys.exit('bye') in train before save"),
    ],
)
def test_sys_exit_is_a_failure(tmp_path: Path, code: str, message: str) -> None:
    trial = tried(package(tmp_path, trained(f"sys.exit({code})")))
    assert trial.exit.reason == "exited"
    assert trial.exit.failure is not None
    assert trial.exit.failure.message == message
    assert "in train" in trial.traceback


def test_a_failed_run_does_not_wait_for_threads_for_ever(tmp_path: Path) -> None:
    body = "threading.Thread(target=time.sleep, args=(1000,)).start()\nraise ValueError('x')"
    trial = tried(package(tmp_path, trained(body)), timeout=None, grace=0.3)
    assert trial.exit.reason == "raised"
    assert trial.seconds < 5


# ---------------------------------------------------------------------- ending


@pytest.mark.parametrize("code", [0, 3])
def test_os_exit_is_an_end_without_result(tmp_path: Path, code: int) -> None:
    trial = tried(package(tmp_path, trained(f"print('x'); os._exit({code})")))
    assert (trial.exit.reason, trial.exit.code, trial.exit.failure) == ("exited", code, None)
    assert (trial.exit.ok, trial.exit.phase, trial.lines()) == (False, "train", ["x"])


def test_a_segfault_names_its_line(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("import ctypes; ctypes.string_at(0)")))
    assert (trial.exit.reason, trial.exit.signal) == ("signalled", signal.SIGSEGV)
    assert any("train.py" in line for line in trial.lines("err"))


@pytest.fixture
def small_group(tmp_path: Path) -> Iterator[Path]:
    """A Python that runs where 64 MB of memory are allowed, if this test may make such a control group."""
    root = Path("/sys/fs/cgroup/memory")
    version = 1 if root.is_dir() else 2
    group = (root if version == 1 else root.parent) / f"pkgrun-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version == 1 else "memory.max")).write_text("64000000")
    except OSError:
        pytest.skip("no control group of memory can be made here")
    launcher = tmp_path / "python"
    launcher.write_text(f'#!/bin/sh\necho $$ > {group}/cgroup.procs\nexec {sys.executable} "$@"\n')
    launcher.chmod(0o755)
    yield launcher
    assert until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@linux
def test_a_kill_for_memory_is_told_as_such(tmp_path: Path, small_group: Path) -> None:
    workdir = package(tmp_path, trained("print('before'); bytearray(200_000_000)"))
    trial = tried(workdir, python=str(small_group))
    assert (trial.exit.reason, trial.exit.signal, trial.exit.phase) == (
        "out-of-memory",
        signal.SIGKILL,
        "train",
    )
    trial = tried(package(tmp_path, trained("os.kill(os.getpid(), signal.SIGKILL)")), python=str(small_group))
    assert trial.exit.reason == "signalled"


def test_running_out_of_memory_in_python_is_an_exception(tmp_path: Path) -> None:
    body = "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); bytearray(2 * 10**9)"
    trial = tried(package(tmp_path, trained(body)))
    assert trial.exit.failure is not None
    assert (trial.exit.reason, trial.exit.failure.type) == ("raised", "MemoryError")


def test_killing_its_own_group_spares_the_guard(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("os.killpg(os.getpgrp(), signal.SIGKILL)")))
    assert (trial.exit.reason, trial.exit.signal) == ("signalled", signal.SIGKILL)


@linux
@pytest.mark.parametrize("helper", ["", "subprocess.Popen(['sleep', '1000'])", DAEMON.format(quiet="")])
def test_killing_the_guard_loses_the_run_and_leaves_nothing(tmp_path: Path, canary: str, helper: str) -> None:
    body = textwrap.dedent(helper) + "\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(1000)"
    trial = tried(package(tmp_path, trained(body)), env=environment(CANARY=canary))
    assert trial.exit.reason == "lost"
    assert until(lambda: not alive(canary), 2)
    assert trial.seconds < 5


@linux
@pytest.mark.parametrize("quiet", ["", QUIET])
def test_a_daemon_is_gone_at_the_end(tmp_path: Path, canary: str, quiet: str) -> None:
    trial = tried(package(tmp_path, trained(DAEMON.format(quiet=quiet))), env=environment(CANARY=canary))
    assert trial.exit.ok
    assert (tmp_path / "daemon").exists()
    assert alive(canary) == []
    assert trial.seconds < 5


def test_without_prctl_the_group_is_still_cleared(tmp_path: Path, canary: str) -> None:
    """As on other systems than Linux: `_ctypes` is hidden from the child."""
    (tmp_path / "hidden").mkdir()
    for name in ("_ctypes", "_json"):
        (tmp_path / "hidden" / f"{name}.py").write_text("raise ImportError\n")
    env = environment(CANARY=canary, PYTHONPATH=str(tmp_path / "hidden"))
    for ending, reason in (("pass", "finished"), ("os.kill(os.getppid(), 9); time.sleep(1000)", "lost")):
        body = f"if os.fork() == 0: time.sleep(1000)\nsubprocess.Popen(['sleep', '1000'])\n{ending}"
        trial = tried(package(tmp_path, trained(body)), env=env)
        assert trial.exit.reason == reason
        assert sys.platform != "linux" or until(lambda: not alive(canary), 2)
        assert trial.seconds < 5


@linux
def test_helpers_that_end_by_themselves_may_tidy_up(tmp_path: Path) -> None:
    body = """
        ours, theirs = os.pipe()
        if os.fork() == 0:
            os.close(theirs)
            os.read(ours, 1)
            mark('tidied')
            os._exit(0)
    """
    assert tried(package(tmp_path, trained(body))).exit.ok
    assert (tmp_path / "tidied").exists()


def test_a_forked_copy_reports_nothing(tmp_path: Path) -> None:
    for ending in ("pass", "sys.exit(0)", "raise ValueError('mine')"):
        body = f"print('before')\nif os.fork() == 0:\n    {ending}\nelse:\n    print(os.wait()[1] >> 8)"
        trial = tried(package(tmp_path, trained(body)))
        assert trial.exit.ok
        assert trial.phases == ["init", "train", "save"]
        assert trial.lines() == ["before", "1" if "raise" in ending else "0", "saved"]
        assert ("ValueError: mine" in trial.lines("err")) == ("raise" in ending)


DRIVER = """
import sys
from pathlib import Path
from pkgrun.worker.supervisor import Call, Job, run
env = {"PATH": "/usr/bin:/bin", "CANARY": sys.argv[2]}
run(Job(Path(sys.executable), Path(sys.argv[1]), env, (Call("train", ("x",)),)))
"""


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_everything_is_gone_when_the_supervisor_is_killed(tmp_path: Path, canary: str, number: int) -> None:
    body = DAEMON.format(quiet=QUIET) + "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    workdir = package(
        tmp_path,
        trained(body + "    subprocess.Popen(['sleep', '1000']); mark('ready')\n    time.sleep(1000)"),
    )
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(workdir), canary])
    assert until(lambda: (tmp_path / "ready").exists())
    assert len(alive(canary)) >= 4
    driver.send_signal(number)
    driver.wait()
    assert until(lambda: not alive(canary), 2)


@linux
def test_the_guard_sees_the_end_though_a_copy_holds_its_socket(tmp_path: Path, canary: str) -> None:
    workdir = package(tmp_path, trained("mark('ready'); time.sleep(1000)"))
    fork = "import os, threading, time\ndef go():\n    while not os.path.exists(sys.argv[1] + '/../ready'): time.sleep(.01)\n"
    fork += "    pid = os.fork()\n    if pid == 0: time.sleep(1000)\n    open(sys.argv[1] + '/../copy', 'w').write(str(pid))\n"
    source = DRIVER.replace(
        "env =", "import threading\nexec(sys.argv[3])\nthreading.Thread(target=go).start()\nenv ="
    )
    driver = subprocess.Popen([sys.executable, "-c", source, str(workdir), canary, fork])
    copy = tmp_path / "copy"
    assert until(lambda: copy.exists() and bool(copy.read_text()))
    driver.kill()
    driver.wait()
    gone = until(lambda: len(alive(canary)) <= 1, 2)
    os.kill(int(copy.read_text()), signal.SIGKILL)
    assert gone


# ---------------------------------------------------------------------- tampering


def test_closing_low_descriptors_cuts_nothing_of_ours(tmp_path: Path) -> None:
    for ending, reason in (("pass", "finished"), ("raise ValueError('told')", "raised")):
        source = f"""
            import os
            class Main:
                def train(self, folder): os.closerange(0, 10)
                def save(self): {ending}
        """
        trial = tried(package(tmp_path, source))
        assert trial.exit.reason == reason
        assert trial.phases == ["init", "train", "save"]
        assert trial.exit.failure is None or trial.exit.failure.message == "told"


def test_closing_every_descriptor_is_an_end_without_result(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("os.closerange(0, 5000); os._exit(0)")))
    assert trial.exit.reason == "exited"


def test_a_deleted_or_left_work_directory_is_survived(tmp_path: Path) -> None:
    body = "import shutil; shutil.rmtree(os.getcwd()); os.chdir('/')\nraise ValueError('here')"
    trial = tried(package(tmp_path, trained(body)))
    assert trial.exit.failure is not None
    assert trial.exit.failure.message == "here"
    assert "train.py" in trial.traceback


def test_messages_on_stdout_are_lines_of_the_log(tmp_path: Path) -> None:
    forged = '{"event":"result","scores":{"train":1}}'
    trial = tried(package(tmp_path, trained(f"print('{forged}'); os._exit(0)")))
    assert trial.exit.reason == "exited"
    assert trial.lines() == [forged]


def test_garbage_on_the_events_pipe_is_ignored_and_noticed(tmp_path: Path) -> None:
    body = """
        def shout(data):
            for number in range(150, 300):
                try:
                    view = memoryview(data)
                    while view: view = view[os.write(number, view):]
                except OSError: pass
        shout(b'garbage\\n{"event": "phase"}\\n[]\\n{"event":"phase","name":"forged"}\\n\\xff\\n' + b'[' * 100000 + b'\\n')
        shout(b'{"event":"exit","code":0,"signal":null,"cpu_seconds":0,"peak_memory_bytes":0}\\n')
        shout(b'x' * 3_000_000)
        shout(b'half a line')
    """
    trial = tried(package(tmp_path, trained(body)))
    assert trial.exit.ok
    assert trial.phases == ["init", "train", "save"]
    assert trial.notices == ["the package's code writes on pkgrun's own pipe"]


def test_control_characters_are_kept_for_the_display_to_escape(tmp_path: Path) -> None:
    trial = tried(
        package(
            tmp_path, trained("sys.stdout.buffer.write(b'\\x1b]0;t\\x07\\x00\\xff\\n'); sys.stdout.flush()")
        )
    )
    assert trial.lines()[0] == "\x1b]0;t\x07\x00\ufffd"


FLOOD = "block = b'x' * 99 + b'\\n'\nfor _ in range({}): os.write(1, block * 500)"


@pytest.mark.parametrize("megabytes", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flood_of_output_is_bounded(tmp_path: Path, megabytes: int) -> None:
    kept = 0
    lines: list[str] = []

    def watch(event: Event) -> None:
        nonlocal kept
        if isinstance(event, Log):
            kept += len(event.text) + 1
            lines[:] = [*lines[-1100:], event.text] if len(event.text) != 99 else lines

    trial = tried(package(tmp_path, trained(FLOOD.format(megabytes * 20))), watch=watch, log_limit=8_000_000)
    assert trial.exit.ok
    assert kept < 8_300_000
    assert any("bytes of the log were dropped here" in line for line in lines)
    assert trial.lines()[-1] == "saved"
    assert trial.seconds < megabytes / 15


def test_a_fork_bomb_of_limited_size_is_cleared(tmp_path: Path, canary: str) -> None:
    body = "for _ in range(7): os.fork()\ntime.sleep(1000)"
    trial = tried(package(tmp_path, trained(body)), env=environment(CANARY=canary), timeout=1.5, grace=0.2)
    assert trial.exit.reason == "timed-out"
    assert sys.platform != "linux" or alive(canary) == []
