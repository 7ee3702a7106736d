"""`pkgrun erase`: a content goes out of the store, and a receipt stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from pkgrun.lineage.erasing import Affected, Erasure, ErasurePlan

_NAMED = 20
_UNCERTAIN = 8


@click.command(cls=Command)
@click.argument("content", metavar="FILE|sha256:…|DATASET@N/FILE")
@click.option("--reason", metavar="TEXT", help="Why; it is told for ever.")
@click.option("--yes", is_flag=True, help="Do it; without it the plan is shown.")
@pass_settings
def erase(settings: Settings, content: str, reason: str | None, yes: bool) -> None:
    """Remove a file's content everywhere in the store; without --yes say what would go.

    Packs that hold it are written anew without it, and this machine's caches let go of it. FILE itself, on your disk, is yours and
    stays. A receipt says who did it, when and why: by it nobody adds the content again, and what was made of it still proves
    to be what it is. The versions that saw it, and those that came from them, are listed, to be trained again. Anybody may work
    meanwhile. The exit code is 8 if something may still hold it.
    """
    from pkgrun.cli import display, signals

    if yes and not (reason and reason.strip()):
        raise click.UsageError("an erasure needs --reason TEXT")
    workspace = settings.workspace()
    if not yes:
        planned = workspace.erase_plan(content)
        _show_plan(settings, planned)
        return
    with display.of(settings, doing="erase") as shown:
        signals.heed()
        done = workspace.erase(content, reason=reason or "", observer=shown)
    settings.done()
    _show(settings, done)
    if not done.certain:
        raise text.Shown(_UNCERTAIN)


def _show_plan(settings: Settings, planned: ErasurePlan) -> None:
    if settings.json:
        text.emit(_plan(planned) | {"erased": False})
        return
    click.echo(planned.digest)
    for line in _where(planned):
        text.say(line, settings)
    _list(settings, planned.affected, planned.unlisted)
    text.say("nothing was done; --yes with --reason does it, and cannot be undone", settings)


def _where(planned: ErasurePlan) -> list[str]:
    said = []
    if planned.receipt is not None:
        said.append(_before(planned.receipt.created, planned.receipt.by.user, planned.receipt.reason))
    if planned.held:
        size = f" ({text.size(planned.bytes)})" if planned.bytes is not None else ""
        parts = [
            text.plural(count, what)
            for count, what in (
                (planned.objects, "object"),
                (planned.packs, "pack"),
                (planned.aside, "file in quarantine"),
            )
            if count
        ]
        said.append(f"the store holds it{size}, in {', '.join(parts)}")
    elif not planned.unread:
        said.append("the store does not hold it; a receipt forbids that it is ever added")
    said += _unread(planned.unread)
    if planned.file is not None:
        said.append(f"{planned.file} itself is yours and stays")
    return said


def _show(settings: Settings, done: Erasure) -> None:
    if settings.json:
        text.emit(_document(done))
        return
    click.echo(done.receipt.digest)
    for line in _done(done):
        text.say(line, settings)
    _list(settings, done.affected, done.unlisted)


def _done(done: Erasure) -> list[str]:
    swept, dropped, said = done.swept, done.dropped, []
    if not done.new:
        said.append(_before(done.receipt.created, done.receipt.by.user, done.receipt.reason))
    if swept.objects or swept.packs or swept.aside:
        again = "erased" if done.new else "it had come back, and was erased again"
        wrote = f", {text.plural(swept.packs, 'pack')} written anew" if swept.packs else ""
        said.append(f"{again}: {text.size(swept.bytes)} freed{wrote}")
    elif done.new and done.unread:
        said.append("nothing that can be read held it; from now on nobody can add it")
    elif done.new:
        said.append("the store did not hold it; from now on nobody can add it")
    else:
        said.append("nothing of it had come back")
    if dropped.copies or dropped.files:
        counted = (dropped.copies, "cached dataset"), (dropped.files, "file")
        went = " and ".join(text.plural(count, word) for count, word in counted if count)
        said.append(f"gone from this machine's cache: {went}")
    if dropped.busy:
        said.append(
            f"{text.plural(dropped.busy, 'folder')} of this machine's cache may hold it, in use or not to be read; "
            "erase it again when nobody uses it"
        )
    said += _unread(done.unread)
    if done.open:
        said.append(
            f"{text.plural(len(done.open), 'operation')} going on: what they bring of it, they take out again when they end"
        )
    if done.plan.file is not None:
        said.append(f"{done.plan.file} itself is yours and stays")
    return said


def _before(created: Any, user: str, reason: str) -> str:
    return f"erased before, on {created:%Y-%m-%d} by {user}: {reason}"


def _unread(keys: tuple[str, ...]) -> list[str]:
    if not keys:
        return []
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return [
        f"{keys[0]}{more} cannot be read, and may hold it: `pkgrun store repair --yes`, then erase it again"
    ]


def _list(settings: Settings, affected: tuple[Affected, ...], unlisted: int) -> None:
    """What is to be trained again, on stdout."""
    if unlisted:
        text.say(
            f"of {text.plural(unlisted, 'run')} nobody can say whether they saw it; `pkgrun data used-by` names them",
            settings,
        )
    if not affected:
        text.say("no version has seen it, as far as is known", settings)
        return
    text.say(f"{text.plural(len(affected), 'version')} to train again:", settings)
    shown = affected if settings.verbose else affected[:_NAMED]
    for one in shown:
        click.echo(f"  {one.version}  {', '.join(one.why)}")
    if len(affected) > len(shown):
        text.say(f"and {len(affected) - len(shown):,} more; -v names them", settings)


def _plan(planned: ErasurePlan) -> dict[str, Any]:
    return {
        "digest": planned.digest,
        "bytes": planned.bytes,
        "held": planned.held,
        "objects": planned.objects,
        "packs": planned.packs,
        "quarantined": planned.aside,
        "unread": list(planned.unread),
        "affected": _affected(planned.affected),
        "unlisted": planned.unlisted,
        "receipt": planned.receipt.model_dump(mode="json") if planned.receipt else None,
    }


def _affected(affected: tuple[Affected, ...]) -> list[dict[str, Any]]:
    return [{"version": str(one.version), "why": list(one.why)} for one in affected]


def _document(done: Erasure) -> dict[str, Any]:
    told = {
        "erased": True,
        "new": done.new,
        "run_id": done.run,
        "swept": done.swept.model_dump(mode="json"),
        "cached": {"copies": done.dropped.copies, "files": done.dropped.files, "in_use": done.dropped.busy},
        "open": list(done.open),
        "affected": _affected(done.affected),
        "unlisted": done.unlisted,
        "unread": list(done.unread),
        "receipt": done.receipt.model_dump(mode="json"),
    }
    return _plan(done.plan) | told
