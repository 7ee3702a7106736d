"""Keeping a dataset on an S3 server: seconds and requests, against those who send each file by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import datasets
from .figures import MEMORY, PROVED
from .ground import Ground, environ
from .keepers import DVC, PKGRUN, Keeper, Place, chosen, programs
from .proof import difference
from .report import Goal, Report
from .requests import counting
from .scratch import Scratch
from .timing import Failed, Sample, Series, call, ratio, timed

if TYPE_CHECKING:
    from tests.servers import Server

ROUNDS = 3
REQUESTS = 50
GOALS: Mapping[str, float] = {"s3fs": 1 / 10, "dvc": 1 / 5}
COLUMNS = ("command", "s", "start-up s", "less start-up s", "× s3fs", "× dvc", "requests", "peak MB", "proof")
_REMARKS = (
    "requests are counted in a round of its own, through a proxy; the seconds are of rounds without it",
    "s3fs sends the files side by side, one request each; its ratios and dvc's are less the start-up of each",
    "of dvc it is the push alone: its snapshot was made before",
)

_PUT = """\
import s3fs, sys
s3fs.S3FileSystem().put("data", sys.argv[1] + "/data", recursive=True)
"""

SENDERS: Sequence[Keeper] = (
    replace(PKGRUN, env={**PKGRUN.env, "PKGRUN_STORE": "{BUCKET}/store"}),
    Keeper("s3fs", ("{bin}/python", "-c", _PUT, "{BUCKET}"), (), (), ""),
    replace(
        DVC,
        make=(
            *DVC.make,
            ("{bin}/dvc", "remote", "add", "-q", "-d", "bench", "{BUCKET}/remote"),
            ("{bin}/dvc", "remote", "modify", "-q", "bench", "endpointurl", "{AWS_ENDPOINT_URL}"),
            DVC.first,
        ),
        first=("{bin}/dvc", "push", "-q"),
    ),
)
_COMMANDS: Mapping[str, str] = {"pkgrun": "pkgrun dataset add", "s3fs": "s3fs.put", "dvc": "dvc push"}
_NEEDED: Mapping[str, str] = {"s3fs": "s3fs", "dvc": "dvc_s3"}


@dataclass(slots=True)
class _Sent:
    """What was found out about one sender."""

    keeper: Keeper
    whole: list[Sample] = field(default_factory=list)
    startup: list[Sample] = field(default_factory=list)
    requests: int = 0
    said: str = ""
    proof: str | None = None

    @property
    def added(self) -> tuple[float, ...]:
        """Seconds less the start-up."""
        pairs = zip(self.whole, self.startup, strict=True)
        return tuple(whole.wall - startup.wall for whole, startup in pairs)


def s3(ground: Ground) -> Report:
    """The first snapshot of M on a server that is new in each round; all send to it in turn."""
    report = Report("First snapshot of M on an S3 server", COLUMNS, remarks=list(_REMARKS))
    sent: dict[str, _Sent] = {}
    with ground.scratch(30 * ground.dataset("M").bytes) as place:
        places = dict(_laid(ground, report, place))
        for number in range(1 + ground.counted(ROUNDS)):
            with _server(place.folder) as server:
                for name, (many, one) in list(places.items()):
                    found = sent.setdefault(name, _Sent(many.keeper))
                    try:
                        _sent(found, many, one, server, count=number == 0)
                    except Failed as failure:
                        told = report.failures if name == PKGRUN.name else report.remarks
                        told.append(f"{name}: {failure}")
                        del places[name], sent[name]
    _tell(report, sent)
    return report


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    """A server of the tests', which needs what is installed for these."""
    from tests.servers import ministack

    with ministack.serving(folder) as server:
        yield server


def _laid(ground: Ground, report: Report, scratch: Scratch) -> Iterator[tuple[str, tuple[Place, Place]]]:
    """For each sender that is there a place with the dataset and one with a dataset of one file."""
    source = ground.kept("M")
    for keeper in chosen(ground, SENDERS):
        bin = ground.program.parent if keeper.name == "s3fs" else programs(ground, keeper)
        if bin is None or not _able(bin, keeper, scratch.folder):
            report.add(_COMMANDS[keeper.name], *(None for _ in COLUMNS[2:]), "not installed")
            continue
        many, one = (
            Place(keeper, bin, scratch, scratch.folder / f"{keeper.name}-{name}") for name in ("many", "one")
        )
        call(("cp", "-r", source, many.source), cwd=scratch.folder, env=environ(scratch.folder))
        datasets.single(one.source)
        yield keeper.name, (many, one)


def _able(bin: Path, keeper: Keeper, folder: Path) -> bool:
    """Whether it can speak to S3 at all."""
    try:
        module = _NEEDED.get(keeper.name, "sys")
        call((bin / "python", "-c", f"import {module}"), cwd=folder, env=environ(folder))
    except Failed:
        return False
    return True


def _sent(found: _Sent, many: Place, one: Place, server: Server, *, count: bool) -> None:
    """Send both datasets, each to a bucket of its own; count the requests of the one, or time both."""
    if count:
        with counting(server.endpoint) as (endpoint, counted):
            place = _bound(many, replace(server.with_own_bucket(), endpoint=endpoint))
            timed(place.trial("count", found.keeper.first, place.begin))
            found.requests, found.said = counted.total, str(counted)
        return
    bound = [_bound(each, server.with_own_bucket()) for each in (many, one)]
    for place, samples in zip(bound, (found.whole, found.startup), strict=True):
        samples.append(timed(place.trial(found.keeper.name, found.keeper.first, place.begin)))
    if found.keeper.ours:
        found.proof = _proof(bound[0])


def _bound(place: Place, server: Server) -> Place:
    """The place with a server's bucket to send to."""
    # Without those that name no file: dvc insists on one, and the home of the programs is a new folder anyway.
    variables = {name: value for name, value in server.env.items() if value != os.devnull}
    return replace(place, variables={**variables, "BUCKET": server.url})


def _proof(place: Place) -> str:
    """What the server has is what was kept.

    Raises:
        Failed: it is not.
    """
    place.take_away()
    place.scratch.park(place.folder / "cache")  # all has to come from the server
    try:
        place.call(place.keeper.restore)
        found = difference(place.source, place.restored)
    finally:
        place.bring_back()
    if found:
        raise Failed(f"what was restored is not what was kept: {found}")
    return PROVED


def _tell(report: Report, sent: Mapping[str, _Sent]) -> None:
    for name, found in sent.items():
        whole, startup = Series(name, tuple(found.whole)), Series("start-up", tuple(found.startup))
        against = {other: ratio(found.added, sent[other].added) for other in GOALS if other in sent}
        report.add(
            _COMMANDS[name],
            whole.wall,
            startup.wall,
            Series(name, tuple(Sample(wall, 0) for wall in found.added)).wall,
            *(against.get(other) for other in GOALS),
            str(found.requests),
            whole.peak / 1e6,
            found.proof,
        )
        report.samples |= {name: whole.walls, f"{name}, start-up": startup.walls}
        report.remarks.append(f"{name}: {found.said}")
        if name == PKGRUN.name:
            _judge(report, found, whole, against)


def _judge(report: Report, found: _Sent, whole: Series, against: Mapping[str, float]) -> None:
    report.goals = [Goal(f"pkgrun against {other}", against[other], GOALS[other], "×") for other in against]
    report.goals += [
        Goal("pkgrun", found.requests, REQUESTS, "requests"),
        Goal("pkgrun: peak memory", whole.peak / 1e6, MEMORY / 1e6, "MB"),
    ]
