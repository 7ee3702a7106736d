"""Where what a run was given goes: into the store if it is kept, and if not, its directories do, so that the store can tell
for ever which files were in it.
"""

from __future__ import annotations

from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.store.listed import Listed
from pkgrun.store.objects import Objects
from pkgrun.store.sinks import Sink
from pkgrun.worker.secrets import Masker


def into(objects: Objects, order: Order, *, keeps: bool) -> Sink:
    """Where the bytes go that are hashed. Of a dataset that is not kept, no secret comes into the store by a file's name."""
    return objects if keeps else Listed(objects, Masker(order.secrets.values()).watch)


def settled(sink: Sink, what: str, course: Course) -> bool:
    """All of it has been hashed: whether its directories are in the store. If they are not, a person is told; it is no reason
    to lose what was trained."""
    reason = sink.settle() if isinstance(sink, Listed) else None
    if reason is not None:
        course.warn(
            f"the names and digests of the files in {what} were not kept: {reason}",
            "later nobody can tell by one of these files that this run was given it",
        )
    return reason is None
