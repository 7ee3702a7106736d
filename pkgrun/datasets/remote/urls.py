"""URLs of datasets as text: what may be recorded of one, and which of the names that a server gives are safe.

It opens nothing. Names from a listing are a stranger's: each becomes a path below the dataset's folder, or is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from pkgrun.errors import DataInvalid, UsageError

_HIDDEN = "…"
_SECRET = re.compile(
    r"sig|token|secret|key|pass|pwd|auth|cred|session|jwt|code|hmac|policy|^x-(amz|goog|ms|oss)-|^(se|sp|st|sr|sv|skoid)$",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(
    r"x-(amz|goog|ms|oss)-.*|sig|signature|awsaccesskeyid|googleaccessid|expires|policy|key-pair-id|(access_?)?token"
    r"|s[eprtv]|spr|sk(oid|tid|t|e|s|v)",
    re.IGNORECASE,
)
_JOINT = re.compile(r"::(?![^/\[\]]*\])")
_MEANS = re.compile(r"[?@=&;]")
"""What a link of a chain has that is a broken URL, and no scheme or path."""

_LONG = 24
"""A value of this length names nothing that a person would type: it is taken for a secret whatever it is called."""


def links(url: str) -> list[str]:
    """The links of a chain such as `zip://…::https://…`; of any other URL the only one. `[::1]` is a host."""
    return _JOINT.split(url)


def scheme(url: str) -> str:
    """The scheme of a URL; of a chain, of its last link."""
    return links(url)[-1].partition("://")[0].lower()


def label(url: str) -> str:
    """The URL as records and messages hold it: no user, no fragment, no value of the query that may be a secret."""
    return "::".join(map(_public, links(url)))


def identity(url: str) -> str:
    """What tells a URL from those of other content: all but the password, the signature and the fragment. Never recorded."""
    return "::".join(map(_told_apart, links(url)))


def _told_apart(link: str) -> str:
    start, mark, rest = _without_fragment(link).partition("://")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    path, question, query = path.partition("?")
    fields = [field for field in re.split("[&;]", query) if not _SIGNATURE.fullmatch(field.partition("=")[0])]
    return start + mark + user.partition(":")[0] + at + host + slash + path + question + "&".join(fields)


def _without_fragment(link: str) -> str:
    """To an object store, `#` is part of the name."""
    return link.partition("#")[0] if link.lower().startswith(("http://", "https://")) else link


def scrubbed(text: str, url: str) -> str:
    """A foreign message without what `label` leaves out of the URL."""
    for link in links(url):
        for secret in sorted({link, *_secrets(link)}, key=len, reverse=True):
            text = text.replace(secret, _public(link) if secret == link else _HIDDEN)
    return text


def _public(link: str) -> str:
    start, mark, _ = link.partition("://")
    if not mark:
        return _HIDDEN if _MEANS.search(link) else link
    host, slash, path = _without_fragment(link).partition("://")[2].partition("/")
    path, question, query = path.partition("?")
    host, other, more = host.partition("?")
    fields = [_field(field) for field in re.split("[&;]", query or more)] if query or more else []
    host = host.rpartition("@")[2]
    if ":" in host and not re.fullmatch(r"(\[[^\]]*\]|[^:]*):\d*|\[[^\]]*\]", host):
        return start + mark + _HIDDEN  # no host: a password with a slash in it, perhaps
    return start + mark + host + slash + path + (question or other) + "&".join(fields)


def _field(field: str) -> str:
    name, equals, value = field.partition("=")
    if not equals:
        return name if len(name) < _LONG else _HIDDEN
    return name + equals + (_HIDDEN if _SECRET.search(name) or len(value) >= _LONG else value)


def _secrets(link: str) -> Iterable[str]:
    try:
        parts = urlsplit(link)
    except ValueError:
        return
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    yield from (word for text in (user, password if colon else "") for word in (text, unquote(text)) if word)
    for field in re.split("[&;]", parts.query):
        name, _, value = field.partition("=")
        if value and (_SECRET.search(name) or len(value) >= _LONG):
            yield from (value, unquote(value))
    yield from (value for _, value in parse_qsl(parts.fragment) if value)


def file_name(url: str) -> str:
    """What the file at an `https://` URL is called: the last part of its path, percent-decoded once.

    Raises:
        UsageError: the name would lead out of the dataset's folder, or that is no URL.
    """
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise UsageError(f"{label(url)} is no URL") from error
    name = unquote(path.rpartition("/")[2], errors="surrogateescape") or "download"
    if name in {".", ".."} or "/" in name or "\0" in name:
        raise UsageError(
            f"{label(url)}: {name!r} cannot be the name of a file", hint="download it and name the file"
        )
    return name


class Names:
    """The paths of one listing. Each is checked alone, and against those before it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._files: set[str] = set()
        self._folders: set[str] = set()

    @property
    def folders(self) -> list[str]:
        """Every folder, parents first."""
        return sorted(self._folders)

    def file(self, name: str) -> str:
        """The path of a file.

        Raises:
            DataInvalid: it leads out of the folder, or stands for a file and a folder at once.
        """
        self._checked(name)
        if name in self._files or name in self._folders:
            raise self._collision(name)
        self._files.add(name)
        self._above(name)
        return name

    def folder(self, name: str) -> None:
        """A folder that the listing names, which may be empty."""
        self._checked(name)
        self._above(name + "/")

    def _above(self, name: str) -> None:
        while name := name.rpartition("/")[0]:
            if name in self._files:
                raise self._collision(name)
            if name in self._folders:
                return
            self._folders.add(name)

    def _checked(self, name: str) -> None:
        parts = name.split("/")
        try:
            long = any(len(os.fsencode(part)) > 255 for part in parts)
        except UnicodeEncodeError:
            long = True
        if long or "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise DataInvalid(
                f"{self._where} holds {name!r}, which cannot be a path below a folder",
                hint="rename it there, or name a folder without it",
            )

    def _collision(self, name: str) -> DataInvalid:
        return DataInvalid(
            f"{self._where} holds {name!r} both as a file and as a folder, or twice",
            hint="rename one of them there: a file system has only one of a name",
        )
