"""What `git+…` means, and what it cannot mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import UsageError
from pkgrun.packages.git_addresses import Address, parse

pytestmark = pytest.mark.row(4)


@pytest.mark.parametrize(
    ("text", "url", "revision", "subdirectory", "name"),
    [
        ("git+https://example.org/team/churn.git", "https://example.org/team/churn.git", None, "", "churn"),
        ("git+https://example.org/churn@v1.2", "https://example.org/churn", "v1.2", "", "churn"),
        ("git+https://example.org/x@feature/a", "https://example.org/x", "feature/a", "", "x"),
        ("git+https://example.org/%40team/x@a%40b", "https://example.org/%40team/x", "a@b", "", "x"),
        ("git+HTTPS://example.org:8443/x#subdirectory=a/b/", "https://example.org:8443/x", None, "a/b", "b"),
        ("git+http://[::1]:80/x@main#subdirectory=./a", "http://[::1]:80/x", "main", "a", "a"),
        ("git+ssh://git@example.org/x.git@main", "ssh://git@example.org/x.git", "main", "", "x"),
        ("git+ssh://example.org:22/~ada/x", "ssh://example.org:22/~ada/x", None, "", "x"),
        ("git+git@example.org:team/x.git@v1", "git@example.org:team/x.git", "v1", "", "x"),
        ("git+git@example.org:x", "git@example.org:x", None, "", "x"),
        ("git+file:///srv/a%40b/x@main", "file:///srv/a%40b/x", "main", "", "x"),
        ("git+file://localhost/srv/x.git/", "file:///srv/x.git/", None, "", "x"),
    ],
)
def test_what_an_address_means(
    text: str, url: str, revision: str | None, subdirectory: str, name: str
) -> None:
    found = parse(text)
    assert (found.url, found.revision, found.subdirectory, found.name) == (url, revision, subdirectory, name)
    assert (found.user, found.password) == (None, None)
    assert parse(found.text) == found


@pytest.mark.parametrize(
    ("userinfo", "user", "password"),
    [
        ("ada:SE%2FCRET%40", "ada", "SE/CRET@"),
        ("ada:SEC@RET", "ada", "SEC@RET"),
        (":SECRET", None, "SECRET"),
        ("SECRET", "SECRET", None),
    ],
)
def test_credentials_are_taken_out_of_an_address(userinfo: str, user: str, password: str | None) -> None:
    found = parse(f"git+https://{userinfo}@example.org/x@main")
    assert (found.user, found.password) == (user, password)
    assert found.text == "git+https://example.org/x@main"
    assert "SE" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "git+ext::sh -c touch% pwned",
        "git+ext::https://example.org/x",
        "git+ext://example.org/x",
        "git+fd::17/foo",
        "git+git://example.org/x",
        "git+ftp://example.org/x",
        "git+javascript://example.org/x",
        "git+--upload-pack=touch x",
        "git+-x",
        "git+https://-oProxyCommand=x/x",
        "git+ssh://-oProxyCommand=x/x",
        "git+ssh://-l@example.org/x",
        "git+ssh://git:SECRET@example.org/x",
        "git+-git@example.org:x",
        "git+git@-example.org:x",
        "git+git@example.org:-x",
        "git+git@example.org::x",
        "git+https://example.org",
        "git+https://example.org/",
        "git+https:///x",
        "git+https://example.org:port/x",
        "git+https://example.org/x?token=SECRET",
        "git+https://user:SEC/RET@example.org/x",
        "git+https://example.org/x\nhost=other",
        "git+https://example.org%0ahost=other/x",
        "git+https://a%0ab:SECRET@example.org/x",
        "git+file://example.org/x",
        "git+file:x",
        "git+/srv/x",
        "git+x",
        "git+",
        "git+https://example.org/x@",
        "git+https://example.org/x@--upload-pack=x",
        "git+https://example.org/x@-x",
        "git+https://example.org/x@%2dx",
        "git+https://example.org/x@+a:b",
        "git+https://example.org/x@a:refs/heads/b",
        "git+https://example.org/x@a..b",
        "git+https://example.org/x@a@{1}",
        "git+https://example.org/x@a~1",
        "git+https://example.org/x@a^{/b}",
        "git+https://example.org/x@*",
        "git+https://example.org/x@a b",
        "git+https://example.org/x@a%0ab",
        "git+https://example.org/x@/a",
        "git+https://example.org/x@a.lock",
        "git+https://example.org/x@" + "a" * 300,
        "git+https://example.org/x#",
        "git+https://example.org/x#egg=x",
        "git+https://user:SEC#RET@example.org/x",
        "git+https://example.org/x#subdirectory=",
        "git+https://example.org/x#subdirectory=.",
        "git+https://example.org/x#subdirectory=..",
        "git+https://example.org/x#subdirectory=a/../../b",
        "git+https://example.org/x#subdirectory=%2e%2e/b",
        "git+https://example.org/x#subdirectory=/etc",
        "git+https://example.org/x#subdirectory=a%00b",
    ],
)
def test_what_is_no_address_is_refused_without_telling_a_secret(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    told = refused.value.message + str(refused.value.hint)
    assert "SEC" not in told
    assert "RET" not in told
    assert told.isprintable()


@given(st.text(alphabet="git+ht:/@#%.-\0\n aé~", max_size=40))
def test_whatever_is_written_is_an_address_or_an_error(rest: str) -> None:
    for start in ("git+", "git+https://", "git+ssh://", "git+file://", "git+git@example.org:"):
        try:
            found = parse(start + rest)
        except UsageError:
            continue
        assert isinstance(found, Address)
        assert not found.url.startswith("-")
        assert not (found.revision or "").startswith("-")
        assert parse(found.text) == Address(
            found.url, found.protocol, None, None, found.revision, found.subdirectory
        )
