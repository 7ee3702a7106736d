"""Row 12: escapes and markup in everything that others write: inert on every page and in the live picture, exact in JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.scene import SCRIPT, Scene

pytestmark = pytest.mark.row(12)

NASTY = (
    "<script>alert(1)</script> [red]markup[/red] :key: dict:warning:\x1b[31mred \x1b]8;;http://x\x07link\x1b]8;;\x07 "
    "\x1b]52;c;cHduZWQ=\x07 \x07 over\rwritten \x9b31m \x85 \u202egnp.exe \u2066x\u2069 \u061c \x1bP1$r\x1b\\ \x7f\b"
)
LIVE = re.compile(r"\x1b\[[0-9;?]*[mKhlAHGJF]|\x1b\]8;;\x1b\\")
"""What rich itself writes: colours, moving up, clearing lines, showing the cursor."""

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069]|\x1b[^\\[]|\x1b$"
)


def on_a_terminal(words: list[str], folder: Path) -> str:
    """What a command draws on a terminal of its own."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "50"}
    process = subprocess.Popen(
        [SCRIPT, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=folder
    )
    os.close(theirs)
    data = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        data += part
    os.close(ours)
    process.wait(30)
    return data.decode(errors="replace")


def inert(text: str) -> None:
    """Nothing in it but text and what the drawing itself needs."""
    rest = LIVE.sub("", text)
    found = FORBIDDEN.search(rest)
    assert found is None, rest[max(0, found.start() - 60) : found.end() + 20].encode()
    assert "\x1b" not in rest
    for part in ("31mred", "pwned"):
        assert f"\x1b[{part}" not in text


def nasty(scene: Scene, *, fails: bool = False) -> str:
    """A run in which everything that can be written is nasty; its id."""
    body = f"""
        N = {NASTY!r}
        print(N); print(N, file=sys.stderr); sys.stdout.flush()
        import json; json.dump({{N: 1.5, 'a:key:b': 2}}, open('artifacts/metrics.json', 'w'))
        name = N.replace('/', '|')[:200]
        mark('artifacts/' + name); mark(name)
        time.sleep(0.3)
        {"raise ValueError(N)" if fails else "pass"}
    """
    package = scene.package(body)
    (package / "a\x1b[31mb").write_text("x")
    for words in (["init", "-q", "-b", "b"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=package, check=True)
    subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"], cwd=package, check=True
    )
    subprocess.run(["git", "branch", "-m", "b\u202e<script>"], cwd=package, check=True)
    data = scene.root / "d\x1b[31m\u202e"
    data.mkdir()
    scene.workspace.add(package, description=NASTY, tags={NASTY: NASTY})
    return scene.train(data=data, env={"P": NASTY}, description=NASTY, tags={NASTY: NASTY}).record.run


@pytest.mark.parametrize("fails", [False, True])
def test_row_12_every_page_shows_it_inert(scene: Scene, *, fails: bool) -> None:
    run = nasty(scene, fails=fails)
    version = "pack@1.0" if fails else "pack@1.1"
    for words in (
        ["run", "show", run], ["run", "list"], ["run", "logs", run], ["run", "logs", "-v", run], ["run", "artifacts", run],
        ["package", "list"], ["package", "show", "pack"], ["package", "show", version], ["package", "files", version],
        ["package", "check", str(scene.root / "pack")], ["run", "logs", "-f", run],
    ):  # fmt: skip
        if words[1] in ("show", "list"):
            inert(on_a_terminal(["--store", str(scene.store), *words], scene.root))
        plain = scene.call(*words)
        assert plain.code == 0, plain
        assert "\x1b" not in plain.out + plain.err
        inert(plain.out + plain.err)
    logs = scene.call("run", "logs", run).out
    assert "<script>alert(1)</script> [red]markup[/red] :key: dict:warning:" not in logs  # before the \r
    assert "written \\x9b31m" in logs or "\\u202egnp.exe" in logs
    page = scene.call("run", "show", run).out
    assert "[red]markup[/red] :key: dict:warning:\\x1b[31mred" in page


@pytest.mark.parametrize("words", [[], ["-v"], ["-q"], ["--no-progress"]])
@pytest.mark.parametrize("fails", [False, True])
def test_row_12_the_live_display_shows_it_inert(scene: Scene, words: list[str], *, fails: bool) -> None:
    nasty(scene, fails=fails)
    line = [
        "--store",
        str(scene.store),
        "train",
        "pack@1.0",
        "--environment",
        "current",
        "--env",
        f"P={NASTY}",
        *words,
    ]
    inert(on_a_terminal(line, scene.root))


def test_row_12_json_keeps_it_exactly(scene: Scene) -> None:
    run = nasty(scene)
    document = scene.call("run", "show", run, "--json").document
    request = document["record"]["request"]
    assert request["parameters"]["P"] == NASTY
    assert request["tags"] == {NASTY: NASTY}
    assert request["description"] == NASTY
    assert document["metrics"] == {NASTY: 1.5, "a:key:b": 2.0}
    logs = [json.loads(line) for line in scene.call("run", "logs", run, "--json").out.split("\n") if line]
    # A carriage return starts the line anew, so what stood before it is gone.
    assert NASTY.rpartition("\r")[2] in [event.get("text") for event in logs]


def test_row_12_errors_show_it_inert(scene: Scene) -> None:
    scene.added()
    for words in (
        ["train", NASTY], ["train", "pack", "--env", NASTY], ["train", "pack", "--data", NASTY], ["run", "show", NASTY],
        ["package", "add", NASTY], ["package", "show", NASTY], ["--store", f"/nosuch/{NASTY}", "run", "list"],
        ["train", "pack", f"--{NASTY}"], [NASTY], ["train", "pack", "--environment", NASTY],
    ):  # fmt: skip
        said = scene.call(*words)
        assert said.code in (2, 6), said
        assert "Traceback" not in said.err
        inert(said.out + said.err)
    inert(on_a_terminal(["--store", str(scene.store), "train", "pack", "--data", NASTY], scene.root))


def test_row_12_a_store_that_was_tampered_with_draws_nothing_either(scene: Scene) -> None:
    run = nasty(scene)
    file = scene.store / "runs" / run / "run.json"
    record = json.loads(file.read_bytes())
    record["facts"]["environment"] |= {"python": NASTY, "platform": NASTY}
    record["facts"]["exit"] = {"reason": NASTY, "code": 1}
    record["facts"]["phases"][0]["name"] = NASTY
    record["facts"]["warnings"] = [NASTY]
    record["request"]["secrets"] = [NASTY]
    record["by"] |= {"user": NASTY, "host": NASTY}
    record["error"] = {"kind": NASTY, "message": NASTY, "hint": NASTY, "phase": NASTY, "traceback": NASTY}
    file.write_text(json.dumps(record))
    inert(on_a_terminal(["--store", str(scene.store), "run", "show", run], scene.root))
    inert(scene.call("run", "show", run).out)
    assert sys.stdout is not None


def test_row_12_datasets_are_shown_inert(scene: Scene) -> None:
    folder = scene.root / "d\x1b[31m\u202e"
    folder.mkdir()
    (folder / NASTY.replace("/", "|")[:200]).write_text("x")
    scene.workspace.datasets.add("rows", folder, description=NASTY, tags={NASTY: NASTY})
    (folder / "more\x1b]0;pwned\x07").write_text("x")
    scene.workspace.datasets.add("rows", folder, description=NASTY)
    out = str(scene.root / "home" / "out\x1b[31m")
    for words in (
        ["dataset", "list"], ["dataset", "show", "rows"], ["dataset", "show", "rows@1"], ["dataset", "files", "rows@2"],
        ["dataset", "diff", "rows@1", "rows@2"], ["dataset", "add", "rows", str(folder)], ["run", "list", "--all"],
        ["dataset", "export", "rows", out], ["store", "copy", str(scene.store), str(scene.root / "copy\x1b[31m")],
    ):  # fmt: skip
        inert(on_a_terminal(["--store", str(scene.store), *words], scene.root))
        if words[1] != "export":
            plain = scene.call(*words)
            assert plain.code == 0, plain
            inert(plain.out + plain.err)


def test_row_12_a_log_is_shown_as_text_whatever_is_in_it(scene: Scene) -> None:
    """Every byte there is, every C1 control, and what terminals answer to."""
    scene.added(
        "for n in range(256): os.write(1, b'byte ' + bytes([n]) + b' end\\n')\n"
        "for n in range(0x80, 0xa0): print('c1 ' + chr(n) + ' end')\n"
        "for text in ('\\x1b[c', '\\x1b[6n', '\\x1bZ', '\\x1b]11;?\\x07', '\\x1b[21t', '\\x1bP+q544e\\x1b\\\\', '\\x05'): print(text)"
    )
    run = scene.train().record.run
    for words in (["run", "logs", run], ["run", "show", run], ["run", "logs", "-v", run]):
        inert(on_a_terminal(["--store", str(scene.store), *words], scene.root))
        plain = scene.call(*words)
        inert(plain.out + plain.err)
