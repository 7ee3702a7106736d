"""AWS's variables and files: what wins, which profile is meant, and that keys from files sign real requests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pkgrun.errors import PermissionDenied, UsageError
from pkgrun.store import aws
from pkgrun.store.remote import RemoteBackend
from tests.servers import Server

CONFIG = """
[default]
region = eu-west-1
endpoint_url = http://default.example
[profile team]
region = eu-north-1
endpoint_url = http://team.example
services = ours
s3 =
    addressing_style = virtual
[services ours]
s3 =
    endpoint_url = https://s3.team.example/
[profile aws]
region = us-west-2
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}

Home = Callable[..., dict[str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Writes both files and makes them those that are read; the variables that say so."""

    def home(*, config: str = "", credentials: str = "", **more: str) -> dict[str, str]:
        (tmp_path / "config").write_text(config)
        (tmp_path / "credentials").write_text(credentials)
        env = {
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return env

    return home


def test_variables_win_over_files(home: Home) -> None:
    env = home(config=CONFIG, **KEYS)
    assert (found := aws.access(env)).endpoint == found.server == "http://default.example"
    assert (found.region, found.path_style) == ("eu-west-1", True)
    env |= {"AWS_ENDPOINT_URL": "http://any.example", "AWS_DEFAULT_REGION": "us-east-2"}
    assert (found := aws.access(env)).endpoint == "http://any.example"
    assert found.region == "us-east-2"
    env |= {"AWS_ENDPOINT_URL_S3": "http://s3.example", "AWS_REGION": "us-west-1"}
    assert (found := aws.access(env)).endpoint == "http://s3.example"
    assert found.region == "us-west-1"


def test_a_profile_has_settings_of_its_own(home: Home) -> None:
    env = home(config=CONFIG, **KEYS)
    team = aws.access(env | {"AWS_PROFILE": "team"})
    assert (team.endpoint, team.region, team.path_style) == (
        "https://s3.team.example",
        "eu-north-1",
        False,
    )
    plain = aws.access(env | {"AWS_PROFILE": "aws"})
    assert (plain.endpoint, plain.path_style, plain.server) == (None, False, "AWS S3 in us-west-2")


def test_keys_in_variables_need_no_botocore(home: Home) -> None:
    home(config=CONFIG, AWS_SESSION_TOKEN="T", **KEYS)
    code = "import sys\nfrom pkgrun.store import aws\nprint(aws.access().keys())\nassert 'botocore' not in sys.modules"
    said = subprocess.check_output((sys.executable, "-c", code), text=True)
    assert said == "{'access_key_id': 'AK', 'secret_access_key': 'SK', 'token': 'T', 'expires_at': None}\n"


def test_keys_in_a_profile_sign_requests(home: Home, rclone: Server) -> None:
    env = home(
        config=f"[profile mine]\nendpoint_url = {rclone.endpoint}\n",
        credentials="[default]\naws_access_key_id = no\naws_secret_access_key = no\n"
        f"[mine]\naws_access_key_id = {rclone.access_key}\naws_secret_access_key = {rclone.secret_key}\n",
        AWS_PROFILE="mine",
    )
    backend = RemoteBackend(rclone.url, aws.access(env))
    backend.write("a", b"signed")
    assert backend.read("a") == b"signed"


def test_keys_that_expire_are_asked_for_again(home: Home, rclone: Server, tmp_path: Path) -> None:
    script = tmp_path / "keys.py"
    script.write_text(
        "import datetime, json, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'asked')!r}).open('a').write('x')\n"
        "soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=300)\n"
        f"print(json.dumps(dict(Version=1, AccessKeyId={rclone.access_key!r}, "
        f"SecretAccessKey={rclone.secret_key!r}, Expiration=soon.isoformat())))\n"
    )
    config = f"[default]\ncredential_process = {sys.executable} {script}\nendpoint_url = {rclone.endpoint}\n"
    access = aws.access(home(config=config))
    RemoteBackend(rclone.url, access).write("a", b"signed")
    asked = len((tmp_path / "asked").read_text())
    assert access.keys()["expires_at"] is not None
    assert len((tmp_path / "asked").read_text()) > asked, "keys that end within minutes are renewed"


def test_no_credentials_at_all(home: Home) -> None:
    with pytest.raises(PermissionDenied, match="there are no credentials for S3") as caught:
        aws.access(home(config=CONFIG))
    assert "AWS_PROFILE" in str(caught.value.hint)


def test_a_profile_that_is_not_there(home: Home) -> None:
    with pytest.raises(UsageError, match="there is no AWS profile nobody"):
        aws.access(home(config=CONFIG, AWS_PROFILE="nobody"))


@pytest.mark.parametrize("text", ["PW", "[default]\nPW", "[default\nx = PW", "\0PW", "[a]\nx=1\n[a]\nx=PW"])
def test_a_file_that_is_none_is_named_and_not_quoted(home: Home, text: str) -> None:
    env = home(credentials=text, **KEYS)
    with pytest.raises(UsageError, match=r"credentials is no configuration") as caught:
        aws.access(env)
    assert "PW" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["localhost:9000", "ftp://x", "http://", "https://user:PW@host"])
def test_an_endpoint_that_is_none(home: Home, endpoint: str) -> None:
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL") as caught:
        aws.access(home(AWS_ENDPOINT_URL=endpoint, **KEYS))
    assert "PW" not in str(caught.value)


def test_certificates_that_are_none(home: Home, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/no/such\.pem"):
        aws.access(home(AWS_CA_BUNDLE="/no/such.pem", **KEYS))
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(
        UsageError, match="s3://bucket cannot be reached with AWS's settings: No certificates"
    ):
        RemoteBackend("s3://bucket", aws.access(home(AWS_CA_BUNDLE=str(empty), **KEYS)))
