"""Runs git on a repository of our own: bounded in time and size, never asking anybody, never running what a repository says.

It owns the environment of such a git: nothing of the host's `GIT_*` variables but where the user's settings and
certificates are, no hooks, no prompts, no transports but those asked for. What is in the user's own git configuration stays
(proxies, credential helpers, `insteadOf`, `core.sshCommand`). It is not GitPython's way of running git, which can only add to an
environment, and ends one process where git has started several.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pkgrun.errors import Bug, NotFound, PackageInvalid, PermissionDenied, PkgrunError, Temporary, UsageError
from pkgrun.packages.git_addresses import Address

_KEPT = frozenset(
    ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
)
_DROPPED = frozenset(("SSH_ASKPASS", "LANGUAGE"))
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # empty, it switches off core.askPass and SSH_ASKPASS too
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("transfer.bundleURI", "false"),
    ("http.lowSpeedLimit", "1"),  # of a git that outlives us
    ("http.lowSpeedTime", "60"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
)
REMOTE = "pkgrun"
"""What the repository that is fetched from is called: no configuration of a user's is about this name."""

_TRANSPORTS = {"file": "file", "https": "https:ssh", "http": "http:https:ssh", "ssh": "ssh:https"}
"""What the user's `insteadOf` may turn an address into; a server's redirection may go no further either."""

_HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$PKGRUN_GIT_USER" "$PKGRUN_GIT_PASSWORD"; }; f'
"""Hands over the address's credentials, which so stand in no list of processes and no file."""

_TICK = 0.5
_TAIL = 1 << 16
_ANSWER = 32 << 20
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_USERINFO = re.compile(r"://[^/\s@]*@")
_SAID = re.compile(r"^(?:fatal|error): (?P<text>.*)$", re.MULTILINE)

_MEANINGS: tuple[tuple[str, type[PkgrunError], str], ...] = (
    (
        "could not read (Username|Password)|Authentication failed|Permission denied|error: 40[13]|Host key",
        PermissionDenied,
        "nobody is asked for a password: git's credential helper or ssh's configuration has to know it",
    ),
    ("dubious ownership", PermissionDenied, "git config --global --add safe.directory PATH trusts it"),
    ("transport '.*' not allowed", UsageError, "look for insteadOf in your git configuration"),
    ("No space left|Disk quota", Temporary, "free some space where temporary files go"),
    (
        "could(n't| not) (resolve|connect)|(failed|unable) to connect|connection |timed out|error: 5..|"  # noqa: ISC004
        "early EOF|hung up|unexpected disconnect|RPC failed",
        Temporary,
        "try again when the server answers",
    ),
    (
        "not found|does not (appear|exist)|error: 404|find remote ref|not our ref|nonexistent object",
        NotFound,
        "look at the address; an @ in a path is written %40",
    ),
)
"""What git's words mean, the first that fit."""


class GitFailed(Exception):
    """A git command ended with an error; what it wrote, without secrets."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long git may say nothing, how long it may take, in seconds; and how many bytes it may fetch."""

    silence: float = 60.0
    total: float = 3600.0
    size: int = 64 << 30


