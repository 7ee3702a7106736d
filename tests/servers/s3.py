"""The smallest S3 client there is: one signed request. It makes buckets, and shows what a server answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from tests.servers import Server


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(
    server: Server,
    method: str,
    key: str = "",
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = 30,
) -> Answer:
    """One request on a key of the server's bucket, or with no key on the bucket itself."""
    host = urlsplit(server.endpoint).netloc
    path = quote(f"/{server.bucket}" + (f"/{key}" if key else ""))
    told = urlencode(sorted((query or {}).items()), quote_via=quote)
    sent = _signed(server, method, host, path, told, body) | dict(headers or {})
    connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        connection.request(method, f"{path}?{told}" if told else path, body=body, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def put(server: Server, key: str, data: bytes) -> None:
    """Lay an object into the server's bucket."""
    assert request(server, "PUT", key, body=data).status == 200


def delete(server: Server, key: str) -> None:
    """Take an object out of it."""
    assert request(server, "DELETE", key).status == 204


def empty(server: Server) -> None:
    """Take all objects out of the server's bucket, a thousand at most."""
    listed = request(server, "GET", query={"list-type": "2"}).body
    keys = b"".join(b"<Object>%s</Object>" % key for key in re.findall(b"<Key>[^<]*</Key>", listed))
    body = b"<Delete><Quiet>true</Quiet>%s</Delete>" % keys
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    answer = request(server, "POST", query={"delete": ""}, headers={"content-md5": md5}, body=body)
    assert answer.status == 200


def make_bucket(server: Server) -> None:
    """Make the server's bucket; no error if it is there."""
    answer = request(server, "PUT")
    if answer.status not in {200, 204, 409}:
        raise AssertionError(f"{server.name} made no bucket: {answer.status} {answer.body[:500]!r}")


def _signed(server: Server, method: str, host: str, path: str, query: str, body: bytes) -> dict[str, str]:
    """The headers of AWS's signature, version 4."""
    now = datetime.now(UTC)
    moment, scope = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/{server.region}/s3/aws4_request"
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join((method, path, query, lines, names, digest))
    signing = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{server.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, signing.encode(), "sha256").hex()
    credential = f"{server.access_key}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return headers
