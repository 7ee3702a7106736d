"""Give a package in a store a long history, by copying the records of its newest training with other numbers.

    PYTHON history.py STORE PACKAGE VERSIONS RUNS

Runs under the Python that pkgrun is installed for, and writes what pkgrun's own records write, but without making
each durable by itself. `VERSIONS` minors with their runs' records follow the newest one; `RUNS` are trainings of
other packages, fifty runs each. The content of all of them is that of the training that was copied.
"""

from __future__ import annotations

import hashlib
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pkgrun.identity import Version
from pkgrun.records import Heartbeat, Intent, Outcome, Record, Results, RunRecord, VersionRecord
from pkgrun.store import numbers, operations

R = TypeVar("R", bound=Record)

OTHERS = 50
_DAY = 86_400_000


class Template:
    """The records of a training, to be had again for another package, number and moment."""

    def __init__(self, store: Path, package: str) -> None:
        self._store = store
        newest = sorted((store / "packages" / package / "00000001").glob("*.json"))[-1]
        self.first = _read(VersionRecord, newest.with_name("00000000.json"))
        self.newest = _read(VersionRecord, newest)
        self.digest = _digest(newest.read_bytes())
        folder = store / "runs" / self.newest.run
        self._intent = _read(Intent, folder / "intent.json")
        self._outcome = _read(Outcome, folder / "outcome.json")
        self._heartbeat = _read(Heartbeat, folder / "heartbeat.json")
        self._run = _read(RunRecord, folder / "run.json")
        self._results = _read(Results, folder / "_results.json")

    def write(self, package: str, version: Version, previous: str, number: int) -> str:
        """One more training; the digest of its version's record."""
        run = _run_id(number)
        created = self.newest.created + timedelta(milliseconds=number - _DAY)
        parent = Version(version.major, version.minor - 1)
        common = {"package": package, "run": run, "created": created}
        record = self.newest.model_copy(
            update=common | {"parent": parent, "version": version, "previous": previous}
        )
        entry = self._outcome.entry
        if entry is None:
            raise SystemExit("the newest run has made no version")
        request = self._run.request
        request = request.model_copy(update={"base": parent}) if request else None
        head = self._intent.head.model_copy(update={"minor": parent.minor})
        self._keep(
            run,
            {
                "intent.json": self._intent.model_copy(update=common | {"head": head, "training": request}),
                "outcome.json": self._outcome.model_copy(
                    update={
                        "run": run,
                        "created": created,
                        "entry": entry.model_copy(update=common | {"parent": parent}),
                    }
                ),
                "heartbeat.json": self._heartbeat.model_copy(update={"run": run}),
                "run.json": self._run.model_copy(
                    update=common | {"version": version, "parent": parent, "request": request}
                ),
                "_results.json": self._results,
            },
        )
        return self.version(record)

    def _keep(self, run: str, records: dict[str, Record]) -> None:
        for name, record in records.items():
            _write(self._store / operations.key(run, name), record)

    def version(self, record: VersionRecord) -> str:
        """Write a version's record; its digest."""
        return _digest(_write(self._store / numbers.key(record.package, record.version), record))


def _read(kind: type[R], file: Path) -> R:
    return kind.from_bytes(file.read_bytes(), key=str(file))


def _write(file: Path, record: Record) -> bytes:
    data = record.to_bytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return data


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _run_id(number: int) -> str:
    """An id of yesterday, so that today's runs are the newest."""
    at = int(time.time() * 1000) - _DAY + number
    text = f"{at:012x}7{number % 4096:03x}8{number:015x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def main(store: Path, package: str, versions: int, runs: int) -> None:
    """The history."""
    template = Template(store, package)
    previous, last = template.digest, template.newest.version
    for number in range(versions):
        version = Version(last.major, last.minor + 1 + number)
        previous = template.write(package, version, previous, number)
    for number in range(runs):
        name, minor = f"other-{number // OTHERS:03}", number % OTHERS + 1
        if minor == 1:
            previous = template.version(template.first.model_copy(update={"package": name}))
        previous = template.write(name, Version(1, minor), previous, versions + number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
