"""Real S3 servers on loopback, for the tests: started by them, ended with them. One module a server.

None is a mock and none is reached over a network. What each gets right and wrong is said in its module.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and a bucket of it. It never says how to reach another one."""

    name: str
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def url(self) -> str:
        """The bucket, as `--store` and `--data` name it."""
        return f"s3://{self.bucket}"

    @property
    def env(self) -> dict[str, str]:
        """The usual variables, by which any S3 client finds this server and no other configuration."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def with_own_bucket(self) -> Server:
        """The same server with a new, empty bucket."""
        from tests.servers import s3

        own = replace(self, bucket=f"test-{uuid.uuid4().hex[:16]}")
        s3.make_bucket(own)
        return own
