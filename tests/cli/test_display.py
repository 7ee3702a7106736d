"""How far work is and how fast it goes, in words."""

from __future__ import annotations

import re
import time

import pytest

from pkgrun.cli.display import Lines
from pkgrun.cli.pace import Rate, amount
from pkgrun.observe import Phase, Progress


@pytest.mark.parametrize(
    ("work", "shown"),
    [
        (Progress("data", 1_200_000, 4_000_000, "bytes"), "1.2 MB of 4.0 MB"),
        (Progress("data", 1_200_000, None, "bytes"), "1.2 MB"),
        (Progress("data", 312, 20_000, "files"), "312 of 20,000 files"),
        (Progress("data", 1, None, "files"), "1 file"),
        (Progress("data", 0, 0, "bytes"), "0 B of 0 B"),
    ],
)
def test_what_is_done(work: Progress, shown: str) -> None:
    assert amount(work) == shown


def _told(rate: Rate, *points: tuple[float, int], label: str = "data") -> None:
    for at, done in points:
        rate.count(Progress(label, done, None, "bytes"), at)


def test_a_rate_is_of_the_last_seconds() -> None:
    rate = Rate()
    _told(rate, *((float(at), at * 1000) for at in range(101)))
    _told(rate, *((100.0 + at, 100_000 + at * 10) for at in range(1, 11)))

    assert rate.of(110.0) == pytest.approx(10)


def test_a_rate_falls_when_nothing_comes_any_more() -> None:
    rate = Rate()
    _told(rate, (0.0, 0), (1.0, 1000))

    assert rate.of(1.0) == pytest.approx(1000)
    assert rate.of(10.0) == pytest.approx(100)


def test_a_rate_needs_a_moment() -> None:
    rate = Rate()
    assert rate.of(0.0) == 0
    _told(rate, (0.0, 0), (0.2, 1000))

    assert rate.of(0.3) == 0


def test_words_of_threads_out_of_order_do_not_count() -> None:
    rate = Rate()
    _told(rate, (0.0, 0), (1.0, 1000), (1.5, 900), (2.0, 2000))

    assert rate.of(2.0) == pytest.approx(1000)


def test_other_work_has_a_rate_of_its_own() -> None:
    rate = Rate()
    _told(rate, (0.0, 0), (1.0, 10**9))
    _told(rate, (2.0, 0), (3.0, 50), label="hashing the data")

    assert rate.of(3.0) == pytest.approx(50)


def test_a_sign_of_life_says_how_far_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    seen, end = "", time.monotonic() + 10
    with Lines("add", sign_of_life=0.02) as lines:
        lines(Progress("data", 10**9, 4 * 10**9, "bytes"))
        while "GB" not in seen and time.monotonic() < end:
            seen += capfd.readouterr().err
        lines(Phase("train", time.time()))
        while "still in train" not in seen and time.monotonic() < end:
            seen += capfd.readouterr().err

    assert re.search(r"^… still in add, \d+ ms so far: 1\.0 GB of 4\.0 GB$", seen, re.MULTILINE)
    assert re.search(r"^… still in train, \d+ ms so far$", seen, re.MULTILINE)
