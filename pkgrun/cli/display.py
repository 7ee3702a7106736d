"""What a person sees while a run goes on, on standard error: a live picture on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from pkgrun.cli import text
from pkgrun.cli.pace import Rate, amount, quantity
from pkgrun.cli.pages import ROOMY
from pkgrun.observe import Event, Log, Notice, Phase, Progress

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.live import Live

    from pkgrun.cli.options import Settings

SIGN_OF_LIFE = 30.0
"""Seconds without a line after which one says that the run goes on."""

_TAIL = 8


class Display(Protocol):
    """An observer that shows what it is told, between its two ends."""

    def __call__(self, event: Event) -> None: ...

    def run(self, run: str) -> None:
        """The run has this id."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def of(settings: Settings, *, doing: str = "preparing", log_first: bool = False) -> Display:
    """The display that fits: none if quiet, a live one on a terminal, else lines.

    Args:
        doing: what goes on before the first phase, and where there are no phases.
        log_first: what the package's code prints stays to be read, and phases are told only if verbose.
    """
    if settings.quiet:
        return Silent()
    if settings.progress and sys.stderr.isatty() and text.interactive():
        return Picture(verbose=settings.verbose or log_first, doing=doing)
    return Lines(doing, phases=settings.verbose or not log_first)


class Silent:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        pass

    def run(self, run: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *end: object) -> None:
        pass


class Lines(Silent):
    """One line an event, and a sign of life where there is none for long."""

    def __init__(
        self, doing: str = "preparing", *, phases: bool = True, sign_of_life: float = SIGN_OF_LIFE
    ) -> None:
        self._patience = sign_of_life
        self._tells_phases = phases
        self._lock = threading.Lock()
        self._last = self._began = time.monotonic()
        self._phase, self._work, self._end = doing, "", threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *end: object) -> None:
        self._end.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        match event:
            case Phase(name, at):
                self._phase, self._work = name, ""
                if self._tells_phases:
                    self._print(f"{time.strftime('%H:%M:%S', time.localtime(at))} {name}")
            case Progress():
                self._work = f": {amount(event)}"
            case Log(_, line, _):
                self._print(("  " if self._tells_phases else "") + text.line(line))
            case Notice(message, hint):
                self._print(f"note: {text.plain(message)}" + (f"\nhint: {text.plain(hint)}" if hint else ""))

    def run(self, run: str) -> None:
        self._print(f"run {run}")

    def _print(self, line: str) -> None:
        with self._lock:
            self._last = time.monotonic()
            text.tell(line)

    def _live(self) -> None:
        while not self._end.wait(min(1.0, self._patience / 4)):
            if time.monotonic() - self._last >= self._patience:
                self._print(
                    f"… still in {self._phase}, {text.duration(time.monotonic() - self._began)} so far{self._work}"
                )


class Picture(Silent):
    """Phases with their times, the work within the current one, and the last lines of the log."""

    def __init__(self, *, verbose: bool, doing: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._console: Console = Console(stderr=True, highlight=False, emoji=False)
        self._verbose, self._doing = verbose, doing
        self._spinner = Spinner("dots", style="cyan")
        self._began = time.time()
        self._phases: list[tuple[str, float]] = []
        self._progress: Progress | None = None
        self._rate = Rate()
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._run = ""
        self._live: Live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *end: object) -> None:
        self._live.stop()

    def run(self, run: str) -> None:
        self._run = run

    def __call__(self, event: Event) -> None:
        match event:
            case Phase(name, at):
                self._phases.append((name, at))
                self._progress, self._rate = None, Rate()
            case Progress():
                self._rate.count(event, time.monotonic())
                self._progress = event
            case Log(_, line, _):
                self._tail.append(line)
                if self._verbose:
                    self._console.print(text.line(line), markup=False, style="dim")
            case Notice(message, hint):
                self._note(message, hint)

    def _note(self, message: str, hint: str | None) -> None:
        from rich.text import Text

        # Whole lines at once: the live picture takes back what stands on an unfinished one.
        self._console.print(Text.assemble(("note: ", "yellow"), text.plain(message)))
        if hint:
            self._console.print(Text.assemble(("hint: ", "cyan"), text.plain(hint)))

    def _draw(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        now = time.time()
        lines: list[RenderableType] = []
        ends = [at for _, at in self._phases[1:]]
        for (name, at), end in zip(self._phases, ends, strict=False):
            lines.append(
                Text.assemble((" ✓ ", "green"), f"{name:<12}", (f"{text.duration(end - at):>9}", "dim"))
            )
        lines.append(self._current(now))
        if not self._verbose:
            width = self._console.width - 6
            lines += [
                Text.assemble(("   │ ", "dim"), (text.line(line)[:width], "dim")) for line in list(self._tail)
            ]
        return Group(*lines)

    def _current(self, now: float) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        name, since = self._phases[-1] if self._phases else (self._doing, self._began)
        row = Table.grid(padding=(0, 1))
        words = Text.assemble((f"{name:<12}", "bold cyan"), f"{text.duration(now - since):>9}")
        row.add_row(Text(""), self._spinner, words, *self._work(name), Text(self._run[:13], style="dim"))
        return row

    def _work(self, phase: str) -> list[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        work = self._progress
        if work is None:
            return []
        told = Text(amount(work), style="dim")
        if per_second := self._rate.of(time.monotonic()):
            told.append(f"  {quantity(per_second, work.unit)}/s")
        if self._console.width >= ROOMY and work.label not in {phase, "data"}:
            told.append(f"  {text.line(work.label)}")
        told.no_wrap, told.overflow = True, "ellipsis"
        width = 24 if self._console.width >= ROOMY else 12
        bar = ProgressBar(total=work.total, completed=work.done, width=width) if work.total else Text("")
        return [bar, told]
