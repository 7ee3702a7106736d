"""The Python environment that a package's code runs in: resolved once, built once, then only looked up.

It owns `locks/` and `environments/` of the cache folder and hands out what stands there. It never changes an
environment that is ready, never writes into the package, and never runs the package's code (the builds of local
folders that it asks for excepted, which happen in a copy).

On disk, all under the cache folder::

    locks/KEY.txt              a resolution: every package with version and hashes
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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pkgrun.errors import EnvironmentFailed, Killed, PermissionDenied, PkgrunError, Temporary
from pkgrun.observe import Notice, Observer, silent
from pkgrun.worker import indexes, interpreters, locks
from pkgrun.worker.requirements import IGNORED, NOTHING, Requirements

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
    64 hexadecimal digits, the same for the same environment, `origin` whether this call built it.
    """

    python: Path
    python_version: str
    mode: Literal["isolated", "current"]
    requirements: str
    lock: str
    key: str
    origin: Literal["cached", "built"]


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
    observer: Observer = silent,
    stop: Callable[[], bool] = lambda: False,
    environ: Mapping[str, str] | None = None,
) -> Environment:
    """The virtual environment that meets `requirements`, built under the folder `cache` unless it is there.

    `package` is the folder that they were read from. `python` is a version, a path, or None for the running one.
    `lock` is an earlier environment's lock, installed as it is; without it the requirements are resolved, once per
    machine, Python and index settings. `upgrade` resolves anew in either case. `environ` are the variables that
    say where packages come from (default: this process's). `stop` is asked about twenty times a second while uv
    works or another process is waited for.

    Raises `EnvironmentFailed` (cannot be resolved or installed, no such Python), `UsageError` (`python` means
    nothing), `Killed` (`stop` turned true), `Temporary` (full disk, no network), `PermissionDenied` (the cache
    cannot be written). After an error nothing half-built counts as an environment.
    """
    settings = indexes.configured(os.environ if environ is None else environ, text=_all_lines(requirements))
    cache = cache.absolute()

    def announce(message: str) -> None:
        observer(Notice(message))

    with _files_of(cache):
        found = interpreters.find(
            python, cache=cache, variables=settings.variables, stop=stop, announce=announce
        )
        task = _Task(requirements, package, cache, found, settings, announce, stop)
        resolved = lock if lock is not None and not upgrade else _resolution(task, upgrade=upgrade)
        return _environment(task, resolved)


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


@dataclass(frozen=True, slots=True)
class _Task:
    requirements: Requirements
    package: Path
    cache: Path
    interpreter: interpreters.Interpreter
    indexes: indexes.Indexes
    announce: Callable[[str], None]
    stop: Callable[[], bool]

    @property
    def source(self) -> str:
        return self.requirements.file or "the requirements"

    def uv(self, *arguments: str | Path, folder: Path, doing: str, hint: str) -> str:
        from pkgrun.worker import installer

        return installer.run(
            arguments, folder=folder, variables=self.indexes.variables, doing=doing, hint=hint, stop=self.stop
        )


def _resolution(task: _Task, *, upgrade: bool) -> str:
    """The lock of the task's requirements: the one this machine resolved before, or a new one."""
    if not locks.required(_all_lines(task.requirements)):
        return ""
    key = _hashed("lock", *_described(task.interpreter), task.indexes.identity, task.requirements.digest)
    file = task.cache / _LOCKS / f"{key}.txt"
    if not upgrade and (known := _text(file)) is not None:
        return known
    with _alone(lock_of(file), task):
        if not upgrade and (known := _text(file)) is not None:
            return known
        resolved = locks.without_credentials(_resolved(task, file.with_suffix(_WORK), upgrade=upgrade))
        _write(file, resolved)
        return resolved


