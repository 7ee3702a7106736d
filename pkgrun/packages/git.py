"""Which commit a package folder comes from: the only file that knows GitPython.

Owns the reading of a repository around a folder. It never writes to it, never reaches the network, and never runs a
program that the repository's own configuration names: hooks, file system monitors, filters, transports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from git import Git

TIMEOUT_SECONDS = 10.0

_LOCATIONS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)
"""Set while a hook runs; they would lead to the hook's repository instead of the folder's."""

_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    # For git before 2.44, which fetches what a partial clone lacks: no transport has this name.
    "GIT_ALLOW_PROTOCOL": "none",
}

_SETTINGS = {"core.fsmonitor": "false", "core.hooksPath": os.devnull}

_FILTER_OFF = {"clean": "", "smudge": "", "process": "", "required": "false"}

_STATUS = (
    "status",
    "--porcelain=v2",
    "--branch",
    "--no-ahead-behind",
    "--no-renames",
    "--untracked-files=normal",
    # Looking into a submodule would obey the submodule's own configuration.
    "--ignore-submodules=dirty",
    "-z",
    "--",
    ".",
)

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<userinfo>[^/\s]*)@")
_BROKEN_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://[^/:@\s]*:(?!\d+/)[^/@\s]*/\S*@")
_QUERY = re.compile(r"[?#].*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The state of the repository that a folder lies in.

    `commit` is None before the first one, `branch` when HEAD is detached, `remote` when there is neither an origin nor
    exactly one remote. `path` is the folder relative to the repository's root, posix, `.` for the root itself. `dirty`
    means that something under the folder differs from the commit: changed, staged, or untracked and not ignored; what
    lies inside submodules is not looked at.
    """

    commit: str | None
    branch: str | None
    remote: str | None
    dirty: bool
    path: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The folder lies in a repository that cannot be asked, or that does not hold the folder, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Setting:
    scope: str
    key: str
    value: str


def provenance(folder: Path) -> Provenance | Unknown | None:
    """Where the content of `folder` comes from; None when no repository is around it. Never raises.

    Costs a few `stat` calls outside of repositories, and else two or three git processes.
    """
    try:
        folder = folder.resolve(strict=True)
        root = _root(folder)
        return None if root is None else _ask(folder, root)
    except (OSError, RuntimeError) as error:
        return Unknown(f"git cannot be asked: {error}")


def public_url(url: str) -> str:
    """The URL without what could be a secret: passwords, tokens, query and fragment.

    The user of ssh (`git@host:path`, `ssh://git@host/path`) stays: it is part of the address.
    """
    if "://" in url:
        return _USERINFO.sub(_without_secret, _BROKEN_USERINFO.sub(r"\g<scheme>://", _QUERY.sub("", url)))
    user, at, rest = url.partition("@")
    return rest if at and ":" in user else url


def _without_secret(match: re.Match[str]) -> str:
    scheme, userinfo = match["scheme"], match["userinfo"]
    if scheme.lower() in {"ssh", "git+ssh", "ssh+git"}:
        return f"{scheme}://{userinfo.partition(':')[0]}@"
    return f"{scheme}://"


def _root(folder: Path) -> Path | None:
    """The nearest folder upwards that git would take for a working tree."""
    for candidate in (folder, *folder.parents):
        mark = candidate / ".git"
        if mark.is_file() or (mark / "HEAD").exists() or (mark / "HEAD").is_symlink():
            return candidate
    return None


def _ask(folder: Path, root: Path) -> Provenance | Unknown:
    try:
        from git import Git
        from git.exc import GitError
    except ImportError as error:  # GitPython's answer to a missing git binary
        return Unknown(f"git is not installed: {str(error).splitlines()[0]}")
    try:
        return _read(Git(folder), folder, root)
    except GitError as error:
        return Unknown(_reason(error))


