"""The datasets of the benchmarks: of seeded random bytes, the same on every machine; kept in a folder between runs.

S is one CSV file of 100 MB, M 20,000 files of 20,000 bytes, L 100,000 of 4,096, B four of 1 GB. G10k, G100k and G1M
are 10,000 to 1,000,000 files of 4,096 bytes, the size of L's: ext4 gives a smaller file a block of that size all the
same, and the rows of one growth table, and L, can be compared by the file.

It writes files and changes them; it measures nothing. No call holds more than a few megabytes: what it held at most
would count as the memory of the programs that are started later.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, isqrt
from pathlib import Path
from random import Random

SEED = "pkgrun"
_CHUNK = 1 << 20

_COLUMNS = 9
_CELL = b"0.000000,"
_LINE = (_CELL * _COLUMNS)[:-1] + b"\n"
_DIGITS = bytes(ord("0") + byte % 10 for byte in range(256))


@dataclass(frozen=True, slots=True)
class Dataset:
    """One of them, at full size: so many files of so many bytes, in so many folders."""

    name: str
    files: int
    size: int
    folders: int = 0
    text: bool = False

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return self.files * self.size

    def scaled(self, scale: float) -> Dataset:
        """A share of it: fewer files where there are many, else smaller ones."""
        if not self.folders:
            return Dataset(self.name, self.files, ceil(self.size * scale), text=self.text)
        return Dataset(self.name, ceil(self.files * scale), self.size, ceil(self.folders * scale))


DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("S", 1, 100_000_000, text=True),
        Dataset("M", 20_000, 20_000, folders=400),
        Dataset("L", 100_000, 4_096, folders=1_000),
        Dataset("B", 4, 1_000_000_000),
        Dataset("G10k", 10_000, 4_096, folders=100),
        Dataset("G100k", 100_000, 4_096, folders=1_000),
        Dataset("G1M", 1_000_000, 4_096, folders=10_000),
    )
}


def kept(folder: Path, dataset: Dataset) -> Path:
    """The dataset, made in a folder unless it is there."""
    place = folder / f"{dataset.name}-{dataset.files}x{dataset.size}"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=folder))
        try:
            write(draft, dataset)
            draft.chmod(0o755)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place


def write(folder: Path, dataset: Dataset) -> None:
    """Write a dataset's files into a folder that is empty."""
    random = Random(f"{SEED} {dataset.name}")
    if dataset.folders:
        _tree(folder, dataset, random)
        return
    fill: Callable[[Random, int], Iterator[bytes]] = _lines if dataset.text else _noise
    for number in range(dataset.files):
        name = f"{number:02}.csv" if dataset.text else f"{number:02}.bin"
        with (folder / name).open("wb") as file:
            file.writelines(fill(random, dataset.size))


def _tree(folder: Path, dataset: Dataset, random: Random) -> None:
    """Two levels of folders; and one of each thing that a copy may lose, for the proof to look at."""
    upper = isqrt(dataset.folders)
    each = ceil(dataset.files / dataset.folders)
    for number, batch in enumerate(_batches(dataset.files, each)):
        place = folder / f"{number % upper:03}" / f"{number:05}"
        place.mkdir(parents=True)
        for item in batch:
            (place / f"{item:07}.bin").write_bytes(random.randbytes(dataset.size))
    first = folder / "000" / "00000" / "0000000.bin"
    first.chmod(0o755)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(first.relative_to(folder))


def _batches(count: int, each: int) -> Iterator[range]:
    return (range(start, min(count, start + each)) for start in range(0, count, each))


def _noise(random: Random, size: int) -> Iterator[bytes]:
    for start in range(0, size, _CHUNK):
        yield random.randbytes(min(_CHUNK, size - start))


def _lines(random: Random, size: int) -> Iterator[bytes]:
    """A header and lines of decimal numbers, as many whole ones as fit."""
    header = ",".join(f"c{number}" for number in range(_COLUMNS)).encode() + b"\n"
    yield header
    left = (size - len(header)) // len(_LINE)
    digits = [place for place, byte in enumerate(_LINE) if byte == ord("0")]
    while left > 0:
        count = min(left, _CHUNK // len(_LINE))
        drawn = random.randbytes(count * len(digits)).translate(_DIGITS)
        block = bytearray(_LINE * count)
        for number, place in enumerate(digits):
            block[place :: len(_LINE)] = drawn[number * count : (number + 1) * count]
        yield bytes(block)
        left -= count


def single(folder: Path) -> Path:
    """A dataset of one small file: what a command costs that has nothing to do."""
    folder.mkdir(parents=True)
    (folder / "one.bin").write_bytes(Random(SEED).randbytes(100))
    return folder


def mutate(tree: Path, percent: float, turn: int) -> list[str]:
    """Change so many per cent of a dataset in place, sizes kept; each turn other bytes of, mostly, other files.

    Of a hundred files and more some are written anew; of fewer, a part of each. Answers with those changed.
    """
    random = Random(f"{SEED} {turn}")
    files = sorted(_files(tree))
    if len(files) < 100:
        for file in files:
            _overwrite(file, random, share=percent / 100)
        return files
    step = round(100 / percent)
    changed = files[turn % step :: step]
    for file in changed:
        _overwrite(file, random, share=1)
    return changed


def _files(tree: Path) -> Iterator[str]:
    for place, _, names in os.walk(tree):
        yield from (path for name in names if not os.path.islink(path := os.path.join(place, name)))


def _overwrite(file: str, random: Random, *, share: float) -> None:
    """Write a share of a file anew, somewhere in it."""
    size = os.path.getsize(file)
    count = min(size, ceil(size * share))
    with open(file, "r+b") as out:
        out.seek(random.randint(0, size - count))
        out.writelines(_noise(random, count))


def usual_folder() -> Path:
    """Where the datasets are kept if nobody says where."""
    return Path(tempfile.gettempdir()) / f"pkgrun-bench-{os.getuid()}"
