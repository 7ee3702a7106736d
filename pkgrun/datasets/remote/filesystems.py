"""Datasets on whatever else fsspec knows: `gs://`, `az://`, `memory://`, chains such as `zip://…::https://…`.

It uses what all of fsspec's file systems have, so it compares one more listing at the end instead of every answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from pkgrun.datasets.remote import urls
from pkgrun.datasets.remote.foreign import WIDTH, imported, reason, translated
from pkgrun.datasets.remote.listing import Changed, Listing, Thing
from pkgrun.errors import DataInvalid, NotFound, UsageError

_TAGS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5", "md5", "crc32c", "CRC", "checksum", "uid"),
    *("LastModified", "last_modified", "updated", "mtime", "modified", "timestamp", "date_time", "created"),
)
"""Where file systems of fsspec say what tells a file's content from other content, the best first."""


class FileSystem:
    """Whatever else fsspec knows: `gs://`, `az://`, `memory://`, chains such as `zip://…::https://…`."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.label, self._url = urls.label(url), url
        self._fs, self._path = _file_system(url, self.label, loop)
        # Only the asynchronous ones promise to bear several callers.
        self.width = WIDTH if self._fs.async_impl else 1

    async def listing(self) -> Listing:
        try:
            about = await self._ask("info", self._path)
        except NotFound:
            about = {
                "type": "directory"
            }  # an object store has no entry for a folder; find says whether there is one
        if about["type"] == "file":
            name = self._path.rstrip("/").rpartition("/")[2]
            return Listing([_thing(urls.Names(self.label).file(name), self._path, about)], [], single=True)
        return self._listed(await self._ask("find", self._path, detail=True, withdirs=True))

    def _listed(self, found: dict[str, dict[str, Any]]) -> Listing:
        names, things = urls.Names(self.label), []
        root = self._path.rstrip("/") + "/" if self._path.strip("/") else self._path
        for where, about in sorted(found.items()):
            if where.rstrip("/") == root.rstrip("/"):
                continue
            if not where.startswith(root):
                raise DataInvalid(f"{self.label} holds {where!r}, which does not lie in it")
            path = where.removeprefix(root)
            if about["type"] == "directory" or (path.endswith("/") and not about.get("size")):
                names.folder(path.rstrip("/"))
            elif about["type"] == "file":
                things.append(_thing(names.file(path), where, about))
            else:
                raise DataInvalid(f"{self.label} holds {path!r}, which is neither a file nor a folder")
        if not things and not names.folders:
            raise NotFound(f"there is nothing at {self.label}", hint="check the URL")
        return Listing(things, names.folders, single=False)

    async def look(self, thing: Thing) -> Thing:
        return _thing(thing.path, thing.where, await self._ask("info", thing.where))

    async def changed(self, things: list[Thing]) -> list[Thing]:
        """One more listing: what was read in between says nothing of its state."""
        now = {thing.path: thing for thing in (await self.listing()).things}
        return [now[thing.path] for thing in things if thing.path in now and now[thing.path] != thing]

    async def read(self, thing: Thing, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        try:
            yield await self._ask("cat_file", thing.where, start=start, end=end)
        except NotFound:
            raise Changed from None

    async def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        with translated(self._url, self.label):
            if self._fs.async_impl:
                return await getattr(self._fs, "_" + method)(path, **arguments)
            return await asyncio.to_thread(getattr(self._fs, method), path, **arguments)


def _thing(path: str, where: str, about: dict[str, Any]) -> Thing:
    tag = next((f"{name}:{about[name]}" for name in _TAGS if about.get(name)), None)
    return Thing(path, where, about.get("size"), tag, ranges=about.get("size") is not None)


def check_known(url: str) -> None:
    """Before anything is begun.

    Raises:
        UsageError: fsspec does not know the scheme, or its driver is not installed.
    """
    import fsspec  # type: ignore[import-untyped]

    for link in urls.links(url):
        scheme = link.partition("://")[0].lower()
        if scheme not in fsspec.available_protocols():
            raise UsageError(
                f"{urls.label(url)}: nothing is known of {urls.label(scheme)}://",
                hint="datasets come from https, s3, gs, az and whatever else fsspec knows, or from a path",
            )
        imported(scheme)


def _file_system(url: str, label: str, loop: asyncio.AbstractEventLoop) -> tuple[Any, str]:
    import fsspec

    check_known(url)
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if fsspec.get_filesystem_class(url.partition("://")[0].lower()).async_impl:
        options |= {"asynchronous": True, "loop": loop}
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except FileNotFoundError as error:
        raise NotFound(f"there is nothing at {label}", hint="check the URL") from error
    except Exception as error:  # each file system has its own
        raise UsageError(f"{label} cannot be opened: {reason(error, url)}") from None
    return fs, path
