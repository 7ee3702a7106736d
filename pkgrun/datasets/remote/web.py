"""A file at an `http://` or `https://` URL. The one place that knows aiohttp; it is imported when such a URL is given.

Every answer brings the validator with it, so what changed is noticed while it is read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pkgrun.datasets.remote import connections, urls
from pkgrun.datasets.remote.foreign import CHUNK, CONNECT, SILENCE, WIDTH, reason
from pkgrun.datasets.remote.listing import Broken, Changed, Listing, Thing
from pkgrun.errors import NotFound, PermissionDenied, Temporary, UsageError


class Web:
    """A file at an `http://` or `https://` URL."""

    width = WIDTH

    def __init__(self, url: str) -> None:
        import aiohttp
        import yarl

        self.label = urls.label(url)
        self._url = url.partition("#")[0]
        try:
            self._name = urls.file_name(self._url)
            # A signature holds for the URL as it is written; what is no URL as written is made one.
            self._asked = yarl.URL(self._url, encoded=self._url.isascii() and " " not in self._url)
        except ValueError:
            raise UsageError(f"{self.label} is no URL") from None
        if not self._asked.host:
            raise UsageError(f"{self.label} is no URL")
        self._aiohttp = aiohttp
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def listing(self) -> Listing:
        return Listing([await self._looked()], [], single=True)

    async def look(self, thing: Thing) -> Thing:
        return await self._looked()

    async def changed(self, things: list[Thing]) -> list[Thing]:
        return []  # every answer was compared

    async def _looked(self) -> Thing:
        """Asked by GET: signed URLs often allow nothing else."""
        async with self._get("bytes=0-0") as answer:
            if answer.status != 416:  # of no byte at all, or the server knows no ranges
                return self._thing(answer)
        async with self._get(None) as answer:
            return self._thing(answer)

    async def read(self, thing: Thing, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        part = end is not None and thing.ranges and end > start
        async with self._get(f"bytes={start}-{end - 1}" if part and end else None) as answer:
            now = self._thing(answer)
            if (answer.status == 206) != part or now.tag != thing.tag or now.size != thing.size:
                raise Changed
            if (
                part
                and answer.headers.get("Content-Range", "").split("/")[0] != f"bytes {start}-{(end or 0) - 1}"
            ):
                raise Changed
            async for chunk in answer.content.iter_chunked(CHUNK):
                yield chunk

    def _thing(self, answer: Any) -> Thing:
        headers, ranges = answer.headers, answer.status == 206
        size = (
            headers.get("Content-Range", "").rpartition("/")[2]
            if ranges
            else headers.get("Content-Length", "")
        )
        tag = headers.get("ETag") or headers.get("Last-Modified")
        known = int(size) if size.isdecimal() else None
        return Thing(self._name, self._url, known, tag, ranges and tag is not None and known is not None)

    @asynccontextmanager
    async def _get(self, range_: str | None) -> AsyncIterator[Any]:
        """One answer, whose status is good."""
        errors = self._aiohttp
        headers = {"Range": range_} if range_ else {}
        try:
            session = await self._connected()
            async with session.get(self._asked, headers=headers) as answer:
                if self._asked.scheme == "https" and any(
                    hop.scheme != "https" for hop in (answer.url, *(old.url for old in answer.history))
                ):
                    raise PermissionDenied(
                        f"{self.label} leads to an address without encryption",
                        hint="name that address, if you trust it",
                    )
                if answer.status != 416 or range_ is None:
                    _judge(answer.status, self.label)
                yield answer
        except (errors.InvalidURL, errors.TooManyRedirects) as error:
            raise Temporary(
                f"{self.label} redirects to where no file can be ({type(error).__name__})",
                hint="check the URL",
            ) from None  # its text may hold what a server signed
        except (errors.ClientError, OSError, TimeoutError) as error:
            meant = connections.meant(error, self._url, self.label)
            raise meant or Broken(reason(error, self._url)) from None

    async def _connected(self) -> Any:
        if self._session is None:
            http = self._aiohttp
            self._session = http.ClientSession(
                # The bytes as they are stored: a length, a range and a digest are of those.
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                timeout=http.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE),
                trust_env=True,
            )
        return self._session


def _judge(status: int, label: str) -> None:
    if status in {200, 206}:
        return
    if status in {404, 410}:
        raise NotFound(f"there is nothing at {label}", hint="check the URL")
    if status in {401, 403, 407}:
        raise PermissionDenied(
            f"{label}: the server refuses ({status})",
            hint="check the credentials; a signed URL may have expired",
        )
    if status in {408, 425, 429} or status >= 500:
        raise Broken(f"the server answered {status}")
    raise Temporary(f"{label}: the server answered {status}", hint="check the URL")
