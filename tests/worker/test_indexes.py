"""What pip is configured with, told to uv."""

from __future__ import annotations

from pathlib import Path

from pkgrun.worker import indexes


def _configured(tmp_path: Path, environ: dict[str, str], text: str = "") -> indexes.Indexes:
    return indexes.configured(
        {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)} | environ, text=text, prefix=str(tmp_path)
    )


def test_pip_files_and_variables_are_told_to_uv(tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "named.conf").write_text(
        "[global]\nindex-url = https://one/simple\nextra-index-url = https://a/simple\n  https://b/simple\ntimeout = 7\n"
        f"trusted-host = a b\nproxy = http://p:1\n[install]\nindex_url = https://two/simple\nfind-links = {tmp_path}/links /gone\n"
    )
    found = _configured(
        tmp_path, {"PIP_CONFIG_FILE": str(tmp_path / "named.conf"), "PIP_CERT": "/c.pem", "PIP_PRE": "1"}
    )
    expected = {
        "UV_DEFAULT_INDEX": "https://two/simple",
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": f"{tmp_path}/links",
        "UV_HTTP_TIMEOUT": "7",
        "UV_INSECURE_HOST": "a b",
        "HTTPS_PROXY": "http://p:1",
        "SSL_CERT_FILE": "/c.pem",
        "UV_PRERELEASE": "allow",
    }
    assert expected.items() <= found.variables.items()


def test_what_the_user_told_uv_wins(tmp_path: Path) -> None:
    environ = {
        "PIP_INDEX_URL": "https://pip/simple",
        "UV_DEFAULT_INDEX": "https://uv/simple",
        "UV_PYTHON": "3.8",
    }
    found = _configured(tmp_path, environ | {"AWS_SECRET_ACCESS_KEY": "x"})
    assert found.variables["UV_DEFAULT_INDEX"] == "https://uv/simple"
    assert not found.variables.keys() & {"UV_PYTHON", "AWS_SECRET_ACCESS_KEY", "PIP_INDEX_URL"}


def test_options_of_the_file_replace_or_join_those_of_pip(tmp_path: Path) -> None:
    text = "--index-url https://file/simple\n--extra-index-url https://more/simple\n--pre\n--trusted-host h\nx==${NAME}\n"
    found = _configured(
        tmp_path, {"PIP_INDEX_URL": "https://pip/simple", "PIP_NO_INDEX": "true", "NAME": "1"}, text
    )
    assert "UV_DEFAULT_INDEX" not in found.variables
    assert found.variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert found.variables["NAME"] == "1"
    assert found.arguments == ("--no-index", "--prerelease=allow", "--allow-insecure-host", "h")


def test_another_index_is_another_identity_and_another_password_is_not(tmp_path: Path) -> None:
    one, same, other = (
        _configured(tmp_path, {"PIP_INDEX_URL": url}).identity
        for url in ("https://me:a@one/simple", "https://me:b@one/simple", "https://me:a@two/simple")
    )
    assert one == same != other
    assert "a@one" not in repr(_configured(tmp_path, {"PIP_INDEX_URL": "https://me:a@one/simple"}))
