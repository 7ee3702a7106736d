"""What a run may ask of the system's mounts and namespaces, and whether this system allows it: tried, never guessed.

It owns the description of an overlay and the answer of the probe. The mounting itself is the child's
(`child/mounts.py`), in namespaces that end with the run, so there is nothing to unmount here or anywhere.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Overlay", "overlay", "probe", "refused"]

_MOUNTS = Path(__file__).parent / "child" / "mounts.py"
_SECONDS = 20.0

_TELLING = (
    "/proc/sys/kernel/random/boot_id",
    "/proc/self/attr/current",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)
_POWERS = ("CapEff:", "NoNewPrivs:", "Seccomp:")


@dataclass(frozen=True, slots=True)
class Overlay:
    """`lower` as seen at `target`, where what is written lands in `upper`.

    All are existing folders; `work` is empty, on the file system of `upper`. It can be mounted once: the layers of
    one run are not those of another.
    """

    lower: Path
    upper: Path
    work: Path
    target: Path

    def spelt(self) -> dict[str, str]:
        """As the child is told."""
        return {name: spelt(getattr(self, name)) for name in ("lower", "upper", "work", "target")}


def spelt(path: Path) -> str:
    """The bytes of an absolute path as a string that every locale reads alike."""
    return os.fsencode(os.path.abspath(path)).decode("latin-1")


def overlay(lower: Path, scratch: Path, target: Path) -> Overlay:
    """An overlay whose layers are new folders in `scratch`. The caller removes them, after the run.

    Raises:
        OSError: they cannot be made.
    """
    upper, work = scratch / "upper", scratch / "work"
    upper.mkdir()  # what the code sees as the folder itself has the mode of this one
    work.mkdir(mode=0o700)
    return Overlay(lower, upper, work, target)


def probe(lower: Path, scratch: Path, *, cache: Path, python: Path | None = None) -> str | None:
    """Why no overlay of `lower` can be mounted with its layers in `scratch`; None if it can.

    A child really mounts one and writes through it, in 20 ms. That it worked is remembered, until something changes
    that could change it: the kernel's start, the file systems, the user, its powers and namespaces.

    Args:
        lower: an existing folder.
        scratch: an existing folder that may be written to.
        cache: where the answer is remembered, in files of some bytes.
        python: what the run's code will run in; this Python by default.
    """
    if sys.platform != "linux":
        return "only Linux has overlays"
    inner = _mounted_below(lower)
    if inner is not None:
        return f"another file system is mounted in it, at {inner}"
    interpreter = os.fspath(python or sys.executable)
    try:
        remembered, state = _remembered(lower, scratch, cache, interpreter)
        if _read(remembered) == state:
            return None
        reason = _mounted(lower, scratch, interpreter)
        if reason is None:
            _remember(remembered, state)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return reason


def _mounted_below(folder: Path) -> str | None:
    """A mount point in a folder: an overlay shows what lies under it instead."""
    prefix = os.fsencode(os.path.realpath(folder)).rstrip(b"/") + b"/"
    for line in _read(Path("/proc/self/mountinfo")).rstrip(b"\n").split(b"\n"):
        place = b" ".join(line.split(b" ")[4:5])
        for escaped in (b" ", b"\t", b"\n", b"\\"):
            place = place.replace(b"\\%03o" % escaped[0], escaped)
        if place.startswith(prefix):
            return place.decode("utf-8", "backslashreplace")
    return None


def _remembered(lower: Path, scratch: Path, cache: Path, python: str) -> tuple[Path, bytes]:
    """The file of this question, and what it holds if the answer of then still counts."""
    namespaces = [os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("user", "mnt")]
    question = (os.geteuid(), os.getegid(), lower.stat().st_dev, scratch.stat().st_dev, python, *namespaces)
    powers = [
        line for line in _read(Path("/proc/self/status")).decode().splitlines() if line.startswith(_POWERS)
    ]
    state = [hashlib.sha256(_MOUNTS.read_bytes()).hexdigest(), *powers]
    state += [_read(Path(path)).decode("ascii", "replace").strip() for path in _TELLING]
    name = hashlib.sha256(repr(question).encode()).hexdigest()[:32]
    return cache / "mounts" / name, "\n".join(state).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _remember(path: Path, state: bytes) -> None:
    """Or do not: then it is tried again."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(state)
        new.replace(path)


def refused(kind: Literal["network", "user"]) -> str | None:
    """Why a process cannot have a namespace of its own; None if it can. A child really tries, in 20 ms."""
    if sys.platform != "linux":
        return "only Linux has namespaces"
    try:
        return _tried(sys.executable, kind)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def _mounted(lower: Path, scratch: Path, python: str) -> str | None:
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".probe-", dir=scratch) as folder:
        target = Path(folder, "target")
        target.mkdir()
        tried = overlay(lower, Path(folder), target)
        return _tried(python, tried.lower, tried.upper, tried.work, tried.target)


def _tried(python: str, *words: str | Path) -> str | None:
    """What a child that tries it has said or ended with; None if it went well."""
    done = subprocess.run(
        [python, "-I", "-S", _MOUNTS, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    said = (done.stdout + done.stderr).decode("utf-8", "backslashreplace").strip()
    if said:
        return said.splitlines()[-1]
    return f"the try ended with code {done.returncode}" if done.returncode else None
