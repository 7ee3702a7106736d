"""Training on a dataset: how long until the user's code has it, and what is left to do when it is trained on again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import datasets, packages
from .figures import Table, taken
from .ground import Ground, environ
from .keepers import DATA, DVC, PKGRUN, Keeper, Place, chosen, programs
from .proof import difference
from .report import Report
from .scratch import Scratch
from .timing import Failed, Trial, call

ROUNDS = 7
AT_HAND = 0.06
COPIED = 1.1
AGAIN = 1.0
_ENTERED = "entered.txt"
_ADD = ("{bin}/pkgrun", "package", "add", "package", "--name", "entering")
_TRAIN = (
    "{bin}/pkgrun",
    "train",
    "entering",
    "--data",
    DATA,
    "--environment",
    "current",
    "--env",
    f"entered={_ENTERED}",
)
TRAINING: Keeper = replace(PKGRUN, make=(_ADD,), first=_TRAIN, again=_TRAIN)

_STAGE = """\
stages:
  train:
    cmd: {python} run.py
    deps: [run.py, data]
    outs: [model.bin]
"""
_RUN = 'open("model.bin", "wb").write(bytes(1024))\n'
_REMARKS = (
    "at hand: from the start of the command until the package's `train()` is entered, more than with one file",
    "again: the whole command, the dataset being as it was; of dvc it is `repro` with the dataset as dependency",
    "proved: after all trainings the dataset is byte by byte what it was",
)


def mount(ground: Ground) -> Report:
    """Data at hand by overlay and by copy; the second training on many files."""
    table = Table.titled("Training on a dataset", _REMARKS)
    for keeper in chosen(ground, (PKGRUN, DVC)):
        if (bin := programs(ground, keeper)) is None:
            table.absent(f"train again, L {keeper.name}", "not installed")
            continue
        measures = _OURS if keeper.ours else {f"train again, L {keeper.name}": _reproduced}
        for name, measure in measures.items():
            table.attempt(keeper, name, partial(measure, ground, table, bin, name))
    return table.report


def _at_hand(ground: Ground, table: Table, bin: Path, name: str) -> None:
    """Until the code has many files, by overlay."""
    with ground.scratch(6 * ground.dataset("L").bytes) as place:
        many, one = _laid(place, TRAINING, bin, ground.kept("L"))
        whole, startup = (_until_entered(each, "overlay") for each in (many, one))
        figure = taken(whole, startup, None, ground.counted(ROUNDS))
        proof = _untouched(many, ground.kept("L"))
        table.figure(name, figure, proof, AT_HAND)
        table.limit_memory(name, figure)


def _copied(ground: Ground, table: Table, bin: Path, name: str) -> None:
    """Until the code has a copy, beside `cp -r`."""
    rounds = ground.counted(ROUNDS)
    with ground.scratch((6 + 2 * rounds) * ground.dataset("M").bytes) as place:
        many, one = _laid(place, TRAINING, bin, ground.kept("M"))
        copy = place.folder / "copy"
        argv = ("cp", "-r", str(many.tree), str(copy))
        floor = Trial("cp -r", argv, place.folder, environ(place.folder), partial(place.park, copy))
        whole, startup = (_until_entered(each, "copy") for each in (many, one))
        figure = taken(whole, startup, floor, rounds)
        table.figure(name, figure, _untouched(many, ground.kept("M")), COPIED)
        table.limit_memory(name, figure)


def _again(ground: Ground, table: Table, bin: Path, name: str) -> None:
    """A whole training on many files that were hashed before."""
    with ground.scratch(6 * ground.dataset("L").bytes) as place:
        many, one = _laid(place, TRAINING, bin, ground.kept("L"))
        whole, startup = (each.trial("train", _entering(each, TRAINING.again)) for each in (many, one))
        figure = taken(whole, startup, None, ground.counted(ROUNDS))
        table.figure(name, figure, _untouched(many, ground.kept("L")), AGAIN)
        table.limit_memory(name, figure)


def _reproduced(ground: Ground, table: Table, bin: Path, name: str) -> None:
    """The same by dvc."""
    with ground.scratch(8 * ground.dataset("L").bytes) as place:
        places = _laid(place, DVC, bin, ground.kept("L"))
        repro = ("{bin}/dvc", "repro", "-q")
        for each in places:
            (each.folder / "dvc.yaml").write_text(_STAGE.format(python=ground.python))
            (each.folder / "run.py").write_text(_RUN)
            each.call(DVC.first)
            each.call(repro)
        whole, startup = (
            each.trial("repro", repro, partial(_edit, each.folder / "run.py")) for each in places
        )
        figure = taken(whole, startup, None, ground.counted(3))
        lost = difference(ground.kept("L"), places[0].tree)
        table.figure(name, figure, "changed" if lost else "untouched")
        table.report.remarks += [f"{name}: {lost}"] if lost else []


_OURS: Mapping[str, Callable[[Ground, Table, Path, str], None]] = {
    "train() entered, L overlay": _at_hand,
    "train() entered, M copy": _copied,
    "train again, L pkgrun": _again,
}


def _edit(file: Path) -> None:
    """Give dvc a reason to run it again."""
    with file.open("a") as out:
        out.write("#\n")


def _laid(scratch: Scratch, keeper: Keeper, bin: Path, source: Path) -> tuple[Place, Place]:
    """Two places with a package to train: one with the dataset, one with a dataset of one file."""
    many, one = (Place(keeper, bin, scratch, scratch.folder / name) for name in ("many", "one"))
    call(("cp", "-r", source, many.source), cwd=scratch.folder, env=environ(scratch.folder))
    datasets.single(one.source)
    for place in (many, one):
        place.folder.mkdir()
        packages.entering(place.folder / "package")
        place.bring_back()
        for argv in keeper.make:
            place.call(argv)
    return many, one


def _until_entered(place: Place, mount: str) -> Trial:
    """A training with a kind of mount, timed until the package's code has the data."""
    # Work directories stay: to remove a copy would make the next round's creates slower.
    argv = _entering(place, (*TRAINING.first, "--mount", mount, "--keep-workdir"))
    entered = place.folder / _ENTERED
    return replace(place.trial("train", argv, partial(place.scratch.park, entered)), until=entered)


def _entering(place: Place, argv: Sequence[str]) -> Sequence[str]:
    """With the whole path of the file: the user's code runs elsewhere."""
    return [word.replace(_ENTERED, str(place.folder / _ENTERED)) for word in argv]


def _untouched(place: Place, source: Path) -> str:
    """The proof: nothing that was done has changed the dataset.

    Raises:
        Failed: something has.
    """
    if found := difference(source, place.tree):
        raise Failed(f"the dataset is not what it was: {found}")
    return "untouched"
