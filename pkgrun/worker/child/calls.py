"""The worker: it imports the package's module, builds its class and makes the calls, and reports how that went.

It owns the last steps before user code, which is to find what a plain script would find, and the account of its
failures without frames of ours. It never writes on the user's stdout or stderr.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import TracebackType
    from typing import Any

    from pkgrun.worker.child import protocol
else:
    import protocol

    try:
        import _signal as signal  # the public module draws in enum: 4 ms
    except ImportError:
        import signal

ENOMEM, EFBIG = 12, 27  # `errno` is a module that the user may have too
HERE = os.path.dirname(os.path.abspath(__file__))
OURS = ("protocol", "calls", "system", "mounts", "limits")


def work(init: dict[str, Any], events: int, view: int | None, known: frozenset[str]) -> int:
    """Runs the package. `known` are the modules that were loaded before any of ours. The process's exit code."""
    report = _Report(events)
    library = [entry for entry in sys.path if entry not in ("", HERE)]
    _restore_signals()
    _look_like_a_script(init, library, known)
    # Registered first, it is called last: after the user's threads were joined and their own handlers ran.
    atexit.register(report.ended)
    return _Calls(init, report, view, library).make()


def _restore_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        import faulthandler

        faulthandler.enable()  # a crash tells the line of the user's code on stderr
    except (ImportError, OSError, ValueError, RuntimeError):
        pass  # stderr may be closed


def _look_like_a_script(init: dict[str, Any], library: list[str], known: frozenset[str]) -> None:
    """Path, arguments, modules and folder as if the package's file had been started by name."""
    workdir = init["workdir"]
    os.chdir(workdir)
    sys.path[:] = [workdir] + [entry for entry in library if entry != workdir]
    sys.argv[:] = [os.path.join(workdir, init["module"] + ".py")]
    # multiprocessing runs the main module's file again in every process it spawns: this one has none.
    sys.modules["__main__"] = type(sys)("__main__")
    siblings = {name.split(".")[0] for name in os.listdir(workdir)}
    for name in set(sys.modules) - known:
        if name in OURS or name.split(".")[0] in siblings:
            del sys.modules[name]


class _Report:
    """The worker's end of the events pipe. In a copy that user code forked it raises SystemExit instead."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._process = os.getpid()
        self._complete = False

    def is_copy(self) -> bool:
        return os.getpid() != self._process

    def send(self, event: str, **fields: Any) -> None:
        if self.is_copy():
            raise SystemExit(0)
        self._complete = self._complete or event == "result"
        fields["event"] = event
        protocol.send(self._events, fields)

    def ended(self) -> None:
        if self.is_copy() or not self._complete:
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # noqa: S112  # whatever the user's code put there
                continue
        self.send("ended")


class _Calls:
    """One `Main()` for all calls."""

    def __init__(self, init: dict[str, Any], report: _Report, view: int | None, library: list[str]) -> None:
        self._init = init
        self._report = report
        self._view = view
        self._library = library
        self._phase = "init"
        self._next = [call["label"] for call in init["calls"]]
        self._scores: dict[str, float] = {}
        self._types: dict[str, str] = {}

    def make(self) -> int:
        try:
            self._make()
        except BaseException as error:
            if self._report.is_copy():
                raise
            self._report.send("failure", **self._failure(error))
            return 1
        return 0

    def _make(self) -> None:
        self._report.send("phase", name=self._phase)
        module = self._init["module"]
        __import__(module)  # unlike importlib's function, it leaves no frames in a traceback
        main = getattr(sys.modules[module], self._init["class"])()
        sys.modules["__main__"].__dict__["main"] = main  # as in a script, it lives to the very end
        for call in self._init["calls"]:
            self._phase = self._next.pop(0)
            if call["looked_at"]:
                self._wait()
            self._report.send("phase", name=self._phase)
            try:
                value = getattr(main, call["method"])(*_arguments(call))
            except (Exception, SystemExit) as error:
                if not call["tolerant"] or self._report.is_copy():
                    raise
                self._report.send("tolerated", **self._failure(error))
                continue
            self._types[self._phase] = type(value).__name__[:200]
            _keep_number(self._scores, self._phase, value)
            if call["exchange"] and not self._report.is_copy():
                _hand_over(value, call["exchange"]["answer"].encode("latin-1"))
        self._report.send("result", scores=self._scores, types=self._types)

    def _wait(self) -> None:
        """Until somebody has looked at what the call is given; not where user code has closed the way there."""
        if self._view is None or self._report.is_copy():
            return
        self._report.send("look", name=self._phase)
        try:
            os.read(self._view, 1)
        except OSError:
            self._view = None

    def _failure(self, error: BaseException) -> dict[str, Any]:
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__qualname__
        )
        message = self._exit_message(error) if isinstance(error, SystemExit) else _shown(str, error)
        notes = [note for note in getattr(error, "__notes__", ()) if isinstance(note, str)]
        return {
            "phase": self._phase,
            "type": name[:500],
            "message": protocol.bounded(message, protocol.MESSAGE_LIMIT),
            "traceback": protocol.bounded(
                _formatted(error, self._library, self._init["workdir"]), protocol.TRACEBACK_LIMIT
            ),
            "notes": protocol.bounded("\n".join(notes), protocol.NOTES_LIMIT),
            "exits": isinstance(error, SystemExit),
            "lacks": _lacks(error),
        }

    def _exit_message(self, error: SystemExit) -> str:
        code = "" if error.code is None else _shown(repr, error.code)
        before = " before " + self._next[0] if self._next else ""
        return "called sys.exit(%s) in %s%s" % (code, self._phase, before)


def _arguments(call: dict[str, Any]) -> list[Any]:
    """What a call is given: folders, or by an exchange one value that is too large for a message."""
    exchange = call["exchange"]
    if not exchange:
        arguments: list[Any] = call["arguments"]
        return arguments
    contents = []
    for path in exchange["given"]:
        with open(path.encode("latin-1"), "rb") as file:
            contents.append(file.read())
    if exchange["shape"] == "list":
        return [contents]
    return [contents[0].decode("utf-8") if exchange["shape"] == "text" else contents[0]]


def _hand_over(value: Any, path: bytes) -> None:
    """Leaves a text that a call returned; of another value its type tells enough."""
    if isinstance(value, str):
        with open(path, "wb") as file:
            file.write(str.encode(value, "utf-8", "surrogatepass"))  # whoever reads it says that it is none


def _lacks(error: BaseException) -> str:
    """What a limit may have kept from the code: memory, storage or nothing."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == ENOMEM:
        return "memory"
    return "storage" if number == EFBIG else ""


