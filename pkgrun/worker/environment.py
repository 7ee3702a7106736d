"""The Python environment that a package's code runs in: resolved once, built once, then only looked up.

It owns `locks/` and `environments/` of the cache folder and hands out what stands there. It never changes an
environment that is ready, never writes into the package, and never runs the package's code (the builds of local
folders that it asks for excepted, which happen in a copy).

On disk, all under the cache folder::

    locks/KEY.txt              a resolution: every package with version and hashes
    locks/KEY.relaxed.json     which pins had to be relaxed for these requirements, and to what
    environments/KEY/          a virtual environment; `ready.json` in it is written last
    environments/KEY.lock      who holds it builds; the others wait
    environments/KEY.work/     what uv works in meanwhile, removed by the same or by the next holder
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pkgrun.errors import EnvironmentFailed, Killed, PermissionDenied, PkgrunError, Temporary
from pkgrun.observe import Notice, Observer, silent
from pkgrun.worker import indexes, interpreters, locks, overrides, pins, relaxing
from pkgrun.worker.overrides import Overrides
from pkgrun.worker.requirements import NOTHING, Requirements
from pkgrun.worker.task import Task, all_lines, asking, blame, explained, options, remove, workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FORMAT = 1

_ENVIRONMENTS = "environments"
_LOCKS = "locks"
_READY = "ready.json"
_WORK = ".work"
_PATIENCE = 1.0  # seconds of waiting for another builder before it is said


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python that is ready to run a package's code.

    `python` is the interpreter to start, `python_version` such as "3.11.7", `requirements` the digest of what was
    asked, `lock` what it was resolved to (hashes included, no credentials; "" if nothing is required), `key`
    64 hexadecimal digits, the same for the same environment, `origin` whether this call built it. `relaxed` are the pins
    that did not install as they are, each with the version that did ("numpy==1.19.5", "1.26.4").
    """

    python: Path
    python_version: str
    mode: Literal["isolated", "current"]
    requirements: str
    lock: str
    key: str
    origin: Literal["cached", "built"]
    relaxed: tuple[tuple[str, str], ...] = ()

    def activated(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables as an activated environment has them: `python` and the tools of the requirements are its own."""
        if self.mode == "current":
            return dict(variables)
        home = self.python.parent
        path = os.pathsep.join([str(home), variables.get("PATH", os.defpath)])
        return {**variables, "PATH": path, "VIRTUAL_ENV": str(home.parent)}


def current(requirements: str = NOTHING) -> Environment:
    """The running interpreter as an environment; its lock is `name==version` of all that is installed in it.

    `requirements` is the digest to record; that they are met is not checked.
    """
    from importlib.metadata import distributions

    installed = {f"{each.name}=={each.version}" for each in distributions() if each.name}
    lock = "".join(f"{line}\n" for line in sorted(installed, key=str.lower))
    python = interpreters.running()
    key = _hashed("current", *_described(python), lock)
    return Environment(Path(sys.executable), python.version, "current", requirements, lock, key, "cached")


def ensure(
    requirements: Requirements,
    *,
    package: Path,
    cache: Path,
    python: str | None = None,
    lock: str | None = None,
    upgrade: bool = False,
    override: Overrides = overrides.NONE,
    relax: bool = False,
    observer: Observer = silent,
    stop: Callable[[], bool] = lambda: False,
    environ: Mapping[str, str] | None = None,
) -> Environment:
    """The virtual environment that meets `requirements`, built under the folder `cache` unless it is there.

    `package` is the folder that they were read from. `python` is a version, a path, or None for the running one.
    `lock` is an earlier environment's lock, installed as it is; without it the requirements are resolved, once per
    machine, Python and index settings. `upgrade` resolves anew in either case. `override` replaces what is required
    by the same names; `relax` makes ranges of the `==` pins that do not install as they are. `environ` are the variables
    that say where packages come from (default: this process's). `stop` is asked about twenty times a second while uv
    works or another process is waited for.

    Raises `EnvironmentFailed` (cannot be resolved or installed, no such Python), `UsageError` (`python` means
    nothing), `Killed` (`stop` turned true), `Temporary` (full disk, no network), `PermissionDenied` (the cache
    cannot be written). After an error nothing half-built counts as an environment.
    """
    text = all_lines(requirements) + override.text
    settings = indexes.configured(os.environ if environ is None else environ, text=text)
    cache = cache.absolute()

    def announce(message: str) -> None:
        observer(Notice(message))

    with _files_of(cache):
        found = interpreters.find(
            python, cache=cache, variables=settings.variables, stop=stop, announce=announce
        )
        task = Task(requirements, override, package, cache, found, settings, announce, stop)
        lock = None if upgrade else lock
        return _relaxed(task, lock, upgrade=upgrade) if relax else _made(task, lock, upgrade=upgrade)


def _made(task: Task, lock: str | None, *, upgrade: bool) -> Environment:
    """The environment of a lock, or of a new one; an error tells which requirement is at fault, and the ways out."""
    resolved = lock
    try:
        if resolved is None:
            resolved = _resolution(task, upgrade=upgrade)
        return _environment(task, resolved)
    except EnvironmentFailed as failed:
        with asking(task) as wheels:
            raise explained(task, failed, blame(task, failed, resolved, wheels), wheels) from failed


def _relaxed(task: Task, lock: str | None, *, upgrade: bool) -> Environment:
    """As `_made`; where that fails at a pin, again with that one relaxed, until it succeeds or no pin is left."""
    memory = task.cache / _LOCKS / f"{_resolution_key(task)}.relaxed.json"
    if lock is None and not upgrade:
        task = replace(task, relaxed=relaxing.loaded(_text(memory)))
    while True:
        resolved = lock
        try:
            if resolved is None:
                resolved = _resolution(task, upgrade=upgrade)
            made = _environment(task, resolved)
        except EnvironmentFailed as failed:
            task, lock = _looser(task, failed, resolved), None
            continue
        if task.relaxed and not upgrade:
            _write(memory, relaxing.dumped(task.relaxed))
        return replace(made, relaxed=relaxing.outcome(task.relaxed, made.lock))


def unfinished(cache: Path) -> Iterator[Path]:
    """The folders under `cache` that are no environment, or none any more, and the places of work: of builds that go on,
    whose lock is held (`lock_of`), and of those that were broken off."""
    for above in (cache / _ENVIRONMENTS, cache / _LOCKS):
        with suppress(OSError):
            yield from (path for path in sorted(above.iterdir()) if path.is_dir() and is_unfinished(path))


def is_unfinished(folder: Path) -> bool:
    """Whether nobody misses it, unless somebody builds there."""
    return folder.suffix == _WORK or not _is_ready(folder)


def lock_of(place: Path) -> Path:
    """The lock file that whoever makes it holds: an environment, a resolution, or the place of work of either."""
    return place.with_suffix(".lock")


def _looser(task: Task, failed: EnvironmentFailed, lock: str | None) -> Task:
    """The task with one more pin relaxed.

    Raises:
        EnvironmentFailed: that is no way out of what failed.
    """
    with asking(task) as wheels:
        found = blame(task, failed, lock, wheels)
        conflict = bool(task.relaxed) and lock is None
        pin = relaxing.candidate(failed.message, found, task.direct, conflict=conflict)
        new = pin and relaxing.loosened(pin, found, wheels, task.interpreter.version)
        if not new:
            raise explained(task, failed, found, wheels, relax=True, stuck=pin) from failed
    task.announce(f"{new.pin} does not install on Python {task.interpreter.version}: relaxed to {new.range}")
    return replace(task, relaxed=(*task.relaxed, new))


def _resolution_key(task: Task) -> str:
    return _hashed("lock", *_described(task.interpreter), task.indexes.identity, *task.identity)


def _resolution(task: Task, *, upgrade: bool) -> str:
    """The lock of the task's requirements: the one this machine resolved before, or a new one."""
    if not locks.required(all_lines(task.requirements)):
        return ""
    file = task.cache / _LOCKS / f"{_resolution_key(task)}.txt"
    if not upgrade and (known := _text(file)) is not None:
        return known
    with _alone(lock_of(file), task):
        if not upgrade and (known := _text(file)) is not None:
            return known
        resolved = locks.without_credentials(_resolved(task, file.with_suffix(_WORK), upgrade=upgrade))
        _write(file, resolved)
        return resolved


def _resolved(task: Task, work: Path, *, upgrade: bool) -> str:
    asked, fixed, replaced = task.text, task.constraints, task.override.text
    task.announce(f"resolving {_counted(len(locks.required(asked)), 'requirement')} with uv")
    with workplace(work, task) as folder:
        (folder / "pkgrun-requirements.txt").write_text(asked, "utf-8")
        (folder / "pkgrun-constraints.txt").write_text(fixed, "utf-8")
        (folder / "pkgrun-overrides.txt").write_text(replaced, "utf-8")
        beside = ["--constraints", "pkgrun-constraints.txt"] if fixed else []
        beside += ["--overrides", "pkgrun-overrides.txt"] if replaced else []
        refresh = ["--refresh"] if upgrade and not task.offline else []
        resolved = task.uv(
            *("pip", "compile", "pkgrun-requirements.txt", *beside, *refresh, *task.indexes.arguments),
            *("--generate-hashes", "--no-header", "--no-annotate", "--python", task.interpreter.path),
            folder=folder,
            doing=f"{task.source} cannot be resolved for Python {task.interpreter.version}",
            hint=f"change {task.source}, replace what it asks for: --override-requirements FILE, or choose another Python: --python X",
        )
    found = {one.name for one in pins.of(locks.required(resolved))}
    if idle := sorted(task.override.names - found):
        task.announce(f"overridden, but required by nothing: {', '.join(idle)}")
    return resolved


def _environment(task: Task, lock: str) -> Environment:
    # Only a lock that names local paths is not the whole truth: their content is in the requirements' digest.
    content = task.requirements.digest if task.requirements.local else ""
    told = options(task)
    key = _hashed("environment", *_described(task.interpreter), task.indexes.identity, lock, told, content)
    folder = task.cache / _ENVIRONMENTS / key
    origin: Literal["cached", "built"] = "cached"
    if not _is_ready(folder):
        with _alone(lock_of(folder), task):
            if not _is_ready(folder):
                _build(task, folder, lock)
                origin = "built"
    digest, version = task.requirements.digest, task.interpreter.version
    return Environment(folder / "bin/python", version, "isolated", digest, lock, key, origin)


def _build(task: Task, folder: Path, lock: str) -> None:
    """Make the environment in its final place, as the paths in it are absolute; `ready.json` makes it count."""
    began = time.monotonic()
    packages = locks.required(lock)
    task.announce(f"building the environment: {_counted(len(packages), 'package')}")
    remove(folder)
    try:
        with workplace(folder.with_suffix(_WORK), task) as work:
            _make(task, folder, work)
            if packages:
                _say_what_is_built(task, packages)
                _install(task, folder, work, lock)
        ready = {"format": FORMAT, "key": folder.name, "packages": len(packages), "pid": os.getpid()}
        ready |= {"python": task.interpreter.version, "seconds": round(time.monotonic() - began, 3)}
        _write(folder / _READY, json.dumps(ready, indent=1, sort_keys=True) + "\n")
    except BaseException:
        remove(folder)
        raise


def _make(task: Task, folder: Path, work: Path) -> None:
    python = task.interpreter
    task.uv(
        *(
            "venv",
            "--no-project",
            "--no-python-downloads",
            "--prompt",
            "pkgrun",
            "--python",
            python.path,
            folder,
        ),
        folder=work,
        doing=f"no environment can be made with Python {python.version} ({python.path})",
        hint="choose another Python: --python X",
    )


def _say_what_is_built(task: Task, packages: list[str]) -> None:
    """Building may take minutes, which else nobody would know the reason of."""
    from pkgrun.worker.wheels import Unknown

    with asking(task) as wheels, suppress(Unknown):
        if not isinstance(wheels, str):
            version = task.interpreter.version
            if lacking := wheels.lacking(pins.of(packages), version):
                names = ", ".join(one.shown for one in lacking)
                task.announce(f"no wheel for Python {version}, so it is built, which may take long: {names}")


def _install(task: Task, folder: Path, work: Path, lock: str) -> None:
    """Install what the lock names and nothing else; whatever has a hash in it is held to that hash."""
    packages = locks.required(lock)
    unhashed = [line for line in packages if "--hash=" not in line]
    if unhashed:
        names = ", ".join(line.split(" ;")[0] for line in unhashed)
        task.announce(
            f"{len(unhashed)} of {_counted(len(packages), 'package')} cannot be held to a hash: {names}"
        )
    # Options come first: a lock says which files, they say where those are.
    text = options(task) + locks.with_credentials(lock, all_lines(task.requirements))
    (work / "pkgrun-lock.txt").write_text(text, "utf-8")
    task.uv(
        *("pip", "install", "--no-deps", "--compile-bytecode", "--python", folder / "bin/python"),
        *("-r", "pkgrun-lock.txt", *task.indexes.arguments, *([] if unhashed else ["--require-hashes"])),
        folder=work,
        doing=f"what {task.source} resolved to cannot be installed for Python {task.interpreter.version}",
        hint=f"change {task.source}, choose another Python (--python X), or resolve anew (--upgrade)",
    )


@contextmanager
def _alone(path: Path, task: Task) -> Iterator[None]:
    """Hold the lock file `path`; whoever comes second waits here, stoppable."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(path)
    began, said = time.monotonic(), False
    while not lock.is_locked:
        with suppress(Timeout):
            lock.acquire(timeout=0.05, poll_interval=0.02)
            break
        if task.stop():
            raise Killed("stopped while another process was building the environment")
        if not said and time.monotonic() - began > _PATIENCE:
            task.announce("waiting for another process that builds the same environment")
            said = True
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _files_of(cache: Path) -> Iterator[None]:
    """Turns what the file system refuses into an error of pkgrun."""
    try:
        yield
    except PkgrunError:
        raise
    except PermissionError as error:
        hint = "choose another cache folder: PKGRUN_CACHE"
        raise PermissionDenied(f"the cache folder {cache} cannot be used: {error}", hint=hint) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Temporary(
                f"the disk of {cache} is full", hint="free some space, then run it again"
            ) from error
        raise EnvironmentFailed(f"the environment cannot be made under {cache}: {error}") from error


def _is_ready(folder: Path) -> bool:
    # Its Python is a link to the base interpreter, which may have been removed since.
    return (folder / _READY).is_file() and (folder / "bin/python").exists()


def _text(file: Path) -> str | None:
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        return None


def _write(file: Path, text: str) -> None:
    """Replace `file` as a whole: a reader finds the old text or the new one."""
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_text(text, "utf-8")
    temporary.replace(file)


def _described(python: interpreters.Interpreter) -> tuple[str, ...]:
    return python.implementation, python.version, python.platform


def _hashed(*parts: str) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
