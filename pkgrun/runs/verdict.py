"""Whose fault it was: the one place that turns the end of the child process into an error, or into none."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from pkgrun.errors import Killed, TimedOut, UsageError, UserCodeFailed
from pkgrun.packages import contract
from pkgrun.records import Decision, RunError
from pkgrun.worker.limits import HOLDS_NOTHING, Limits
from pkgrun.worker.supervisor import Exit

HINTS = {
    "raised": "mend the code, then train its folder: what has changed becomes the next major",
    "exited": "train() and save() have to return",
    "out-of-memory": "use a smaller dataset or batch, or a machine with more memory",
    "storage-exceeded": "let it remove what it no longer needs, or give it more with --storage",
    "signalled": "a crash in a compiled library, or somebody's kill",
}


def verdict(
    ended: Exit,
    *,
    workdir: str,
    timeout: float | None,
    dataset: bool,
    overlay: bool = False,
    limits: Limits = HOLDS_NOTHING,
    file: str = contract.TRAIN_FILE,
    hints: Mapping[str, str] = HINTS,
) -> RunError | None:
    """Why the run makes no version, or None if it may.

    Args:
        overlay: that is how the dataset was put there.
        file: where `Main` is.
        hints: what to do, by the reason, where nothing better is known.
    """
    if ended.reason == "finished":
        return None
    if ended.reason == "timed-out":
        return RunError(
            kind=TimedOut.kind,
            message=f"{_phase(ended, file)} did not end within {timeout:g} s",
            hint="give it more time with --timeout",
            phase=ended.phase,
        )
    if ended.reason == "killed":
        return RunError(
            kind=Killed.kind, message=f"somebody stopped it, in {_phase(ended, file)}", phase=ended.phase
        )
    if _too_small(ended):
        return RunError(
            kind=UsageError.kind,
            message=f"the limit of {_size(limits.memory)} is too little memory for Python itself",
            hint="give it more with --memory; none of the package's code has run",
            phase=ended.phase,
        )
    hint = (_seam(ended, workdir) if overlay else None) or _advice(
        ended, dataset=dataset, limits=limits, hints=hints
    )
    failure = ended.failure
    return RunError(
        kind=UserCodeFailed.kind,
        message=f"{_phase(ended, file)} {_what(ended, limits)}",
        hint=hint,
        phase=failure.phase if failure else ended.phase,
        # The work directory is gone when this is read: paths in it are shown as the package's own.
        traceback=failure.traceback.replace(workdir + "/", "") if failure else None,
    )


def _too_small(ended: Exit) -> bool:
    """Whether a limit of memory was reached before any line of the package's code: the traceback has none, if there is one."""
    if ended.reason != "out-of-memory" or ended.cause == "system" or ended.phase not in (None, "init"):
        return False
    return ended.phase is None if ended.failure is None else 'File "' not in ended.failure.traceback


def _advice(ended: Exit, *, dataset: bool, limits: Limits, hints: Mapping[str, str]) -> str | None:
    failure = ended.failure
    if ended.phase == contract.BASELINE:
        return "--no-baseline leaves that evaluation out"
    if ended.reason == "out-of-memory" and ended.cause != "system":
        return "use a smaller dataset or batch, or a larger --memory"
    if limits.sandbox == "no-network" and failure and _UNREACHABLE.search(failure.traceback):
        return "the run has no network: --sandbox no-network took it away"
    missing = _LACKING.search(failure.message) if failure and failure.type == "FileNotFoundError" else None
    if missing and not dataset:
        return f"no dataset was given, so {missing[1]}/ was empty; --data PATH gives one"
    if failure and (hidden := _HIDDEN.search(f"{failure.type}: {failure.message}")):
        return f"the run's own {hidden[1]}/ hides the package's folder of that name: rename that, and what imports it"
    if failure and failure.type == "ModuleNotFoundError":
        return "name what it needs in requirements.txt; with --environment current, install it here"
    if ended.reason == "exited" and ended.phase in (contract.PROCESS_DATA, contract.EVALUATE):
        return f"{ended.phase}() has to return"
    return hints.get(ended.reason)


