"""What each call of a full pipeline is given: the folders that the package's own code has prepared, looked at before the call.

It hashes them, and keeps them where the run keeps its data. It reads what the code sees, also through an overlay.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pkgrun.datasets.written import Written, between
from pkgrun.errors import Killed, SecretFound
from pkgrun.packages.contract import Step
from pkgrun.records import Passed
from pkgrun.runs import listed
from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place
from pkgrun.store import intake
from pkgrun.store.files import shown
from pkgrun.store.intake import Ingested
from pkgrun.store.root import Store
from pkgrun.store.scan import Listing, scan
from pkgrun.store.sinks import Sink
from pkgrun.worker.secrets import Masker

_LINKS = 40
"""As many symbolic links as the system itself follows."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a folder looked, and what was in it; whether the store has its directories."""

    listing: Listing
    content: Ingested
    listed: bool


class Passing:
    """Looks at folders, each as often as a call is given it; one that has not changed is hashed once."""

    def __init__(self, store: Store, order: Order, at: Place, course: Course) -> None:
        self._store, self._order, self._at, self._course = store, order, at, course
        self._steps = {step.label: step for step in order.plan.steps}
        self._seen: dict[str, _Seen] = {}
        self._passed: list[Passed] = []

    def look(self, name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        """Before a call: what is in the folder that it is given.

        Raises:
            PkgrunError: it cannot be read, or not kept.
        """
        step = self._steps[name]
        folder = os.path.normpath(step.argument or ".")
        root = self._place(folder, overlay)
        self._course.enter("digest")
        if root is None or not os.path.isdir(root):
            self._course.warn(
                f"{folder} is no folder of the run's any more when {name} begins; what it is given is not known"
            )
            return
        seen = self._content(root, folder, step, over)
        self._passed.append(
            Passed(
                call=name,
                role=step.role or "trained",
                folder=folder,
                tree=seen.content.tree,
                attested=not seen.content.unstable and not seen.listing.refused,
                kept=self._keeps(step),
                listed=seen.listed,
            )
        )
        if step.role == "evaluated" and not seen.content.tree.files and not seen.listing.refused:
            self._warn_empty(name, folder)

    def _place(self, folder: str, overlay: Path | None) -> str | None:
        """Where a folder of the work directory can be seen from here, if the code has put a link there where that leads.

        None: out of the work directory.
        """
        package = os.path.realpath(self._at.package)
        data, path = os.path.join(package, self._order.plan.data), os.path.join(package, folder)
        for _ in range(_LINKS):
            if not path.startswith(f"{package}/"):
                return None
            covered = overlay is not None and f"{path}/".startswith(f"{data}/")
            seen = os.path.join(overlay, os.path.relpath(path, data)) if overlay and covered else path
            if not os.path.islink(seen):
                return seen
            path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(seen)))
        return None

    def _content(self, root: str, folder: str, step: Step, over: Callable[[], bool]) -> _Seen:
        listing = scan(root, lenient=True)
        before = self._seen.get(folder)
        if before is not None and between(before.listing, listing) == Written():
            return before
        to = listed.into(self._store.objects, self._order, keeps=self._keeps(step))
        content = self._taken(listing, folder, step, to, over)
        seen = _Seen(listing, content, listed.settled(to, folder, self._course))
        self._remark(seen, folder, step)
        self._seen[folder] = seen
        return seen

    def _taken(
        self, listing: Listing, folder: str, step: Step, to: Sink, over: Callable[[], bool]
    ) -> Ingested:
        count = self._course.counter(f"hashing {folder}", sum(sum(one.sizes()) for one in listing.content))

        def progress(size: int) -> None:
            if over():
                raise Killed("the run ended while its data was being hashed")
            count(size)

        mask = Masker(self._order.secrets.values())
        watch = mask.watch if self._keeps(step) else None
        taken = intake.take_all(listing, to, watch=watch, progress=progress)
        content = intake.seal(listing, taken, to, watch=watch)
        if content.flagged:
            raise SecretFound(
                f"{mask.text(shown(os.path.join(folder, content.flagged[0])))} holds a secret's value, "
                "and a snapshot of it was to be kept",
                hint="it was not kept; --no-save-training-data and --no-save-test-data keep no snapshots",
            )
        return content

    def _remark(self, seen: _Seen, folder: str, step: Step) -> None:
        """Why the digest may not be of all that the call is given."""
        if unstable := seen.content.unstable:
            count = f"{len(unstable)} files" if len(unstable) > 1 else "a file"
            self._course.warn(
                f"{count} of {folder} changed while it was hashed, {shown(unstable[0])} among them; "
                f"the digest may not be of what {step.label} is given"
            )
        if refused := seen.listing.refused:
            count = f"{len(refused)} entries" if len(refused) > 1 else "an entry"
            self._course.warn(
                f"the digest of {folder} is without {count} that no digest can hold: {refused[0]}",
                "let process_data copy files there, or link them (os.link), instead of symbolic links",
            )

    def _keeps(self, step: Step) -> bool:
        request = self._order.request
        return request.save_training_data if step.role == "trained" else request.save_test_data

    def _warn_empty(self, name: str, folder: str) -> None:
        told = any(one.folder == folder for one in self._passed[:-1])
        if not told:
            hint = "give --evaluation-data, or let process_data write there"
            self._course.warn(f"{folder} is empty: what is evaluated there says nothing", hint)

    def passed(self, *, sure: bool) -> tuple[Passed, ...]:
        """What was passed. Not `sure`: what lies under the overlay changed meanwhile, so no digest is attested."""
        found = self._passed
        return tuple(one if sure else one.model_copy(update={"attested": False}) for one in found)