def _read(git: Git, folder: Path, root: Path) -> Provenance | Unknown:
    found = _settings(git)
    overrides = {**_SETTINGS, **_filters_off(found)}
    headers, dirty = _status(_run(git, *_STATUS, overrides=overrides))
    commit = headers["branch.oid"]
    branch = headers["branch.head"]
    path = folder.relative_to(root).as_posix()
    if commit != "(initial)" and not dirty and not _is_committed(git, overrides):
        return Unknown(f"{path} is no part of the repository at {root}: ignored or empty")
    return Provenance(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        remote=_remote(found),
        dirty=dirty,
        path=path,
    )


def _settings(git: Git) -> list[_Setting]:
    """The filters and remotes of all configuration files, each with the kind of file that it stands in."""
    wanted = r"^(filter\..*\.[a-z]+|remote\..*\.url)$"
    output = _run(
        git, "config", "-z", "--show-scope", "--get-regexp", wanted, accept=(0, 1), overrides=_SETTINGS
    )
    fields = output.split("\0")[:-1]
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return [_Setting(scope, *item.partition("\n")[::2]) for scope, item in pairs]


def _filters_off(found: list[_Setting]) -> Mapping[str, str]:
    """What switches off the filters that the repository brings; the user's own, such as git-lfs, stay."""
    brought = {
        setting.key.rpartition(".")[0]
        for setting in found
        if setting.key.startswith("filter.") and setting.scope in {"local", "worktree"}
    }
    return {f"{driver}.{key}": value for driver in sorted(brought) for key, value in _FILTER_OFF.items()}


def _remote(found: list[_Setting]) -> str | None:
    urls: dict[str, str] = {}
    for setting in found:
        if setting.key.startswith("remote."):
            urls.setdefault(setting.key.removeprefix("remote.").removesuffix(".url"), setting.value)
    only = next(iter(urls.values())) if len(urls) == 1 else None
    url = urls.get("origin", only)
    return public_url(url) if url else None


def _status(output: str) -> tuple[Mapping[str, str], bool]:
    """The headers of `git status --porcelain=v2`, and whether anything follows them."""
    lines = [line for line in output.split("\0") if line]
    headers = [line[2:].partition(" ")[::2] for line in lines if line.startswith("# ")]
    return dict(headers), len(headers) < len(lines)


def _is_committed(git: Git, overrides: Mapping[str, str]) -> bool:
    return bool(
        _run(git, "rev-parse", "--verify", "--quiet", "HEAD:./", accept=(0, 1, 128), overrides=overrides)
    )


def _run(
    git: Git,
    *arguments: str,
    accept: tuple[Literal[0, 1, 128], ...] = (0,),
    overrides: Mapping[str, str],
) -> str:
    """The standard output of one git command; raises GitCommandError when its status is not accepted."""
    from git.exc import GitCommandError

    # GitPython can only add variables to a child's environment.
    inherited = [name for name in _LOCATIONS if name in os.environ]
    unset = ["env", *(part for name in inherited for part in ("-u", name))] if inherited else []
    command = [
        *unset,
        git.GIT_PYTHON_GIT_EXECUTABLE or "git",
        "--no-pager",
        "-C",
        str(git.working_dir),
        *arguments,
    ]
    status, output, errors = git.execute(
        command,
        with_extended_output=True,
        with_exceptions=False,
        stdout_as_string=False,
        strip_newline_in_stdout=False,
        kill_after_timeout=TIMEOUT_SECONDS,
        env=_environment(overrides),
    )
    if status not in accept:
        raise GitCommandError(command, status, errors)
    return output.decode(errors="replace")


def _environment(overrides: Mapping[str, str]) -> dict[str, str]:
    """Settings by environment: `git -c` cannot carry a key with `=` in it. The user's own come first."""
    given = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdecimal() else 0
    environment = {**_ENVIRONMENT, "GIT_CONFIG_COUNT": str(first + len(overrides))}
    for number, (key, value) in enumerate(overrides.items(), start=first):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _reason(error: Exception) -> str:
    """The first line that git wrote, without GitPython's frame around it."""
    text = getattr(error, "stderr", "") or str(error)
    match = re.search(r"(?:fatal|error): ([^\n]*)", text)
    return (match[1] if match else text.strip().partition("\n")[0]).strip("' ")
