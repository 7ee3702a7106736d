"""What a store holds that the index does not know yet: runs, versions, tombstones and datasets, by their keys alone.

A folder of a store on this machine that looks as it did the last time is not listed again.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pkgrun.datasets.mountpoints import on_this_machine
from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.lineage.tables import Row, Tables, sound
from pkgrun.store import numbers, registry
from pkgrun.store.backend import Backend

_RUN = re.compile(RUN_ID_PATTERN).fullmatch

_MARGIN = 2_000_000_000
"""Nanoseconds: no file system's clock ticks more slowly. What changes in the tick in which it was looked at shows nothing."""


class News(NamedTuple):
    """What is to be read. `looks`: how folders looked, to be remembered once that is done."""

    runs: list[str]
    versions: list[str]
    tombstones: list[str]
    datasets: list[str]
    looks: dict[str, str]

    @property
    def none(self) -> bool:
        """Whether there is nothing to be done."""
        return not (self.runs or self.versions or self.tombstones or self.datasets or self.looks)


class Shrunk(Exception):
    """A record that the index knows is not there any more: the store is another one, or was put back."""


def news(backend: Backend, tables: Tables) -> News:
    """What is new since the last look; runs that were open then are among it.

    Raises:
        Shrunk: something that was there is not any more.
        PermissionDenied, Temporary: the store cannot be read.
    """
    folders = _Folders(backend, tables)
    open_ = {id for (id,) in tables.ask("select id from run where state = ''")}
    runs = _new_runs(folders, tables) | open_
    versions, tombstones = _new_versions(folders, tables)
    datasets = _new_datasets(folders, tables)
    return News(sorted(runs), sorted(versions), sorted(tombstones), sorted(datasets), folders.looks)


def _new_runs(folders: _Folders, tables: Tables) -> set[str]:
    names = folders.changed("runs")
    if names is None:
        return set()
    there = {name for name in names if _RUN(name)}
    return _without(there, {id for (id,) in tables.ask("select id from run where number > 0")})


def _new_versions(folders: _Folders, tables: Tables) -> tuple[set[str], set[str]]:
    keys = set(folders.below("packages", 2))
    known, gone = set(), set()
    for _, package, major, minor, *_, removed in map(sound, _versions(folders, tables)):
        key = f"packages/{package}/{major:08}/{minor:08}.json"
        known.add(key)
        if removed:
            gone.add(numbers.tombstone_of(key))
    tombstones = {key for key in keys if numbers.TOMBSTONE.fullmatch(key)}
    return _without({key for key in keys if numbers.RECORD.fullmatch(key)}, known), _without(tombstones, gone)


def _versions(folders: _Folders, tables: Tables) -> Iterator[Row]:
    """The versions that are known of the folders that were listed."""
    listed = set(folders.listed("packages", 2))
    if folders.local and not listed:
        return
    # All of them, without an index: a version that one has lost would be entered twice.
    for row in tables.ask("select * from version not indexed"):
        if not folders.local or f"packages/{row[1]}/{row[2]:08}" in listed:
            yield row


def _new_datasets(folders: _Folders, tables: Tables) -> set[str]:
    keys = {key for key in folders.below("datasets", 1) if registry.RECORD.fullmatch(key)}
    rows = (registry.key(name, n) for _, name, n, *_ in map(sound, tables.ask("select * from dataset")))
    listed = set(folders.listed("datasets", 1))
    return _without(keys, {key for key in rows if not folders.local or os.path.dirname(key) in listed})


def _without(there: set[str], known: set[str]) -> set[str]:
    if not known <= there:
        raise Shrunk
    return there - known


class _Folders:
    """Lists folders, but for those that look as they did."""

    def __init__(self, backend: Backend, tables: Tables) -> None:
        self._backend = backend
        self.local = backend.capabilities.paths and on_this_machine(backend.url)
        self._known: dict[str, str] = {}
        if self.local:
            self._known = dict(map(sound, tables.ask("select * from look")))
        self._listed: list[str] = []
        self.looks: dict[str, str] = {}

    def changed(self, folder: str) -> Iterable[str] | None:
        """The names in a folder; None if they are the same as the last time."""
        stamp = self._stamp(folder)
        if stamp and self._known.get(folder) == stamp:
            return None
        self._listed.append(folder)
        names = list(self._backend.list(folder))
        if stamp is not None and self._known.get(folder) != stamp:
            self.looks[folder] = stamp
        return names

    def _stamp(self, folder: str) -> str | None:
        """How a folder looks; None where that tells nothing, empty if it may change without looking otherwise."""
        if not self.local:
            return None
        now = time.time_ns()
        try:
            found = os.stat(os.path.join(self._backend.url, folder))
        except OSError:
            return None
        if max(found.st_mtime_ns, found.st_ctime_ns) > now - _MARGIN:
            return ""
        return f"{found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"

    def below(self, folder: str, depth: int) -> Iterator[str]:
        """The keys below a folder, so many folders down, but for those in folders that look as they did."""
        if not self.local:
            yield from (key for key, _ in self._backend.walk(folder))
            return
        names = self.changed(folder)
        if depth == 0:
            yield from (f"{folder}/{name}" for name in names or ())
            return
        start = f"{folder}/"
        if names is None:
            names = [name[len(start) :] for name in self._known if name.startswith(start)]
            names = [name for name in names if "/" not in name]
        for name in names:
            yield from self.below(start + name, depth - 1)

    def listed(self, folder: str, depth: int) -> list[str]:
        """The folders, so many below one, that were listed now."""
        return [one for one in self._listed if one.startswith(f"{folder}/") and one.count("/") == depth]
