"""Which Python an environment is made of: found on this machine, asked once what it is, remembered.

It looks and asks; it makes no environment. What an interpreter said is kept by its path, size and time of change,
so that choosing one again starts no process.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkgrun.errors import EnvironmentFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_VERSION = re.compile(r"(?:python)?(\d+(?:\.\d+){0,2})")
_REQUEST = re.compile(r"[A-Za-z0-9<>=~!][\w.<>=~!,+@-]*")
_MINORS = range(6, 31)
_OLDEST = 8  # the first minor that runs a package's code
_PATIENCE = 20  # seconds for an interpreter to say what it is

_ASK = """
import json, os, sys
made = sys.implementation
print(json.dumps({
    "path": getattr(sys, "_base_executable", None) or sys.executable,
    "implementation": made.name,
    "version": sys.version.split()[0],
    "platform": "/".join([made.cache_tag or "", getattr(sys, "abiflags", ""),
                          getattr(made, "_multiarch", sys.platform), os.uname().machine]),
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that runs: `path` of the base interpreter (never of a virtual environment), `implementation`
    ("cpython"), `version` ("3.11.7") and `platform`, which tells builds that cannot share packages apart.
    """

    path: Path
    implementation: str
    version: str
    platform: str

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])


def running() -> Interpreter:
    """The base interpreter of the running one; starts no process."""
    made = sys.implementation
    return Interpreter(
        path=Path(getattr(sys, "_base_executable", None) or sys.executable),
        implementation=made.name,
        version=sys.version.split()[0],
        platform="/".join(
            [
                made.cache_tag or "",
                getattr(sys, "abiflags", ""),
                getattr(made, "_multiarch", sys.platform),
                os.uname().machine,
            ]
        ),
    )


def nearest(version: str, *, cache: Path, variables: Mapping[str, str]) -> str:
    """What to ask `find` for to get the Python of an earlier time: its very version if that lies here, else its series."""
    if _VERSION.fullmatch(version) and _highest(version, _Memory(cache / "interpreters.json", variables)):
        return version
    return ".".join(version.split(".")[:2])


def find(
    asked: str | None,
    *,
    cache: Path,
    variables: Mapping[str, str],
    stop: Callable[[], bool],
    announce: Callable[[str], None] = lambda message: None,
) -> Interpreter:
    """The Python that `asked` means: None (the running one), a path, or a version such as "3.12" (its highest patch).

    What is asked in another way (">=3.11,<3.13", "pypy3.10") is for uv to find. `variables` are the ones that a
    process is started with; PATH among them. `announce` is told before anything is downloaded, which uv does when
    no such Python is here and `UV_PYTHON_DOWNLOADS` allows it. Raises `UsageError` for what is neither version nor
    path and `EnvironmentFailed`, naming the Pythons that are here, when there is none.
    """
    if asked is None:
        return running()
    memory = _Memory(cache / "interpreters.json", variables)
    if os.sep in asked:
        return _at(Path(asked).expanduser().absolute(), memory)
    if not _REQUEST.fullmatch(asked):
        raise UsageError(
            f"{asked!r} is no Python version and no path", hint='such as --python 3.12 or "/usr/bin/python3"'
        )
    version = _VERSION.fullmatch(asked)
    found = _highest(version[1], memory) if version else None
    found = found or memory.recall(asked)
    return found or _asked_of_uv(asked, memory, stop, announce)


def _at(path: Path, memory: _Memory) -> Interpreter:
    if found := memory.about(path):
        return found
    state = "does not run as Python 3.6 or newer" if path.exists() else "does not exist"
    raise EnvironmentFailed(
        f"the Python {path} {state}", hint=f"name another one: --python X. {_here(memory)}"
    )


def _highest(version: str, memory: _Memory) -> Interpreter | None:
    wanted = tuple(int(number) for number in version.split("."))
    candidates = [running(), *filter(None, map(memory.about, _paths(version, memory.variables)))]
    # A free-threaded build ("t") needs wheels of its own: only its path gets it.
    fitting = [
        each for each in candidates if each.numbers[: len(wanted)] == wanted and not _is_threaded(each)
    ]
    return max(
        fitting, key=lambda each: (each.version.replace(".", "").isdigit(), each.numbers), default=None
    )


def _is_threaded(found: Interpreter) -> bool:
    return "t" in found.platform.split("/")[1]


def _paths(version: str, variables: Mapping[str, str]) -> Iterator[Path]:
    """Where a Python of this version may be; the caller asks each what it really is."""
    parts = version.split(".")
    minors = (
        [f"python{version}.{minor}" for minor in _MINORS]
        if len(parts) == 1
        else ["python" + ".".join(parts[:2])]
    )
    for folder in _folders(variables):
        yield from (Path(folder) / name for name in (*minors, "python3", "python"))
    home = Path(variables.get("HOME") or Path("~").expanduser())
    pyenv = Path(variables.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    data = Path(variables.get("XDG_DATA_HOME") or home / ".local/share")
    for parent, prefix in (
        (pyenv, ""),
        (Path(variables.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python"), "cpython-"),
    ):
        beginnings = (f"{prefix}{version}.", f"{prefix}{version}-")
        with suppress(OSError):
            for name in sorted(os.listdir(parent)):
                if name == version or name.startswith(beginnings):
                    yield parent / name / "bin/python3"


def lying_here(variables: Mapping[str, str]) -> list[str]:
    """The versions ("3.12") that the names of files promise, wherever `find` looks; none of them is started."""
    found = {".".join(map(str, running().numbers[:2]))}
    for path in _paths("3", variables):
        named = re.fullmatch(r"python(3\.\d+)", path.name) or re.match(
            r"(?:cpython-)?(3\.\d+)", path.parent.parent.name
        )
        if named and path.exists():
            found.add(named[1])
    minors = sorted(int(version.split(".")[1]) for version in found)
    return [f"3.{minor}" for minor in minors if minor >= _OLDEST]


def _folders(variables: Mapping[str, str]) -> list[str]:
    """PATH without pyenv's shims: what they start changes with the folder, and most of them only complain."""
    folders = variables.get("PATH", "").split(os.pathsep)
    return [folder for folder in folders if folder and Path(folder).name != "shims"]


def _asked_of_uv(
    asked: str, memory: _Memory, stop: Callable[[], bool], announce: Callable[[str], None]
) -> Interpreter:
    from pkgrun.worker import installer

    variables = {**memory.variables, "PATH": os.pathsep.join(_folders(memory.variables))}
    folder = memory.file.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def uv(*arguments: str) -> tuple[int, str]:
        code, output, errors = installer.attempt(arguments, folder=folder, variables=variables, stop=stop)
        return code, output if code == 0 else installer.essential(errors)

    search = ("python", "find", asked, "--system", "--no-project", "--no-python-downloads")
    code, output = uv(*search)
    tried = ""
    if code != 0 and may_download(variables):
        announce(f"Python {asked} is not on this machine: asking uv to download it")
        code, output = uv("python", "install", asked)
        tried = "" if code == 0 else f" and cannot be downloaded:\n{output}"
        code, output = uv(*search) if code == 0 else (code, "")
    if code == 0 and (found := memory.about(Path(output.strip()))):
        memory.keep_request(asked, Path(output.strip()))
        return found
    hint = f"install it, or name another one: --python X. {_here(memory)}"
    raise EnvironmentFailed(f"Python {asked} is not on this machine{tried}", hint=hint)


def may_download(variables: Mapping[str, str]) -> bool:
    """Whether uv fetches a Python that is not here."""
    said = variables.get("UV_PYTHON_DOWNLOADS", "automatic").lower()
    return said not in ("never", "manual", "false", "0") and not variables.get("UV_OFFLINE")


def _here(memory: _Memory) -> str:
    known = {running().version} | {
        each.version for each in map(memory.about, _paths("3", memory.variables)) if each
    }
    ordered = sorted(known, key=lambda version: [int(number) for number in re.findall(r"\d+", version)])
    return f"Here are: {', '.join(ordered)}"


class _Memory:
    """What interpreters said, in one JSON file; a lost or spoilt file only means asking again."""

    def __init__(self, file: Path, variables: Mapping[str, str]) -> None:
        self.file = file
        self.variables = variables
        self._entries: dict[str, Any] = {}
        with suppress(OSError, ValueError, RecursionError):
            read = json.loads(file.read_bytes())
            self._entries = read if isinstance(read, dict) else {}

    def about(self, path: Path) -> Interpreter | None:
        """What the interpreter at `path` is, or None where there is none that runs."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self._entries.get(str(path))
        if isinstance(entry, dict) and entry.get("stamp") == stamp:
            return _interpreter(entry.get("said"))
        said = _ask(path, self.variables)
        found = _interpreter(said)
        # A script (a shim) may start another Python tomorrow without being changed itself.
        if not _is_script(path):
            self._keep({str(path): {"stamp": stamp, "said": said}})
        return found

    def recall(self, asked: str) -> Interpreter | None:
        """What uv found for `asked` the last time, if it is still there."""
        path = self._entries.get(f"request {asked}")
        return self.about(Path(path)) if isinstance(path, str) else None

    def keep_request(self, asked: str, path: Path) -> None:
        self._keep({f"request {asked}": str(path)})

    def _keep(self, entries: Mapping[str, Any]) -> None:
        self._entries |= entries
        temporary = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        with suppress(OSError):
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._entries, indent=1, sort_keys=True) + "\n", "utf-8")
            temporary.replace(self.file)


def _ask(path: Path, variables: Mapping[str, str]) -> dict[str, str] | None:
    import subprocess

    try:
        answer = subprocess.run(
            [path, "-I", "-S", "-c", _ASK],
            env=dict(variables),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=True,
        )
        said = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def _interpreter(said: object) -> Interpreter | None:
    try:
        fields = {name: str(value) for name, value in said.items()}  # type: ignore[attr-defined]
        return Interpreter(Path(fields.pop("path")), **fields)
    except (AttributeError, KeyError, TypeError):
        return None


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return True
