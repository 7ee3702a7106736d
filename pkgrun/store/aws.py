"""Where S3 is and who asks for it: AWS's variables and files, read as AWS's own tools read them.

It owns that reading and sends nothing itself. Keys in the environment are taken as they are; for all else botocore is
asked, which knows every kind of profile and renews what expires. Its import costs 120 ms, so it is not asked for less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from pkgrun.errors import PermissionDenied, UsageError

_LIFE = timedelta(minutes=5)
"""How long keys that expire are used before they are asked for again; botocore renews them ten minutes ahead."""

KEYS_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws"


class Keys(TypedDict):
    """A way to sign requests; `expires_at` is None if it never does."""

    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Access:
    """How S3 is reached. `endpoint` is None for AWS itself; `certificates` are PEM; `keys` is asked as they expire."""

    endpoint: str | None
    region: str
    path_style: bool
    certificates: bytes | None
    keys: Callable[[], Keys] = field(repr=False)

    @property
    def server(self) -> str:
        """The server's name, for people."""
        return self.endpoint or f"AWS S3 in {self.region}"


def access(env: Mapping[str, str] = os.environ) -> Access:
    """What the environment and the files say.

    Raises:
        UsageError: they cannot mean anything.
        PermissionDenied: they give no credentials.
    """
    name = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE")
    profile, services = _profile(env, name or "default")
    service = _nested(services.get(profile.get("services", ""), {}).get("s3", ""))
    endpoint = (
        env.get("AWS_ENDPOINT_URL_S3")
        or env.get("AWS_ENDPOINT_URL")
        or service.get("endpoint_url")
        or profile.get("endpoint_url")
    )
    style = _nested(profile.get("s3", "")).get("addressing_style", "auto")
    return Access(
        endpoint=_checked(endpoint) if endpoint else None,
        region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or profile.get("region") or "us-east-1",
        path_style=style == "path" or (style != "virtual" and bool(endpoint)),
        certificates=_certificates(env.get("AWS_CA_BUNDLE") or profile.get("ca_bundle")),
        keys=_keys(env, name),
    )


def _checked(endpoint: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise UsageError(
            "the endpoint of S3 (AWS_ENDPOINT_URL) is no address", hint="such as https://s3.example.org"
        )
    return endpoint.rstrip("/")


def _certificates(file: str | None) -> bytes | None:
    if not file:
        return None
    try:
        with open(os.path.expanduser(file), "rb") as opened:
            return opened.read()
    except OSError as error:
        raise UsageError(f"the certificates in {file} (AWS_CA_BUNDLE): {error.strerror}") from error


def _profile(env: Mapping[str, str], name: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """What both files say of a profile, and the sections of services."""
    shared = _sections(env.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    config = _sections(env.get("AWS_CONFIG_FILE") or "~/.aws/config")
    found = config.get(f"profile {name}") or (config.get(name) if name == "default" else None) or {}
    services = {
        section.removeprefix("services ").strip(): values
        for section, values in config.items()
        if section.startswith("services ")
    }
    return shared.get(name, {}) | found, services


def _sections(file: str) -> dict[str, dict[str, str]]:
    path = os.path.expanduser(file)
    try:
        with open(path, encoding="utf-8") as opened:
            text = opened.read()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not text:
        return {}
    import configparser

    parser = configparser.RawConfigParser(default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Its own message would quote the line, and with it perhaps a key.
        raise UsageError(f"{path} is no configuration of AWS's tools ({type(error).__name__})") from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _nested(text: str) -> dict[str, str]:
    """The indented lines below a name, `name = value` each."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _keys(env: Mapping[str, str], profile: str | None) -> Callable[[], Keys]:
    key, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        token = env.get("AWS_SESSION_TOKEN") or None
        fixed = Keys(access_key_id=key, secret_access_key=secret, token=token, expires_at=None)
        return lambda: fixed
    return _found(profile)


def _found(profile: str | None) -> Callable[[], Keys]:
    """What botocore finds: in files, of a role, from a sign-on, a program, a container or the machine itself."""
    from botocore import session  # type: ignore[import-untyped]
    from botocore.credentials import RefreshableCredentials  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ProfileNotFound  # type: ignore[import-untyped]

    try:
        found = session.Session().get_credentials()
    except ProfileNotFound as error:
        raise UsageError(f"there is no AWS profile {profile}", hint=KEYS_HINT) from error
    except BotoCoreError as error:
        raise PermissionDenied(f"AWS's credentials: {error}", hint=KEYS_HINT) from error
    if found is None:
        raise PermissionDenied("there are no credentials for S3", hint=KEYS_HINT)
    expires = isinstance(found, RefreshableCredentials)

    def ask() -> Keys:
        now = found.get_frozen_credentials()
        return Keys(
            access_key_id=now.access_key,
            secret_access_key=now.secret_key,
            token=now.token,
            expires_at=datetime.now(UTC) + _LIFE if expires else None,
        )

    return ask
