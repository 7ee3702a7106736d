"""Words for people."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.cli import text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_400, "99.4 kB"),
        (100_000, "100 kB"),
        (2.1e9, "2.1 GB"),
        (5e15, "5000000 GB"),
    ],
)
def test_sizes(count: float, shown: str) -> None:
    assert text.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0421, "42 ms"), (3.14, "3.1 s"), (125, "2 min 5 s"), (11_520, "3 h 12 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("ago", "shown"), [(2, "just now"), (300, "5 min ago"), (7300, "2 h ago"), (10**8, r"\d{4}-\d\d-\d\d")]
)
def test_ages(ago: float, shown: str) -> None:
    import re

    assert re.fullmatch(shown, text.age(datetime.now(UTC) - timedelta(seconds=ago)))


def test_a_moment_is_told_in_the_zone_of_this_machine_which_is_named() -> None:
    code = (
        "from datetime import UTC, datetime; from pkgrun.cli import text\n"
        "print(text.moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))"
    )
    for zone, shown in (("UTC", "2026-01-02 03:04:05 UTC"), ("JST-9", "2026-01-02 12:04:05 JST")):
        env = {**os.environ, "TZ": zone}
        told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
        assert told.stdout.decode().strip() == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(3.0, "3"), (0.96666, "0.9667"), (1e-9, "1e-09"), (1e300, "1e+300")]
)
def test_numbers(value: float, shown: str) -> None:
    assert text.number(value) == shown


@given(st.text())
def test_nothing_that_a_terminal_would_obey_is_left(written: str) -> None:
    shown = text.line(written)
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in shown)
    assert "\u202e" not in shown
    shown.encode()


def test_ordinary_text_stays_as_it_is() -> None:
    assert text.plain("größer – 东京\tx\n") == "größer – 东京\tx\n"
