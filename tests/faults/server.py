"""Trouble that a real S3 server makes at one request of an operation, before it has done what was asked, or after.

Between the operation and the server stands a proxy (`tests/servers/proxy.py`), which answers in the server's place, loses
answers, cuts them, lets requests arrive late or when their client has long gone, and kills whoever asks.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pkgrun
from pkgrun.errors import PkgrunError
from tests.servers import Server, ministack, s3
from tests.servers.proxy import LOST, Fault, Proxy, proxy

from . import forks
from .forks import Child, in_child
from .operations import OPERATIONS, Acknowledged, prepare
from .verdicts import after

OPERATED = ("train", "import", "gc", "copy")
"""The operations that are tried; a training takes a snapshot, too."""

_LATE = 0.3
"""Seconds; longer than a client waits before it asks again."""

ASKED: Mapping[str, Fault] = {
    **{str(status): Fault(status=status) for status in (409, 412, 500, 503)},
    "lost": LOST,
    "slow": Fault(late=_LATE),
    "killed": Fault(strike=lambda: None),
}
"""What happens to any request."""
DONE: Mapping[str, Fault] = {
    **{f"{status}, done": Fault(status=status, done=True) for status in (409, 412, 500, 503)},
    "killed, done": Fault(strike=lambda: None, done=True),
    "stray": Fault(stray=_LATE),
}
"""What happens besides to a request that changes something. stray: its client hears nothing and asks again; it comes later."""
KINDS: Mapping[str, Fault] = {**ASKED, **DONE, "cut": Fault(cut=1)}
READING = frozenset({"GET", "HEAD"})


def _kinds(method: str) -> Iterator[str]:
    yield from ASKED
    if method not in READING:
        yield from DONE
    if method == "GET":
        yield "cut"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to the `nth` request of a method that an operation makes, counted from 1."""

    operation: str
    method: str
    nth: int
    kind: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.method} {self.nth}, {self.kind}"


@dataclass(frozen=True, slots=True)
class Service:
    """A server, the store that every case begins with, and how many requests each operation makes of it."""

    folder: Path
    server: Server
    before: Acknowledged
    objects: Mapping[str, bytes]
    requests: dict[str, Counter[str]]

    def cases(self) -> list[Trouble]:
        """All trouble that there can be."""
        return [
            Trouble(operation, method, nth, kind)
            for operation, counts in self.requests.items()
            for method in sorted(counts)
            for nth in range(1, counts[method] + 1)
            for kind in _kinds(method)
        ]

    def meet(self, case: Trouble) -> dict[str, Any]:
        """What becomes of one case; the fields of a `Verdict`."""
        with self._scene(case.operation) as (place, own):
            answer, between = _asked(place, own, case)
            verdict = in_child(partial(_checked, place, own, case.operation, self.before, answer), place)
            return {**verdict, "faults": len(between.spoilt)}

    def count(self, operation: str) -> Counter[str]:
        """The requests of each method that an operation makes."""
        with self._scene(operation) as (place, own):
            answer, between = _asked(place, own, Trouble(operation, "GET", 1, "none"))
            assert answer is not None
            assert answer["code"] == 0, answer
            return Counter(one.method for one in between.requests)

    @contextmanager
    def _scene(self, operation: str) -> Iterator[tuple[Path, Server]]:
        """A fresh copy of all that the operation is given, and of the store unless it makes a new one."""
        place, own = self.folder / f"case-{os.urandom(6).hex()}", self.server.with_own_bucket()
        shutil.copytree(self.folder / "template", place)
        for key, data in self.objects.items() if operation != "copy" else ():
            s3.put(own, key, data)
        try:
            yield place, own
        finally:
            shutil.rmtree(place, ignore_errors=True)
            s3.empty(own)  # the server keeps everything in memory


@contextmanager
def serving(folder: Path, operations: Sequence[str] = OPERATED) -> Iterator[Service]:
    """Start a server, and count what the operations ask of it."""
    forks.load()
    template = folder / "template"
    template.mkdir()
    before = in_child(partial(prepare, template), template)
    store = template / "store"
    objects = {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with ministack.serving(folder) as server:
        service = Service(folder, server, before, objects, {})
        for operation in operations:
            service.requests[operation] = service.count(operation)
        yield service


def _asked(place: Path, own: Server, case: Trouble) -> tuple[dict[str, Any] | None, Proxy]:
    """Let the operation meet its trouble; its answer, None if it was killed. It begins before the proxy has threads."""
    ready, go = os.pipe()
    child = Child(partial(_operate, ready, place, own, case.operation), place)
    os.close(ready)
    with proxy(own) as between:
        if case.kind in KINDS:
            between.plan(case.method, *[None] * (case.nth - 1), _fault(case.kind, child.pid))
        os.write(go, between.server.endpoint.encode())
        os.close(go)
        return child.answer(), between


def _fault(kind: str, pid: int) -> Fault:
    fault = KINDS[kind]
    if fault.strike is None:
        return fault
    return Fault(strike=partial(os.kill, pid, signal.SIGKILL), done=fault.done)


# ---------------------------------------------------------------------- in processes of their own


def _operate(ready: int, place: Path, own: Server, operation: str) -> dict[str, Any]:
    """What the operation acknowledges, and how it ends, as a user's process would."""
    endpoint = os.read(ready, 1000).decode()
    os.environ.update(own.env, AWS_ENDPOINT_URL=endpoint)
    try:
        return {"code": 0, "said": OPERATIONS[operation](place, pkgrun.open(own.url)), "error": ""}
    except PkgrunError as error:
        return {"code": error.exit_code, "said": [], "error": f"{error.kind}: {error}"}


def _checked(
    place: Path, own: Server, operation: str, before: Acknowledged, answer: dict[str, Any] | None
) -> dict[str, Any]:
    os.environ.update(own.env)
    said = answer["said"] if answer else []
    verdict = after(own.url, place, operation, before=before, said=said)
    if answer and answer["code"]:  # one trouble is waited out, and nobody hears of it
        verdict["wrong"].append(f"it ended with {answer['code']}: {answer['error']}")
    return verdict
