"""What died runs and builds have left on this machine, found by the locks that nobody holds; and its removal."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pkgrun.runs.health.check import Check, measured, names, words
from pkgrun.runs.place import remove, sweep

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of left-over: what it is called, and where it is."""

    name: str
    one: str
    many: str
    paths: tuple[str, ...]

    @property
    def counted(self) -> str:
        """So many of them."""
        return f"{len(self.paths)} {self.one if len(self.paths) == 1 else self.many}"


def look(cache: str, until: float, *, clean: bool) -> list[Check]:
    """One check a kind. With `clean` they are removed, but for work directories that were kept on purpose."""
    work = os.path.join(cache, "work")
    dead = _Kind(
        "work folders",
        "work folder of a run that died",
        "work folders of runs that died",
        tuple(_dead_runs(work)),
    )
    builds = _Kind(
        "builds",
        "interrupted build of an environment",
        "interrupted builds of environments",
        tuple(_dead_builds(cache)),
    )
    found = [_told(dead, until), _told(builds, until), _groups(clean), *_kept(work, until)]
    if not clean:
        return found
    with suppress(OSError):
        sweep(work)
    for path in builds.paths:
        _remove_build(path)
    return [_after(check, kind) for check, kind in zip(found[:2], (dead, builds), strict=True)] + found[2:]


def _told(kind: _Kind, until: float) -> Check:
    if not kind.paths:
        return Check("left over", kind.name, "ok", f"no {kind.many}", numbers={"count": 0, "bytes": 0})
    sizes = [measured(path, until) for path in kind.paths]
    total = sum(size.bytes for size in sizes)
    least = "" if all(size.whole for size in sizes) else "at least "
    return Check(
        "left over",
        kind.name,
        "note",
        f"{kind.counted}, {least}{words(total)}",
        "`pkgrun doctor --clean` removes them",
        {"count": len(kind.paths), "bytes": total},
    )


def _after(check: Check, kind: _Kind) -> Check:
    """What is to be said once they were removed."""
    if not kind.paths:
        return check
    left = [path for path in kind.paths if os.path.lexists(path)]
    if left:
        return Check(
            "left over",
            kind.name,
            "note",
            f"{left[0]} cannot be removed",
            "ask whoever owns it",
            check.numbers,
        )
    size = check.numbers["bytes"]
    assert isinstance(size, int)  # noqa: S101  # for the type checker
    return Check(
        "left over",
        kind.name,
        "ok",
        f"{kind.counted} removed, {words(size)}",
        None,
        check.numbers,
    )


def _dead_runs(work: str) -> Iterator[str]:
    for name in names(work):
        path = os.path.join(work, name)
        if name.endswith(_LOCK) and _is_free(path):
            yield path.removesuffix(_LOCK)


def _kept(work: str, until: float) -> Iterator[Check]:
    """Folders without a lock: `--keep-workdir`, or a result that no store took."""
    there = set(names(work))
    kept = [name for name in sorted(there) if not name.endswith(_LOCK) and name + _LOCK not in there]
    if not kept:
        return
    sizes = [measured(os.path.join(work, name), until) for name in kept]
    total = sum(size.bytes for size in sizes)
    yield Check(
        "left over",
        "kept work folders",
        "note",
        f"{len(kept)} kept on purpose (--keep-workdir, or a result that the store never took), {words(total)}",
        f"look at them and remove them yourself: {work}",
        {"count": len(kept), "bytes": total},
    )


def _dead_builds(cache: str) -> Iterator[str]:
    """Environments that nobody builds and that are not ready, or whose Python is gone; and places of work beside them."""
    from pkgrun.worker import environment

    for folder in environment.unfinished(Path(cache)):
        if _is_free(str(environment.lock_of(folder))):
            yield str(folder)


def _remove_build(path: str) -> None:
    """Under its lock, so that nobody begins to build there meanwhile."""
    from pkgrun.worker import environment

    folder = Path(path)
    with suppress(OSError):
        lock = os.open(environment.lock_of(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if environment.is_unfinished(folder):
                remove(path)
        finally:
            os.close(lock)


def _is_free(lock: str) -> bool:
    """Whether nobody holds a lock file. Asked by holding it, for an instant, together with others who ask."""
    try:
        held = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return not os.path.exists(lock)
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(held)
    return True


def _groups(clean: bool) -> Check:
    from pkgrun.worker import cgroups

    found = cgroups.stale()
    if clean:
        for group in found:
            group.remove()
    left = [group for group in found if group.folder.exists()]
    if not found:
        return Check(
            "left over", "control groups", "ok", "no control groups of runs that died", numbers={"count": 0}
        )
    if clean and not left:
        return Check(
            "left over", "control groups", "ok", f"{len(found)} removed", numbers={"count": len(found)}
        )
    return Check(
        "left over",
        "control groups",
        "note",
        f"{len(left)} control groups of runs that died, such as {left[0].folder}",
        "`pkgrun doctor --clean` removes them",
        {"count": len(left)},
    )
