"""`pkgrun audit`."""

from __future__ import annotations

from contextlib import suppress

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.shell import complete_package

_DAMAGED = 8


@click.command(cls=Command)
@click.argument("name", metavar="NAME[@V]", shell_complete=complete_package)
@click.option(
    "--expect",
    metavar="sha256:…",
    help="The fingerprint that an earlier audit told, or the digest of the version's record, as it was kept elsewhere.",
)
@click.option(
    "--from",
    "source",
    metavar="STORE",
    help="The store that an import came from: the origin is audited there, too.",
)
@pass_settings
def audit(settings: Settings, name: str, expect: str | None, source: str | None) -> None:
    """Prove a version, from its bytes up to all that it came from; nothing is changed.

    Every file of the version, of those that it came from, of what their runs kept and of the registered data that they were
    given is read and hashed; every record is held to what the others say of it, down to the package's first. What
    no look into the store can find, because all of it was rewritten, shows by --expect. The exit code is 8 if something is
    missing or altered, or not as expected; 0 also if there are reservations, such as data that was not attested. What an
    evaluation measured is not in the fingerprint.
    """
    from pkgrun.cli import audit_pages, display, signals

    with display.of(settings, doing="lineage") as shown:
        signals.heed()
        found = settings.workspace().audit(name, expect=expect, source=source, observer=shown)
    settings.done()
    if settings.json:
        text.emit(audit_pages.document(found))
    else:
        with suppress(BrokenPipeError):  # nobody reads; the exit code tells the rest
            audit_pages.page(found, every=settings.verbose)
    for remark in audit_pages.remarks(found):
        text.say(remark, settings)
    if not found.sound:
        raise text.Shown(_DAMAGED)
