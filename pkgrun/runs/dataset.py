"""The dataset of one run: brought here, mounted, hashed beside the code, attested, and what the code wrote there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from pkgrun.datasets import overlay as layers
from pkgrun.datasets.mount import Mounted, mount
from pkgrun.datasets.sources import Dataset, Source
from pkgrun.datasets.witness import Testimony, Witness
from pkgrun.datasets.written import Written, between
from pkgrun.errors import Bug, DataUnstable, Killed, PkgrunError, UsageError
from pkgrun.observe import Progress
from pkgrun.packages import contract
from pkgrun.records import Data, FileList, RunError, Tree
from pkgrun.records import Written as WrittenRecord
from pkgrun.runs import listed
from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place
from pkgrun.runs.plan import Plan
from pkgrun.runs.results import run_error
from pkgrun.store.files import shown
from pkgrun.store.local import translate
from pkgrun.store.root import Store
from pkgrun.store.scan import scan
from pkgrun.store.sinks import Sink
from pkgrun.worker import namespaces
from pkgrun.worker.namespaces import Overlay
from pkgrun.worker.supervisor import Stop

Purpose = Literal["input", "evaluated"]
"""What a dataset is given for."""


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


class Mounting:
    """Puts the datasets of one run at their places."""

    def __init__(
        self, store: Store, order: Order, at: Place, course: Course, stop: Stop, python: Path
    ) -> None:
        self._store, self._order, self._at = store, order, at
        self._course, self._stop, self._python = course, stop, python

    @contextmanager
    def data(self, dataset: Dataset) -> Iterator[MountedData]:
        """The run's dataset, with the run's own folders in it."""
        with self._brought(dataset) as source:
            plan = self._order.plan
            _check_room(source, plan)
            mounted = self._mounted(
                source,
                os.path.join(self._at.package, plan.data),
                keeps=self._order.keeps_data,
                role="evaluated" if plan.pipeline.kind == contract.EVALUATION else "input",
            )
            for folder in plan.inside:
                mounted.make(os.path.relpath(folder, plan.data))
            yield mounted

    @contextmanager
    def evaluation_set(self, dataset: Dataset, *, beside: MountedData | None) -> Iterator[MountedData]:
        """An evaluation set that is given apart: laid out in the view of the dataset, if it has its place there."""
        plan = self._order.plan
        if plan.evaluation is None:
            raise Bug(f"the {plan.pipeline.kind} pipeline takes no evaluation set")
        place, within = os.path.join(self._at.package, plan.evaluation), plan.evaluation in plan.inside
        if beside is not None and within:
            place = beside.laid_at(os.path.relpath(plan.evaluation, plan.data))
        with self._brought(dataset) as source:
            keeps = self._order.request.save_test_data
            mounted = self._mounted(source, place, keeps=keeps, role="evaluated", overlay=False)
            if beside is not None and within:
                beside.leave_out(os.path.relpath(plan.evaluation, plan.data))
            yield mounted

    def _brought(self, dataset: Dataset) -> AbstractContextManager[Source]:
        return brought(dataset, self._store, self._order, self._course, self._stop)

    def _mounted(
        self, source: Source, target: str, *, keeps: bool, role: Purpose, overlay: bool = True
    ) -> MountedData:
        at, cache = self._at, Path(self._order.cache)

        def report(done: int, total: int) -> None:
            if self._stop.reason is not None:
                raise Killed("the run was stopped while its dataset was being mounted")
            self._course.observe(Progress("data", done, total, "bytes"))

        def no_overlay(folder: str) -> str | None:
            if not overlay:
                return "it lies in the view of another dataset"
            return namespaces.probe(Path(folder), Path(at.scratch), cache=cache, python=self._python)

        to = listed.into(self._store.objects, self._order, keeps=keeps)
        wanted = self._order.request.mount
        mounted = mount(
            source,
            target,
            wanted="auto" if wanted == "overlay" and not overlay else wanted,
            no_overlay=no_overlay,
            sink=to,
            report=report,
        )
        over = _overlay(source, at, target) if mounted.method == "overlay" else None
        witness = None
        if mounted.content is None:
            witness = Witness(
                source,
                to,
                self._order.cache,
                seen=mounted.source,
                failed=lambda: self._stop.request("data"),
                progress=lambda size: data.told(size),
            )
        data = MountedData(source, target, mounted, over, witness, self._order, self._course, to, keeps, role)
        return data


class MountedData:
    """A dataset at its place. After `attest` there is a `record` of it, and the `snapshot` if one was to be kept."""

    def __init__(
        self,
        source: Source,
        target: str,
        mounted: Mounted,
        overlay: Overlay | None,
        witness: Witness | None,
        order: Order,
        course: Course,
        sink: Sink,
        keeps: bool,
        role: Purpose,
    ) -> None:
        self.overlay = overlay
        self.record: Data | None = None
        self.snapshot: Tree | None = None
        self._source, self._target, self._mounted, self._witness = source, target, mounted, witness
        self._order, self._course, self._sink, self._keeps, self._role = order, course, sink, keeps, role
        self._made: set[str] = set()
        self._apart: set[str] = set()
        self._ended = False
        self._hashed = 0

    def laid_at(self, path: str) -> str:
        """Where on this machine a path of the view lies."""
        return os.path.join(self._target if self.overlay is None else self.overlay.upper, path)

    def make(self, folder: str) -> None:
        """Make one of the run's own folders in the view, if there is none."""
        try:
            os.makedirs(self.laid_at(folder), exist_ok=True)
        except OSError as error:
            raise translate(error, shown(os.path.join(self._source.label, folder))) from error
        self._made.add(f"{folder}/")

    def leave_out(self, folder: str) -> None:
        """What lies in a folder of the view is told of elsewhere."""
        self._apart.add(f"{folder}/")

    def told(self, size: int) -> None:
        """Some bytes more have been hashed."""
        self._hashed += size
        if self._ended:  # until then the code's own words are what one wants to see
            self._course.observe(Progress("hashing the data", self._hashed, None, "bytes"))

    def witness(self) -> None:
        """Look at the dataset from now on: the code is about to start."""
        if self._witness is not None:
            self._witness.start()

    def attest(self, failure: RunError | None) -> RunError | None:
        """After the code has ended: what the run failed by, if not by the code then perhaps by this."""
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
        self.snapshot = testimony.content.tree if self._keeps else None
        self.record = Data(
            source=self._source.label,
            tree=testimony.content.tree,
            role=self._role,
            mount=self._mounted.method,
            attested=testimony.attested,
            unstable=_file_list(unstable),
            doubt=testimony.doubt,
            written=WrittenRecord(
                added=_file_list(written.added),
                changed=_file_list(written.changed),
                removed=_file_list(written.removed),
            ),
            listed=listed.settled(self._sink, self._source.label, self._course),
        )
        if testimony.attested and unstable:
            self._course.warn(
                f"{len(unstable)} files of the dataset changed while they were copied, "
                f"{shown(unstable[0])} among them; the digest is of what was copied"
            )

    def _written(self) -> Written:
        """What the code wrote, but for the run's own folders, if nothing came into them, and what lies there beside it."""
        try:
            found = self._found()
        except (OSError, PkgrunError) as error:
            self._course.warn(f"what the code wrote into its data folder is not known: {error}")
            return Written()
        if not self._made:
            return found
        added = [path for path in found.added if path not in self._made and not self._elsewhere(path)]
        changed = [path for path in found.changed if not self._elsewhere(path)]
        return Written.of(added, changed, list(found.removed))

    def _elsewhere(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self._apart)

    def _found(self) -> Written:
        if self.overlay is not None:
            return layers.written(str(self.overlay.upper), self._source.path)
        if self._mounted.laid is None or not os.path.isdir(self._target):
            return Written(removed=("/",))
        return between(self._mounted.laid, scan(self._target, lenient=True))


def _check_room(source: Source, plan: Plan) -> None:
    """Whether the run's own folders have a place in the dataset.

    Raises:
        UsageError: something else has it.
    """
    names = sorted(map(os.path.basename, plan.inside))
    if not source.folder:
        if source.name in names:
            raise UsageError(
                f"the dataset is a file {source.name}, where the {plan.pipeline.kind} pipeline has a folder",
                hint="rename it",
            )
        return
    for name in names:
        path = os.path.join(source.path, name)
        if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
            raise UsageError(
                f"{source.label} has a file {name}, where the {plan.pipeline.kind} pipeline has a folder",
                hint="rename it",
            )
    if plan.evaluation is None:
        return
    name = os.path.basename(plan.evaluation)
    own = os.path.join(source.path, name)
    if os.path.isdir(own) and os.listdir(own):
        raise UsageError(
            f"{source.label} has a folder {name}/ with files of its own, and an evaluation set is given too",
            hint="leave one of them out",
        )


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


def _file_list(paths: tuple[str, ...]) -> FileList:
    return FileList.of([shown(path) for path in paths])