class Client:
    """git, for one address and one bare repository of our own, `home`; in one go: the time is counted from here."""

    def __init__(
        self, home: Path, address: Address, bounds: Bounds, grown: Callable[[int], None] = lambda size: None
    ) -> None:
        self.home, self.address = home, address
        self._bounds, self._grown = bounds, grown
        self._deadline = time.monotonic() + bounds.total

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What a git command writes.

        Raises:
            GitFailed: it ended with an error.
            Temporary: it said nothing, or took, for too long.
            PackageInvalid: what it fetches or says is too large.
            UsageError: there is no git.
        """
        with tempfile.TemporaryFile(dir=self.home.parent) as given:
            given.write(stdin)
            given.seek(0)
            with self.process(*arguments, stdin=given, stderr=subprocess.PIPE) as process:
                answer, said = self._listen(process)
                code = process.wait()
        if code:
            raise GitFailed(self._public(said))
        return answer

    @contextmanager
    def process(
        self, *arguments: str, stdin: IO[bytes] | int = subprocess.PIPE, stderr: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A git command, which is ended with all that it started if this is left before it has ended itself."""
        try:
            process = subprocess.Popen(
                ["git", "--no-pager", *arguments],  # noqa: S607  # the user's own, as PATH has it
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=self.home.parent,
                env=self._environment(),
                start_new_session=True,  # no terminal to ask on, and a group to end
            )
        except FileNotFoundError as error:
            raise UsageError(
                "git is not installed, and a git address needs it", hint="install git"
            ) from error
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def failed(self, error: GitFailed) -> PkgrunError:
        """What a failure of git means to whoever gave the address."""
        said = str(error)
        heard = [match["text"].strip() for match in _SAID.finditer(said)]
        reason = heard[0] if heard else (said.strip().splitlines() or ["no reason was given"])[-1]
        for words, kind, hint in _MEANINGS:
            if re.search(words, said, re.IGNORECASE):
                return kind(f"{self.address.text} cannot be fetched: {reason}", hint=hint)
        return PackageInvalid(f"{self.address.text} cannot be fetched: {reason}")

    def _listen(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Both outputs, until both are closed; or git has ended, and what it leaves running keeps one open."""
        answer, said = bytearray(), bytearray()
        heard = time.monotonic()
        with selectors.DefaultSelector() as waiting:
            waiting.register(pipe(process.stdout), selectors.EVENT_READ, answer)
            waiting.register(pipe(process.stderr), selectors.EVENT_READ, said)
            while waiting.get_map():
                ended = process.poll() is not None
                ready = waiting.select(_TICK)
                if ended and not ready:
                    break
                for key, _ in ready:
                    if data := os.read(key.fd, 1 << 16):
                        key.data.extend(data)
                        heard = time.monotonic()
                    else:
                        waiting.unregister(key.fileobj)
                del said[:-_TAIL]
                self._check(heard, len(answer))
        return bytes(answer), bytes(said)

    def _check(self, heard: float, answered: int) -> None:
        now = time.monotonic()
        if now - heard > self._bounds.silence:
            raise Temporary(
                f"{self.address.text} cannot be fetched: nothing came for {self._bounds.silence:g} s",
                hint="try again when the server answers",
            )
        if now > self._deadline:
            raise Temporary(
                f"{self.address.text} cannot be fetched: it took longer than {self._bounds.total:g} s",
                hint="clone it yourself and add the folder",
            )
        size = fetched_bytes(self.home)
        self._grown(size)
        if size > self._bounds.size or answered > _ANSWER:
            raise PackageInvalid(
                f"{self.address.text} is too large for a package",
                hint="keep what is large in a dataset",
            )

    def _environment(self) -> dict[str, str]:
        """All that git is given."""
        host = {
            name: value
            for name, value in os.environ.items()
            if name in _KEPT or not (name.startswith("GIT_") or name in _DROPPED)
        }
        settings = [*_SETTINGS, *self._access()]
        numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        own = {"GIT_DIR": str(self.home), "GIT_ALLOW_PROTOCOL": _TRANSPORTS[self.address.protocol]}
        if self.address.password is not None:
            own |= {"PKGRUN_GIT_USER": self.address.user or "", "PKGRUN_GIT_PASSWORD": self.address.password}
        return {**host, **_ENVIRONMENT, **own, **numbered}

    def _access(self) -> Iterator[tuple[str, str]]:
        """Where to fetch from, and as whom."""
        address = self.address
        yield f"remote.{REMOTE}.url", address.url
        place = "credential." + "/".join(address.url.split("/")[:3])
        if address.password is not None:
            yield f"{place}.helper", ""  # forgets the user's helpers, which could know another password
            yield f"{place}.helper", _HELPER
        elif address.user:
            yield f"{place}.username", address.user

    def _public(self, said: bytes) -> str:
        """What git wrote, without the address's credentials and without what would steer a terminal."""
        text = _CONTROL.sub(" ", said.decode(errors="replace").replace("\r", "\n"))
        text = _USERINFO.sub("://", text)
        # A user without a password is often a token.
        for secret in (self.address.password, self.address.user if self.address.password is None else None):
            text = text.replace(secret, "***") if secret else text
        return text


def fetched_bytes(home: Path) -> int:
    """What lies in a repository's packs, finished or not."""
    size = 0
    with suppress(OSError), os.scandir(home / "objects" / "pack") as entries:
        for entry in entries:
            with suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_size
    return size


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A pipe that was asked for when the process was started."""
    if stream is None:
        raise Bug("a pipe of git's is missing")
    return stream
