"""What it means that no connection came about: a port, a name, a certificate. Each library wraps it in words of its own;
at the bottom there is an error of Python's."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator

from pkgrun.datasets.remote import urls
from pkgrun.datasets.remote.listing import Broken
from pkgrun.errors import PermissionDenied, PkgrunError, UsageError

_LOST = {
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL),
}
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}
_EXPIRED, _NOT_YET, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
"""What OpenSSL finds wrong with a certificate (x509_vfy.h); all else is that nobody vouches for it."""


def meant(error: BaseException, url: str, label: str) -> PkgrunError | Broken | None:
    """What a foreign error says about a connection; None if it is about something else."""
    chain = list(_chain(error))
    for one in reversed(chain):
        if isinstance(one, ssl.SSLError):
            return _tls(one, url, label)
        if isinstance(one, socket.gaierror):
            return Broken(f"no connection{_to(chain)}: {str(one.strerror).lower()}")
        if isinstance(one, TimeoutError):
            return Broken("the server did not answer in time")
        if isinstance(one, OSError) and one.errno in _LOST:
            what = os.strerror(one.errno).lower()
            return Broken(f"no connection{to}: {what}" if (to := _to(chain)) else what)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was made of, the innermost last."""
    seen = set[int]()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        yield error
        given = getattr(error, "kwargs", None)  # botocore's
        within = given.get("error") if isinstance(given, dict) else None
        for name in ("certificate_error", "os_error"):  # aiohttp's
            within = within or getattr(error, name, None)
        error = within or error.__cause__ or error.__context__


def _to(chain: list[BaseException]) -> str:
    for one in chain:
        host, port = getattr(one, "host", None), getattr(one, "port", None)
        if host and port:
            return f" to {host}:{port}"
    return ""


def _tls(error: ssl.SSLError, url: str, label: str) -> PkgrunError | Broken:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = getattr(error, "verify_message", "")
        return PermissionDenied(
            f"{label}: the server's certificate is not trusted" + (f": {said}" if said else ""),
            hint=_certified(getattr(error, "verify_code", 0), url),
        )
    if error.reason in _NO_TLS:
        return UsageError(
            f"{label}: the server does not speak TLS",
            hint="http:// is without encryption, if you trust the way",
        )
    return Broken(f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}")


def _certified(code: int, url: str) -> str:
    if code in {_EXPIRED, _NOT_YET}:
        return "whoever runs the server has to renew it; or the clock here is wrong"
    if code in {_OTHER_HOST, _OTHER_ADDRESS}:
        return "use a name that it was issued for"
    option = "AWS_CA_BUNDLE" if urls.scheme(url).startswith("s3") else "SSL_CERT_FILE"
    return f"name the file of your authorities with {option}"
