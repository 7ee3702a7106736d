"""The machinery behind the figures of datasets: what it makes, counts and compares. No time is looked at."""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.bench import datasets, figures, manyfiles, mounts, snapshots
from tests.bench.datasets import DATASETS
from tests.bench.figures import Figure, Table
from tests.bench.ground import Ground
from tests.bench.proof import difference
from tests.bench.report import Report
from tests.bench.requests import counting
from tests.bench.scratch import FEW, Scratch, scratch
from tests.bench.timing import Sample, Series, Trial, timed

STAND_IN = """\
#!/bin/sh
case "$1 $2" in
    "dataset add") rm -rf "$PKGRUN_STORE"; cp -r "$4" "$PKGRUN_STORE" ;;
    "dataset export") cp -r "$PKGRUN_STORE" "$4"; {after} ;;
esac
for word; do case "$word" in entered=*) date +%s%N > "${{word#entered=}}" ;; esac; done
"""
OTHERS = frozenset({"dvc", "restic", "borg", "mlflow"})


def _ground(folder: Path, after: str = ":") -> Ground:
    """With a program in pkgrun's place that keeps datasets by copying them, and does something `after` an export."""
    program = folder / "bin" / "pkgrun"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(after=after))
    program.chmod(0o755)
    python = program.with_name("python")
    python.symlink_to(sys.executable)
    return Ground(python, folder, rounds=1, quick=True, without=OTHERS)


def _made(folder: Path, name: str, scale: float) -> Path:
    folder.mkdir()
    datasets.write(folder, DATASETS[name].scaled(scale))
    return folder


@pytest.mark.parametrize(("name", "scale"), [("S", 0.01), ("M", 0.002), ("L", 0.002), ("B", 0.001)])
def test_a_dataset_is_the_same_whenever_it_is_made(tmp_path: Path, name: str, scale: float) -> None:
    one, other = (_made(tmp_path / folder, name, scale) for folder in ("one", "other"))
    assert difference(one, other) is None


def test_the_datasets_are_as_large_as_they_are_said_to_be(tmp_path: Path) -> None:
    tree = _made(tmp_path / "M", "M", 0.005)
    files = [file for file in tree.rglob("*.bin") if not file.is_symlink()]
    assert [len(files), {file.stat().st_size for file in files}] == [100, {20_000}]
    assert {len(file.relative_to(tree).parts) for file in files} == {3}
    [table] = _made(tmp_path / "S", "S", 0.001).iterdir()
    lines = table.read_text().splitlines()
    assert 99_900 < table.stat().st_size <= 100_000
    assert len([float(cell) for line in lines[1:] for cell in line.split(",")]) == 9 * (len(lines) - 1)


def test_datasets_differ_from_each_other(tmp_path: Path) -> None:
    small, great = (_made(tmp_path / name, name, 0.0001) for name in ("G100k", "G1M"))
    first = Path("000/00000/0000000.bin")
    assert (small / first).read_bytes() != (great / first).read_bytes()


def test_a_dataset_is_made_once(tmp_path: Path) -> None:
    dataset = DATASETS["M"].scaled(0.001)
    place = datasets.kept(tmp_path, dataset)
    (place / "mark").touch()
    assert (datasets.kept(tmp_path, dataset) / "mark").exists()
    assert list(tmp_path.iterdir()) == [place], "a draft was left"


def test_a_change_touches_one_file_in_a_hundred_and_keeps_sizes(tmp_path: Path) -> None:
    one, other = (_made(tmp_path / folder, "L", 0.002) for folder in ("one", "other"))
    first = datasets.mutate(one, 1, turn=1)
    assert len(first) == 2
    assert difference(one, other) is not None
    assert datasets.mutate(one, 1, turn=2) != first
    for turn in (1, 2):
        datasets.mutate(other, 1, turn)
    assert difference(one, other) is None, "the same turns make the same changes"


def test_of_few_files_a_part_of_each_is_changed(tmp_path: Path) -> None:
    one, other = (_made(tmp_path / folder, "B", 0.0001) for folder in ("one", "other"))
    changed = datasets.mutate(one, 1, turn=1)
    assert len(changed) == 4
    for name in changed:
        before, after = (other / Path(name).name).read_bytes(), Path(name).read_bytes()
        assert len(before) == len(after)
        assert 0 < sum(old != new for old, new in zip(before, after, strict=True)) <= len(before) // 100


