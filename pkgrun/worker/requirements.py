"""What a package asks to have installed: its requirements file, made one canonical text and one digest.

It reads and never installs. Everything that the files refer to must lie inside the package folder, because only
the package is kept with a version; what lies elsewhere would be gone or different at the next training.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pkgrun.errors import PackageInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVING = ("requirements.txt",)
FILES = ("train_requirements.txt", *SERVING)  # of a pipeline, the first one that is there
NOTHING = "sha256:" + hashlib.sha256(b"").hexdigest()
IGNORED = frozenset({".git", "__pycache__"})

_DEPTH = 64
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")
_INCLUDE = re.compile(r"(?:(-r|-c)\s*|--(requirement|constraint)(?:\s*=\s*|\s+))(.+)")
_EDITABLE = re.compile(r"(?:-e\s*|--editable(?:\s*=\s*|\s+))(.+)")
_FIND_LINKS = re.compile(r"(?:-f\s*|--find-links(?:\s*=\s*|\s+))(.+)")
_NAMED = re.compile(r"([A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?\s*@\s*)(.+)")
_TARGET = re.compile(r"([^\s;\[#]+)(#[^\s;]*)?(\[[^\]]*\])?(.*)")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is required, ready for uv.

    `file` is the name of the file that was read (None: the package has none), `text` and `constraints` are its
    lines and those of all included files without comments, local paths relative to the package folder. Both may
    hold credentials and are for uv alone. `digest` ("sha256:…") covers both texts and the content of every local
    path; comments, blank lines and the names of included files do not count, the order of the lines does
    (resolvers and index options are sensitive to it). `local` names the local paths, relative to the package.
    """

    file: str | None
    text: str = field(repr=False)
    constraints: str = field(repr=False)
    digest: str
    local: tuple[Path, ...] = ()


def read(package: Path, *, serving: bool = False) -> Requirements:
    """Read `train_requirements.txt` or else `requirements.txt` of the package folder `package`.

    `serving` reads `requirements.txt` only: what `main.py` needs, whatever a training needs beside it.

    Raises `PackageInvalid` that names file and line: an include that is missing, circular or outside the
    package, a local path that is missing or outside, a file that is no text.
    """
    root = package.resolve()
    files = SERVING if serving else FILES
    name = next((name for name in files if os.path.lexists(root / name)), None)
    reader = _Reader(root)
    if name is not None:
        reader.include(root / name, constraint=False, where=name)
    local = tuple(sorted(reader.local))
    text, constraints = "".join(reader.lines), "".join(reader.constraints)
    return Requirements(name, text, constraints, _digest(root, text, constraints, local), local)


def masked(text: str) -> str:
    """`text` without the user name and password of any URL in it."""
    return _USERINFO.sub("", text)


