"""The dataset of one run: brought here, mounted, hashed beside the code, attested, and what the code wrote there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pkgrun.datasets import overlay as layers
from pkgrun.datasets.mount import mount
from pkgrun.datasets.sources import Dataset, Source
from pkgrun.datasets.witness import Testimony, Witness
from pkgrun.datasets.written import Written, between
from pkgrun.errors import Bug, DataUnstable, Killed, PkgrunError
from pkgrun.observe import Progress
from pkgrun.records import Data, FileList, RunError
from pkgrun.records import Written as WrittenRecord
from pkgrun.runs.course import Course
from pkgrun.runs.data import Given
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place
from pkgrun.runs.results import run_error
from pkgrun.store.files import shown
from pkgrun.store.local import translate
from pkgrun.store.objects import Sink
from pkgrun.store.root import Store
from pkgrun.store.scan import scan
from pkgrun.worker import namespaces
from pkgrun.worker.namespaces import Overlay
from pkgrun.worker.supervisor import Stop


@contextmanager
def brought(dataset: Dataset, store: Store, order: Order, course: Course, stop: Stop) -> Iterator[Source]:
    """The dataset as files of this machine; what is here already needs no bringing."""
    if isinstance(dataset, Source):
        yield dataset
        return
    from pkgrun.datasets.arrival import here
    from pkgrun.datasets.cache import Copies

    copies = Copies(
        os.path.join(order.cache, "datasets"),
        order.cache_limit,
        observer=course.observe,
        stop=lambda: stop.reason is not None,
    )
    with here(dataset, copies=copies, objects=store.objects) as source:
        yield source


class MountedData(Given):
    """A dataset at its place."""

    def __init__(
        self, source: Source, sink: Sink, order: Order, at: Place, course: Course, stop: Stop, python: Path
    ) -> None:
        self._source, self._order, self._course = source, order, course
        self._target = os.path.join(at.package, order.plan.pipeline.data)

        def report(done: int, total: int) -> None:
            if stop.reason is not None:
                raise Killed("the run was stopped while its dataset was being mounted")
            course.observe(Progress("data", done, total, "bytes"))

        self._mounted = mount(
            source,
            self._target,
            wanted=order.request.mount,
            no_overlay=lambda folder: namespaces.probe(
                Path(folder), Path(at.scratch), cache=Path(order.cache), python=python
            ),
            sink=sink,
            report=report,
        )
        if self._mounted.method == "overlay":
            self.overlay = _overlay(source, at, self._target)
        self._witness = self._called(sink, stop) if self._mounted.content is None else None
        self._ended = False
        self._hashed = 0

    def _called(self, sink: Sink, stop: Stop) -> Witness:
        return Witness(
            self._source,
            sink,
            self._order.cache,
            seen=self._mounted.source,
            failed=lambda: stop.request("data"),
            progress=self._told,
        )

    def _told(self, size: int) -> None:
        self._hashed += size
        if self._ended:  # until then the code's own words are what one wants to see
            self._course.observe(Progress("hashing the data", self._hashed, None, "bytes"))

    def witness(self) -> None:
        if self._witness is not None:
            self._witness.start()

    def attest(self, failure: RunError | None) -> RunError | None:
        self._ended = True
        try:
            testimony = self._testimony()
        except PkgrunError as error:
            if failure is None or failure.kind == Killed.kind:  # killed because of it
                return run_error(error, self._course.phase)
            self._course.warn(f"the dataset was not hashed: {error.message}", error.hint)
            return failure
        self._record(testimony)
        if testimony.attested or failure is not None:
            return failure
        message = _unstable(testimony)
        if self._order.request.require_stable_data:
            return RunError(
                kind=DataUnstable.kind,
                message=message,
                hint="train again when nobody writes there, or by --mount copy",
                phase=self._course.phase,
            )
        self._course.warn(f"{message}; the digest may not be of what the code was given")
        return None

    def _testimony(self) -> Testimony:
        if self._witness is None:
            content = self._mounted.content
            if content is None:
                raise Bug("a copy without content")
            return Testimony(content, ())
        self._course.enter("attest")
        testimony = self._witness.finish()
        changed = {*testimony.changed, *self._mounted.unstable}
        return Testimony(testimony.content, tuple(sorted(changed)), testimony.doubt)

    def _record(self, testimony: Testimony) -> None:
        unstable = testimony.changed or testimony.content.unstable
        written = self._written()
        self._course.snapshot = testimony.content.tree if self._order.request.save_training_data else None
        self._course.data = Data(
            source=self._source.label,
            tree=testimony.content.tree,
            mount=self._mounted.method,
            attested=testimony.attested,
            unstable=_listed(unstable),
            doubt=testimony.doubt,
            written=WrittenRecord(
                added=_listed(written.added),
                changed=_listed(written.changed),
                removed=_listed(written.removed),
            ),
        )
        if testimony.attested and unstable:
            self._course.warn(
                f"{len(unstable)} files of the dataset changed while they were copied, "
                f"{shown(unstable[0])} among them; the digest is of what was copied"
            )

    def _written(self) -> Written:
        try:
            if self.overlay is not None:
                return layers.written(str(self.overlay.upper), self._source.path)
            if self._mounted.laid is None or not os.path.isdir(self._target):
                return Written(removed=("/",))
            return between(self._mounted.laid, scan(self._target, lenient=True))
        except (OSError, PkgrunError) as error:
            self._course.warn(f"what the code wrote into its data folder is not known: {error}")
            return Written()


def _overlay(source: Source, at: Place, target: str) -> Overlay:
    try:
        return namespaces.overlay(Path(source.path), Path(at.scratch), Path(target))
    except OSError as error:
        raise translate(error, at.scratch) from error


def _unstable(testimony: Testimony) -> str:
    changed = testimony.changed
    if not changed:
        return f"the dataset cannot be attested: {testimony.doubt}"
    one = "a folder" if changed[0].endswith("/") else "a file"
    count = f"{len(changed)} files" if len(changed) > 1 else one
    return f"{count} of the dataset changed while the code ran on it, {shown(changed[0])} among them"


def _listed(paths: tuple[str, ...]) -> FileList:
    return FileList.of([shown(path) for path in paths])
