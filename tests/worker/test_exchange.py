"""Calls that are given more than a message holds, and what they leave as their answer."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from pkgrun.worker.exchange import Exchange, Shape, TooLarge, answered, lay
from pkgrun.worker.supervisor import Call

from .trial import Trial, package, tried

ECHO = """
class Main:
    def predict(self, given):
        return repr(given)
"""


def asked(folder: Path, source: str, exchange: Exchange) -> Trial:
    return tried(package(folder, source), calls=(Call("predict", exchange=exchange),))


def laid(folder: Path, shape: Shape = "text", *contents: bytes) -> Exchange:
    scratch = folder / "scratch"
    scratch.mkdir()
    return lay(scratch, shape, contents)


@pytest.mark.parametrize(
    ("shape", "contents", "seen"),
    [
        ("text", ["ü\r\n\0".encode()], "ü\r\n\0"),
        ("bytes", [bytes(range(256))], bytes(range(256))),
        ("list", [b"b", b"", b"a"], [b"b", b"", b"a"]),
        ("list", [], []),
    ],
)
def test_a_call_is_given_what_was_laid(
    tmp_path: Path, shape: Shape, contents: list[bytes], seen: object
) -> None:
    exchange = laid(tmp_path, shape, *contents)
    trial = asked(tmp_path, ECHO, exchange)

    assert trial.exit.ok
    assert trial.phases == ["init", "predict"]
    assert answered(exchange) == repr(seen).encode()


def test_streams_are_copied(tmp_path: Path) -> None:
    exchange = lay(tmp_path, "list", [io.BytesIO(b"x" * (3 << 20)), b"y"])

    assert [path.stat().st_size for path in exchange.given] == [3 << 20, 1]


def test_a_folder_whose_name_is_no_utf_8_will_do(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    exchange = laid(folder, "text", b"a")
    asked(folder, ECHO, exchange)

    assert answered(exchange) == b"'a'"


def test_what_is_no_text_leaves_no_answer_but_its_type(tmp_path: Path) -> None:
    exchange = laid(tmp_path, "text", b"a")
    trial = asked(tmp_path, ECHO.replace("repr(given)", "given.encode()"), exchange)

    assert trial.exit.ok
    assert trial.exit.types == {"predict": "bytes"}
    assert answered(exchange) is None


def test_a_kind_of_str_is_a_text(tmp_path: Path) -> None:
    source = (
        ECHO.replace("repr(given)", "Word(given)") + "class Word(str):\n    def encode(self, *_): return 7\n"
    )
    exchange = laid(tmp_path, "text", b"a")
    asked(tmp_path, source, exchange)

    assert answered(exchange) == b"a"


def test_what_cannot_be_an_answer_is_none(tmp_path: Path) -> None:
    exchange = laid(tmp_path)
    os.mkfifo(exchange.answer)

    assert answered(exchange) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    exchange = laid(tmp_path)
    exchange.answer.symlink_to("/etc/hostname")

    with pytest.raises(OSError, match=r"symbolic link|loop"):
        answered(exchange)


def test_too_much_is_not_read(tmp_path: Path) -> None:
    exchange = laid(tmp_path)
    with exchange.answer.open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(TooLarge) as caught:
        answered(exchange)
    assert caught.value.size == 1 << 30
