"""What every page is made of: the console, tables, listings, and records as JSON."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pkgrun.cli import text

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.records import FileList, Record, Tree
    from pkgrun.store.trees import Entry

CHANGED, ADDED, REMOVED = ("~", "yellow"), ("+", "green"), ("-", "red")
"""Signs and colours of what became of a file."""

_NAMED = 10

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


def tree(tree: Tree) -> str:
    """A tree in a few words."""
    return f"{tree.digest[:19]}  {text.plural(tree.files, 'file')}, {text.size(tree.bytes)}"


def table(page: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Names and what they stand for; a row without a name goes on with the one above."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, text.plain(value))
    page.print(table)


def columns(
    page: Console, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], styles: dict[int, list[str]]
) -> None:
    """A table whose last column alone is cut where the terminal is narrow."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None, pad_edge=False, header_style="dim", padding=(0, 2 if page.width >= 100 else 1, 0, 0)
    )
    for index, head in enumerate(heads):
        width = max(len(head), *(len(row[index]) for row in rows))
        last = index == len(heads) - 1
        table.add_column(head, no_wrap=True, min_width=None if last else width, overflow="ellipsis")
    for number, row in enumerate(rows):
        table.add_row(
            *(Text(cell, style=styles[i][number] if i in styles else "") for i, cell in enumerate(row))
        )
    page.print(table)


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


def files_document(found: Iterable[tuple[str, Entry]]) -> dict[str, Any]:
    """The same as JSON."""
    return {"files": [entry.written() | {"path": text.shown(path)} for path, entry in found]}
