"""Keeping datasets and getting them back, by pkgrun and those that do it, too; beside each the plain copy or walk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import datasets
from .figures import PROVED, Figure, Table, taken
from .ground import Ground, environ
from .keepers import KEEPERS, Keeper, Place, chosen, programs
from .proof import difference
from .report import Report
from .scratch import FEW, Scratch
from .timing import Failed, Trial, call

FIRST, AGAIN, CHANGED, RESTORE = "first", "unchanged", "1 % changed", "restore"
PERCENT = 1
ROUNDS: Mapping[str, int] = {"S": 5, "M": 5, "L": 3, "B": 3}
OTHERS = 3
_FEW_LARGE = frozenset("SB")

GOALS: Mapping[tuple[str, str], float] = {
    (FIRST, "S"): 2.5,
    (FIRST, "M"): 0.8,
    (FIRST, "L"): 0.6,
    (FIRST, "B"): 1.5,
    (AGAIN, "M"): 2,
    (AGAIN, "L"): 2,
    (CHANGED, "M"): 3,
    (RESTORE, "M"): 1,
    (RESTORE, "L"): 0.7,
    (RESTORE, "B"): 1.5,
}
_FLOORS = "floors: `cp -r` of the dataset; unchanged, a `find -printf` walk; 1 % changed, a walk and a copy of those"
_REMARKS = (
    _FLOORS,
    "dd, durable: the same bytes on the disk, nothing hashed; where that takes longer than a goal, the disk is the limit",
    "the start-up is the same command on a dataset of one file; the goals are for what is more than it",
    "the peak is a bound from above, of any one process; a figure is proved by a restored copy, byte by byte",
)


def snapshot(ground: Ground) -> Report:
    """The first snapshot, the next one of the same, and one after a change."""
    table = Table.titled("Snapshots", _REMARKS)
    for name in ("S", "M", "L"):
        operations = (FIRST, AGAIN, CHANGED) if name == "M" else (FIRST, AGAIN)
        compare(ground, table, name, operations)
    return table.report


def restore(ground: Ground) -> Report:
    """Writing a snapshot out into a folder."""
    table = Table.titled("Restoring", _REMARKS)
    for name in ("M", "L"):
        compare(ground, table, name, (RESTORE,))
    return table.report


def large(ground: Ground) -> Report:
    """Both for large files."""
    table = Table.titled("Large files", _REMARKS)
    compare(ground, table, "B", (FIRST, AGAIN, RESTORE))
    return table.report


def compare(ground: Ground, table: Table, dataset: str, operations: Sequence[str]) -> None:
    """Rows about what each keeper does with a dataset, each keeper on a file system of its own."""
    for keeper in chosen(ground, KEEPERS):
        name = f"{dataset} {keeper.name}"
        if (bin := programs(ground, keeper)) is None:
            table.absent(name, "not installed")
        else:
            work = partial(_compare, ground, table, keeper, bin, dataset, operations)
            table.attempt(keeper, name, work)


def _compare(
    ground: Ground, table: Table, keeper: Keeper, bin: Path, dataset: str, operations: Sequence[str]
) -> None:
    source = ground.kept(dataset)
    ours = keeper.ours
    rounds = ground.counted(ROUNDS[dataset] if ours else OTHERS)
    size = ground.dataset(dataset)
    # The dataset, its copy, what a keeper makes of it and writes out; of many files, each round leaves its own.
    left = 6 if size.files < FEW else 2 + 3 * (rounds + 2)
    with ground.scratch(left * size.bytes) as place:
        match = Match.prepared(place, keeper, bin, source)
        if FIRST not in operations:
            match.keep()
        elif ours and dataset in _FEW_LARGE:
            table.figure(f"{FIRST}, {dataset} dd, durable", match.durable(rounds), None)
        for operation in operations:
            name = f"{operation}, {dataset} {keeper.name}"
            figure = match.figure(operation, rounds)
            lost = match.lost(operation)
            proof = PROVED if lost == "" else "not the same" if lost else None
            table.figure(name, figure, proof, GOALS.get((operation, dataset)) if ours else None)
            if ours:
                table.limit_memory(name, figure)
            elif lost:
                table.report.remarks.append(f"{name}: {lost}")


@dataclass(frozen=True, slots=True)
class Match:
    """A keeper on a dataset, and the same on a dataset of one file."""

    scratch: Scratch
    many: Place
    one: Place

    @classmethod
    def prepared(
        cls,
        place: Scratch,
        keeper: Keeper,
        bin: Path,
        source: Path,
        variables: Mapping[str, str] | None = None,
    ) -> Match:
        """With copies of the datasets that it may change; nothing is kept yet."""
        many = Place(keeper, bin, place, place.folder / "many", variables or {})
        one = Place(keeper, bin, place, place.folder / "one", variables or {})
        call(("cp", "-r", source, many.source), cwd=place.folder, env=environ(place.folder))
        datasets.single(one.source)
        for laid in (many, one):
            laid.begin()
        return cls(place, many, one)

    @property
    def copy(self) -> Path:
        """Where the floor copies to."""
        return self.scratch.folder / "copy"

    def keep(self) -> None:
        """Keep both for the first time, untimed."""
        for place in (self.many, self.one):
            place.call(place.keeper.first)

    def figure(self, operation: str, rounds: int, *, warm: int = 1) -> Figure:
        """Measure one operation; those before it in the order of the story are done."""
        if operation == FIRST:
            return self._taken(FIRST, self.copying(self.many.tree), rounds, warm)
        if operation == AGAIN:
            return self._taken(AGAIN, self.walking(), rounds, warm)
        if operation == CHANGED:
            return self._taken(CHANGED, self.copying_changed(), rounds, warm)
        for place in (self.many, self.one):
            place.take_away()
        try:
            return self._taken(RESTORE, self.copying(self.many.source), rounds, warm)
        except Failed:
            for place in (self.many, self.one):
                place.bring_back()
            raise

    def _taken(self, operation: str, floor: Trial, rounds: int, warm: int) -> Figure:
        many, one = (_trial(operation, place) for place in (self.many, self.one))
        return taken(many, one, floor, rounds, warm=warm)

    def copying(self, source: Path) -> Trial:
        """The floor: a plain copy of the dataset."""
        argv = ("cp", "-r", str(source), str(self.copy))
        prepare = partial(self.scratch.park, self.copy)
        return Trial("cp -r", argv, self.scratch.folder, environ(self.scratch.folder), prepare)

    def durable(self, rounds: int) -> Figure:
        """What the disk alone takes for the bytes, written past the page cache and synced, all files at once."""
        line = 'mkdir "$1"; for one in "$0"/*; do dd if="$one" of="$1/${one##*/}" bs=4M oflag=direct conv=fsync status=none & done; wait'

        def trial(place: Place) -> Trial:
            target = place.folder / "durable"
            argv = ("sh", "-ec", line, str(place.tree), str(target))
            prepare = partial(self.scratch.park, target)
            return Trial("dd", argv, place.folder, environ(self.scratch.folder), prepare)

        return taken(trial(self.many), trial(self.one), self.copying(self.many.tree), rounds)

    def walking(self) -> Trial:
        """The floor: look at every file, as `find` does it."""
        line = 'exec find "$0" -type f -printf "%s %T@ %p\\n" > /dev/null'
        argv = ("sh", "-ec", line, str(self.many.tree))
        return Trial("find", argv, self.scratch.folder, environ(self.scratch.folder))

    def copying_changed(self) -> Trial:
        """The floor: look at every file and copy those that are newer. The change is made before each round."""
        line = 'find data -type f -newer "$0" -print0 | xargs -0 cp --parents -t "$1"'
        stamp = self.scratch.folder / "stamp"
        argv = ("sh", "-ec", line, str(stamp), str(self.copy))
        turns = iter(range(1, 1_000))

        def change() -> None:
            self.scratch.park(self.copy)
            self.copy.mkdir()
            stamp.touch()
            time.sleep(0.02)  # the kernel's clock of files ticks more slowly than processors do
            turn = next(turns)
            datasets.mutate(self.many.tree, PERCENT, turn)
            datasets.mutate(self.one.tree, PERCENT, turn)

        return Trial("find, cp", argv, self.many.folder, environ(self.scratch.folder), change)

    def lost(self, operation: str) -> str | None:
        """In what a restored copy differs from what was kept, "" if in nothing; None if that was not looked at.

        It is for all of pkgrun's operations, and where others have just written one out.

        Raises:
            Failed: pkgrun's copy differs.
        """
        many = self.many
        ours = many.keeper.ours
        if operation != RESTORE:
            if not ours:
                return None
            many.take_away()
            self.scratch.park(many.restored)
            many.call(many.keeper.restore)
        found = difference(many.source, many.restored)
        many.bring_back()
        if operation == RESTORE:
            self.one.bring_back()
        if found and ours:
            raise Failed(f"what was restored is not what was kept: {found}")
        return found or ""


def _trial(operation: str, place: Place) -> Trial:
    """The keeper's command line for an operation, in a place."""
    keeper = place.keeper
    if operation == FIRST:
        return place.trial(operation, keeper.first, place.begin)
    if operation == RESTORE:
        top = place.folder / Path(keeper.restored).parts[0]
        return place.trial(operation, keeper.restore, partial(place.scratch.park, top))
    return place.trial(operation, keeper.again)
