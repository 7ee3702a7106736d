"""Datasets at URLs, fetched into the cache. It chooses the driver and runs it; nothing of it is imported before a URL is given."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from os.path import join
from typing import Any, TypeVar
from urllib.parse import unquote

from pkgrun.datasets.cache import Copies, Filled, Room
from pkgrun.datasets.remote import urls
from pkgrun.datasets.remote.listing import Remote
from pkgrun.datasets.remote.transfer import bring, patiently
from pkgrun.errors import Killed, PkgrunError, UsageError

_TICK = 0.02
_PATIENCE = 30

_OWN = frozenset({"http", "https", "s3", "s3a"})
"""Schemes that have a driver here; all others go by fsspec."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A dataset on this machine. `path` is a folder or, if the URL names one, a file; `label` holds no secret."""

    path: str
    label: str
    files: int
    bytes: int


def local_path(url: str) -> str | None:
    """The path that a `file://` URL names; None for other URLs.

    Raises:
        UsageError: it names another machine.
    """
    if urls.scheme(url) not in {"file", "local"} or len(urls.links(url)) > 1:
        return None
    host, slash, path = url.partition("://")[2].partition("/")
    if host not in {"", "localhost"}:
        raise UsageError(f"{urls.label(url)}: only file:///an/absolute/path is a URL of a file here")
    return slash + unquote(path, errors="surrogateescape")


def check(url: str) -> None:
    """Whether it can be fetched at all, as far as that is known without asking anybody.

    Raises:
        UsageError: no such scheme, or its driver is not installed.
    """
    if len(urls.links(url)) > 1 or urls.scheme(url) not in _OWN:
        from pkgrun.datasets.remote.filesystems import check_known

        check_known(url)


@contextmanager
def fetch(url: str, copies: Copies) -> Iterator[Fetched]:
    """The dataset at a URL, in the cache and held there until the context ends.

    The files are listed each time; what is the same as when it was fetched is not fetched again. Without an ETag, a time or
    the like to tell by, it is.

    Raises:
        UsageError: no such scheme, or its driver is not installed.
        DataInvalid: a name in the listing cannot be a path.
        NotFound, PermissionDenied: as the server says.
        Temporary: no connection, files that change again and again, a full disk. What was fetched is kept.
        Killed: the copies' `stop` turned true.
    """
    label = urls.label(url)
    with ExitStack() as held:
        with _loop() as loop:

            def run(work: Coroutine[Any, Any, Result]) -> Result:
                return _run(work, loop, copies.stop, label)

            with _opened(url, loop) as remote:
                listing = run(patiently(remote.listing, label))

                def fill(room: Room) -> Filled:
                    return bring(remote, listing, room, run)

                told_apart = urls.identity(url).encode("utf-8", "surrogatepass")
                key = "url-" + hashlib.sha256(told_apart).hexdigest()
                folder = held.enter_context(copies.hold(key, fill, label=label, state=listing.state))
        # The connections are closed here; the copy is held on.
        path = join(folder, listing.things[0].path) if listing.single else folder
        size = sum(thing.size or 0 for thing in listing.things)
        yield Fetched(path, label, len(listing.things), size)


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own, which may be used wherever the caller runs, and leaves no thread behind."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="pkgrun-fetch", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        with suppress(TimeoutError):  # a file system that hangs in a thread
            asyncio.run_coroutine_threadsafe(_wound_up(loop), loop).result(_PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _wound_up(loop: asyncio.AbstractEventLoop) -> None:
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


def _run(
    work: Coroutine[Any, Any, Result], loop: asyncio.AbstractEventLoop, stop: Callable[[], bool], label: str
) -> Result:
    """Run a coroutine on the loop until it ends or somebody wants to stop."""
    ended = threading.Event()
    tasks: list[asyncio.Task[Result]] = []

    def begin() -> None:
        tasks.append(loop.create_task(work))
        tasks[0].add_done_callback(lambda _: ended.set())

    loop.call_soon_threadsafe(begin)
    try:
        while not ended.wait(_TICK):
            if stop():
                raise Killed(f"stopped while {label} was being fetched")
        return tasks[0].result()
    finally:
        if not ended.is_set():
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            ended.wait(_PATIENCE)  # what it uses is closed next


@contextmanager
def _opened(url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Remote]:
    from pkgrun.datasets.remote.buckets import Bucket
    from pkgrun.datasets.remote.filesystems import FileSystem
    from pkgrun.datasets.remote.web import Web

    kind = urls.scheme(url)
    if len(urls.links(url)) > 1 or kind not in _OWN:
        yield FileSystem(url, loop)
        return
    driver = Bucket(url) if kind.startswith("s3") else Web(url)
    try:
        yield driver
    finally:
        # Also after a stop, and with no error of its own: what happened before counts.
        with suppress(PkgrunError):
            _run(driver.close(), loop, lambda: False, driver.label)
