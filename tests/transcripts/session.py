"""Sessions with the command line as text: read, carried out, written.

A session is a file of commands, each followed by what it is expected to write, and by its exit code unless that is 0::

    # Why this is of interest.
    $ pkgrun train p@9.9
    error: there is no p@9.9
    hint: `pkgrun package show p` shows its versions
    ? 6

Each command is bash's, in the folder of the session: fresh, with the examples copied in, its own store and cache.
`$RUN` is the run that was named last. Of a command with `--json` and no pipe standard output must be one JSON
document. What differs from time to time and from machine to machine is replaced: `<run>`, `<time>`, `<digest>` ….
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pkgrun import __version__

FOLDER = Path(__file__).resolve().parent
EXAMPLES = FOLDER.parents[1] / "examples"
SCRIPTS = Path(sys.executable).parent

RUN = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
PHASE = re.compile(r"^<time> [a-z_]+$")

_REPLACED: tuple[tuple[re.Pattern[str], str], ...] = (
    (RUN, "<run>"),
    (re.compile(r"\b01[0-9a-f]{6}-[0-9a-f]{4}\b"), "<run>"),
    (re.compile(r"sha256:[0-9a-f]{12,64}"), "<digest>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
    (re.compile(r"^[0-9a-f]{12}(?=  )", re.MULTILINE), "<digest>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d\b"), "<minute>"),
    (re.compile(r"(?<= on )\d{4}-\d\d-\d\d(?= by )"), "<day>"),
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b"), "<time>"),
    (re.compile(r"\bjust now\b|\b\d+ (min|h) ago\b"), "<time>"),
    (re.compile(r'("at"): ?[\d.]+'), r"\1: <time>"),
    (re.compile(r'("(?:start_at|end_at)"): [\d.]+'), r"\1: <time>"),
    (re.compile(r'("(?:execution_time|seconds|cpu_seconds)"): [\d.e-]+'), r"\1: <seconds>"),
    (re.compile(r'("peak_memory_bytes"): \d+'), r"\1: <bytes>"),
    (
        re.compile(r"[\d.]+ s of processor time, [\d.]+ \w+ of memory"),
        "<seconds> of processor time, <size> of memory",
    ),
    (re.compile(r" {2,}\d[\d.]* m?s  +━+"), "  <seconds>  ━"),
    (re.compile(r"(?<=  )\d[\d.]* m?s\b"), "<seconds>"),
    (re.compile(r"(?<= in )\d[\d.]* m?s$", re.MULTILINE), "<seconds>"),
    (re.compile(r"process \d+ on"), "process <pid> on"),
    # Of an audit: a record's digest, and how large logs are.
    (re.compile(r"(?<=[✓✗] )[0-9a-f]{12}$", re.MULTILINE), "<digest>"),
    (re.compile(r"(?<=[✓✗] )(\d+ files?), [\d.]+ k?B"), r"\1, <size>"),
    (re.compile(r"[\d.]+ k?B(?= read and hashed)"), "<size>"),
    (re.compile(r'("bytes"): \d+(?=,?\s+\}\s*,\s+"environment")'), r"\1: <bytes>"),
    # How the data is put there is the machine's choice, and by some ways it is hashed in a phase of its own.
    (re.compile(r"(?<=  by )(overlay|reflink|copy)(?=, )"), "<mount>"),
    (re.compile(r'("mount"): "(overlay|reflink|copy)"'), r'\1: "<mount>"'),
    (re.compile(r"^(<time> |<time> -- |  )attest\b.*\n", re.MULTILINE), ""),
    (re.compile(r'^\{"at": <time>,[^\n]*"attest"\}\n', re.MULTILINE), ""),
    (re.compile(r'\n *\{\n *"name": "attest",\n[^{}]*\},'), ""),
)


@dataclass(frozen=True)
class Step:
    """One line of a session: a comment (or a blank line), or a command with what it wrote and its exit code."""

    line: str
    output: tuple[str, ...] = ()
    code: int = 0

    @property
    def command(self) -> str | None:
        return self.line[2:] if self.line.startswith("$ ") else None

    def text(self) -> str:
        return "\n".join([self.line, *self.output, *([f"? {self.code}"] if self.code else [])]) + "\n"


def read(text: str) -> list[Step]:
    """The steps of a session."""
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith(("$ ", "# ")) or (not line and not _inside(steps)):
            steps.append(Step(line))
        elif line.startswith("? "):
            steps[-1] = Step(steps[-1].line, steps[-1].output, int(line[2:]))
        elif steps:
            steps[-1] = Step(steps[-1].line, (*steps[-1].output, line), steps[-1].code)
    return [_trimmed(step) for step in steps]


def _inside(steps: list[Step]) -> bool:
    """Whether a blank line belongs to a command's output; at its end it is taken away again."""
    return bool(steps) and steps[-1].command is not None


