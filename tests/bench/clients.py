"""obstore beside s3fs, on one S3 server on loopback: which of them should move a store's bytes?

`python -m tests.bench.clients` prints the table. Each client does each job in a process of its own, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .ground import REPOSITORY
from .report import Report
from .resident import peak

LARGE, LARGE_COUNT = 64 << 20, 4
SMALL, SMALL_COUNT = 20_000, 200
RIVALS, RACES = 16, 25
THREADS = 8
CLIENTS = ("obstore", "s3fs")


def main() -> int:
    """Measure both clients and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.clients", description=__doc__)
    parser.add_argument("--reps", type=int, default=5, metavar="N", help="rounds that count")
    parser.add_argument("--one", nargs=2, metavar=("CLIENT", "JOB"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(_measured(*asked.one)))
        return 0
    from tests.servers import ministack

    with tempfile.TemporaryDirectory() as folder, ministack.serving(Path(folder)) as server:
        env = os.environ | server.env | {"BENCH_BUCKET": server.bucket}
        print(_report(asked.reps, env).text())
    return 0


def _report(rounds: int, env: Mapping[str, str]) -> Report:
    report = Report(
        "Moving bytes to and from an S3 server on loopback",
        ("job", "client", "median ms", "min ms", "max ms", "cpu ms", "peak MiB", "said"),
        remarks=["cpu and peak are the client's process; the server shares the machine's processors"],
    )
    for job in JOBS:
        found: dict[str, list[dict[str, Any]]] = {client: [] for client in CLIENTS}
        for number in range(rounds + 1):
            for client in CLIENTS:
                one = _apart(client, job, env)
                if number:
                    found[client].append(one)
        for client, samples in found.items():
            walls = [sample["wall"] * 1000 for sample in samples]
            cpu = median(sample["cpu"] * 1000 for sample in samples)
            memory = max(sample["peak"] for sample in samples) / (1 << 20)
            report.add(
                job, client, median(walls), min(walls), max(walls), cpu, memory, samples[-1]["said"] or ""
            )
    return report


def _apart(client: str, job: str, env: Mapping[str, str]) -> dict[str, Any]:
    command = (sys.executable, "-m", "tests.bench.clients", "--one", client, job)
    done = subprocess.run(
        command, cwd=REPOSITORY, env=dict(env), stdout=subprocess.PIPE, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _measured(client: str, job: str) -> dict[str, Any]:
    """One job in this process; its time is without the import, which is a job of its own."""
    if job != "import":
        there = _client(client)
        there.put({"warm": b""})
    began, used = time.perf_counter(), time.process_time()
    said = None
    if job == "import":
        _client(client)
    else:
        said = JOBS[job](client, there)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    return {"wall": wall, "cpu": cpu, "peak": peak(), "said": said}


@dataclass(frozen=True, slots=True)
class _Client:
    """One client's way to do many things at once."""

    put: Callable[[Mapping[str, bytes]], object]
    get: Callable[[Sequence[str]], int]
    create: Callable[[str, bytes], bool]


def _client(name: str) -> _Client:
    return _obstore() if name == "obstore" else _s3fs()


def _obstore() -> _Client:
    import obstore
    from obstore.store import S3Store

    from pkgrun.store.parallel import each

    store = S3Store(
        os.environ["BENCH_BUCKET"],
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        client_options={"allow_http": True},
    )

    def put(data: Mapping[str, bytes]) -> None:
        def one(item: tuple[str, bytes]) -> None:
            obstore.put(store, item[0], item[1], use_multipart=False)

        each(one, list(data.items()), threads=THREADS, run=1)

    def get(keys: Sequence[str]) -> int:
        return sum(each(lambda key: len(obstore.get(store, key).bytes()), keys, threads=THREADS, run=1))

    def create(key: str, data: bytes) -> bool:
        try:
            obstore.put(store, key, data, mode="create", use_multipart=False)
        except obstore.exceptions.AlreadyExistsError:
            return False
        return True

    return _Client(put, get, create)


def _s3fs() -> _Client:
    import s3fs  # type: ignore[import-untyped]

    bucket = os.environ["BENCH_BUCKET"]
    there = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], use_listings_cache=False)

    def put(data: Mapping[str, bytes]) -> None:
        there.pipe({f"{bucket}/{key}": value for key, value in data.items()})

    def get(keys: Sequence[str]) -> int:
        return sum(map(len, there.cat([f"{bucket}/{key}" for key in keys]).values()))

    def create(key: str, data: bytes) -> bool:
        try:
            there.pipe_file(f"{bucket}/{key}", data, mode="create")
        except OSError:  # FileExistsError of some servers' answer, EINVAL of others'
            return False
        return True

    return _Client(put, get, create)


def _put_large(name: str, client: _Client) -> None:
    client.put({f"{name}/large/{number}": bytes([number]) * LARGE for number in range(LARGE_COUNT)})


def _get_large(name: str, client: _Client) -> None:
    assert client.get([f"{name}/large/{number}" for number in range(LARGE_COUNT)]) == LARGE * LARGE_COUNT


def _put_small(name: str, client: _Client) -> None:
    client.put({f"{name}/small/{number}": bytes([number]) * SMALL for number in range(SMALL_COUNT)})


def _get_small(name: str, client: _Client) -> None:
    assert client.get([f"{name}/small/{number}" for number in range(SMALL_COUNT)]) == SMALL * SMALL_COUNT


def _race(name: str, client: _Client) -> str:
    """Sixteen threads create the same key at once, and again; each time one should win."""
    from pkgrun.store.parallel import each

    honest = 0
    for number in range(RACES):
        key = f"{name}/race/{os.getpid()}/{number}"
        answers = [(key, b"%d" % rival) for rival in range(RIVALS)]
        honest += sum(each(lambda one: client.create(*one), answers, threads=RIVALS, run=1)) == 1
    return f"one winner {honest}/{RACES}"


JOBS: Mapping[str, Callable[[str, Any], str | None]] = {
    "import": lambda name, client: None,
    f"put {LARGE_COUNT} x 64 MiB": _put_large,
    f"get {LARGE_COUNT} x 64 MiB": _get_large,
    f"put {SMALL_COUNT} x 20 kB": _put_small,
    f"get {SMALL_COUNT} x 20 kB": _get_small,
    f"race of {RIVALS} creators": _race,
}

if __name__ == "__main__":
    sys.exit(main())
