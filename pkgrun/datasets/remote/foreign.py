"""What the drivers of remote datasets share: their limits, the import of an optional library, and its errors' meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pkgrun.datasets.remote import connections, urls
from pkgrun.datasets.remote.listing import Broken, Changed
from pkgrun.errors import NotFound, PermissionDenied, PkgrunError, UsageError

WIDTH = 16
"""Transfers at once."""

CHUNK = 1 << 18
CONNECT, SILENCE = 30, 60
"""Seconds until a connection, and between two pieces of an answer."""

_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs"}


def imported(scheme: str, module: str | None = None) -> Any:
    """The module of a scheme.

    Raises:
        UsageError: it is not installed.
    """
    import importlib

    import fsspec  # type: ignore[import-untyped]

    try:
        return importlib.import_module(module) if module else fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = module or _PACKAGES.get(scheme)
        said = "install it: " + (f"pip install {package}" if package else str(error))
        raise UsageError(f"what fetches {scheme}:// is not installed", hint=said) from error


@contextmanager
def translated(url: str, label: str) -> Iterator[None]:
    """Foreign errors end here. There is no common root of what file systems raise."""
    try:
        yield
    except (PkgrunError, Broken, Changed, asyncio.CancelledError):
        raise
    except FileNotFoundError as error:
        raise NotFound(f"there is nothing at {label}", hint="check the URL") from error
    except PermissionError as error:
        raise _refused(label) from error
    except Exception as error:
        raise _meant(error, url, label) from None  # its text may hold the URL


def _meant(error: Exception, url: str, label: str) -> Exception:
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
    status = status or getattr(error, "status", None) or getattr(error, "code", None)
    if status in {404, 410} or code in {"NoSuchKey", "NoSuchBucket", "404"}:
        return NotFound(f"there is nothing at {label}", hint="check the URL")
    if status in {401, 403} or code == "AccessDenied":
        return _refused(label)
    if type(error).__name__ in {
        "InvalidBucketName",
        "ParamValidationError",
        "NotImplementedError",
        "InvalidURL",
    }:
        return UsageError(f"{label} cannot be opened: {reason(error, url)}")
    return connections.meant(error, url, label) or Broken(reason(error, url))


def _refused(label: str) -> PermissionDenied:
    return PermissionDenied(f"{label}: the server refuses", hint="check the credentials and what they allow")


def reason(error: BaseException, url: str) -> str:
    text = urls.scrubbed(" ".join(str(error).split()), url)
    return text[:300] or type(error).__name__
