"""What comes through the pipes is believed only where it is well-formed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.worker.child.protocol import LINE_LIMIT, encode
from pkgrun.worker.messages import Ended, Exited, Failure, Messages, PhaseBegan, Returned, Started

EXIT: dict[str, Any] = {
    "event": "exit", "code": None, "signal": 9, "cpu_seconds": 0.5, "peak_memory_bytes": 7, "out_of_memory": "",
    "survivors": True,
}  # fmt: skip
FAILURE: dict[str, Any] = {
    "event": "failure", "phase": "train", "type": "E", "message": "m\ud800", "traceback": "t", "notes": "", "exits": 1, "lacks": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"event": "phase", "name": "init"}, PhaseBegan("init")),
        ({"event": "result", "scores": {"a": 1}, "types": {"a": "int"}}, Returned({"a": 1.0}, {"a": "int"})),
        ({"event": "ended"}, Ended()),
        ({"event": "started", "pid": 3}, Started(3)),
        (EXIT, Exited(None, 9, 0.5, 7, "", True)),
        (FAILURE, Failure("train", "E", "m\\ud800", "t")),
    ],
)
def test_messages(content: dict[str, Any], message: object) -> None:
    messages = Messages()
    data = encode(content)
    assert [found for start in range(len(data)) for found in messages.feed(data[start : start + 1])] == [
        message
    ]
    assert messages.ignored == 0


@pytest.mark.parametrize(
    "line",
    [
        b"x", b"{}", b"[]", b"1", b'"phase"', b'{"event":"phase"}', b'{"event":"phase","name":1}', b'{"event":[]}',
        b'{"event":"result","scores":{"a":NaN}}', b'{"event":"result","scores":{"a":1e999}}', b'{"event":"failure"}',
        b'{"event":"result","scores":{"a":true}}', b'{"event":"result","scores":3}', b"\xff", b"[" * 100_000,
        b'{"event":"nothing"}', b'{"event":"result","scores":{"a":' + b"9" * 400 + b"}}", b"9" * 5000,
        b"x" * (LINE_LIMIT + 1),
    ],
    ids=range(19),
)  # fmt: skip
def test_what_is_no_message_is_counted(line: bytes) -> None:
    messages = Messages()
    assert list(messages.feed(line + b"\n")) == []
    assert messages.ignored == 1
    assert list(messages.feed(encode({"event": "ended"}))) == [Ended()]
    assert messages.ignored == 1


def test_an_endless_line_is_dropped_as_it_comes() -> None:
    messages = Messages()
    for _ in range(40):
        assert list(messages.feed(b"x" * 65536)) == []
    assert list(messages.feed(b'{"event":"ended"}\n{"event":"ended"}\n')) == [Ended()]
    assert messages.ignored == 1


@given(
    st.lists(
        st.binary(max_size=50) | st.sampled_from([json.dumps(EXIT).encode(), b'{"event":"ended"}', b"\n"])
    )
)
def test_nothing_that_comes_raises(parts: list[bytes]) -> None:
    messages = Messages()
    for part in parts:
        list(messages.feed(part))