def _resolved(task: _Task, work: Path, *, upgrade: bool) -> str:
    asked, fixed = task.requirements.text, task.requirements.constraints
    task.announce(f"resolving {_counted(len(locks.required(asked)), 'requirement')} with uv")
    with _workplace(work, task) as folder:
        (folder / "pkgrun-requirements.txt").write_text(asked, "utf-8")
        (folder / "pkgrun-constraints.txt").write_text(fixed, "utf-8")
        constraints = ["--constraints", "pkgrun-constraints.txt"] if fixed else []
        offline = task.indexes.variables.get("UV_OFFLINE", "").lower() in {"1", "true"}
        refresh = ["--refresh"] if upgrade and not offline else []
        return task.uv(
            *("pip", "compile", "pkgrun-requirements.txt", *constraints, *refresh, *task.indexes.arguments),
            *("--generate-hashes", "--no-header", "--no-annotate", "--python", task.interpreter.path),
            folder=folder,
            doing=f"{task.source} cannot be resolved for Python {task.interpreter.version}",
            hint=f"change {task.source}, or choose another Python: --python X",
        )


def _environment(task: _Task, lock: str) -> Environment:
    # Only a lock that names local paths is not the whole truth: their content is in the requirements' digest.
    content = task.requirements.digest if task.requirements.local else ""
    options = "".join(_options(task))
    key = _hashed("environment", *_described(task.interpreter), task.indexes.identity, lock, options, content)
    folder = task.cache / _ENVIRONMENTS / key
    origin: Literal["cached", "built"] = "cached"
    if not _is_ready(folder):
        with _alone(lock_of(folder), task):
            if not _is_ready(folder):
                _build(task, folder, lock)
                origin = "built"
    digest, version = task.requirements.digest, task.interpreter.version
    return Environment(folder / "bin/python", version, "isolated", digest, lock, key, origin)


def _build(task: _Task, folder: Path, lock: str) -> None:
    """Make the environment in its final place, as the paths in it are absolute; `ready.json` makes it count."""
    began = time.monotonic()
    packages = locks.required(lock)
    task.announce(f"building the environment: {_counted(len(packages), 'package')}")
    _remove(folder)
    try:
        with _workplace(folder.with_suffix(_WORK), task) as work:
            _make(task, folder, work)
            if packages:
                _install(task, folder, work, lock)
        ready = {"format": FORMAT, "key": folder.name, "packages": len(packages), "pid": os.getpid()}
        ready |= {"python": task.interpreter.version, "seconds": round(time.monotonic() - began, 3)}
        _write(folder / _READY, json.dumps(ready, indent=1, sort_keys=True) + "\n")
    except BaseException:
        _remove(folder)
        raise


def _make(task: _Task, folder: Path, work: Path) -> None:
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


def _install(task: _Task, folder: Path, work: Path, lock: str) -> None:
    """Install what the lock names and nothing else; whatever has a hash in it is held to that hash."""
    packages = locks.required(lock)
    unhashed = [line for line in packages if "--hash=" not in line]
    if unhashed:
        names = ", ".join(line.split(" ;")[0] for line in unhashed)
        task.announce(
            f"{len(unhashed)} of {_counted(len(packages), 'package')} cannot be held to a hash: {names}"
        )
    # Options come first: a lock says which files, they say where those are.
    text = "".join(_options(task)) + locks.with_credentials(lock, _all_lines(task.requirements))
    (work / "pkgrun-lock.txt").write_text(text, "utf-8")
    task.uv(
        *("pip", "install", "--no-deps", "--compile-bytecode", "--python", folder / "bin/python"),
        *("-r", "pkgrun-lock.txt", *task.indexes.arguments, *([] if unhashed else ["--require-hashes"])),
        folder=work,
        doing=f"what {task.source} resolved to cannot be installed for Python {task.interpreter.version}",
        hint=f"change {task.source}, choose another Python (--python X), or resolve anew (--upgrade)",
    )


@contextmanager
def _workplace(work: Path, task: _Task) -> Iterator[Path]:
    """A folder for uv, holding copies of the package's local requirements at their relative paths."""
    from shutil import copy2, copytree, ignore_patterns

    _remove(work)
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
        _remove(work)


@contextmanager
def _alone(path: Path, task: _Task) -> Iterator[None]:
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


def _remove(folder: Path) -> None:
    from shutil import rmtree

    if folder.exists():
        rmtree(folder)


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


def _options(task: _Task) -> list[str]:
    return [f"{line}\n" for line in _all_lines(task.requirements).splitlines() if line.startswith("-")]


def _all_lines(requirements: Requirements) -> str:
    return requirements.text + requirements.constraints


def _described(python: interpreters.Interpreter) -> tuple[str, ...]:
    return python.implementation, python.version, python.platform


def _hashed(*parts: str) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
