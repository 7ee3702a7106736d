"""`pkgrun lineage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.shell import complete_package

if TYPE_CHECKING:
    from pkgrun.lineage.drawing import Form
    from pkgrun.lineage.graph import Graph

_MOST = {"tree": 200, "dot": 60, "mermaid": 60, "svg": 60}
"""Versions, and runs that made none, that are read downwards: more than anybody looks at. Mermaid draws 500 edges at most."""

_ENDINGS: dict[str, Form] = {".json": "json", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".svg": "svg"}

Direction = Literal["up", "down", "both"]


@click.command(cls=Command)
@click.argument("name", metavar="NAME@V|RUN", shell_complete=complete_package)
@click.option("--up", "direction", flag_value="up", help="What it came from.  [default]")
@click.option("--down", "direction", flag_value="down", help="What came from it.")
@click.option("--both", "direction", flag_value="both", help="Both.")
@click.option("--depth", metavar="N", type=click.IntRange(0), help="So many generations of versions.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "json", "dot", "mermaid", "svg"]),
    help="tree: for reading. json: all of it. dot, mermaid: for Graphviz and Mermaid. svg: a picture.  [default: tree, or "
    "what --out ends in]",
)
@click.option("--out", metavar="FILE", type=click.Path(), help="Write it into this file, which must be new.")
@click.option("--all", "everything", is_flag=True, help="Leave nothing out, however many came from it.")
@pass_settings
def lineage(
    settings: Settings,
    name: str,
    direction: Direction | None,
    depth: int | None,
    form: Literal["tree"] | Form | None,
    out: str | None,
    everything: bool,
) -> None:
    """Show what a version came from: the versions before it, the runs, their data, environments, sources and commits.

    With --down, what came from it: versions trained from it, imports of what was exported, evaluations. A run's id shows what
    that run was given, and what it made. Whatever was removed since stands there still, and what is missing is named.
    """
    form = _form(form, out, settings)
    limit = None if everything else _MOST.get(form)
    graph = settings.workspace().lineage(name, direction=direction or "up", depth=depth, limit=limit)
    if graph.doubt is not None:
        text.say(f"note: names of datasets may be missing here: {graph.doubt}", settings)
        text.say("hint: `pkgrun store fsck` shows what is damaged", settings)
    if form == "tree":
        _show(graph, settings, everything=everything)
        return
    from pkgrun.lineage.drawing import draw, save

    if out is None:
        click.echo(draw(graph, form), nl=False)
        return
    save(graph, form, out)
    settings.done()
    if settings.json:
        text.emit({"out": out, "format": form, "nodes": len(graph.nodes), "edges": len(graph.edges)})
    else:
        said = f"{text.plural(len(graph.nodes), 'node')} and {text.plural(len(graph.edges), 'edge')}"
        text.say(f"{said} written to {out}", settings)


def _show(graph: Graph, settings: Settings, *, everything: bool) -> None:
    from pkgrun.cli import lineage_pages

    if not lineage_pages.page(graph, everything=everything):
        return
    ways = ["a greater --depth"] * (graph.depth is not None) + ["--all"] * (not everything)
    text.say(f"some is left out; {' or '.join(ways)} shows more", settings)


def _form(form: Literal["tree"] | Form | None, out: str | None, settings: Settings) -> Literal["tree"] | Form:
    """What is to be written: what is asked for, else what --json says, or how the file's name ends."""
    if form is None and settings.json and out is None:
        return "json"
    if form is None and out is not None:
        form = next((one for ending, one in _ENDINGS.items() if out.lower().endswith(ending)), None)
        if form is None:
            raise click.UsageError(
                f"--out {out}: which format? --format says it, or {', '.join(_ENDINGS)} at the end"
            )
    if form == "tree" and (out is not None or settings.json):
        raise click.UsageError("a tree is for reading; for a file, or with --json, give another --format")
    if settings.json and out is None and form != "json":
        raise click.UsageError(f"--json and --format {form} exclude each other; --out FILE takes the one")
    return form or "tree"
