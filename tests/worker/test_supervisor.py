"""A run from start to end: what is called, heard, reported and left behind when all behave."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pkgrun.errors import EnvironmentFailed
from pkgrun.observe import Event, Log, Phase
from pkgrun.worker.secrets import Masker
from pkgrun.worker.supervisor import Call, Job, Stop, run
from tests.worker.trial import Trial, environment, package, trained, tried, until

PLAIN = """
    class Main:
        def __init__(self): self.seen = []
        def process_data(self, folder): self.seen.append(folder)
        def train(self, folder): self.seen.append(folder)
        def evaluate(self, folder): print(self.seen, folder); return 0.25
        def save(self): open('model.txt', 'w').write('x')
"""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def test_the_calls_are_made_in_order_on_one_instance(tmp_path: Path) -> None:
    calls = (Call("process_data", ("a",)), Call("train", ("b",)), Call("save"), Call("evaluate", ("c",)))
    trial = tried(package(tmp_path, PLAIN), calls=calls)
    assert trial.exit.ok
    assert trial.exit.reason == "finished"
    assert (trial.exit.code, trial.exit.signal, trial.exit.failure) == (0, None, None)
    assert trial.phases == ["init", "process_data", "train", "save", "evaluate"]
    assert trial.exit.phase == "evaluate"
    assert trial.lines() == ["['a', 'b'] c"]
    assert trial.exit.scores == {"evaluate": 0.25}
    assert (tmp_path / "work" / "model.txt").exists()
    assert trial.notices == []


def test_usage_is_measured_over_the_whole_tree(tmp_path: Path) -> None:
    body = """
        subprocess.run([sys.executable, '-c', 'import time\\nx = bytearray(60_000_000)\\n'
                        'end = time.process_time() + .2\\nwhile time.process_time() < end: pass'], check=True)
    """
    usage = tried(package(tmp_path, trained(body))).exit.usage
    assert usage.peak_memory_bytes > 60_000_000
    assert 0.2 < usage.cpu_seconds < 5
    assert 0.2 < usage.wall_seconds < 60


def test_the_largest_sum_is_seen_while_it_lasts(tmp_path: Path) -> None:
    body = """
        code = 'import sys; x = bytearray(50_000_000); print(1, flush=True); sys.stdin.read()'
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        helpers = [subprocess.Popen([sys.executable, '-c', code], **pipes) for _ in range(3)]
        for helper in helpers: helper.stdout.readline()
        time.sleep(1.2)
        for helper in helpers: helper.communicate()
    """
    assert tried(package(tmp_path, trained(body))).exit.usage.peak_memory_bytes > 150_000_000


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("3", 3.0), ("0.5", 0.5), ("type('F', (), {'__float__': lambda s: 2.5})()", 2.5),
        ("None", None), ("True", None), ("'0.5'", None), ("float('nan')", None), ("float('inf')", None),
        ("10**400", None), ("[1]", None), ("type('F', (), {'__float__': lambda s: 1/0})()", None),
    ],
)  # fmt: skip
def test_a_score_is_a_finite_number(tmp_path: Path, value: str, kept: float | None) -> None:
    workdir = package(tmp_path, f"class Main:\n    def evaluate(self, folder): return {value}\n")
    trial = tried(workdir, calls=(Call("evaluate", ("x",)),))
    assert trial.exit.ok
    assert trial.exit.scores == ({} if kept is None else {"evaluate": kept})


def test_the_package_finds_what_a_script_would_find(tmp_path: Path) -> None:
    source = """
        import os, sys, __main__, protocol, json, token, calls, guard
        class Main:
            def train(self, folder):
                for value in (os.getcwd(), sys.path[0], sys.argv, sys.path.count(os.getcwd()), '' in sys.path,
                              protocol.NAME, json.NAME, token.NAME, calls.NAME, guard.NAME,
                              getattr(__main__, '__file__', None), [p for p in sys.path if 'pkgrun' in p],
                              sys.stdin.read(), os.environ.get('CANARY')):
                    print(value)
            def save(self): raise KeyError('with a token.py beside it')
    """
    names = ("protocol", "json", "token", "calls", "guard")
    workdir = package(tmp_path, source, **{name: f"NAME = 'my {name}'\n" for name in names})
    trial = tried(workdir, env=environment(CANARY="sings"))
    assert trial.lines() == [
        str(workdir), str(workdir), str([str(workdir / "train.py")]), "1", "False",
        *(f"my {name}" for name in names), "None", "[]", "", "sings",
    ]  # fmt: skip
    assert "KeyError: 'with a token.py beside it'" in trial.traceback
    assert "raise KeyError('with" in trial.traceback


def test_the_environment_is_given_exactly(tmp_path: Path) -> None:
    trial = tried(
        package(tmp_path, trained("print(sorted(os.environ))")), env={"ONLY": "this", "LC_CTYPE": "C.UTF-8"}
    )
    assert trial.lines()[0] == "['LC_CTYPE', 'ONLY']"


def test_pythonsafepath_of_the_user_does_no_harm(tmp_path: Path) -> None:
    trial = tried(
        package(tmp_path, trained("pass")), env=environment(PYTHONSAFEPATH="1", PYTHONDONTWRITEBYTECODE="1")
    )
    assert trial.exit.ok


def test_spawned_processes_find_the_package_and_not_our_main(tmp_path: Path) -> None:
    source = """
        import multiprocessing
        def double(x): return 2 * x
        class Main:
            def train(self, folder):
                with multiprocessing.get_context('spawn').Pool(2) as pool:
                    print(pool.map(double, [1, 2]))
            def save(self): pass
    """
    trial = tried(package(tmp_path, source))
    assert trial.lines() == ["[2, 4]"]
    assert trial.exit.ok


def test_threads_and_exit_handlers_end_before_the_run(tmp_path: Path) -> None:
    body = """
        import atexit
        atexit.register(print, 'handler')
        go = threading.Event()
        threading.Thread(target=lambda: (go.wait(), print('thread'))).start()
        threading.Timer(0.1, go.set).start()
    """
    trial = tried(package(tmp_path, trained(body)))
    assert trial.lines() == ["saved", "thread", "handler"]
    assert trial.exit.ok


def test_what_a_script_keeps_to_the_end_is_kept(tmp_path: Path) -> None:
    source = """
        import atexit
        class Main:
            def __init__(self): atexit.register(print, 'handler')
            def __del__(self): print('gone')
            def train(self, folder): pass
            def save(self): pass
    """
    assert tried(package(tmp_path, source)).lines() == ["handler", "gone"]


def test_a_crash_after_the_end_is_noticed_and_forgiven(tmp_path: Path) -> None:
    source = """
        import os
        class Main:
            def __del__(self, abort=os.abort): abort()
            def train(self, folder): pass
            def save(self): pass
    """
    trial = tried(package(tmp_path, source))
    assert trial.exit.ok
    assert trial.exit.signal == signal.SIGABRT
    assert trial.notices == ["the interpreter ended with signal 6, after all calls had returned"]


def test_a_crash_while_threads_still_work_is_none_to_forgive(tmp_path: Path) -> None:
    body = """
        def late():
            threading.main_thread().join()
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=late).start()
    """
    trial = tried(package(tmp_path, trained(body)))
    assert (trial.exit.reason, trial.exit.signal) == ("signalled", signal.SIGKILL)


def test_ignored_and_blocked_signals_are_not_inherited(tmp_path: Path) -> None:
    body = """
        print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        trial = tried(package(tmp_path, trained(body)))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    assert trial.lines()[:3] == ["True", "True", "set()"]


