"""What an S3 server's refusals mean to pkgrun. It owns the table; it asks nothing and tries nothing again.

The client tells the number and the code that a server answered in words only, so they are found in its message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pkgrun.errors import NotFound, PermissionDenied, PkgrunError, Temporary, UsageError
from pkgrun.store.aws import KEYS_HINT

_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_UNSIGNED = {"PermissionDeniedError", "UnauthenticatedError"}
_PASSING = frozenset({404, 408, 409, 412, 429})
"""412: the one condition that pkgrun sets is `create`'s, and what refuses that is no error; this one had no cause of ours."""
_SERVERS = "keep the store in a directory, or on a server that does, such as AWS S3, Ceph or MinIO"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked: a bucket, the store in it, the server's name for people, and the region the request was for."""

    bucket: str
    url: str
    server: str
    region: str

    def name(self, key: str) -> str:
        """A key's whole name."""
        return f"{self.url}/{key}" if key else self.url

    def meaning(self, error: Exception, key: str) -> PkgrunError:
        """The error that a client's error is; Temporary if asking again may help."""
        number, code, name, text = status(error), _code(error), self.name(key), str(error)
        if code == "NoSuchBucket":
            return NotFound(
                f"there is no bucket {self.bucket} at {self.server}",
                hint=f"pkgrun makes no buckets: make it first (aws s3 mb s3://{self.bucket}), or name another",
            )
        if code != "NoSuchUpload" and (isinstance(error, FileNotFoundError) or number == 404):
            return NotFound(f"{name} does not exist")
        if code in _ELSEWHERE or number in {301, 307} or "redirect without LOCATION" in text:
            return UsageError(
                f"{self.url}: the bucket is not in the region {self.region}",
                hint="set AWS_REGION to its region",
            )
        if number in {401, 403} or type(error).__name__ in _UNSIGNED:
            return PermissionDenied(
                f"{name}: {self.server} refuses ({code or number or 'no valid credentials'})",
                hint="set this machine's clock" if code == "RequestTimeTooSkewed" else KEYS_HINT,
            )
        if number == 501:
            return self.lacking("it answers 501")
        if "Received non-partial response" in text:
            return UsageError(
                f"the server at {self.server} ignores Range: it sends whole objects where a part is asked for",
                hint=_SERVERS,
            )
        if number is not None and 400 <= number < 500 and number not in _PASSING:
            return PermissionDenied(f"{name}: {self.server} refuses ({code or number})")
        return Temporary(f"{name}: {self._trouble(number, code, text)}", hint="try again")

    def lacking(self, why: str) -> UsageError:
        """Two may create one key there."""
        return UsageError(
            f"the server at {self.server} does not honour If-None-Match ({why}), "
            "without which two writers could be given one version number",
            hint=_SERVERS,
        )

    def _trouble(self, number: int | None, code: str | None, text: str) -> str:
        if number is not None:
            return f"{self.server} answers {number} {code or ''}".rstrip()
        if "kind: Connect" in text:
            return f"{self.server} cannot be reached"
        if "kind: Timeout" in text:
            return f"{self.server} does not answer in time"
        return f"{self.server} broke the connection off"


def status(error: Exception) -> int | None:
    """The number that the server answered, if it answered."""
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else None


def _code(error: Exception) -> str | None:
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else None
