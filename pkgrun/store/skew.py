"""By how much this machine's clock differs from an S3 server's: told by the header of any answer, nothing is written."""

from __future__ import annotations

import http.client
import ssl
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from pkgrun.errors import Temporary
from pkgrun.store import aws

_SECONDS = 1.0


def seconds() -> float | None:
    """How far this clock is ahead; None if the server does not say what time it has. Exact to a second.

    Raises:
        PermissionDenied, UsageError: AWS's settings cannot mean anything.
        Temporary: it does not answer.
    """
    access = aws.access()
    parts = urlsplit(access.endpoint or f"https://s3.{access.region}.amazonaws.com")
    secure = parts.scheme == "https"
    server = parts.netloc
    try:
        connection = (
            http.client.HTTPSConnection(server, timeout=_SECONDS, context=_context(access.certificates))
            if secure
            else http.client.HTTPConnection(server, timeout=_SECONDS)
        )
        with closing(connection):
            before = time.time()
            connection.request("HEAD", "/")
            told = connection.getresponse().getheader("Date")
            now = (before + time.time()) / 2
        # It tells whole seconds, cut off: half a second is what that loses on average.
        return now - parsedate_to_datetime(told).timestamp() - 0.5 if told else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Temporary(f"{access.server} does not answer: {error}", hint="look at the network") from error


def _context(certificates: bytes | None) -> ssl.SSLContext:
    return ssl.create_default_context(
        cadata=certificates.decode("ascii", "replace") if certificates else None
    )
