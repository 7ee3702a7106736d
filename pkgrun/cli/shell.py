"""Completion of names that only the store knows. It never fails: no store, nothing to offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pkgrun.cli.options import Settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_package(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Package names; after `@` the versions that were not removed."""
    from pkgrun.errors import PkgrunError

    try:
        workspace = ctx.find_root().ensure_object(Settings).workspace()
        name, at, _ = incomplete.partition("@")
        if at:
            removed = workspace.removals(name)
            versions = (record.version for record in workspace.versions(name))
            known = [f"{name}@{version}" for version in versions if version not in removed]
        else:
            known = list(workspace.packages())
    except PkgrunError:
        return []
    return [one for one in known if one.startswith(incomplete)]


def complete_dataset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of registered datasets; after `@` the numbers."""
    from pkgrun.errors import PkgrunError

    try:
        datasets = ctx.find_root().ensure_object(Settings).workspace().datasets
        name, at, _ = incomplete.partition("@")
        if at:
            known = [record.label for record in datasets.numbers(name)]
        else:
            known = [record.dataset for record in datasets.all()]
    except PkgrunError:
        return []
    return [one for one in known if one.startswith(incomplete)]


def complete_data(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What `--data` takes: registered datasets, and the paths that the shell knows."""
    from click.shell_completion import CompletionItem

    names = complete_dataset(ctx, param, incomplete)
    # First what makes the shell look for paths: it would throw away what stands before.
    return [CompletionItem(incomplete, type="file"), *(CompletionItem(name) for name in names)]


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of the newest runs."""
    from pkgrun.errors import PkgrunError

    try:
        workspace = ctx.find_root().ensure_object(Settings).workspace()
        return [run.run for run in workspace.runs(limit=100) if run.run.startswith(incomplete)]
    except PkgrunError:
        return []
