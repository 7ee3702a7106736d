"""A version given out: as a folder, as a zip, or as the vendor's zip with what is known of it beside. Whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Literal, get_args

from pkgrun.errors import Conflict, UsageError
from pkgrun.observe import Observer, Progress, silent
from pkgrun.packages import aicenter
from pkgrun.packages.archive_names import complaint
from pkgrun.packages.packing import pack
from pkgrun.records import VersionRecord
from pkgrun.runs import passports
from pkgrun.store.export import export_files, export_tree
from pkgrun.store.files import shown
from pkgrun.store.local import translate
from pkgrun.store.root import Store

Format = Literal["folder", "zip", "aicenter"]
_ZIP = ".zip"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: how many files of the package, and where: a folder, or the files that hold them. `left_out`: paths of
    files that were erased."""

    files: int
    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def export(
    store: Store,
    record: VersionRecord,
    out: str,
    *,
    form: Format = "folder",
    skip_erased: bool = False,
    observer: Observer = silent,
) -> Exported:
    """Write a version where there is nothing yet.

    Args:
        out: of `folder` a new or empty folder, of `zip` the zip, of `aicenter` a folder that gets three files.
        skip_erased: leave out files that were erased; not with `aicenter`, for then it is not that version any more.

    Raises:
        Conflict: something is there already.
        PackageInvalid: it holds what a zip may not hold.
        UsageError: that is no such form, or no path.
        Erased: a file of it was erased.
        Damaged, PermissionDenied, Temporary: as their names say.
    """
    if form not in get_args(Format):
        raise UsageError(f"{form!r} is no form to export", hint=f"one of {', '.join(get_args(Format))}")
    told, left = _told(record, observer), list[str]()
    if form == "folder":
        left += export_tree(store.objects, record.tree.digest, out, skip_erased=skip_erased, progress=told)
        return Exported(record.tree.files - len(left), (out,), tuple(left))
    if form == "zip":
        folder, name = _place(out)

        def write_zip(staged: str) -> None:
            left.extend(_pack(store, record, staged, name, told, skip_erased=skip_erased))

        export_files(folder, [name], write_zip)
        return Exported(record.tree.files - len(left), (out,), tuple(left))
    if skip_erased:
        raise UsageError(
            "--skip-erased goes with --format folder or zip: beside the others it is told which version it is",
            hint="without the erased files it is another one",
        )
    files = _beside(store, record)
    whole = aicenter.zip_name(record.package, record.version)
    names = [*files, whole]  # who sees the zip sees what is told of it

    def write(staged: str) -> None:
        for name, data in files.items():
            _write(os.path.join(staged, name), data)
        _pack(store, record, staged, whole, told)

    export_files(out, names, write)
    return Exported(record.tree.files, tuple(os.path.join(out, name) for name in (whole, *files)))


def _told(record: VersionRecord, observer: Observer) -> Callable[[int], None]:
    done, lock = 0, Lock()

    def told(size: int) -> None:
        nonlocal done
        with lock:
            done += size
            observer(Progress("export", done, record.tree.bytes, "bytes"))

    return told


def _place(out: str) -> tuple[str, str]:
    """The folder and the name of a zip; the root folder in it bears its name, so that must be one."""
    if not out or "\0" in out:
        raise UsageError(f"{out!r} is no path of a zip", hint="such as NAME.zip")
    folder, name = os.path.split(out)
    if not name.endswith(_ZIP) or complaint(name) or name == _ZIP:
        raise UsageError(
            f"{shown(out)} is no name of a zip",
            hint="name the file, such as NAME.zip: the folder in it is called NAME",
        )
    if os.path.isdir(out):
        raise Conflict(f"{shown(out)} is a folder", hint="name a new file")
    return folder or ".", name


def _beside(store: Store, record: VersionRecord) -> dict[str, bytes]:
    package, version = record.package, record.version
    return {
        aicenter.metadata_name(package, version): aicenter.render(record),
        aicenter.passport_name(package, version): passports.issue(store, record).to_bytes() + b"\n",
    }


def _pack(
    store: Store,
    record: VersionRecord,
    staged: str,
    name: str,
    told: Callable[[int], None],
    *,
    skip_erased: bool = False,
) -> list[str]:
    path = os.path.join(staged, name)
    try:
        with open(path, "xb") as out:
            return pack(
                store.objects,
                record.tree.digest,
                name.removesuffix(_ZIP),
                out,
                label=f"{record.package}@{record.version}",
                skip_erased=skip_erased,
                progress=told,
            )
    except OSError as error:
        raise translate(error, shown(path)) from error


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "xb") as out:
            out.write(data)
    except OSError as error:
        raise translate(error, shown(path)) from error
