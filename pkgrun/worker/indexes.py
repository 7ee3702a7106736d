"""Where uv looks for packages: what pip on this machine is configured with, told to uv in uv's own words.

uv ignores pip's configuration, and a machine behind a mirror is configured through pip. Variables named `UV_…`
that the user set always win. Nothing here is recorded: the settings may hold credentials, their identity none.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PASSED = frozenset(
    "PATH HOME USER LOGNAME LANG LANGUAGE TMPDIR NETRC SSH_AUTH_SOCK SSH_AGENT_PID REQUESTS_CA_BUNDLE CURL_CA_BUNDLE "  # noqa: SIM905
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy PYENV_ROOT CC CXX FC "
    "CFLAGS CXXFLAGS CPPFLAGS LDFLAGS LD_LIBRARY_PATH LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH CUDA_HOME "
    "CUDA_PATH MAKEFLAGS MACOSX_DEPLOYMENT_TARGET SDKROOT CARGO_HOME RUSTUP_HOME".split()
)
_PASSED_FAMILIES = ("UV_", "SSL_", "XDG_", "LC_", "GIT_SSH", "GIT_SSL", "GIT_CONFIG")
# These say where uv installs and what it checks; both are decided here.
_NEVER_PASSED = frozenset(
    "UV_PYTHON UV_SYSTEM_PYTHON UV_WORKING_DIR UV_WORKING_DIRECTORY UV_PROJECT UV_PROJECT_ENVIRONMENT UV_ENV_FILE "  # noqa: SIM905
    "UV_REQUIRE_HASHES UV_NO_VERIFY_HASHES UV_VENV_SEED UV_VENV_CLEAR UV_VENV_RELOCATABLE UV_CUSTOM_COMPILE_COMMAND "
    "UV_BREAK_SYSTEM_PACKAGES UV_RUN_RECURSION_DEPTH UV_ISOLATED UV_FROZEN UV_LOCKED".split()
)
_DECISIVE = tuple(
    "UV_INDEX UV_DEFAULT_INDEX UV_EXTRA_INDEX UV_FIND_LINKS UV_NO_BINARY UV_NO_BUILD UV_CONSTRAINT UV_OVERRIDE "  # noqa: SIM905
    "UV_BUILD_CONSTRAINT UV_EXCLUDE UV_PRERELEASE UV_RESOLUTION UV_FORK_STRATEGY UV_TORCH_BACKEND UV_NO_SOURCES".split()
)
_PATHS = (
    "UV_CACHE_DIR",
    "UV_CONFIG_FILE",
    "UV_CONSTRAINT",
    "UV_BUILD_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_FIND_LINKS",
)
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")


@dataclass(frozen=True, slots=True)
class Indexes:
    """The variables and arguments that uv is started with, and what tells two settings apart.

    `identity` is a SHA-256 in hex over all that can change which file is installed; credentials do not count.
    """

    variables: Mapping[str, str] = field(repr=False)
    arguments: tuple[str, ...] = field(repr=False)
    identity: str


def configured(environ: Mapping[str, str], *, text: str = "", prefix: str = sys.prefix) -> Indexes:
    """What uv is to be started with for the requirements `text`, on a machine with the variables `environ`.

    `prefix` is the Python whose pip is asked (its `pip.conf` counts). Unreadable configuration files are passed
    over, as they are nobody's fault here and pip says so itself.
    """
    pip = _pip_settings(environ, prefix)
    options = [line for line in text.splitlines() if line.startswith("-")]
    variables = _scrubbed(environ) | _referred(environ, text)
    for name, value in _translated(pip, options).items():
        variables.setdefault(name, value)
    arguments = _arguments(pip, options)
    return Indexes(variables, arguments, _identity(environ, variables, arguments, text))


def _scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _PASSED or name.startswith(_PASSED_FAMILIES)) and name not in _NEVER_PASSED
    }
    for name in _PATHS:
        if name in kept:
            kept[name] = ",".join(_absolute(part) for part in kept[name].split(","))
    return kept | {
        "NO_COLOR": "1",
        "UV_NO_PROGRESS": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": environ.get("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
    }


def _absolute(part: str) -> str:
    """uv runs in a folder of its own, where the user's relative paths would mean nothing."""
    return str(Path(part).absolute()) if "://" not in part and Path(part).exists() else part


def _referred(environ: Mapping[str, str], text: str) -> dict[str, str]:
    """The variables that a requirements file names as `${NAME}`: its way to keep credentials out of it."""
    if "${" not in text:
        return {}
    return {name: environ[name] for name in re.findall(r"\$\{([A-Z0-9_]+)\}", text) if name in environ}


