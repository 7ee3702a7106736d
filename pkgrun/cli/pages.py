"""What every page is made of: the console, tables, listings, the rows that several pages have, and records as JSON.

No line that it lays out ends in spaces: what is printed may as well be compared or kept in a file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pkgrun.cli import text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from pkgrun.cli.options import Settings
    from pkgrun.records import Environment, FileList, Git, Record, Tree
    from pkgrun.records.collecting import Removal
    from pkgrun.store.trees import Entry

CHANGED, ADDED, REMOVED = ("~", "yellow"), ("+", "green"), ("-", "red")
"""Signs and colours of what became of a file."""

_NAMED = 10

ROOMY = 100
"""Columns from which on there is room for more than what counts."""

_UNCUT = 10_000
"""Characters of a line where nobody looks: a path or an id that is folded cannot be searched for."""


def console(*, stderr: bool = False) -> Console:
    """A page on standard output or error; no colours where none are wanted, no cutting where nobody looks."""
    from rich.console import Console

    class Page(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # of its own accord it would end the process with 1

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNCUT
    return Page(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,  # `dict:key:` is no picture of a key
        width=width,
        soft_wrap=not stream.isatty(),
    )


def dump(record: Record) -> dict[str, Any]:
    """A record as JSON holds it."""
    return record.model_dump(mode="json")


def removal(removal: Removal | None) -> dict[str, Any] | None:
    """That a version was removed, as JSON has it beside the version's record."""
    return removal.model_dump(mode="json", include={"created", "by", "reason"}) if removal else None


def removal_line(removal: Removal) -> str:
    """The same on one line, for people."""
    why = f": {text.line(removal.reason)}" if removal.reason else ""
    return f"{text.age(removal.created)} by {text.line(removal.by.user)}{why}"


def removal_rows(removal: Removal, what: str = "removed") -> Iterable[tuple[str, str]]:
    """When a version was removed, by whom and why."""
    by = f"{removal.by.user} on {removal.by.host}"
    yield what, f"{text.moment(removal.created)} by {text.line(by)}"
    if removal.reason:
        yield "", text.plain(removal.reason)


def tree(tree: Tree) -> str:
    """A tree in a few words."""
    return f"{tree.digest[:19]}  {extent(tree)}"


def extent(tree: Tree) -> str:
    """How much there is in a tree."""
    return f"{text.plural(tree.files, 'file')}, {text.size(tree.bytes)}"


def tags(given: Mapping[str, str]) -> str:
    """Tags on one line."""
    return "  ".join(f"{text.line(key)}={text.line(value)}" for key, value in given.items())


def content_rows(tree: Tree) -> Iterable[tuple[str, str]]:
    """What exactly something is: the whole digest, and how much that is."""
    yield "content", tree.digest
    yield "", extent(tree)


def label_rows(description: str | None, given: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """What somebody said about something."""
    if description:
        yield "description", text.plain(description)
    if given:
        yield "tags", tags(given)


def git_row(git: Git) -> tuple[str, str]:
    """The commit that a folder stood at."""
    state = ", with uncommitted changes" if git.dirty else ""
    branch = f" on {text.line(git.branch)}" if git.branch else ""
    return "git", f"{(git.commit or 'no commit')[:12]}{branch}{state}"


def requirement_rows(environment: Environment) -> Iterable[tuple[str, str]]:
    """What stood in the place of the package's own requirements, if something did."""
    for number, one in enumerate(environment.relaxed):
        yield "" if number else "relaxed", text.line(f"{one.pin} became {one.version}")
    if environment.overrides:
        yield "overridden", f"requirements, by a file {environment.overrides[:19]}"


def table(page: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Names and what they stand for; a row without a name goes on with the one above.

    A long value goes on below itself; one with a word that is too long for that, such as a path, is left to the
    terminal, which keeps it one word.
    """
    from rich.text import Text

    listed = list(rows)
    indent = 2 + max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        for number, line in enumerate(_lines(page, Text(text.plain(value)), page.width - indent)):
            row = Text.assemble((f"{'' if number else name:<{indent}}", "dim"), line)
            row.rstrip()
            page.print(row, soft_wrap=True)


def _lines(page: Console, value: Text, width: int) -> Iterable[Text]:
    from rich.cells import cell_len

    fits = max(map(cell_len, value.plain.split()), default=0) <= width
    return value.wrap(page, width) if fits else value.split(allow_blank=True)


def columns(
    page: Console,
    heads: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    *,
    right: Collection[str] = (),
    styles: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """A table; where the terminal is narrow its lines are cut at their ends.

    Args:
        right: heads of the columns whose cells stand at the right, as counts do.
        styles: by head the styles of its cells, one a row.
    """
    from rich.cells import cell_len
    from rich.text import Text

    gap = "  " if page.width >= ROOMY else " "
    widths = [max(map(cell_len, column)) for column in zip(heads, *rows, strict=True)]
    for number, cells in enumerate((heads, *rows)):
        line = Text(style="" if number else "dim")
        for head, width, cell in zip(heads, widths, cells, strict=True):
            style = styles[head][number - 1] if number and styles and head in styles else ""
            room = " " * (width - cell_len(cell))
            line.append(room + cell if head in right else cell + room, style)
            line.append(gap)
        line.rstrip()
        page.print(line, no_wrap=True, overflow="ellipsis")


def listing(page: Console, title: str, lines: list[str]) -> None:
    """Lines under a title; nothing if there are none."""
    if lines:
        page.print(f"\n{title}", style="bold")
        for line in lines:
            page.print(f"  {line}")


def signed(
    page: Console, sign: tuple[str, str], files: FileList, *, noted: Collection[str] = (), note: str = ""
) -> None:
    """The first files of a list, each with its sign, and with a note behind those that are `noted`."""
    mark, style = sign
    for name in files.names[:_NAMED]:
        page.print(f"  {mark} ", style=style, end="")
        page.print(text.line(name) + (f"  ({note})" if name in noted else ""))
    if files.count > _NAMED:
        page.print(f"  {mark} … and {files.count - min(_NAMED, len(files.names)):,} more", style="dim")


def files(found: Iterable[tuple[str, Entry]]) -> None:
    """A tree's files, folders and links: digest, size, path."""
    for path, entry in found:
        mark = {"dir": "/", "symlink": f" -> {text.line(text.shown(entry.target))}"}.get(
            entry.kind, "*" if entry.executable else ""
        )
        name = text.line(text.shown(path))
        # Not `click.echo`, which flushes each of a hundred thousand lines.
        sys.stdout.write(f"{entry.digest[7:19] or '-':<12}  {entry.bytes:>12,}  {name}{mark}\n")


def entries(found: Iterable[tuple[str, Entry]]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [{"path": text.shown(path)} | dict(sorted(entry.written().items())) for path, entry in found]


def exported(count: int, out: str, settings: Settings) -> None:
    """That so many files were written into a folder."""
    settings.done()
    if settings.json:
        text.emit({"files": count, "out": out})
    else:
        text.say(f"{text.plural(count, 'file')} written to {out}", settings)
