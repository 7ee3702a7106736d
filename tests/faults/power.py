"""The power is cut while a store on a real ext4 is written to, again and again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from . import images
from .actor import ROOT
from .operations import prepare
from .verdicts import Tally, collect

_WRITES = """
import os, sys
from pathlib import Path
import pkgrun
from tests.faults.operations import LEARNS, imports, snapshot, train

place = Path(sys.argv[1])
workspace = pkgrun.open(place / "store")
while True:
    for number in range(3):
        (place / "rows" / f"{number}.csv").write_bytes(os.urandom(5000))
    (place / "rows" / "large.bin").write_bytes(os.urandom(1 << 20))
    (place / "q" / "train.py").write_text(f"{LEARNS}# {os.urandom(4).hex()}")
    for work in (snapshot, imports, train):
        for said in work(place, workspace):
            os.write(1, said.encode() + b"\\n")
"""


def cuts(place: Path, count: int, seed: int) -> Tally:
    """Cut it so often; everything that was acknowledged until then is looked for after each cut."""
    draw, tally = random.Random(seed), Tally()
    said: list[str] = []
    with images.image(place, 2 << 30) as disk:
        lab = disk.folder / "lab"
        lab.mkdir()
        prepare(lab)
        os.sync()
        for cut in range(count):
            said += _written(disk, place, draw.uniform(0.05, 2.0))
            disk.power_up()
            tally.look(lab / "store", said, f"after {cut + 1} cuts, seed {seed}")
            if cut % 5 == 4:
                collect(lab / "store")
                tally.look(lab / "store", said, f"after {cut + 1} cuts and a collection, seed {seed}")
    tally.faults, tally.acknowledged, tally.operations = count, len(said), len(said) + count
    return tally


def _written(disk: images.Image, place: Path, seconds: float) -> list[str]:
    """Write for a while, then cut the power; what was acknowledged until then."""
    env = {**os.environ, "PKGRUN_CACHE": str(place / "cache")}
    argv = [sys.executable, "-c", _WRITES, str(disk.folder / "lab")]
    with subprocess.Popen(
        argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()  # it has begun
        time.sleep(seconds)
        disk.cut()
        writer.kill()
        rest = writer.stdout.read()
    return [line.decode() for line in (first + rest).splitlines()]
