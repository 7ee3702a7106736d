"""What a run's code is given: a dataset, an evaluation set beside it, either, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pkgrun.errors import DataUnstable
from pkgrun.records import RunError
from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place
from pkgrun.store import trees
from pkgrun.store.root import Store
from pkgrun.worker.supervisor import Stop

if TYPE_CHECKING:
    from pkgrun.runs.dataset import MountedData
    from pkgrun.runs.passing import Passing
    from pkgrun.worker.namespaces import Overlay


@contextmanager
def given(store: Store, order: Order, at: Place, course: Course, stop: Stop, python: Path) -> Iterator[Given]:
    """Put the data where the pipeline expects it, and hold it there while the code runs.

    Raises:
        UsageError: the dataset has something where the run puts a folder of its own.
        PkgrunError: as `datasets.mount.mount`.
    """
    course.enter("mount")
    with ExitStack() as held:
        data = evaluation = passing = None
        if order.dataset is None:
            _nothing(store, order, at, course)
        if order.dataset is not None or order.evaluation is not None:
            from pkgrun.runs import dataset  # and with it all that only a dataset needs

            mounting = dataset.Mounting(store, order, at, course, stop, python)
            if order.dataset is not None:
                data = held.enter_context(mounting.data(order.dataset))
            if order.evaluation is not None:
                evaluation = held.enter_context(mounting.evaluation_set(order.evaluation, beside=data))
        if order.plan.prepares:
            from pkgrun.runs.passing import Passing

            passing = Passing(store, order, at, course)
        yield Given(order, course, data, evaluation, passing)


def _nothing(store: Store, order: Order, at: Place, course: Course) -> None:
    for folder in order.plan.inside:
        os.mkdir(os.path.join(at.package, folder))
    if order.keeps_data:
        course.snapshot = trees.write_node([], store.objects)


class Given:
    """What the code of one run was given."""

    def __init__(
        self,
        order: Order,
        course: Course,
        data: MountedData | None,
        evaluation: MountedData | None,
        passing: Passing | None,
    ) -> None:
        self._order, self._course = order, course
        self._data, self._evaluation, self._passing = data, evaluation, passing

    @property
    def overlay(self) -> Overlay | None:
        """What the child is to mount."""
        return self._data.overlay if self._data else None

    def witness(self) -> None:
        """Look at the datasets from now on: the code is about to start."""
        for mounted in (self._data, self._evaluation):
            if mounted is not None:
                mounted.witness()

    def look(self, name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
        """Look at what the call of that name is about to be given."""
        if self._passing is not None:
            self._passing.look(name, overlay, over)

    def attest(self, failure: RunError | None) -> RunError | None:
        """After the code has ended: what the run failed by, if not by the code then perhaps by its data."""
        course = self._course
        if self._data is not None:
            failure = self._data.attest(failure)
            course.data, course.snapshot = self._data.record, self._data.snapshot
        if self._evaluation is not None:
            failure = self._evaluation.attest(failure)
            course.evaluation_data = self._evaluation.record
            course.evaluation_snapshot = self._evaluation.snapshot
        if self._passing is not None:
            sure = self.overlay is None or (course.data is not None and course.data.attested)
            course.passed = self._passing.passed(sure=sure)
            doubtful = [one.folder for one in course.passed if not one.attested]
            if doubtful and failure is None and self._order.request.require_stable_data:
                failure = RunError(
                    kind=DataUnstable.kind,
                    message=f"the digest of {doubtful[0]} may not be of what the code was given",
                    hint="the run's warnings say why; nobody may write there once process_data has returned",
                    phase=course.phase,
                )
        return failure
