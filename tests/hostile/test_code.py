"""Row 6 through `train`: whatever the package's code does, the record says it, nothing is left, the next run works."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.scene import Ended, Scene
from tests.worker.trial import alive, until

pytestmark = pytest.mark.row(6)

CASES: dict[str, tuple[str, str, int, str]] = {
    "raises": ("raise ValueError('mine')", "failed", 1, "raised ValueError: mine"),
    "raises in save": ("pass", "failed", 1, "save() raised"),
    "sys.exit(0)": ("sys.exit(0)", "failed", 1, "sys.exit(0)"),
    "os._exit(0)": ("os._exit(0)", "failed", 1, "exit code 0"),
    "os._exit(0) in save": ("pass", "failed", 1, "exit code 0"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "failed", 1, "SIGSEGV"),
    "kills itself": ("os.kill(os.getpid(), signal.SIGKILL)", "failed", 1, "SIGKILL"),
    "kills its group": ("os.killpg(0, signal.SIGKILL)", "failed", 1, "SIGKILL"),
    "kills its guard": ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(100)", "failed", 1, "watches over it"),
    "hangs": ("time.sleep(1000)", "timed-out", 5, "did not end within"),
    "ignores SIGTERM": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)", "timed-out", 5, "did not end",
    ),
    "closes descriptors, then raises": ("os.closerange(0, 10); raise ValueError('told')", "failed", 1, "told"),
    "deletes its folder": ("import shutil; shutil.rmtree(os.getcwd())", "failed", 1, ""),
    "deletes all around": ("import shutil; shutil.rmtree(os.path.dirname(os.getcwd()))", "failed", 1, ""),
    "deletes all around, then raises": (
        "import shutil; shutil.rmtree(os.path.dirname(os.getcwd())); raise ValueError('mine')", "failed", 1, "mine",
    ),
    "leaves a pipe, then raises": ("os.mkfifo('artifacts/p'); raise ValueError('mine')", "failed", 1, "mine"),
    "leaves a link out, then raises": ("os.symlink('/', 'artifacts/l'); raise ValueError('mine')", "failed", 1, "mine"),
    "leaves a pipe": ("os.mkfifo('p')", "failed", 1, "a named pipe"),
    "shuts a folder": ("os.makedirs('a/b'); os.chmod('a', 0); raise ValueError('mine')", "failed", 1, "mine"),
    "digs": ("for _ in range(1500):\n    os.mkdir('d'); os.chdir('d')\nraise ValueError('mine')", "failed", 1, "mine"),
    "forges messages": ("print('{\"event\":\"result\",\"scores\":{}}'); os._exit(0)", "failed", 1, "exit code 0"),
    "an endless name": ("raise type('E' * 100_000, (Exception,), {})('x' * 5_000_000)", "failed", 1, "raised"),
    "a message of controls": ("raise ValueError('\\1' * 5_000_000)", "failed", 1, "raised"),
    "a surrogate": ("raise ValueError('\\ud800')", "failed", 1, "ValueError"),
    "warns as an error": ("import warnings; warnings.simplefilter('error'); warnings.warn('w')", "failed", 1, "w"),
    "an interrupt": ("raise KeyboardInterrupt", "failed", 1, "KeyboardInterrupt"),
    "no memory error": ("raise MemoryError", "failed", 1, "MemoryError"),
}  # fmt: skip
SAVES = {"raises in save": "raise OSError(28, 'full')", "os._exit(0) in save": "os._exit(0)"}


def _ended(scene: Scene, case: str, **more: Any) -> Ended:
    body = CASES[case][0]
    scene.added(f"print('before', flush=True)\nmark('artifacts/kept')\n{body}", save=SAVES.get(case, "pass"))
    return scene.train(**more)


@pytest.mark.parametrize("case", CASES)
def test_row_6_the_record_says_it_and_the_next_run_works(scene: Scene, case: str) -> None:
    _, status, code, said = CASES[case]
    sign = f"sign-{uuid.uuid4().hex}"
    timeout = 1.0 if status == "timed-out" else 60
    if case == "ignores SIGTERM":
        pytest.skip("the grace of ten seconds is tested below, as slow")
    ended = _ended(scene, case, env={"SIGN": sign}, timeout=timeout)
    record, error = ended.record, ended.error
    assert error is not None
    assert (record.status, error.exit_code) == (status, code), error
    assert said in error.message
    assert record.version is None
    assert record.facts is not None
    assert [str(one.version) for one in scene.workspace.versions("pack")] == ["1.0"]
    if "deletes" not in case:
        assert "before" in scene.lines(record.run)
        if "leaves a" not in case or case == "leaves a pipe":
            assert [path for path, _ in scene.workspace.run(record.run).artifacts()] == ["kept"]
    if "mine" in said:
        assert record.error is not None
        assert "mine" in (record.error.traceback or "")
        assert str(scene.cache) not in (record.error.traceback or "")
    assert until(lambda: not alive(sign))
    scene.goes_on()


@pytest.mark.slow
def test_row_6_who_ignores_sigterm_is_killed_after_the_grace(scene: Scene) -> None:
    ended = _ended(scene, "ignores SIGTERM", timeout=1.0)
    assert ended.record.status == "timed-out"
    scene.goes_on()


FINE = {
    "prints without end": "block = b'x' * 99 + b'\\n'\nfor _ in range(400): os.write(1, block * 1000)",
    "prints a gigabyte": "block = b'x' * 99 + b'\\n'\nfor _ in range(10_000): os.write(1, block * 1000)",
    "prints one long line": "os.write(1, b'x' * 20_000_000)",
    "prints controls": "os.write(1, b'\\x1b]0;t\\x07\\0\\xff\\r\\n'); os.write(2, b'\\x1b[2J')",
    "prints messages": "print('{\"event\":\"failure\"}')",
    "changes directory": "os.chdir('/')",
    "closes its output": "os.close(1); os.close(2)",
    "leaves a daemon": "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(1000)\n    os._exit(0)\nos.wait()",
    "leaves a thread": "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()",
    "leaves a child": "subprocess.Popen(['sleep', '1000'])",
    "removes its artifacts folder": "os.rmdir('artifacts')",
    "a file for an artifacts folder": "os.rmdir('artifacts'); mark('artifacts')",
    "a pipe for an artifacts folder": "os.rmdir('artifacts'); os.mkfifo('artifacts')",
    "a link for an artifacts folder": "os.rmdir('artifacts'); os.symlink('/etc', 'artifacts')",
    "a pipe for its data folder": "os.rmdir('data'); os.mkfifo('data')",
    "metrics that are no numbers": "open('artifacts/metrics.json', 'w').write('{\"a\": NaN, \"b\": 1e999, \"c\": \"x\", \"d\": ' + '9' * 5000 + '}')",
    "metrics that are deep": "open('artifacts/metrics.json', 'w').write('{\"a\":' * 100_000)",
    "metrics that are a pipe": "os.mkfifo('metrics'); os.rename('metrics', '../metrics'); os.symlink('train.py', 'artifacts/metrics.json')",
    "metrics of many long names": "import json; json.dump({chr(1) * 170 + str(n): n for n in range(999)}, open('artifacts/metrics.json', 'w'))",
    "files with names of controls": "for n in range(2000): mark(chr(1) * 240 + str(n))",
    "umask 0": "os.umask(0); mark('open')",
    "umask 777": "os.umask(0o777); mark('shut')",
}  # fmt: skip


LONG = {"prints a gigabyte"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] if case in LONG else []) for case in FINE]
)
def test_row_6_odd_but_no_failure(scene: Scene, case: str) -> None:
    sign = f"sign-{uuid.uuid4().hex}"
    scene.added(f"{FINE[case]}\nhome = os.path.dirname(os.path.abspath(__file__))", save="pass")
    ended = scene.train(env={"SIGN": sign})
    assert ended.error is None, ended.error
    assert str(ended.record.version) == "1.1"
    assert until(lambda: not alive(sign))
    assert "passwd" not in dict(scene.workspace.run(ended.record.run).artifacts())
    assert scene.call("run", "show", ended.record.run).code == 0
    scene.goes_on()


def test_row_6_the_console_script_says_whose_fault_it_was(scene: Scene) -> None:
    scene.added("raise ValueError('mine')")
    said = scene.call("train", "pack", "--environment", "current", "--json")
    assert said.code == 1
    assert said.document["status"] == "failed"
    assert said.document["version"] is None
    assert "ValueError: mine" in said.err
    assert "hint: " in said.err


def test_row_6_the_journal_beside_the_work_directory_is_not_trusted(scene: Scene) -> None:
    for number, body in enumerate((
        "os.unlink('../.events.jsonl'); os.mkfifo('../.events.jsonl'); time.sleep(1.5)",
        "os.unlink('../.events.jsonl'); os.symlink('/etc/passwd', '../.events.jsonl')",
        "os.unlink('../.events.jsonl'); time.sleep(1.5)",
    )):  # fmt: skip
        name = scene.added(f"print('before', flush=True)\n{body}", name=f"pack{number}")
        ended = scene.train(name)
        assert ended.error is None, ended.error
        assert scene.lines(ended.record.run) == ["before"]
    assert scene.left() == []


def test_row_6_a_file_made_a_link_to_the_outside_is_refused(scene: Scene) -> None:
    secret = Path(scene.root, "home", "other")
    secret.write_text("of somebody else")
    scene.added(f"os.symlink({os.fspath(secret)!r}, 'model.bin')")
    ended = scene.train()
    assert ended.error is not None
    assert "model.bin: a symbolic link that leads out" in ended.error.message
    assert secret.read_text() == "of somebody else"
    scene.goes_on()
