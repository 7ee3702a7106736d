"""What `package prune` and `store gc` share: the options that say which versions are kept, and what these come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pkgrun.cli import text
from pkgrun.cli.durations import seconds

if TYPE_CHECKING:
    from pkgrun.runs.removing import Removed
    from pkgrun.runs.retention import Verdict

C = TypeVar("C", bound=Callable[..., Any])


def rule(function: C) -> C:
    """Give a command the options."""
    for option in (
        click.option("--force", is_flag=True, help="Remove also what kept versions came from."),
        click.option(
            "--keep-within",
            metavar="DURATION",
            callback=seconds,
            help="Keep what was made within it: 30d, 12h.",
        ),
        click.option(
            "--keep-last",
            metavar="N",
            type=click.IntRange(1),
            help="Keep so many versions of each package, the last made.",
        ),
    ):
        function = option(function)
    return function


def table(verdicts: Sequence[Verdict]) -> None:
    """What becomes of each version, and why it is kept."""
    from pkgrun.cli import pages

    heads = ("version", "made", "size", "", "because")
    rows = [
        (
            f"{verdict.record.package}@{verdict.record.version}",
            text.age(verdict.record.created),
            text.size(verdict.record.tree.bytes),
            "keep" if verdict.kept else "remove",
            verdict.kept or "",
        )
        for verdict in verdicts
    ]
    styles = {"": ["" if verdict.kept else "red" for verdict in verdicts]}
    pages.columns(pages.console(), heads, rows, right=("size",), styles=styles)


def documents(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [
        {
            "package": verdict.record.package,
            "version": str(verdict.record.version),
            "created": verdict.record.created,
            "bytes": verdict.record.tree.bytes,
            "keep": verdict.kept is not None,
            "because": verdict.kept,
        }
        for verdict in verdicts
    ]


def remarks(verdicts: Sequence[Verdict]) -> list[str]:
    """How many would go, and how many are kept that need not be."""
    going = [verdict.record for verdict in verdicts if verdict.kept is None]
    said = [f"nothing to remove of {text.plural(len(verdicts), 'version')}"]
    if going:
        size = text.size(sum(record.tree.bytes for record in going))
        said = [f"{len(going):,} of {text.plural(len(verdicts), 'version')} to be removed, {size} at most"]
    if bound := sum(verdict.descent for verdict in verdicts):
        said.append(
            f"{text.plural(bound, 'version')} kept only because others came from it; --force removes these too"
        )
    return said


def done(removed: Sequence[Removed], *, freed: bool = False) -> list[str]:
    """How many went, and who was late; `freed`: a collection goes on with it."""
    said = [f"{text.plural(sum(one.new for one in removed), 'version')} removed"]
    if removed and not freed:
        said[0] += "; `pkgrun store gc` frees the space"
    return said + [remark for one in removed for remark in late(one)]


def removed(one: Removed) -> dict[str, Any]:
    """A version that was removed, as JSON."""
    from pkgrun.cli import pages

    return {
        "package": one.record.package,
        "version": str(one.record.version),
        "removed": pages.removal(one.removal),
        "new": one.new,
        "late": list(one.late),
    }


def late(one: Removed) -> list[str]:
    """That somebody began from a version while it was removed."""
    return [
        f"the run {run} began from {one.record.package}@{one.record.version} at the same moment; "
        "what it needs stays until it has ended"
        for run in one.late
    ]
