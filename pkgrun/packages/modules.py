"""The Python source files of a package: found by dotted name, read within bounds, parsed, and never run.

Owns where `import x` leads inside a package whose root is `sys.path[0]`, and which names the top level of a
module binds. It never imports a module of the package, never follows a link out of it, and reads no file that is
not a regular one.
"""

from __future__ import annotations

import ast
import os
import stat
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_FILE_BYTES = 2 << 20
"""Hostile source costs about 0.9 GiB and 5 s for each MiB while it is parsed (measured on `a;a;a;…`)."""

MAX_PACKAGE_BYTES = 2 * MAX_FILE_BYTES
"""All that one check parses. Public packages stay below 100 KiB."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_COMPILED = (".so", ".pyc", ".pyd")

# What `ast.parse` raises on text that is not Python; MemoryError is its answer to deep nesting too.
_UNPARSABLE = (SyntaxError, ValueError, LookupError, RecursionError, MemoryError, OverflowError)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A source file that is there but says nothing: why, and at which line when that is known."""

    file: str
    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A module that exists only in binary form."""

    name: str


@dataclass(frozen=True, slots=True)
class Namespace:
    """A folder with Python in it and no `__init__.py`."""

    name: str


@dataclass(frozen=True, slots=True)
class Binding:
    """A statement that gives a name its value; `order` counts the statements that run before it."""

    statement: ast.stmt
    order: int
    conditional: bool


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """A parsed source file: its path relative to the root, its dotted name, and what its top level binds."""

    file: str
    name: str
    tree: ast.Module
    bindings: dict[str, list[Binding]]

    @property
    def package(self) -> list[str]:
        """The parts of the dotted name that a relative import of level 1 starts from."""
        parts = self.name.split(".")
        return parts if self.file.endswith("__init__.py") else parts[:-1]


Place = Module | Unreadable | Compiled | Namespace


@dataclass(slots=True)
class Sources:
    """The source files below one root, each folder listed and each file read at most once."""

    root: Path
    _listed: dict[Path, list[str]] = field(default_factory=dict)
    _read: dict[str, Module | Unreadable | None] = field(default_factory=dict)
    _bytes: int = 0

    def read(self, file: str) -> Module | Unreadable | None:
        """The module in `file` (relative, posix), the reason why it cannot be read, or None: no such file."""
        if file not in self._read:
            self._read[file] = self._parse(file)
        return self._read[file]

    def find(self, name: str) -> Place | None:
        """What `import name` leads to inside the package; None when that is somewhere else."""
        place = self._locate(name)
        return self.read(place) if isinstance(place, str) else place

    def has(self, name: str) -> bool:
        """Whether `import name` stays inside the package, at least with its first part."""
        return self._locate(name.partition(".")[0]) is not None or self._locate(name) is not None

    def _locate(self, name: str) -> str | Compiled | Namespace | None:
        """A folder with `__init__.py` goes before a module, a module before a folder without, as in Python."""
        *above, last = name.split(".")
        folder = self.root.joinpath(*above)
        entries = self._names(folder)
        inside = self._names(folder / last) if last in entries else []
        if "__init__.py" in inside:
            return "/".join([*above, last, "__init__.py"])
        if any(entry.startswith(f"{last}.") and entry.endswith(_COMPILED) for entry in entries):
            return Compiled(name)
        if f"{last}.py" in entries:
            return "/".join([*above, f"{last}.py"])
        return Namespace(name) if any(entry.endswith(".py") for entry in inside) else None

    def _names(self, folder: Path) -> list[str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = os.listdir(folder)
            except OSError:
                self._listed[folder] = []
        return self._listed[folder]

    def _parse(self, file: str) -> Module | Unreadable | None:
        try:
            data = self._bytes_of(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RuntimeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return Unreadable(file, f"cannot be read: {reason}")
        return parse(file, data) if isinstance(data, bytes) else data

    def _bytes_of(self, file: str) -> bytes | Unreadable:
        path = self.root / file
        if path.is_symlink() and not path.exists():
            return Unreadable(file, "is a link to nothing")
        real = path.resolve(strict=True)
        if not real.is_relative_to(self.root.resolve()):
            return Unreadable(file, "is a link that leaves the package")
        if not stat.S_ISREG(real.stat().st_mode):
            return Unreadable(file, "is not a regular file")
        # Should a FIFO have taken its place by now, opening it does not wait for a writer.
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        self._bytes += len(data)
        if len(data) > MAX_FILE_BYTES:
            return Unreadable(file, f"is larger than {MAX_FILE_BYTES >> 20} MiB, too large for source code")
        if self._bytes > MAX_PACKAGE_BYTES:
            return Unreadable(
                file, f"is not parsed: the sources exceed {MAX_PACKAGE_BYTES >> 20} MiB together"
            )
        return data


def parse(file: str, data: bytes) -> Module | Unreadable:
    """The module that the bytes of `file` hold; the coding line and the BOM are obeyed as Python does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
    except _UNPARSABLE as error:
        return _unparsable(file, error)
    stem = file.removesuffix(".py").removesuffix("/__init__")
    return Module(file, stem.replace("/", "."), tree, bindings(tree.body))


def _unparsable(file: str, error: BaseException) -> Unreadable:
    if isinstance(error, RecursionError | MemoryError):
        return Unreadable(file, "is nested too deeply to be parsed")
    if isinstance(error, SyntaxError):
        return Unreadable(file, f"is not valid Python: {error.msg}", error.lineno or None)
    return Unreadable(file, f"is not valid Python: {error}")


def executed(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.stmt, bool]]:
    """The statements that run when `body` does, in source order, each with whether it is conditional.

    Blocks are entered, functions and classes are not, and neither is what runs only in a script
    (`if __name__ == "__main__"`) or only for a type checker.
    """
    stack = [(statement, False) for statement in reversed(body)]
    while stack:
        statement, conditional = stack.pop()
        yield statement, conditional
        stack.extend((inner, True) for inner in reversed(_inner(statement)))


def _inner(statement: ast.stmt) -> list[ast.stmt]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return []
    if isinstance(statement, ast.If) and _never_on_import(statement.test):
        return statement.orelse
    found: list[ast.stmt] = []
    for block in _BLOCKS:
        for child in getattr(statement, block, ()):
            found.extend([child] if isinstance(child, ast.stmt) else child.body)
    return found


def _never_on_import(test: ast.expr) -> bool:
    compared = [part for node in ast.walk(test) if isinstance(node, ast.Compare) for part in ast.walk(node)]
    return (
        any(isinstance(part, ast.Name) and part.id == "__name__" for part in compared)
        or (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING")
        or (isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING")
    )


def bindings(body: Sequence[ast.stmt]) -> dict[str, list[Binding]]:
    """Each name that `body` binds, with the binding statements in order; `*` stands for star imports."""
    found: dict[str, list[Binding]] = {}
    for order, (statement, conditional) in enumerate(executed(body)):
        for name in _bound(statement):
            found.setdefault(name, []).append(Binding(statement, order, conditional))
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Import(names=aliases):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
        case ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name for alias in aliases)
        case ast.Assign(targets=targets):
            yield from (name for target in targets for name in _stored(target))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            yield name
        case _:
            return


def _stored(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def is_standard(name: str) -> bool:
    """Whether the dotted name belongs to the standard library of the running Python."""
    return name.partition(".")[0] in sys.stdlib_module_names
