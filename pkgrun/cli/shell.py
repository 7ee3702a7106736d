"""Completion of names that only the store knows. It never fails: no store, nothing to offer."""

from __future__ import annotations

import click

from pkgrun.cli.options import Settings


def complete_package(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Package names; after `@` the versions."""
    from pkgrun.errors import PkgrunError

    try:
        workspace = ctx.find_root().ensure_object(Settings).workspace()
        name, at, _ = incomplete.partition("@")
        if at:
            known = [f"{name}@{record.version}" for record in workspace.versions(name)]
        else:
            known = list(workspace.packages())
    except PkgrunError:
        return []
    return [one for one in known if one.startswith(incomplete)]


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of the newest runs."""
    from pkgrun.errors import PkgrunError

    try:
        workspace = ctx.find_root().ensure_object(Settings).workspace()
        return [run.run for run in workspace.runs(limit=100) if run.run.startswith(incomplete)]
    except PkgrunError:
        return []
