"""What `git+URL@REV#subdirectory=PATH` means: parsed and checked, and what of it may be shown and recorded.

Nothing here runs git or touches a file. An address leads over https, http, ssh or to a local repository, and nowhere else:
git's other transports run programs (`ext::`), and words that git would take for options are no addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from pkgrun.errors import UsageError
from pkgrun.packages.git import public_url

PREFIX = "git+"

_FORM = (
    "git+https://HOST/PATH[@REV][#subdirectory=PATH]; also git+ssh://, git+git@HOST:PATH and git+file:///PATH"
)
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<rest>.*)", re.DOTALL)
_SCP = re.compile(
    r"(?P<place>[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:)(?P<path>[^:-].*)", re.DOTALL
)
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_SSH_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_REVISION = re.compile(r"(?![-+/.])(?!.*(?:\.\.|@\{|//|/\.))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])", re.DOTALL)
_REVISION_LIMIT = 255
_NETWORK = {"https", "http", "ssh"}


@dataclass(frozen=True, slots=True)
class Address:
    """A repository, and what of it is meant.

    `url` is without credentials, `user` and `password` are those of an http address. `revision` is a branch, a tag or
    a commit, None for the default branch; `subdirectory` is posix and empty for the root.
    """

    url: str
    protocol: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    revision: str | None
    subdirectory: str

    @property
    def text(self) -> str:
        """The address as it may be shown and recorded: without credentials."""
        revision = f"@{self.revision.replace('@', '%40')}" if self.revision else ""
        return f"{PREFIX}{self.url}{revision}" + (
            f"#subdirectory={self.subdirectory}" if self.subdirectory else ""
        )

    @property
    def name(self) -> str:
        """What its folder would be called: the last part of the subdirectory, else of the repository's path."""
        path = self.subdirectory or re.split("[/:]", unquote(self.url).rstrip("/"))[-1].removesuffix(".git")
        return path.rpartition("/")[2]


def is_address(text: str) -> bool:
    """Whether a text is meant as a git address; no name of a package begins so, and `./` makes a folder of it."""
    return text.startswith(PREFIX)


def parse(text: str) -> Address:
    """An address from what a user wrote.

    Raises:
        UsageError: it is none; what could be a password is not in the message.
    """
    place, fragment = text.removeprefix(PREFIX).partition("#")[::2]
    if _UNPRINTABLE.search(unquote(place)):
        raise _none(text, "it holds a control character")
    return Address(*_parsed(text, place), _subdirectory(fragment) if "#" in text else "")


def _parsed(text: str, place: str) -> tuple[str, str, str | None, str | None, str | None]:
    """URL, protocol, user, password, revision."""
    if scp := _SCP.fullmatch(place):
        path, revision = _revised(text, scp["path"])
        return scp["place"] + path.replace("%40", "@"), "ssh", None, None, revision
    whole = _SCHEME.fullmatch(place)
    if whole is None:
        raise _none(text)
    scheme = whole["scheme"].lower()
    authority, slash, rest = whole["rest"].partition("/")
    path, revision = _revised(text, slash + rest)
    if scheme == "file":
        if authority not in {"", "localhost"}:
            raise _none(text, "a local repository has three slashes: git+file:///PATH")
        return f"file://{path}", scheme, None, None, revision
    if scheme not in _NETWORK:
        raise _none(text, f"{scheme}:// is no way to fetch a package")
    userinfo, at, host = authority.rpartition("@")
    if not _HOST.fullmatch(host) or path in {"", "/"}:
        raise _none(text)
    if "?" in path:
        raise _none(text, "a repository's has no ? in it")
    user, password = _credentials(text, scheme, userinfo) if at else (None, None)
    if scheme == "ssh":
        return f"ssh://{user + '@' if user else ''}{host}{path}", scheme, None, None, revision
    return f"{scheme}://{host}{path}", scheme, user, password, revision


def _revised(text: str, path: str) -> tuple[str, str | None]:
    """A path, and the revision behind the @; one of their own is written %40."""
    before, at, after = path.partition("@")
    if not at:
        return path, None
    revision = unquote(after)
    if (
        "@" in after
        or not _REVISION.fullmatch(revision)
        or revision.endswith(".lock")
        or len(revision) > _REVISION_LIMIT
    ):
        raise _none(text, "what follows @ is no branch, tag or commit; any other @ is written %40")
    return before, revision


def _credentials(text: str, scheme: str, userinfo: str) -> tuple[str | None, str | None]:
    user, colon, password = (unquote(part) for part in userinfo.partition(":"))
    if _UNPRINTABLE.search(user + password):
        raise _none(text, "its user holds a control character")
    if scheme == "ssh" and (colon or not _SSH_USER.fullmatch(user)):
        raise _none(text, "ssh takes a user's name before the host, and no password")
    return user or None, password if colon else None


def _subdirectory(fragment: str) -> str:
    key, _, value = fragment.partition("=")
    path = unquote(value)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    # The text is not shown: it may be the rest of a password with a # in it.
    if key != "subdirectory" or not parts:
        raise UsageError("what follows # in a git address is no subdirectory=PATH", hint=_FORM)
    if path.startswith("/") or ".." in parts or _UNPRINTABLE.search(path):
        raise UsageError(
            f"the subdirectory {path!r} of a git address leads out of the repository",
            hint="name a folder by its path from the repository's root",
        )
    return "/".join(parts)


def _none(text: str, reason: str | None = None) -> UsageError:
    return UsageError(f"{_public(text)!r} is no git address" + (f": {reason}" if reason else ""), hint=_FORM)


def _public(text: str) -> str:
    """What of a text that is no address can be shown: a password may hold what else would end it."""
    head = re.split("[?#]", text, maxsplit=1)[0]
    if "@" in text[len(head) :]:
        return head.partition("://")[0] + "://…"
    return PREFIX + public_url(text.removeprefix(PREFIX))
