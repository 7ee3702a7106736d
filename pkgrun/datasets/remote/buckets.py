"""Objects at `s3://` URLs. The one place that knows s3fs; it is imported when such a URL is given.

s3fs finds credentials, the endpoint and the region, and keeps the connections; its client is used as it is, because it streams
and shows the validator in every answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from pkgrun.datasets.remote import urls
from pkgrun.datasets.remote.foreign import CHUNK, CONNECT, SILENCE, WIDTH, imported, translated
from pkgrun.datasets.remote.listing import Changed, Listing, Thing
from pkgrun.errors import NotFound, PermissionDenied, UsageError


class Bucket:
    """A bucket, a folder of it, or an object: `s3://bucket/key`. An object of exactly that name wins over a folder;
    with a slash at the end it is the folder. Endpoint, region and credentials come from the usual AWS variables and files.
    """

    width = WIDTH

    def __init__(self, url: str) -> None:
        fs = imported("s3", "s3fs").S3FileSystem
        self.label = urls.label(url)
        self._url = url
        self._bucket, _, self._key = url.partition("://")[2].partition("/")
        if not self._bucket or "@" in self._bucket:
            raise UsageError(
                f"{self.label} names no bucket", hint="write s3://bucket/folder; credentials go into AWS_…"
            )
        self._ranges = True
        self._make: Callable[..., Any] = fs
        self._client: Any = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def listing(self) -> Listing:
        if self._key and not self._key.endswith("/"):
            thing = await self._object()
            if thing and (thing.size or not await self._any(self._key + "/")):
                return Listing([thing], [], single=True)
        below = self._key + "/" if self._key and not self._key.endswith("/") else self._key
        names, things = urls.Names(self.label), []
        async for page in self._pages(Prefix=below):
            for one in page:
                key = one["Key"].removeprefix(below)
                if key.endswith("/") and one["Size"] == 0:
                    names.folder(key.removesuffix("/"))
                elif key or one["Size"]:
                    things.append(_object(names.file(key), one["Key"], one, one["Size"]))
                await asyncio.sleep(0)
        if not things and not names.folders:
            raise NotFound(f"there is nothing at {self.label}", hint="check the bucket and the folder")
        return Listing(things, names.folders, single=False)

    async def _object(self) -> Thing | None:
        try:
            head = await self._call("head_object", Key=self._key)
        except (NotFound, PermissionDenied):  # who may not list is told 403 for what is not there
            return None
        name = self._key.rpartition("/")[2]
        return _object(urls.Names(self.label).file(name), self._key, head, head["ContentLength"])

    async def _any(self, prefix: str) -> bool:
        found = await self._call("list_objects_v2", Prefix=prefix, MaxKeys=2)
        return any(one["Key"] != prefix for one in found.get("Contents", []))

    async def _pages(self, **where: str) -> AsyncIterator[list[dict[str, Any]]]:
        while True:
            page = await self._call("list_objects_v2", **where)
            yield page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            where["ContinuationToken"] = page["NextContinuationToken"]

    async def look(self, thing: Thing) -> Thing:
        head = await self._call("head_object", Key=thing.where)
        now = _object(thing.path, thing.where, head, head["ContentLength"])
        return now if self._ranges else replace(now, ranges=False)

    async def changed(self, things: list[Thing]) -> list[Thing]:
        return []  # every answer was compared

    async def read(self, thing: Thing, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        if end == start:
            return
        part = {"Range": f"bytes={start}-{(end or 0) - 1}"} if (start, end) != (0, thing.size) else {}
        try:
            answer = await self._call("get_object", Key=thing.where, **part)
        except NotFound:
            raise Changed from None
        async with answer["Body"] as body:
            if part and "ContentRange" not in answer:
                self._ranges = False  # some servers ignore what is asked; look() tells
                raise Changed
            if answer.get("ETag") != thing.tag or answer["ContentLength"] != (end or 0) - start:
                raise Changed
            with translated(self._url, self.label):
                while chunk := await body.read(CHUNK):
                    yield chunk

    async def _call(self, method: str, **arguments: Any) -> Any:
        from botocore.exceptions import NoCredentialsError  # type: ignore[import-untyped]

        with translated(self._url, self.label):
            client = await self._connected()
            try:
                return await getattr(client, method)(Bucket=self._bucket, **arguments)
            except NoCredentialsError:
                client = await self._connected(anon=True)  # many data sets are public
                return await getattr(client, method)(Bucket=self._bucket, **arguments)

    async def _connected(self, **options: Any) -> Any:
        if self._client is None or options:
            await self.close()
            config = {"max_pool_connections": WIDTH, "connect_timeout": CONNECT, "read_timeout": SILENCE}
            fs = self._make(
                asynchronous=True,
                skip_instance_cache=True,
                use_listings_cache=False,
                config_kwargs=config,
                **options,
            )
            self._client = await fs.set_session()
        return self._client


def _object(path: str, key: str, about: dict[str, Any], size: int) -> Thing:
    return Thing(path, key, size, about.get("ETag"), ranges=True)
