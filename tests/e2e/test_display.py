"""What a person sees while a run goes on: on a terminal, in a log file, in the shell's completion."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pkgrun.cli.display import Lines
from pkgrun.observe import Log, Phase

from .lab import SCRIPT, Lab, until

PATIENT = """
import os, time

class Main:
    def train(self, training_directory):
        print("a line of the log")
        print("\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07 and a bell")
        while not os.path.exists(os.environ["go"]):
            time.sleep(0.01)

    def save(self):
        open("model.txt", "w").close()
"""

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m")


@dataclass
class Terminal:
    """A process on a pseudo terminal, and all that it has written there."""

    process: subprocess.Popen[bytes]
    master: int
    seen: str = ""
    _rest: bytes = field(default=b"", repr=False)

    def read_until(self, holds: Callable[[str], bool], seconds: float = 30) -> None:
        """Read until it holds of what was written."""
        end = time.monotonic() + seconds
        while not holds(self.seen):
            assert time.monotonic() < end, f"not seen within {seconds} s in {self.seen!r}"
            if not self._read():
                assert holds(self.seen), self.seen
                return

    def read_all(self) -> str:
        """Read to the end; the process has ended then."""
        while self._read():
            pass
        self.process.wait(30)
        return self.seen

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def _read(self) -> bool:
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other side is closed
            return False
        self._rest += data
        text = self._rest.decode(errors="ignore")
        self._rest = self._rest[len(text.encode()) :]
        self.seen += text
        return bool(data)


@contextmanager
def terminal(lab: Lab, *arguments: str, width: int = 100, **env: str) -> Iterator[Terminal]:
    """The console script with a terminal for all of its streams."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    variables = {"TERM": "xterm-256color", **env}
    process = subprocess.Popen(
        [SCRIPT, *arguments],
        cwd=lab.folder,
        env=lab.variables(**variables),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def final_screen(text: str) -> list[str]:
    """The lines that are left when everything that was drawn has been erased again; no more than is needed here."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\r\n]|[^\x1b\r\n]+", text):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif part.startswith("\x1b["):
            count = int(re.sub(r"\D", "", part) or 1)
            if part.endswith("A"):
                row = max(0, row - count)
            elif part.endswith("K"):
                lines[row] = "" if part == "\x1b[2K" else lines[row][:column]
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def prepared(lab: Lab) -> list[str]:
    lab.workspace().add(lab.package("p", PATIENT))
    return ["train", "p", "-e", f"go={lab.mark('go')}", "--environment", "current"]


def test_a_terminal_shows_a_live_picture_and_is_left_clean(lab: Lab) -> None:
    with terminal(lab, *prepared(lab)) as screen:
        screen.read_until(lambda seen: "a line of the log" in seen and "train" in seen)
        lab.mark("go").touch()
        seen = screen.read_all()

    assert screen.process.returncode == 0
    assert HIDE in seen
    assert seen.rindex(SHOW) > seen.rindex(HIDE)
    assert COLOUR.search(seen)
    left = "\n".join(final_screen(seen))
    assert "p 1.1" in left
    assert "trained from 1.0" in left
    assert "│" not in left
    assert "✓" not in left


def test_what_the_package_prints_cannot_command_the_terminal(lab: Lab) -> None:
    with terminal(lab, *prepared(lab)) as screen:
        screen.read_until(lambda seen: "and a bell" in seen)
        lab.mark("go").touch()
        seen = screen.read_all()

    assert "\x1b]0;" not in seen
    assert "\x1b[31mred" not in seen
    assert "\\x1b[31mred" in seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_the_terminal_clean(lab: Lab, number: signal.Signals) -> None:
    with terminal(lab, *prepared(lab)) as screen:
        screen.read_until(lambda seen: "a line of the log" in seen)
        screen.process.send_signal(number)
        seen = screen.read_all()

    assert screen.process.returncode == 128 + number
    assert seen.rindex(SHOW) > seen.rindex(HIDE)
    assert "Traceback" not in seen


def test_without_colours_nothing_is_coloured(lab: Lab) -> None:
    with terminal(lab, *prepared(lab), NO_COLOR="1") as screen:
        screen.read_until(lambda seen: "a line of the log" in seen)
        lab.mark("go").touch()
        seen = screen.read_all()

    assert not COLOUR.search(seen)
    assert "p 1.1" in seen


@pytest.mark.parametrize("command", [("run", "list"), ("package", "list"), ("package", "show", "p")])
def test_pages_are_coloured_on_a_terminal_only_if_wanted(lab: Lab, command: tuple[str, ...]) -> None:
    lab.mark("go").touch()
    lab.pkgrun(*prepared(lab), "-q")
    with terminal(lab, *command) as screen:
        assert "\x1b[" in screen.read_all()
    with terminal(lab, *command, NO_COLOR="1") as screen:
        assert not COLOUR.search(screen.read_all())
    assert "\x1b" not in lab.pkgrun(*command).out


def test_a_dumb_terminal_gets_lines(lab: Lab) -> None:
    with terminal(lab, *prepared(lab), TERM="dumb") as screen:
        screen.read_until(lambda seen: "a line of the log" in seen)
        lab.mark("go").touch()
        seen = screen.read_all()

    assert "\x1b" not in seen
    assert re.search(r"^\d\d:\d\d:\d\d train\r$", seen, re.MULTILINE)


@pytest.mark.parametrize("option", ["--no-progress", "--quiet", "--json"])
def test_options_decide_over_the_live_picture(lab: Lab, option: str) -> None:
    with terminal(lab, *prepared(lab), option) as screen:
        lab.mark("go").touch()
        seen = screen.read_all()

    assert screen.process.returncode == 0
    if option != "--json":
        assert HIDE not in seen


def test_a_narrow_terminal(lab: Lab) -> None:
    with terminal(lab, *prepared(lab), width=20) as screen:
        screen.read_until(lambda seen: "train" in seen)
        lab.mark("go").touch()
        seen = screen.read_all()

    assert screen.process.returncode == 0
    assert "Traceback" not in seen


def test_elsewhere_there_are_plain_lines(lab: Lab) -> None:
    lab.mark("go").touch()
    ended = lab.pkgrun(*prepared(lab))

    assert "\x1b" not in ended.out + ended.err
    phases = re.findall(r"^\d\d:\d\d:\d\d (\w+)$", ended.err, re.MULTILINE)
    assert phases == ["stage", "environment", "mount", "start", "init", "train", "save", "collect", "commit"]
    assert re.search(r"^run [0-9a-f-]{36}$", ended.err, re.MULTILINE)
    assert "  a line of the log\n" in ended.err
    assert ended.out.startswith("p 1.1")


def test_a_sign_of_life_where_there_is_none_for_long(capfd: pytest.CaptureFixture[str]) -> None:
    seen = ""

    def alive() -> bool:
        nonlocal seen
        seen += capfd.readouterr().err
        return seen.count("still in train") >= 2

    with Lines(sign_of_life=0.05) as lines:
        lines(Phase("train", time.time()))
        lines(Log("out", "learning", time.time()))
        until(alive, 10, "signs of life")
    assert re.search(r"^… still in train, \d+ ms so far$", seen, re.MULTILINE)
    assert seen.index("learning") < seen.index("still in train")


def test_a_closed_standard_output_is_no_error(lab: Lab) -> None:
    lab.mark("go").touch()
    lab.pkgrun(*prepared(lab), "-q")
    script = f"{SCRIPT} run list | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=lab.folder,
        env=lab.variables(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_valid(lab: Lab, shell: str) -> None:
    script = lab.pkgrun("completion", shell).out

    assert "_PKGRUN_COMPLETE" in script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here to read it")
    command = [shell, "--no-execute" if shell == "fish" else "-n"]
    subprocess.run(command, input=script, text=True, check=True, capture_output=True)


def completed(lab: Lab, line: str) -> list[str]:
    """What bash offers at the end of a line, asked through the script."""
    script = lab.folder / "completion.bash"
    script.write_text(lab.pkgrun("completion", "bash").out)
    words = " ".join(f"'{word}'" for word in line.split(" "))
    ask = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD={len(line.split(' ')) - 1}; "
        'export COMP_WORDS COMP_CWORD; _pkgrun_completion pkgrun; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = lab.variables(PATH=f"{SCRIPT.parent}:{os.environ['PATH']}")
    ended = subprocess.run(
        ["bash", "-c", ask], cwd=lab.folder, env=env, capture_output=True, text=True, check=True
    )
    assert not ended.stderr, ended.stderr
    return ended.stdout.split()


def test_bash_completes_what_the_store_knows(lab: Lab) -> None:
    lab.mark("go").touch()
    lab.workspace().add(lab.package("plum"))
    lab.pkgrun(*prepared(lab), "-q")
    run = lab.document("run", "list")["runs"][0]["run_id"]

    assert completed(lab, "pkgrun tr") == ["train"]
    assert completed(lab, "pkgrun train p") == ["p", "plum"]
    assert completed(lab, "pkgrun train pl") == ["plum"]
    assert completed(lab, "pkgrun package show p@") == ["p@1.0", "p@1.1"]
    assert completed(lab, "pkgrun run show ") == [run]
    assert completed(lab, "pkgrun package sh") == ["show"]
    assert "--data" in completed(lab, "pkgrun train --da")
    elsewhere = lab.folder / "elsewhere"
    assert completed(lab, f"pkgrun --store {elsewhere} train p") == []
    assert not Path(elsewhere).exists()
