"""Secrets: where they come from, that none is shown, and that masking holds across every boundary."""

from __future__ import annotations

import base64
import io
import itertools
import json
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pkgrun.errors import UsageError
from pkgrun.worker.secrets import LARGEST, Masker, resolve

CANARY = "c4nary/+\"é\\ 'x"


def test_values_come_from_environment_file_and_stdin(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"line 1\nline 2\n\n")
    specs = ["A", f"B=@{tmp_path / 'file'}", "C=-"]
    assert resolve(specs, {"A": "value\n"}, io.BytesIO(b"piped\r\n")) == {
        "A": "value\n",
        "B": "line 1\nline 2\n",
        "C": "piped",
    }


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["MISSING"], "secret MISSING is not in the environment"),
        (["A=canary1234"], "secret A is given with its value"),
        (["A="], "secret A is given with its value"),
        (["A=@"], "secret A is given with its value"),
        (["canary1234!"], "secret number 1 has no valid name"),
        (["A", "1canary1234=x"], "secret number 2 has no valid name"),
        (["A\n"], "secret number 1 has no valid name"),
        (["EMPTY"], "secret EMPTY is empty"),
        (["SHORT"], "secret SHORT has fewer than 4 characters"),
        (["A", "A"], "secret A is given twice"),
        (["A=-", "B=-"], "secrets A and B both want stdin"),
        (["A=@nowhere"], "secret A: its file cannot be read"),
        (["A=-"], "secret A holds a NUL"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_by_name(specs: list[str], message: str) -> None:
    host = {"A": "canary1234", "EMPTY": "", "SHORT": "abc"}
    with pytest.raises(UsageError, match=message) as caught:
        resolve(specs, host, io.BytesIO(b"canary1234" + b"\0" * (specs == ["A=-"])))
    assert caught.value.hint
    assert "canary1234" not in f"{caught.value} {caught.value.hint}"


def test_bytes_that_are_no_text_or_too_many_are_refused() -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        resolve(["A=-"], {}, io.BytesIO(b"\xff\xfe\xff\xfe"))
    with pytest.raises(UsageError, match="larger than 120 KiB"):
        resolve(["A=-"], {}, io.BytesIO(b"x" * (LARGEST + 1)))
    assert len(resolve(["A=-"], {}, io.BytesIO(b"x" * LARGEST + b"\n"))["A"]) == LARGEST


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        urllib.parse.quote(CANARY),
        urllib.parse.quote(CANARY, safe=""),
        urllib.parse.quote_plus(CANARY),
        json.dumps(CANARY),
        json.dumps(CANARY, ensure_ascii=False),
        repr(CANARY),
        base64.b64encode(CANARY.encode()).decode(),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
    ],
)
def test_every_common_form_is_masked_and_found(form: str) -> None:
    mask = Masker([CANARY])
    assert form.strip("\"'") not in mask.text(f"before {form} after")
    assert "***" in mask.text(f"before {form} after")
    assert mask.found_in(f"before {form} after".encode())


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
def test_base64_is_masked_at_every_alignment(user: str) -> None:
    text = base64.b64encode(f"{user}:correct-horse".encode()).decode()
    masked = Masker(["correct-horse"]).text(text)
    assert "***" in masked
    assert len(masked) <= len(text) - len("correct-horse") + 4


def test_each_line_of_many_is_masked_but_not_searched_for() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----"
    mask = Masker([key])
    assert mask.text("x MIIEvQIBADANBg y") == "x *** y"
    assert mask.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"
    assert not mask.found_in(b"x MIIEvQIBADANBg y")
    assert mask.found_in(key.encode())
    assert mask.found_in(json.dumps({"key": key}).encode())


def test_json_is_masked_in_values_and_keys() -> None:
    mask = Masker(["canary1234"])
    value = {"canary1234": [1, None, True, ("a canary1234",)], "n": {"x": "canary1234"}}
    assert mask.json(value) == {"***": [1, None, True, ["a ***"]], "n": {"x": "***"}}


def test_without_secrets_nothing_changes() -> None:
    mask = Masker()
    stream = mask.stream()
    assert (mask.text("x"), stream.feed(b"x"), stream.finish(), mask.found_in(b"x")) == (
        "x",
        b"x",
        b"",
        False,
    )


def test_a_masker_does_not_show_its_values() -> None:
    mask = Masker(["canary1234"])
    assert "canary1234" not in repr((mask, mask.stream(), mask.scanner()))


def test_no_more_is_held_back_than_may_be_a_secret() -> None:
    stream = Masker(["canary1234"]).stream()
    assert stream.feed(b"progress 10% can") == b"progress 10% "
    assert stream.feed(b"cel") == b"cancel"
    assert stream.feed(b"canary123") == b""
    assert stream.feed(b"4!") == b"***!"
    assert stream.feed(b"cana") == b""
    assert stream.finish() == b"cana"
    assert stream.finish() == b""


def chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


letters = st.text("abc\n", min_size=4, max_size=12).filter(lambda text: len(text.strip()) > 3)


@given(st.lists(letters, min_size=1, max_size=4), st.data(), st.lists(st.integers(0, 400), max_size=12))
def test_masking_in_parts_is_masking_the_whole(
    secrets: list[str], data: st.DataObject, cuts: list[int]
) -> None:
    parts = data.draw(st.lists(st.sampled_from(secrets) | st.text("abc\n", max_size=9), max_size=9))
    content = "".join(parts).encode()
    mask = Masker(secrets)
    stream = mask.stream()
    masked = b"".join([stream.feed(part) for part in chunks(content, cuts)]) + stream.finish()
    assert masked.decode() == mask.text(content.decode())
    assert not any(secret.encode() in masked for secret in secrets)


@given(
    st.lists(letters, min_size=1, max_size=4),
    st.binary(max_size=60),
    st.lists(st.integers(0, 100), max_size=9),
)
@example(["abca"], b"xabcax", [1, 2, 3, 4, 5])
def test_scanning_in_parts_is_scanning_the_whole(secrets: list[str], content: bytes, cuts: list[int]) -> None:
    mask = Masker(secrets)
    for data in (content, content + secrets[0].encode() + content):
        scanner = mask.scanner()
        found = [scanner.feed(part) for part in chunks(data, cuts)]
        assert any(found) == mask.found_in(data)
    assert mask.found_in(secrets[0].encode())


@given(
    st.text(min_size=4, max_size=30).filter(lambda text: text.isprintable() and "*" not in text),
    st.integers(1, 20),
)
def test_a_canary_never_appears(canary: str, width: int) -> None:
    stream = Masker([canary]).stream()
    text = f"say {canary} {json.dumps(canary)} {urllib.parse.quote(canary)}{canary}\n{canary}".encode()
    parts = [text[start : start + width] for start in range(0, len(text), width)]
    masked = b"".join(map(stream.feed, parts)) + stream.finish()
    assert canary.encode() not in masked
