"""Comparisons on a page: what counts is told apart, and what others wrote cannot command the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pkgrun.cli import compare_pages
from pkgrun.identity import Version
from pkgrun.runs.comparison import Column, Comparison, File, Group, Row, Value


def column(number: int, package: str = "p") -> Column:
    return Column(
        name=f"{package}@1.{number}",
        package=package,
        version=Version(1, number),
        run=f"01939c1e-51a0-7abc-8def-01234567890{number}",
        kind="training",
        status="successful",
        parent=Version(1, 0),
        created=datetime(2026, 11, 20, tzinfo=UTC),
        removed=False,
    )


def row(name: str, *values: Value, group: Group = "metrics", best: tuple[int, ...] = ()) -> Row:
    return Row(group, name, values, same=len(set(values)) == 1, best=best)


def shown(
    capsys: pytest.CaptureFixture[str], *rows: Row, files: tuple[File, ...] = (), everything: bool = False
) -> list[str]:
    columns = tuple(map(column, range(1, len(rows[0].values) + 1)))
    compare_pages.page(Comparison(columns, rows, files), everything=everything, quiet=False)
    return capsys.readouterr().out.splitlines()


def cells(lines: list[str], name: str) -> list[str]:
    return next(line for line in lines if line.split()[:1] == [name]).split()[1:]


def test_numbers_have_as_many_digits_as_tell_them_apart(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        row("near", 0.96671, 0.96672),
        row("far", 0.1234567, 0.7654321),
        row("same", 0.1234567, 0.1234567),
        row("size", 5301, 5302, group="content"),
    )

    assert cells(lines, "near") == ["0.96671", "0.96672"]
    assert cells(lines, "far") == ["0.1235", "0.7654"]
    assert cells(lines, "same") == ["0.1235", "0.1235"]


def test_sizes_and_digests_too(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = "sha256:" + "a" * 64, "sha256:" + "a" * 63 + "b"
    lines = shown(
        capsys,
        row("bytes", 5301, 5302, group="content"),
        row("data bytes", 5301, 9302, group="data"),
        row("data digest", one, other, group="data"),
    )

    assert cells(lines, "size") == ["5301", "5302"]
    assert next(line for line in lines if "data bytes" in line).split()[2:] == ["5.3", "kB", "9.3", "kB"]
    assert one in next(line for line in lines if "data digest" in line)


def test_what_others_wrote_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "a\x1b[31m\nb\u202e"
    text = "\n".join(
        shown(capsys, row(bad, bad, "x", group="parameters"), files=(File(bad, (None, 0)),), everything=True)
    )

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"a\x1b[31m\nb\u202e" in text


def test_the_best_is_marked_without_colours_too(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, row("accuracy", 0.9, 0.8, best=(0,)))

    assert cells(lines, "accuracy") == ["0.9", "*", "0.8"]
    assert "* the best, where a metric's name tells which way is better" in lines


def test_that_the_data_were_others_is_said_beside(capsys: pytest.CaptureFixture[str]) -> None:
    digests = row("data digest", "sha256:a", "sha256:b", group="data")
    lines = shown(capsys, row("accuracy", 0.9, 0.8, best=(0,)), digests)

    assert any(line.endswith("; the data were not the same") for line in lines)


def test_equal_letters_are_equal_contents(capsys: pytest.CaptureFixture[str]) -> None:
    files = (File("model.bin", (0, 1, 0)), File("new.txt", (None, None, 0)))
    lines = shown(capsys, row("loss", 1.0, 2.0, 3.0), files=files)

    assert cells(lines, "model.bin") == ["a", "b", "a"]
    assert cells(lines, "new.txt") == ["-", "-", "a"]


def test_of_many_files_the_first_are_named_unless_all_are_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    files = tuple(File(f"file-{number:03}", (0, 1)) for number in range(100))
    few = shown(capsys, row("loss", 1.0, 2.0), files=files)
    everything = shown(capsys, row("loss", 1.0, 2.0), files=files, everything=True)

    assert "  … and 80 more" in few
    assert not any("file-020" in line for line in few)
    assert cells(everything, "file-099") == ["a", "b"]