def test_a_deadline_ends_what_hangs(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("time.sleep(100)")), timeout=0.4)
    assert (trial.exit.reason, trial.exit.phase) == ("timed-out", "train")
    assert trial.exit.signal == signal.SIGTERM
    assert 0.4 < trial.seconds < 3


def test_whoever_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    body = """
        signal.signal(signal.SIGTERM, lambda *_: print('heard'))
        while True: time.sleep(100)
    """
    trial = tried(package(tmp_path, trained(body)), timeout=0.5, grace=0.3)
    assert (trial.exit.reason, trial.exit.signal) == ("timed-out", signal.SIGKILL)
    assert trial.lines() == ["heard"]
    assert trial.exit.usage.peak_memory_bytes > 0
    assert 0.8 < trial.seconds < 4


def test_a_stopped_process_hears_sigterm_too(tmp_path: Path) -> None:
    trial = tried(package(tmp_path, trained("os.kill(os.getpid(), signal.SIGSTOP)")), timeout=0.3, grace=30)
    assert (trial.exit.reason, trial.exit.signal) == ("timed-out", signal.SIGTERM)
    assert trial.seconds < 5


def stopped_at(workdir: Path, moment: str) -> tuple[Trial, float]:
    """Stops when the line `moment` comes; how long it took from there."""
    stop = Stop()
    at: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Log) and event.text == moment:
            at.append(time.monotonic())
            threading.Thread(target=stop.request).start()

    trial = tried(workdir, stop=stop, watch=watch)
    assert stop.reason == "killed"
    return trial, time.monotonic() - at[0]


def test_a_stop_takes_effect_at_once(tmp_path: Path) -> None:
    trial, took = stopped_at(package(tmp_path, trained("print('here'); time.sleep(100)")), "here")
    assert trial.exit.reason == "killed"
    assert took < 0.5


