"""What a run's code is given at `data/`: a dataset, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pkgrun.records import RunError
from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place
from pkgrun.store import trees
from pkgrun.store.objects import Hashing, Sink
from pkgrun.store.root import Store
from pkgrun.worker.supervisor import Stop

if TYPE_CHECKING:
    from pkgrun.worker.namespaces import Overlay


@contextmanager
def given(store: Store, order: Order, at: Place, course: Course, stop: Stop, python: Path) -> Iterator[Given]:
    """Put the dataset where the pipeline expects it, and hold it there while the code runs."""
    course.enter("mount")
    sink: Sink = store.objects if order.request.save_training_data else Hashing()
    if order.dataset is None:
        tree = trees.write_node([], sink)
        course.snapshot = tree if order.request.save_training_data else None
        yield Given()
        return
    from pkgrun.runs.dataset import MountedData, brought  # and with them all that only a dataset needs

    with brought(order.dataset, store, order, course, stop) as source:
        yield MountedData(source, sink, order, at, course, stop, python)


class Given:
    """What a run without a dataset was given: nothing."""

    overlay: Overlay | None = None
    """What the child is to mount."""

    def witness(self) -> None:
        """Look at the dataset from now on: the code is about to start."""

    def attest(self, failure: RunError | None) -> RunError | None:
        """After the code has ended: what the run failed by, if not by the code then perhaps by its data."""
        return failure