def _keep_number(scores: dict[str, float], method: str, value: Any) -> None:
    """Keeps what a call returned if it is a finite number, of whatever library."""
    if value is None or isinstance(value, (bool, str, bytes)) or not hasattr(type(value), "__float__"):
        return
    try:
        number = float(value)
    except Exception:  # an array of several numbers, a lazy tensor: not a score
        return
    if number - number == 0.0:
        scores[method] = number


def _shown(how: Any, value: Any) -> str:
    try:
        text = how(value)
        return text if type(text) is str else str.__str__(text)
    except BaseException:  # it is the user's code that runs here
        return "<%s of %s failed>" % (how.__name__, type(value).__name__)


def _formatted(error: BaseException, library: list[str], workdir: str) -> str:
    for link in _linked(error):
        link.__traceback__ = _users_frames(link.__traceback__)
    try:
        traceback = _import_unshadowed("traceback", library, workdir)
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except BaseException:  # an exception class of the user's may refuse everything
        return _plain(error)


def _linked(error: BaseException) -> list[BaseException]:
    """The exception, its causes, contexts and members, each once."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        found.append(current)
        waiting += [current.__cause__, current.__context__]
        members = getattr(current, "exceptions", ())
        waiting += members if isinstance(members, (tuple, list)) else ()
    return found


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _is_machinery(trace):
        trace = trace.tb_next
    current = trace
    while current is not None and current.tb_next is not None:
        if _is_machinery(current.tb_next):
            current.tb_next = current.tb_next.tb_next
        else:
            current = current.tb_next
    return trace


def _is_machinery(trace: TracebackType) -> bool:
    file = trace.tb_frame.f_code.co_filename
    return file.startswith("<frozen importlib") or os.path.dirname(file) == HERE


def _import_unshadowed(name: str, library: list[str], workdir: str) -> Any:
    """A module of the standard library, though the package may have a `token.py` or `re.py` beside its code."""
    path = list(sys.path)
    hidden = {}
    for loaded, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(workdir + os.sep):
            hidden[loaded] = sys.modules.pop(loaded)
    sys.path[:] = library
    try:
        return __import__(name)
    finally:
        sys.path[:] = path
        sys.modules.update(hidden)


def _plain(error: BaseException) -> str:
    lines = ["Traceback (most recent call last):"]
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append('  File "%s", line %d, in %s' % (code.co_filename, trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return "\n".join([*lines, "%s: %s" % (type(error).__name__, _shown(str, error))]) + "\n"
