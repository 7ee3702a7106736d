"""What is said of a version by the fields of AI Center's form: as options, and as rows of its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pkgrun.cli import text

if TYPE_CHECKING:
    from pkgrun.records import Listing

C = TypeVar("C", bound=Callable[..., Any])

_TEXTS = {
    "display-name": "How it is called where it is served.",
    "input-description": "What `predict` is given.",
    "output-description": "What `predict` gives back.",
    "language": "What it is written in, such as PYTHON.",
    "language-version": "Of that language, such as 3.11.",
    "change-log": "What is new in this version.",
}

_ROWS = {
    "display_name": "display name",
    "input_type": "input",
    "input_description": "",
    "output_description": "output",
    "retrainable": "retrainable",
    "gpu": "GPU advised",
    "change_log": "change log",
}


def options(function: C) -> C:
    """Give a command these options; `taken` makes a listing of them."""
    for name, help in reversed(_TEXTS.items()):
        function = click.option(f"--{name}", metavar="TEXT", help=help)(function)
    function = click.option("--gpu/--no-gpu", default=None, help="Whether a GPU is advised for serving.")(
        function
    )
    kinds = click.Choice(["json", "file", "files"])
    return click.option(
        "--input-type", type=kinds, help="What `predict` takes: a text, bytes, a list of bytes."
    )(function)


def taken(given: dict[str, Any]) -> Listing | None:
    """What the options said; None if nothing."""
    from pkgrun.records import Listing

    names = ["input_type", "gpu", *(name.replace("-", "_") for name in _TEXTS)]
    said = {name: given[name] for name in names if given[name] is not None}
    return Listing(**said) if said else None


def rows(listing: Listing | None) -> Iterable[tuple[str, str]]:
    """What was said, for a page."""
    said = listing.said if listing else {}
    for name, head in _ROWS.items():
        if name in said:
            value = said[name]
            shown = ("yes" if value else "no") if isinstance(value, bool) else text.plain(value)
            yield (head if head or "input_type" in said else "input"), shown
    language = " ".join(
        text.line(str(said[name])) for name in ("language", "language_version") if name in said
    )
    if language:
        yield "language", language