def _translated(pip: Mapping[str, str], options: Iterable[str]) -> dict[str, str]:
    """pip's settings as variables of uv; `options` are the option lines of the requirements file."""
    said = {re.split(r"[\s=]", option, maxsplit=1)[0] for option in options}
    found: dict[str, str] = {}
    # pip lets the file's own index replace the configured one; uv would let the variable win.
    if (index := pip.get("index-url")) and not said & {"-i", "--index-url"}:
        found["UV_DEFAULT_INDEX"] = index
    if extra := pip.get("extra-index-url", "").split():
        found["UV_INDEX"] = " ".join(extra)
    if extra or "--extra-index-url" in said:
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = [
        each for each in map(_link, pip.get("find-links", "").split()) if "://" in each or Path(each).is_dir()
    ]
    if links:
        found["UV_FIND_LINKS"] = ",".join(links)
    names = {"cert": "SSL_CERT_FILE", "timeout": "UV_HTTP_TIMEOUT", "default-timeout": "UV_HTTP_TIMEOUT"}
    found |= {names[key]: pip[key] for key in reversed(names) if pip.get(key)}
    if hosts := pip.get("trusted-host", "").split():
        found["UV_INSECURE_HOST"] = " ".join(hosts)
    if proxy := pip.get("proxy"):
        found |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy)
    if _is_true(pip.get("pre")):
        found["UV_PRERELEASE"] = "allow"
    return found


def _link(value: str) -> str:
    return value if "://" in value else str(Path(value).expanduser().absolute())


def _arguments(pip: Mapping[str, str], options: Iterable[str]) -> tuple[str, ...]:
    """What uv takes on its command line only, also from the options that it ignores in a requirements file."""
    found = ["--no-index"] if _is_true(pip.get("no-index")) else []
    for option in options:
        name, _, value = option.replace("=", " ", 1).partition(" ")
        if name == "--trusted-host" and value:
            found += ["--allow-insecure-host", value.strip()]
        elif name == "--pre":
            found.append("--prerelease=allow")
    return tuple(found)


def _is_true(value: str | None) -> bool:
    return (value or "").strip().lower() in ("1", "true", "yes", "on", "y", "t")


def _pip_settings(environ: Mapping[str, str], prefix: str) -> dict[str, str]:
    """pip's options by name, the later file, the command's section and at last the variables winning."""
    general: dict[str, str] = {}
    install: dict[str, str] = {}
    for path in _pip_files(environ, prefix):
        if path.is_file():
            _read_pip_file(path, general, install)
    prefixed = {name[4:]: value for name, value in environ.items() if name.startswith("PIP_") and value}
    return general | install | {_option(name): value for name, value in prefixed.items()}


def _pip_files(environ: Mapping[str, str], prefix: str) -> list[Path]:
    """pip's configuration files, the weakest first."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path("~").expanduser())
    shared = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    files = [Path(folder) / "pip/pip.conf" for folder in reversed(shared)] + [Path("/etc/pip.conf")]
    if not (named and Path(named).exists()):
        files += [
            home / ".pip/pip.conf",
            Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf",
        ]
    if sys.platform == "darwin":
        support = Path("Library/Application Support/pip/pip.conf")
        files = [Path("/") / support, *files, home / support]
    files.append(Path(prefix) / "pip.conf")
    return [*files, Path(named)] if named else files


def _read_pip_file(path: Path, general: dict[str, str], install: dict[str, str]) -> None:
    from configparser import Error, RawConfigParser

    parser = RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (Error, OSError, UnicodeDecodeError):
        return
    for section, target in (("global", general), ("install", install)):
        if parser.has_section(section):
            target.update((_option(name), value) for name, value in parser.items(section))


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _identity(
    environ: Mapping[str, str], variables: Mapping[str, str], arguments: tuple[str, ...], text: str
) -> str:
    said = [
        f"{name}={_USERINFO.sub('', value)}"
        for name, value in sorted(variables.items())
        if name.startswith(_DECISIVE) and not name.endswith(("_USERNAME", "_PASSWORD"))
    ]
    whole = hashlib.sha256("\0".join([*said, *arguments]).encode())
    for name, value in sorted(_referred(environ, _USERINFO.sub("", text)).items()):
        whole.update(f"\0${name}={value}".encode())
    for path in _uv_files(environ):
        if path.is_file() and os.access(path, os.R_OK):
            whole.update(b"\0file " + path.read_bytes())
    return whole.hexdigest()


def _uv_files(environ: Mapping[str, str]) -> list[Path]:
    if environ.get("UV_NO_CONFIG"):
        return []
    if named := environ.get("UV_CONFIG_FILE"):
        return [Path(named)]
    home = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or ''}/.config"
    return [Path("/etc/uv/uv.toml"), Path(home) / "uv/uv.toml"]
