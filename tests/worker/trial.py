"""One run of a package that a test writes down as text, and all that was seen of it."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkgrun.observe import Event, Log, Notice, Phase
from pkgrun.worker.supervisor import Call, Exit, Job, Stop, run

CALLS = (Call("train", ("./data",)), Call("save"))


@dataclass(frozen=True)
class Trial:
    exit: Exit
    events: tuple[Event, ...]
    seconds: float

    def lines(self, stream: str = "out") -> list[str]:
        return [event.text for event in self.events if isinstance(event, Log) and event.stream == stream]

    @property
    def phases(self) -> list[str]:
        return [event.name for event in self.events if isinstance(event, Phase)]

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Notice)]

    @property
    def traceback(self) -> str:
        assert self.exit.failure is not None
        return self.exit.failure.traceback


def package(folder: Path, source: str, **siblings: str) -> Path:
    """A package whose `train.py` is `source`; `siblings` are further modules."""
    workdir = folder / "work"
    workdir.mkdir(exist_ok=True)
    for name, text in {"train": source, **siblings}.items():
        (workdir / f"{name}.py").write_text(textwrap.dedent(text))
    return workdir


def trained(body: str) -> str:
    """A package whose `train` is `body`; `mark(name)` writes a file beside the package, to wait for."""
    code = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)
    return (
        "import os, signal, subprocess, sys, threading, time\n"
        "def mark(name, text='x'):\n"
        "    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)\n"
        "    with open(path + '.new', 'w') as file: file.write(str(text))\n"
        "    os.rename(path + '.new', path)\n"
        f"class Main:\n    def train(self, folder):\n{code}\n    def save(self):\n        print('saved')\n"
    )


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], **more}


def tried(
    workdir: Path,
    *,
    calls: tuple[Call, ...] = CALLS,
    python: str = sys.executable,
    env: dict[str, str] | None = None,
    stop: Stop | None = None,
    watch: Callable[[Event], None] | None = None,
    **options: Any,
) -> Trial:
    events: list[Event] = []

    def observer(event: Event) -> None:
        events.append(event)
        if watch is not None:
            watch(event)

    options.setdefault("timeout", 60)
    job = Job(
        python=Path(python),
        workdir=workdir,
        env=environment() if env is None else env,
        calls=calls,
        **options,
    )
    begin = time.monotonic()
    exit_ = run(job, observer=observer, stop=stop)
    return Trial(exit_, tuple(events), time.monotonic() - begin)


def until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it came to hold in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def alive(canary: str) -> list[int]:
    """The processes that carry `canary` in their command line or environment, other than this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                seen = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
                dead = (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            except OSError:
                continue
            if canary.encode() in seen and not dead:
                found.append(int(folder.name))
    return found
