"""What a run made and the store did not take: it stays in the work directory, and whoever waits is told where."""

from __future__ import annotations

from pkgrun.errors import Temporary
from pkgrun.observe import Notice
from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place


def kept(error: Temporary, order: Order, at: Place, course: Course) -> Temporary:
    """Keep what the package's code made; the error that says so. Before it has run there is nothing to keep."""
    if course.exit is None:
        return error
    if not at.stays:
        at.stay(order.plan.folders)
        course.observe(Notice(f"the work directory stays: {at.package}"))
    run = order.intent.run
    return Temporary(
        f"{error.message}; what the run {run} made is kept, but not in the store",
        hint=f"it is {at.package}, with the artifacts beside it: when the store can be written to again, and "
        f"`pkgrun run show {run}` does not show it as successful, `pkgrun package add {at.package}` makes it a version",
        run_id=run,
    )


def decided(error: Temporary, run: str) -> Temporary:
    """The error where all is in the store, and only what follows from it is not written yet."""
    return Temporary(
        f"{error.message}; the run {run} is decided, and all of it is in the store",
        hint=f"`pkgrun run show {run}` completes it when the store can be written to again",
        run_id=run,
    )
