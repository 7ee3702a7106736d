"""What the kernel and the file systems allow this user, by trying it in a folder that is removed again."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from pkgrun.runs.health.cache import nearest
from pkgrun.runs.health.check import Check, Number, refused

_FICLONE = 0x40049409
_SLOW = 0.05
_SYNCS = 3


def look(cache: str) -> list[Check]:
    """Mounts, sandboxes, limits and accelerators, as a run of this user would find them."""
    looks: list[Callable[[], Check]] = [
        lambda: _in_folder(cache, _overlay),
        lambda: _in_folder(cache, _reflink),
    ]
    return [*(one() for one in looks), _namespace("user"), _namespace("network"), _groups(), *_accelerators()]


def _in_folder(cache: str, trial: Callable[[Path], Check]) -> Check:
    try:
        with tempfile.TemporaryDirectory(prefix=".pkgrun-doctor-", dir=nearest(cache)) as folder:
            return trial(Path(folder))
    except OSError as error:
        name = trial.__name__.lstrip("_")
        return Check("system", name, "note", f"not tried: {error.strerror}", "make the cache folder writable")


def _overlay(folder: Path) -> Check:
    from pkgrun.worker.namespaces import probe

    for name in ("lower", "scratch", "answers"):
        (folder / name).mkdir()
    reason = probe(folder / "lower", folder / "scratch", cache=folder / "answers")
    if reason is None:
        return Check("system", "overlay", "ok", "a dataset is mounted by overlay, in no time")
    return Check(
        "system", "overlay", "note", f"no overlay: {reason}", "datasets are cloned or copied instead"
    )


def _reflink(folder: Path) -> Check:
    with open(folder / "one", "wb") as source, open(folder / "two", "wb") as clone:
        source.write(bytes(4096))
        source.flush()
        try:
            fcntl.ioctl(clone.fileno(), _FICLONE, source.fileno())
        except OSError:
            text = "the cache's file system does not share blocks (reflink)"
            return Check(
                "system", "reflink", "note", text, "where there is no overlay either, datasets are copied"
            )
    return Check("system", "reflink", "ok", "the cache's file system shares blocks (reflink)")


def _namespace(kind: Literal["network", "user"]) -> Check:
    from pkgrun.worker import namespaces

    network = kind == "network"
    reason = namespaces.refused(kind)
    if reason is None:
        said = "--sandbox no-network works" if network else "this user may make user namespaces"
        return Check("system", f"{kind} namespace", "ok", said)
    hint = (
        "--sandbox process asks nothing of the kernel" if network else "only root can mount by overlay then"
    )
    return Check("system", f"{kind} namespace", "note", f"none: {reason}", hint)


def _groups() -> Check:
    from pkgrun.worker.cgroups import Controller, places

    found = {kind: places(kind) for kind in get_args(Controller)}
    missing = [kind for kind, there in found.items() if not there]
    if not missing:
        means = ", ".join(f"{kind} in {there[0].folder}" for kind, there in found.items())
        return Check("system", "control groups", "ok", f"--memory and --cpus hold all of a run: {means}")
    instead = {"memory": "--memory bounds each process's address space", "cpu": "--cpus chooses processors"}
    told = "; ".join(instead[kind] for kind in missing)
    hint = "run as root, or in a delegated group (systemd-run --user --scope -p Delegate=yes)"
    return Check(
        "system", "control groups", "note", f"none can be made here for {', '.join(missing)}: {told}", hint
    )


def _accelerators() -> Iterator[Check]:
    """What `--gpu` would show to a run that is begun with our variables, each with a row."""
    from pkgrun.worker.accelerators import look

    found = look(os.environ)
    for number, one in enumerate(found.shown):
        about = [f"{one.memory / 2**30:.3g} GiB"] if one.memory else []
        about += [f"driver {one.driver}"] if one.driver else []
        numbers: dict[str, Number] = {"id": one.id, "memory": one.memory, "driver": one.driver}
        message = ", ".join([one.name or one.id, *about])
        yield Check("system", f"accelerator {number}", "ok", message, numbers=numbers)
    if found.refused:
        yield Check("system", "accelerators", "note", found.refused.message, found.refused.hint)
    elif found.hidden:
        yield Check(
            "system",
            "accelerators",
            "note",
            f"{found.hidden} are hidden by variables such as CUDA_VISIBLE_DEVICES",
        )
    elif not found.shown:
        yield Check("system", "accelerators", "ok", "none: --gpu is refused")


def file_system(topic: str, folder: str) -> list[Check]:
    """Of the folder of a store: whether records can be created for good there, and how long that takes."""
    # As temporary files of the store's are called: gc knows them.
    name, other = (
        os.path.join(folder, f".{what}.{os.urandom(8).hex()}") for what in ("doctor", "doctor-link")
    )
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return [refused(topic, "writing", folder, error)]
    try:
        return [_links(topic, name, other), _unnamed(topic, folder), _syncs(topic, descriptor)]
    except OSError as error:
        return [refused(topic, "writing", folder, error)]
    finally:
        os.close(descriptor)
        for path in (name, other):
            with suppress(OSError):
                os.unlink(path)


def _links(topic: str, name: str, other: str) -> Check:
    try:
        os.link(name, other)
    except OSError as error:
        text = f"this file system has no hard links ({error.strerror}), without which no record can be created safely"
        return Check(
            topic, "hard links", "problem", text, "put the store on another file system", exit_code=2
        )
    return Check(topic, "hard links", "ok", "records are created whole or not at all")


def _unnamed(topic: str, folder: str) -> Check:
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except (OSError, AttributeError):
        return Check(
            topic,
            "unnamed files",
            "ok",
            "none here (O_TMPFILE): what a crash leaves has a name, which gc knows",
        )
    return Check(topic, "unnamed files", "ok", "this file system has them (O_TMPFILE)")


def _syncs(topic: str, descriptor: int) -> Check:
    took = []
    for _ in range(_SYNCS):
        os.write(descriptor, bytes(4096))
        began = time.monotonic()
        os.fsync(descriptor)
        took.append(time.monotonic() - began)
    seconds = sorted(took)[_SYNCS // 2]
    state, hint = ("note", "each record waits for some of these") if seconds > _SLOW else ("ok", None)
    message = f"making 4 kB safe (fsync) takes {seconds * 1000:.3g} ms"
    return Check(
        topic, "fsync", "note" if state == "note" else "ok", message, hint, {"seconds": round(seconds, 6)}
    )
