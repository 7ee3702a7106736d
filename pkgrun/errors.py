"""Every error that pkgrun raises on purpose, grouped by what a handler would do.

::

    PkgrunError
    ├── UsageError              2   change the call
    │   ├── InvalidName
    │   └── DataInvalid             the dataset holds what cannot be kept (a socket, a link that leaves it …)
    ├── PackageInvalid          4   change the package
    │   └── EnvironmentFailed       its requirements cannot be installed
    ├── NotFound                6   name something that exists
    ├── Conflict                7   somebody else's fact stands in the way
    │   └── Erased                  the content was erased, and is not to come back
    ├── Damaged                 8   stored bytes are not what they were
    ├── Mismatch                8   what is there is not what was recorded: name the right thing
    ├── PermissionDenied        9   ask whoever owns the thing
    ├── Temporary              75   try again later
    ├── RunFailed                   a run ended without a version
    │   ├── UserCodeFailed      1   mend the package's code
    │   ├── SecretFound         1   the package's code wrote a secret into a file
    │   ├── DataUnstable        8   train again when nobody writes to the dataset
    │   ├── TimedOut            5   give it more time
    │   ├── Killed            130   somebody stopped it
    │   └── RunLost            75   its supervisor died; run it again
    └── Bug                    70   tell us

`kind` is what programs branch on: it is never renamed. `hint` says the way out. `run_id` names the run, if one began. Foreign exceptions end at
the seam where they come in, translated by a table and raised `from` the original.
"""

from __future__ import annotations

from typing import ClassVar


class PkgrunError(Exception):
    """The root of the tree. The message names what happened to which thing; `hint` says what to do."""

    kind: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str | None = None, run_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.run_id = run_id


class UsageError(PkgrunError):
    """The call cannot mean anything: an option, a parameter or a path is wrong."""

    kind = "usage"
    exit_code = 2


class InvalidName(UsageError):
    """A name or an id that could mean something to a path, a shell or a URL."""

    kind = "invalid-name"


class DataInvalid(UsageError):
    """A dataset that cannot be kept as it is: it names the file and why."""

    kind = "data-invalid"


class PackageInvalid(PkgrunError):
    """The package cannot do what is asked of it."""

    kind = "package-invalid"
    exit_code = 4


class EnvironmentFailed(PackageInvalid):
    """The package's requirements cannot be resolved or installed."""

    kind = "environment-failed"


class NotFound(PkgrunError):
    """Nothing of that name exists."""

    kind = "not-found"
    exit_code = 6


class Conflict(PkgrunError):
    """It exists already, with other content."""

    kind = "conflict"
    exit_code = 7


class Erased(Conflict):
    """A content was erased: it is not there any more, and cannot be added again. The hint says who did that, and why."""

    kind = "erased"


class Damaged(PkgrunError):
    """Stored bytes do not have the digest that they are kept under."""

    kind = "damaged"
    exit_code = 8


class Mismatch(PkgrunError):
    """What was found, such as a dataset, is not what was recorded; nobody says that it is damaged."""

    kind = "mismatch"
    exit_code = 8


class PermissionDenied(PkgrunError):
    """The operating system refuses."""

    kind = "permission"
    exit_code = 9


class Temporary(PkgrunError):
    """It may work later: a full disk, a lock that is held, a service that does not answer."""

    kind = "temporary"
    exit_code = 75


class RunFailed(PkgrunError):
    """A run ended without making a version; its record, log and artifacts are kept.

    Of a prediction nothing is kept: `traceback` is there what the package's own frames were, if its code raised.
    """

    kind = "run-failed"
    exit_code = 1
    traceback: str | None = None


class UserCodeFailed(RunFailed):
    """The package's own code raised, exited or crashed."""

    kind = "user-code-failed"


class SecretFound(RunFailed):
    """A file that would have become part of a version or an artifact holds a secret's value."""

    kind = "secret-found"


class DataUnstable(RunFailed):
    """The dataset changed while the package's code was given it, and `--require-stable-data` was asked for."""

    kind = "data-unstable"
    exit_code = 8


class TimedOut(RunFailed):
    """The run did not end within its deadline."""

    kind = "timeout"
    exit_code = 5


class Killed(RunFailed):
    """Somebody stopped the run."""

    kind = "killed"
    exit_code = 130


class RunLost(RunFailed):
    """The supervisor of the run died before it could decide, or was taken for dead."""

    kind = "lost"
    exit_code = 75


class Bug(PkgrunError):
    """An invariant of pkgrun does not hold."""

    kind = "bug"
    exit_code = 70


def by_kind(kind: str) -> type[PkgrunError]:
    """The class of errors of a kind, or the root of the tree for a kind that is not known here."""
    waiting = [PkgrunError]
    while waiting:
        known = waiting.pop()
        if known.kind == kind:
            return known
        waiting.extend(known.__subclasses__())
    return PkgrunError
