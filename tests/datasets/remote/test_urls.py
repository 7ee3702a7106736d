"""URLs as text: what is shown of them, what tells them apart, and which names are refused."""

from __future__ import annotations

import pytest

from pkgrun.datasets.remote.urls import Names, file_name, identity, label, scrubbed
from pkgrun.errors import DataInvalid, UsageError


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a.csv", "https://host/a.csv"),
        ("https://user:pass@host:8080/a?id=3&format=csv#part", "https://host:8080/a?id=3&format=csv"),
        ("https://u:p@ss@host/@me/a", "https://host/@me/a"),
        ("https://host?token=abc", "https://host?token=…"),
        (
            "https://host/a?X-Amz-Signature=abc&X-Amz-Expires=1",
            "https://host/a?X-Amz-Signature=…&X-Amz-Expires=…",
        ),
        ("https://host/a?sv=1&se=2&sig=3", "https://host/a?sv=…&se=…&sig=…"),
        ("https://host/a?api_key=1;Password=2", "https://host/a?api_key=…&Password=…"),
        ("https://host/a?x=" + "0123456789" * 3, "https://host/a?x=…"),
        ("https://host/a?" + "0123456789" * 3, "https://host/a?…"),
        ("https://user:sec/ret@host/a", "https://…"),
        ("https://[::1]:80/a", "https://[::1]:80/a"),
        ("s3://bucket/a#b?c", "s3://bucket/a#b?c"),
        ("zip://in::https://u:p@host/a.zip?token=1", "zip://in::https://host/a.zip?token=…"),
        ("memory://a/b", "memory://a/b"),
    ],
)
def test_what_is_shown(url: str, shown: str) -> None:
    assert label(url) == shown


def test_a_new_signature_names_the_same_content_and_another_parameter_does_not() -> None:
    one = "https://u:p@host/a?id=1&X-Amz-Signature=abc&se=2&token=3#x"
    assert identity(one) == identity(one.replace("abc", "def").replace("u:p", "u:q").replace("#x", "#y"))
    for old, new in (("id=1", "id=2"), ("/a", "/b"), ("u:p", "v:p"), ("id=1", "key=1")):
        assert identity(one) != identity(one.replace(old, new))


def test_foreign_words_are_scrubbed() -> None:
    url = "https://user:p%40ss@host/a?token=tok1&x=1#frag=f1"
    said = scrubbed(f"cannot get {url}: user p@ss, p%40ss, tok1", url)
    assert said == "cannot get https://host/a?token=…&x=1: … …, …, …"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/some/a%20b.csv?x=y/z#w", "a b.csv"),
        ("https://h/", "download"),
        ("https://h", "download"),
        ("https://h/%252e%252e", "%2e%2e"),
        ("https://h/-rf", "-rf"),
    ],
)
def test_the_name_of_a_file(url: str, name: str) -> None:
    assert file_name(url) == name


@pytest.mark.parametrize("last", ["..", ".", "%2e%2e", "a%2fb", "%2Fetc", "a%00"])
def test_names_of_files_that_lead_out(last: str) -> None:
    with pytest.raises(UsageError):
        file_name(f"https://h/x/{last}")


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0", "n" * 256, "\ud800"]
)
def test_names_that_are_no_path(name: str) -> None:
    with pytest.raises(DataInvalid):
        Names("s3://b").file(name)


@pytest.mark.parametrize("order", [["a", "a/b"], ["a/b", "a"], ["a", "a"], ["a/b/c", "a/b"]])
def test_names_that_collide(order: list[str]) -> None:
    names = Names("s3://b")
    names.file(order[0])
    with pytest.raises(DataInvalid, match="s3://b holds"):
        names.file(order[1])


def test_folders_come_parents_first() -> None:
    names = Names("s3://b")
    names.file("a/b/c")
    names.folder("a-b/d")
    assert names.folders == ["a", "a-b", "a-b/d", "a/b"]