def _trimmed(step: Step) -> Step:
    output = list(step.output)
    while output and not output[-1]:
        output.pop()
    return Step(step.line, tuple(output), step.code)


def written(steps: list[Step]) -> str:
    """A session as text; a blank line stands before each comment."""
    parts: list[str] = []
    for step in steps:
        if step.line.startswith("# ") and parts and not parts[-1].startswith("# "):
            parts.append("\n")
        if step.line:
            parts.append(step.text())
    return "".join(parts)


class Session:
    """A folder in which commands are carried out one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "here"
        self._cache = folder / "cache"
        self._last_run = ""
        self._folder.mkdir()
        shutil.copytree(EXAMPLES, self._folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))

    def carry_out(self, steps: list[Step]) -> Iterator[Step]:
        """The same steps with what they really wrote."""
        for step in steps:
            yield self._step(step) if step.command is not None else step

    def _step(self, step: Step) -> Step:
        command = step.command or ""
        apart = "--json" in command and "|" not in command
        ended = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if apart else subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        out = ended.stdout.decode(errors="backslashreplace")
        if apart:
            _one_document(command, out)
            out = (ended.stderr or b"").decode(errors="backslashreplace") + out
        if found := RUN.findall(out):
            self._last_run = found[-1]
        lines = in_order(self.normal(out).splitlines())
        return _trimmed(Step(step.line, tuple(lines), ended.returncode))

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "HOME": str(self._folder.parent),
            "PKGRUN_CACHE": str(self._cache),
            "COLUMNS": "100",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "RUN": self._last_run,
        }

    def normal(self, text: str) -> str:
        """What a command wrote without what is different every time."""
        for place, name in ((self._folder, "<here>"), (self._cache, "<cache>")):
            text = text.replace(os.path.realpath(place), name).replace(str(place), name)
        for pattern, name in _REPLACED:
            text = pattern.sub(name, text)
        for value, name in self._machine():
            text = re.sub(rf"(?<![\w<]){re.escape(value)}(?![\w>])", name, text)
        # Columns are as wide as what stands in them.
        return "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line).rstrip() for line in text.split("\n"))

    @staticmethod
    def _machine() -> Iterator[tuple[str, str]]:
        yield f"by {getpass.getuser()} on {os.uname().nodename}", "by <user> on <host>"
        yield f"by {getpass.getuser()}", "by <user>"
        yield f'"user": "{getpass.getuser()}"', '"user": "<user>"'
        yield f'"host": "{os.uname().nodename}"', '"host": "<host>"'
        yield f"> on {os.uname().nodename}", "> on <host>"
        yield f"{platform.system().lower()}-{platform.machine()}", "<platform>"
        yield platform.python_version(), "<python>"
        yield __version__, "<pkgrun>"


def _one_document(command: str, out: str) -> None:
    try:
        json.loads(out)
    except ValueError as error:
        raise AssertionError(f"{command}\nwrote no single JSON document ({error}):\n{out}") from error


def in_order(lines: list[str]) -> list[str]:
    """Lines that several threads write, in one order: the run's id, the phases, then what the package said.

    Which of them a reader sees first is nobody's promise; within each kind the order is kept.
    """
    ordered: list[str] = []
    block: list[str] = []
    for line in lines:
        if PHASE.match(line) or (block and line.startswith("  ") and "<time> commit" not in block):
            block.append(line)
        elif block and line == "run <run>":
            block.insert(0, line)
        else:
            ordered += _sorted(block)
            block = []
            ordered.append(line)
    return ordered + _sorted(block)


def _sorted(block: list[str]) -> list[str]:
    def rank(line: str) -> int:
        is_log = line.startswith("  ")
        later = line in {"<time> collect", "<time> compare", "<time> commit"}
        return 2 if later else 1 if is_log else 0

    key: Callable[[str], int] = rank
    return sorted(block, key=key)