def _seam(ended: Exit, workdir: str) -> str | None:
    """What to do where an overlay is not quite a folder: a line of the traceback tells the error and the place."""
    if ended.failure is None:
        return None
    text = f"{ended.failure.message}\n{ended.failure.traceback}".replace(workdir + "/", "")
    if re.search(r"\[Errno 30\]|Read-only file system", text):
        return _CLOSED
    lines = text.splitlines()
    if "in _rmtree_safe_fd" not in text:  # which names files without their folder
        lines = [line for line in lines if _IN_DATA.search(line) or _FOREIGN.search(line)]
    return next((advice for error, advice in _SEAMS.items() if any(map(error.search, lines))), None)


def _what(ended: Exit, limits: Limits) -> str:
    failure = ended.failure
    if ended.reason == "storage-exceeded":
        return f"wrote more than the limit of {_size(limits.storage)}"
    if ended.reason == "out-of-memory" and ended.cause != "system":
        return f"took more memory than the limit of {_size(limits.memory)}"
    if ended.reason == "raised" and failure:
        first = failure.message.strip().split("\n", 1)[0][:300]
        return f"raised {failure.type}" + (f": {first}" if first else "")
    if ended.reason == "exited" and failure and failure.exits:
        return failure.message
    if ended.reason == "exited":
        return f"ended the process with exit code {ended.code} before all was done"
    if ended.reason == "out-of-memory":
        return "took more memory than there is, and the system killed it"
    if ended.reason == "signalled":
        return f"was ended by the signal {_signal(ended.signal)}"
    return "killed the process that watches over it"


_UNREACHABLE = re.compile(
    r"\[Errno (-2|-3|101|113)\]|Network is unreachable|Name or service not known|name resolution"
)
_FOLDERS = "|".join((contract.DATA, contract.EVALUATION_DATA, contract.DATASET))
_HIDDEN = re.compile(
    rf"^(?:ModuleNotFound|Import)Error: (?:No module named '|cannot import name .* from ')({'|'.join(contract.HIDDEN_FOLDERS)})[.']"
)
_LACKING = re.compile(rf"\b({_FOLDERS})/")
_IN_DATA = re.compile(rf"""["'](\./)?({_FOLDERS})["'/]|(^|[\s(=])(\./)?({_FOLDERS})/""")
_FOREIGN = re.compile(r"\[Errno 75\]|Value too large for defined data type")
"""Its owner or group is nobody in the user's namespace. The path may be missing; what else says so is rare."""
_CLOSED = "the dataset's own folder and the store are closed to the code; write below data/ or the current directory"
_SEAMS = {
    re.compile(r"\[Errno 18\]|Invalid cross-device link"): (
        "the data is an overlay, which renames no folder of the dataset and nothing across its border; "
        "--mount copy gives a plain folder"
    ),
    re.compile(r"\[Errno 16\]|Device or resource busy"): (
        "the data is an overlay, which itself stays where it is; --mount copy gives a plain folder"
    ),
    re.compile(rf"\[Errno (1|13)\]|Permission denied|Operation not permitted|{_FOREIGN.pattern}"): (
        "the data is an overlay, where files keep the dataset's owners and modes; --mount copy gives your own"
    ),
}


def _size(count: int | None) -> str:
    """In the unit that a person would have written it in."""
    for factor, unit in ((10**9, "GB"), (1 << 30, "GiB"), (10**6, "MB"), (1 << 20, "MiB"), (1000, "kB")):
        if count and count >= factor and count * 100 % factor == 0:
            return f"{count / factor:g} {unit}"
    return f"{count} bytes"


def _phase(ended: Exit, file: str) -> str:
    names = {
        None: "the start of the process",
        "init": f"loading {file}",
        contract.BASELINE: f"{contract.EVALUATE}(), before the training,",
    }
    return names.get(ended.phase, f"{ended.phase}()")


def _signal(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return str(number)


DECISIONS: dict[str, Decision] = {TimedOut.kind: "TIMED-OUT", Killed.kind: "KILLED"}
"""What is decided on an error of a kind; FAILED on any other."""
