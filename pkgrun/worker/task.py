"""What an environment is made from, and where uv works for it; with what uv may be asked when that fails.

It copies what uv needs and removes it again; it keeps nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pkgrun.errors import EnvironmentFailed
from pkgrun.worker import indexes, interpreters, locks, pins, relaxing
from pkgrun.worker.overrides import Overrides
from pkgrun.worker.pins import Requirement
from pkgrun.worker.relaxing import Relaxed
from pkgrun.worker.requirements import IGNORED, Requirements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pkgrun.worker.diagnosis import Blame
    from pkgrun.worker.wheels import Wheels


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for, of which Python, with what to tell and when to stop; `relaxed` is what was found out meanwhile."""

    requirements: Requirements
    override: Overrides
    package: Path
    cache: Path
    interpreter: interpreters.Interpreter
    indexes: indexes.Indexes
    announce: Callable[[str], None]
    stop: Callable[[], bool]
    relaxed: tuple[Relaxed, ...] = ()

    @property
    def source(self) -> str:
        """What to call the requirements."""
        return self.requirements.file or "the requirements"

    @property
    def offline(self) -> bool:
        """Whether uv may ask nobody."""
        return self.indexes.variables.get("UV_OFFLINE", "").lower() in {"1", "true"}

    @property
    def text(self) -> str:
        """The requirements, relaxed."""
        return relaxing.options(self.relaxed) + relaxing.applied(self.requirements.text, self.relaxed)

    @property
    def constraints(self) -> str:
        """Theirs, relaxed."""
        return relaxing.applied(self.requirements.constraints, self.relaxed)

    @property
    def identity(self) -> tuple[str, ...]:
        """Which requirements these are, all that is given beside them included."""
        beside = self.override.text, relaxing.dumped(self.relaxed) if self.relaxed else ""
        return self.requirements.digest, *(beside if any(beside) else ())

    @property
    def direct(self) -> list[Requirement]:
        """What is asked of an index by the package itself, but for what is overridden; with the constraints on that."""
        asked = pins.of(self.text.splitlines())
        names = {one.name for one in asked}
        bound = [one for one in pins.of(self.constraints.splitlines()) if one.name in names]
        return [one for one in [*bound, *asked] if one.name not in self.override.names]

    @property
    def asked(self) -> list[Requirement]:
        """All that is asked of an index."""
        return [*self.direct, *pins.of(self.override.text.splitlines())]

    def uv(self, *arguments: str | Path, folder: Path, doing: str, hint: str) -> str:
        """Run uv as `installer.run` does."""
        from pkgrun.worker import installer

        return installer.run(
            arguments, folder=folder, variables=self.indexes.variables, doing=doing, hint=hint, stop=self.stop
        )


@contextmanager
def workplace(work: Path, task: Task) -> Iterator[Path]:
    """A folder for uv, holding copies of the package's local requirements at their relative paths."""
    from shutil import copy2, copytree, ignore_patterns

    remove(work)
    try:
        work.mkdir(parents=True, mode=0o700)
        for path in task.requirements.local:
            origin, copy = task.package / path, work / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            if origin.is_dir():
                copytree(origin, copy, symlinks=True, ignore=ignore_patterns(*IGNORED), dirs_exist_ok=True)
            else:
                copy2(origin, copy)
        # uv takes the settings of the nearest project; without this, one above the cache folder would count.
        (work / "uv.toml").write_text("", "utf-8")
        yield work
    finally:
        remove(work)


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    from shutil import rmtree

    if folder.exists():
        rmtree(folder)


@contextmanager
def asking(task: Task) -> Iterator[Wheels | str]:
    """Whom to ask about wheels, or why nobody can be asked."""
    import tempfile

    from pkgrun.worker import installer
    from pkgrun.worker.wheels import Wheels

    if task.offline:
        yield "uv is offline"
        return

    def uv(arguments: Sequence[str | Path], stop: Callable[[], bool]) -> tuple[int, str, str]:
        return installer.attempt(arguments, folder=folder, variables=task.indexes.variables, stop=stop)

    with (
        tempfile.TemporaryDirectory(prefix="pkgrun-") as place,
        workplace(Path(place) / "work", task) as folder,
    ):
        # Named, as looking for one may go through shims that take seconds.
        arguments = [*task.indexes.arguments, "--python", str(task.interpreter.path)]
        yield Wheels(uv, folder, options=options(task), arguments=arguments, stop=task.stop)


def blame(task: Task, failed: EnvironmentFailed, lock: str | None, wheels: Wheels | str) -> Blame | None:
    """Which requirement failed for want of a wheel; `lock` is what all were resolved to, if they were."""
    from pkgrun.worker import diagnosis

    return diagnosis.blame(
        failed.message,
        asked=task.asked,
        locked=pins.of(locks.required(lock or "")),
        wheels=wheels,
        python=task.interpreter.version,
    )


def explained(
    task: Task,
    failed: EnvironmentFailed,
    found: Blame | None,
    wheels: Wheels | str,
    *,
    relax: bool = False,
    stuck: Requirement | None = None,
) -> EnvironmentFailed:
    """The failure with its reason and the ways out; `relax`: pins are relaxed already, but for one that is `stuck`."""
    from pkgrun.worker import diagnosis

    notes = [f"relaxed already: {', '.join(one.range for one in task.relaxed)}"] if task.relaxed else []
    if found is None:
        return EnvironmentFailed("\n".join([failed.message, *notes]), hint=failed.hint)
    if stuck:
        notes.append(f"relaxed to {pins.widest(stuck).shown}, it has no wheel for that Python either")
    return diagnosis.explained(
        failed,
        diagnosis.diagnose(found, asked=task.asked, wheels=wheels, python=task.interpreter.version),
        source=task.source,
        ways=["--override-requirements FILE", *([] if relax else ["--relax-pins"])],
        here=interpreters.lying_here(task.indexes.variables),
        download=interpreters.may_download(task.indexes.variables),
        notes=notes,
    )


def options(task: Task) -> str:
    """The lines of the requirements that say where packages are."""
    lines = all_lines(task.requirements).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith("-"))


def all_lines(requirements: Requirements) -> str:
    """The requirements with their constraints."""
    return requirements.text + requirements.constraints