class _Reader:
    """Collects the canonical lines of one requirements file and of what it includes."""

    def __init__(self, root: Path) -> None:
        self.lines: list[str] = []
        self.constraints: list[str] = []
        self.local: set[Path] = set()
        self._root = root
        self._open: list[Path] = []
        self._seen: set[tuple[Path, bool]] = set()

    def include(self, path: Path, *, constraint: bool, where: str) -> None:
        """Take in the file `path`; `where` is the "file:line" that asked for it."""
        target = self._inside(path, where)
        if target in self._open or len(self._open) >= _DEPTH:
            chain = " → ".join(str(each.relative_to(self._root)) for each in [*self._open[-3:], target])
            raise _invalid(where, f"includes itself in a circle: {chain}", "remove one of these -r/-c lines")
        if (target, constraint) in self._seen:
            return
        self._seen.add((target, constraint))
        self._open.append(target)
        for number, line in _logical_lines(_decoded(target, where)):
            self._line(
                line, target, constraint=constraint, where=f"{target.relative_to(self._root)}:{number}"
            )
        self._open.pop()

    def _line(self, line: str, file: Path, *, constraint: bool, where: str) -> None:
        if found := _INCLUDE.fullmatch(line):
            deeper = constraint or (found[1] or found[2]) in ("-c", "constraint")
            path = _unquoted(found[3])
            if "://" in path:
                hint = "download it into the package folder and include that copy"
                raise _invalid(where, f"includes {path}, which is not a file of the package", hint)
            self.include(file.parent / path, constraint=deeper, where=where)
            return
        (self.constraints if constraint else self.lines).append(self._canonical(line, file, where) + "\n")

    def _canonical(self, line: str, file: Path, where: str) -> str:
        if found := _FIND_LINKS.fullmatch(line):
            value = _unquoted(found[1])
            return f"--find-links {self._local(value, file, where) if _is_local(value, path=True) else value}"
        if found := _EDITABLE.fullmatch(line):
            # The environment outlives the folder that it is built from, so nothing in it can point back there.
            return self._requirement(_unquoted(found[1]), file, where, path=True)
        return line if line.startswith("-") else self._requirement(line, file, where)

    def _requirement(self, line: str, file: Path, where: str, *, path: bool = False) -> str:
        named = _NAMED.fullmatch(line)
        name, rest = (named[1], named[2]) if named else ("", line)
        target = _TARGET.fullmatch(rest)
        if target is None or not _is_local(target[1], path=path or named is not None):
            return line
        value, fragment, extras, marker = target.groups(default="")
        local = self._local(value, file, where) + fragment + extras
        return f"{name}{local} {marker.strip()}".rstrip()

    def _local(self, value: str, file: Path, where: str) -> str:
        """The path `value` as pip reads it: relative to the package folder, else to the file that names it."""
        plain = (
            unquote(re.sub(r"^file:(//(localhost(?=/))?)?", "", value))
            if value.startswith("file:")
            else value
        )
        first, second = self._root / plain, file.parent / plain
        path = self._inside(second if os.path.exists(second) and not os.path.exists(first) else first, where)
        relative = path.relative_to(self._root)
        self.local.add(relative)
        return "." if relative == Path() else f"./{relative.as_posix()}"

    def _inside(self, path: Path, where: str) -> Path:
        try:
            target = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise _invalid(where, f"names a path that cannot be followed: {path.name}", None) from error
        if not target.is_relative_to(self._root):
            hint = "copy it into the package folder and name it by a relative path"
            raise _invalid(where, f"refers to {target}, which is outside the package folder", hint)
        if not os.path.exists(target):  # not Path's own, which raises for a name that is too long
            relative = target.relative_to(self._root)
            raise _invalid(
                where, f"refers to {relative}, which does not exist", "add the file or remove the line"
            )
        return target


def _is_local(value: str, *, path: bool = False) -> bool:
    """Whether `value` is a path of this machine; `path` says that it stands where a bare word is one too."""
    if "${" in value:
        return False
    if value.startswith("file:"):
        return True
    if "://" in value:
        return False
    return path or "/" in value or value in (".", "..") or value.lower().endswith(_ARCHIVES)


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _decoded(path: Path, where: str) -> str:
    if not path.is_file():
        raise _invalid(where, f"{path.name} is not a file", "a requirements file is a text file")
    data = path.read_bytes()
    # PowerShell's `pip freeze > requirements.txt` writes UTF-16.
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _invalid(where, f"{path.name} is not a text in UTF-8", "save it as UTF-8") from error
    if "\0" in text:
        raise _invalid(where, f"{path.name} holds NUL characters", "save it as UTF-8 text")
    return text


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, continuations joined, comments and blank lines left out."""
    start, parts = 0, list[str]()
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        start = start or number
        comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not comment:
            parts.append(line[:-1])
            continue
        # The space makes a comment that ends a continuation count as one.
        parts.append(f" {line}" if comment else line)
        joined = " ".join(_COMMENT.sub("", "".join(parts)).split())
        if joined:
            yield start, joined
        start, parts = 0, []


def _digest(root: Path, text: str, constraints: str, local: tuple[Path, ...]) -> str:
    whole = hashlib.sha256(text.encode())
    if constraints:
        whole.update(b"\0constraints\n" + constraints.encode())
    for path in local:
        whole.update(b"\0local " + os.fsencode(path) + b"\0")
        for entry in _entries(root / path):
            whole.update(os.fsencode(entry.relative_to(root)) + b"\0" + _content(entry) + b"\0")
    return "sha256:" + whole.hexdigest()


def _entries(path: Path) -> Iterator[Path]:
    """`path` itself, or all that lies in it but version control and bytecode, in a fixed order."""
    if not path.is_dir():
        yield path
        return
    for folder, names, files in os.walk(path):
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        names[:] = sorted(name for name in names if name not in IGNORED)
        yield from (Path(folder) / name for name in sorted(files + links))


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return b"link " + os.fsencode(path.readlink())
    if not path.is_file():
        raise PackageInvalid(f"{path} is neither a file nor a folder", hint="remove it from the package")
    with path.open("rb") as stream:
        kind = b"program " if os.fstat(stream.fileno()).st_mode & 0o100 else b"file "
        return kind + hashlib.file_digest(stream, "sha256").digest()


def _invalid(where: str, message: str, hint: str | None) -> PackageInvalid:
    return PackageInvalid(masked(f"{where}: {message}"), hint=hint)