def _flip(tree: Path) -> None:
    file = tree / "000" / "00000" / "0000001.bin"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def _retarget(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("elsewhere")


def _unlink(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").touch()


SPOILED: dict[str, Callable[[Path], object]] = {
    "a flipped bit": _flip,
    "a missing empty folder": lambda tree: (tree / "empty").rmdir(),
    "one file more": lambda tree: (tree / "more").touch(),
    "a lost executable bit": lambda tree: (tree / "000" / "00000" / "0000000.bin").chmod(0o644),
    "another target": _retarget,
    "a file in a link's place": _unlink,
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_the_proof_notices(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    one, other = (_made(tmp_path / folder, "M", 0.001) for folder in ("one", "other"))
    assert difference(one, other) is None
    spoil(other)
    assert difference(one, other) is not None


def _series(name: str, *walls: float) -> Series:
    return Series(name, tuple(Sample(wall, 0, 50_000_000) for wall in walls))


def test_a_goal_is_for_what_is_more_than_the_start_up() -> None:
    table = Table.titled("Things")
    figure = Figure(_series("whole", 3, 5, 4), _series("start-up", 1, 1, 1), _series("floor", 2, 2, 2))
    table.figure("good", figure, figures.PROVED, goal=1.5)
    table.figure("bad", figure, figures.PROVED, goal=1.4)
    assert [goal.value for goal in table.report.goals] == [1.5, 1.5]
    assert [goal.met for goal in table.report.goals] == [True, False]
    lines = table.report.text().splitlines()
    assert [cell.strip() for cell in lines[4].strip("|").split("|")] == [
        *("good", "4,000", "1,000", "2,000", "2.00", "1.50", "1.50", "yes", "50.0", "proved")
    ]
    assert "| NO |" in " ".join(lines[5].split())


def test_without_a_floor_the_goal_is_in_seconds() -> None:
    figure = Figure(_series("whole", 1.5, 1.2, 1.4), _series("start-up", 1, 1, 1))
    assert figure.ratio == pytest.approx(0.4)


def test_time_can_end_before_the_process_does(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import time; open({str(mark)!r}, 'w').write(str(time.time_ns() - 10**12))"
    assert timed(Trial("marks", (sys.executable, "-c", code), tmp_path, {}, until=mark)).wall < 0


def test_many_files_are_parked_and_few_removed(tmp_path: Path) -> None:
    place = Scratch(tmp_path, own=False)
    for name, count in (("few", 3), ("many", FEW)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / str(number)).touch()
        place.park(tmp_path / name)
        assert not (tmp_path / name).exists()
    assert [len(list(folder.iterdir())) for folder in (tmp_path / "parked").glob("*/*")] == [FEW]


def test_a_scratch_of_its_own_leaves_nothing(tmp_path: Path) -> None:
    with scratch(tmp_path, room=1) as place:
        (place.folder / "file").touch()
    assert bool(list(tmp_path.iterdir())) is not place.own


def test_each_operation_is_measured_and_proved(tmp_path: Path) -> None:
    ground = _ground(tmp_path)
    measured = [work(ground) for work in (snapshots.snapshot, snapshots.restore, snapshots.large)]
    rows = {str(row[0]): row[-1] for report in measured for row in report.rows}
    disk = [rows.pop(f"first, {dataset} dd, durable") for dataset in ("S", "B")]
    assert disk == [None, None]  # it copies, and keeps nothing that could be proved
    assert rows == dict.fromkeys(rows, figures.PROVED)
    assert len(rows) == 7 + 2 + 3
    assert not [failure for report in measured for failure in report.failures]


def test_a_copy_that_is_not_the_same_is_a_failure(tmp_path: Path) -> None:
    report = snapshots.restore(_ground(tmp_path, after='touch "$4/more"'))
    assert [row[-1] for row in report.rows] == ["failed", "failed"]
    assert "more is only in" in report.failures[0]


def test_trainings_are_measured_until_they_have_the_data(tmp_path: Path) -> None:
    report: Report = mounts.mount(_ground(tmp_path))
    assert [row[-1] for row in report.rows] == ["untouched"] * 3
    assert not report.failures


def test_growth_is_one_table(tmp_path: Path) -> None:
    report = manyfiles.files(_ground(tmp_path))
    assert len(report.rows) == 9
    assert [goal.text for goal in report.goals if goal.unit == "×"] == [
        f"{operation}: by the file, G1M against G100k" for operation in manyfiles.OPERATIONS
    ]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def _server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_requests_are_counted_and_pass_unchanged() -> None:
    with _server() as endpoint, counting(endpoint) as (proxy, counted):
        connection = http.client.HTTPConnection(urlsplit(proxy).netloc, timeout=10)
        for size in (0, 10, 300_000):
            body = bytes(range(256)) * (size // 256) + b"PUT / HTTP/1.1\r\n\r\n"
            connection.request("PUT", "/key", body=body)
            assert connection.getresponse().read() == body
        connection.close()
        assert counted.total == 3
        assert str(counted) == "3 PUT"