def test_a_stop_lets_the_package_tidy_up(tmp_path: Path) -> None:
    body = """
        signal.signal(signal.SIGTERM, lambda *_: (print('tidy'), sys.exit(3)))
        print('here')
        time.sleep(100)
    """
    trial, _ = stopped_at(package(tmp_path, trained(body)), "here")
    assert trial.lines() == ["here", "tidy"]
    assert trial.exit.reason == "killed"
    assert trial.exit.failure is not None


def test_a_stop_from_before_the_start_counts(tmp_path: Path) -> None:
    stop = Stop()
    stop.request("no longer wanted")
    stop.request("again")
    assert stop.reason == "no longer wanted"
    for _ in range(2):
        trial = tried(package(tmp_path, trained("time.sleep(100)")), stop=stop)
        assert (trial.exit.reason, trial.seconds < 5) == ("killed", True)


def test_a_stop_can_come_from_a_signal_handler(tmp_path: Path) -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda *_: stop.request("signal"))

    def watch(event: Event) -> None:
        if isinstance(event, Log):
            os.kill(os.getpid(), signal.SIGUSR1)

    try:
        trial = tried(package(tmp_path, trained("print('here'); time.sleep(100)")), stop=stop, watch=watch)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert trial.exit.reason == "killed"
    assert trial.seconds < 5


def test_secrets_are_masked_in_log_failure_and_notes(tmp_path: Path) -> None:
    body = """
        secret = os.environ['TOKEN']
        for part in secret: sys.stdout.write(part); sys.stdout.flush()
        print(); print(secret, file=sys.stderr)
        raise type('E' + secret, (Exception,), {})('it is ' + secret)
    """
    mask = Masker(["canary1234"])
    trial = tried(package(tmp_path, trained(body)), env=environment(TOKEN="canary1234"), mask=mask)
    assert trial.lines() == ["***"]
    assert trial.lines("err") == ["***"]
    assert trial.exit.failure is not None
    assert trial.exit.failure.message == "it is ***"
    assert "canary1234" not in repr(trial)


def test_an_observer_that_raises_ends_the_run_and_is_told(tmp_path: Path) -> None:
    def refusing(kind: type) -> Callable[[Event], None]:
        def watch(event: Event) -> None:
            if isinstance(event, kind) and getattr(event, "name", "train") == "train":
                raise LookupError("mine")

        return watch

    for watch in map(refusing, (Phase, Log)):
        before = descriptors()
        with pytest.raises(LookupError, match="mine"):
            tried(package(tmp_path, trained("print('x' * 1_000_000)")), watch=watch)
        assert descriptors() == before


def test_a_python_that_does_not_start_is_the_environments_fault(tmp_path: Path) -> None:
    workdir = package(tmp_path, trained("pass"))
    broken = tmp_path / "python"
    with pytest.raises(EnvironmentFailed, match="cannot be started: No such file"):
        tried(workdir, python=str(broken))
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    with pytest.raises(EnvironmentFailed, match="cannot be started: Permission denied"):
        tried(workdir, python=str(broken))
    broken.chmod(0o755)
    with pytest.raises(EnvironmentFailed, match=r"does not run pkgrun's worker \(exit code 3\)"):
        tried(workdir, python=str(broken))


def test_a_low_limit_of_descriptors_is_enough(tmp_path: Path) -> None:
    import resource

    launcher = tmp_path / "python"
    launcher.write_text(f'#!/bin/sh\nulimit -n 64\nexec {sys.executable} "$@"\n')
    launcher.chmod(0o755)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64
    assert tried(package(tmp_path, trained("pass")), python=str(launcher)).exit.ok


def test_runs_side_by_side_do_not_meet(tmp_path: Path) -> None:
    trials: dict[int, Trial] = {}

    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        trials[number] = tried(package(folder, trained(f"time.sleep({number % 3} / 10); print({number})")))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(
        trials[n].exit.ok and trials[n].lines()[0] == str(n) and trials[n].seconds < 10 for n in range(8)
    )


def test_nothing_of_ours_stays_open(tmp_path: Path) -> None:
    workdir = package(tmp_path, trained("pass"))
    tried(workdir)
    before, threads = descriptors(), threading.active_count()
    for _ in range(5):
        tried(workdir, stop=Stop())
    assert until(lambda: descriptors() == before)
    assert threading.active_count() == threads


def test_a_job_does_not_show_its_variables(tmp_path: Path) -> None:
    job = Job(Path(sys.executable), tmp_path, {"TOKEN": "canary1234"}, (), mask=Masker(["canary1234"]))
    assert "canary1234" not in repr(job)


def test_no_calls_at_all_still_build_the_class(tmp_path: Path) -> None:
    workdir = package(tmp_path, "class Main:\n    def __init__(self): print('built')\n")
    job = Job(Path(sys.executable), workdir, environment(), ())
    seen: list[Event] = []
    assert run(job, observer=seen.append).ok
    assert [event.text for event in seen if isinstance(event, Log)] == ["built"]
