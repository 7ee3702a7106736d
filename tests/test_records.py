"""Records: one canonical form, read back as they were written, and nothing hostile in a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkgrun.errors import Damaged, InvalidName, UsageError
from pkgrun.identity import Version, check_name, check_run_id
from pkgrun.records import (
    FINAL,
    Facts,
    FileList,
    Head,
    Passed,
    Record,
    Status,
    StoreRecord,
    TrainingRequest,
    Tree,
    VersionRecord,
)
from pkgrun.records.schemas import STORED
from pkgrun.store.operations import new_run_id
from tests import examples
from tests.drawn import records

HOSTILE = (
    "",
    ".",
    "..",
    "../x",
    "../../etc/passwd",
    "a/..",
    "/etc/passwd",
    "//",
    "a//b",
    "a/b",
    "%2e%2e",
    "%2e%2e%2f",
    "%252e%252e",
    "..;/",
    "..;/..;/",
    "\\",
    "..\\x",
    "C:\\x",
    "a\0",
    "\0",
    "a#b",
    "#",
    "a?b",
    "?",
    "a\n",
    "\na",
    "a\nb",
    "a\r",
    " a",
    "a ",
    "-rf",
    "--help",
    "-",
    ".hidden",
    "_x",
    "$(x)",
    "`x`",
    ";touch x",
    "a;touch x",
    "a&b",
    "a|b",
    "a*b",
    "~",
    "~root",
    "a@1.0",
    "a:b",
    "file:///etc/passwd",
    "https://example.com/x",
    "<script>",
    "\x1b[31m",
    "\u202eabc",
    "\uff0e\uff0e",  # full-width dots
    "\u2024\u2024/",  # one-dot leaders
    "a\u2215b",  # a slash of mathematics
    "\u0430bc",  # a Cyrillic a
    "a\u0308",
    "ä",
    "１.０",
    "\ufeffa",
    "a\u200b",
    "a" * 129,
    "a" * 100_000,
)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidName):
        check_name(text)
    with pytest.raises(InvalidName):
        check_run_id(text)
    with pytest.raises(UsageError):
        Version.parse(text)


@pytest.mark.parametrize("text", ["a", "A9", "0", "churn", "a.b-c_d", "a" * 128, "a..b", "1.0"])
def test_good_names(text: str) -> None:
    assert check_name(text) == text


@pytest.mark.parametrize(
    "text",
    ["0.1", "1", "1.", ".1", "01.1", "1.01", "1.0.0", "-1.0", "+1.0", "1.-1", "1e1.0", "1.0\n", " 1.0", "1_0.0",
     "100000000.0", "1.100000000", "0x1.0", "v1.0", "١.0"],
)  # fmt: skip
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(UsageError, match="is no version"):
        Version.parse(text)


@given(st.integers(1, 99_999_999), st.integers(0, 99_999_999))
def test_versions(major: int, minor: int) -> None:
    assert Version.parse(f"{major}.{minor}") == (major, minor)
    assert str(Version(major, minor)) == f"{major}.{minor}"


def test_versions_sort_as_numbers() -> None:
    assert sorted([Version(2, 0), Version(1, 10), Version(1, 9)]) == [(1, 9), (1, 10), (2, 0)]


@pytest.mark.parametrize("change", ["upper", "version 4", "variant", "short", "long", "no dashes", "braces"])
def test_run_ids_have_one_form(change: str) -> None:
    run = new_run_id()
    assert check_run_id(run) == run
    other = {
        "upper": f"{run[:9]}ABCD{run[13:]}",
        "version 4": f"{run[:14]}4{run[15:]}",
        "variant": f"{run[:19]}c{run[20:]}",
        "short": run[:-1],
        "long": run + "0",
        "no dashes": run.replace("-", ""),
        "braces": "{" + run + "}",
    }[change]
    with pytest.raises(InvalidName):
        check_run_id(other)


# ---------------------------------------------------------------------- canonical bytes

KINDS = sorted(STORED)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30)
@given(data=st.data())
def test_what_is_written_is_read_back(kind: str, data: st.DataObject) -> None:
    record: Record = data.draw(records(STORED[kind]))
    written = record.to_bytes()
    again = STORED[kind].from_bytes(written, key="k")
    assert again == record
    assert again.to_bytes() == written
    assert orjson.dumps(orjson.loads(written), option=orjson.OPT_SORT_KEYS) == written


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_read_back(kind: str) -> None:
    record = examples.FULL[kind]
    assert STORED[kind].from_bytes(record.to_bytes(), key="k") == record


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_are_passed_over(kind: str) -> None:
    record = examples.FULL[kind]
    later = _with_more(orjson.loads(record.to_bytes()))
    assert STORED[kind].from_bytes(orjson.dumps(later), key="k") == record


def _with_more(value: Any) -> Any:
    """Every object has a field more, but where the names are the user's."""
    if isinstance(value, list):
        return [_with_more(one) for one in value]
    if not isinstance(value, dict):
        return value
    free = {"parameters", "tags", "metrics", "inputs", "outputs", "env"}
    inner = {
        name: one if name in free and not _has_fields(one) else _with_more(one) for name, one in value.items()
    }
    return inner | {"added_later": {"x": [1.5, None]}}


def _has_fields(value: Any) -> bool:
    return isinstance(value, dict) and "pipeline" in value


def test_records_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        examples.FULL["store"].store = "x"  # type: ignore[attr-defined]


def test_the_canonical_form() -> None:
    record = StoreRecord(
        store="01939c1e-0000-7000-8000-000000000000",
        created=datetime(2026, 11, 20, 12, 0, 0, 5000, tzinfo=UTC),
    )
    assert record.to_bytes() == (
        b'{"created":"2026-11-20T12:00:00.005000Z","format":1,"store":"01939c1e-0000-7000-8000-000000000000"}'
    )


# ---------------------------------------------------------------------- what is refused

NAMES = {  # a field that takes part in keys, paths or URLs: its kind of record and where it is
    "store": ["store"],
    "version": ["package", "run", "version", "parent", "previous", "kind", "tree.digest", "origin.package",
                "origin.version", "origin.record", "environment.lock.digest", "environment.requirements", "git.commit"],
    "intent": ["package", "run", "kind", "idempotency_key", "training.base", "training.tree.digest",
               "import.tree.digest"],
    "outcome": ["run", "decision", "entry.package", "entry.run", "entry.parent", "entry.tree.digest",
                "facts.log.digest", "facts.artifacts.digest", "facts.snapshot.digest", "facts.data.tree.digest",
                "facts.data.mount"],
    "run": ["run", "package", "version", "parent", "kind", "status", "input.digest", "output.digest"],
    "heartbeat": ["run", "status"],
    "key": ["run", "asked"],
    "tree": ["entries.0.digest", "entries.0.kind"],
}  # fmt: skip


def changed(kind: str, path: str, value: Any) -> bytes:
    """The full example of a kind with another value in one place."""
    whole = inner = orjson.loads(examples.FULL[kind].to_bytes())
    *above, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    for part in above:
        inner = inner[part]
    assert inner[last] is not None, "the example lacks it"
    inner[last] = value
    return orjson.dumps(whole)


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, paths in NAMES.items() for path in paths])
def test_no_field_takes_a_hostile_name(kind: str, path: str) -> None:
    for text in HOSTILE:
        with pytest.raises(Damaged, match=f"^the/key is not a valid {STORED[kind].__name__}: "):
            STORED[kind].from_bytes(changed(kind, path, text), key="the/key")


@pytest.mark.parametrize("value", [-1, 1.5, 1 << 63, "x", None, [], {}])
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("version", "tree.bytes"),
        ("version", "tree.files"),
        ("intent", "head.major"),
        ("outcome", "facts.log.bytes"),
    ],
)
def test_counts_are_counts(kind: str, path: str, value: Any) -> None:
    with pytest.raises(Damaged):
        STORED[kind].from_bytes(changed(kind, path, value), key="k")


@pytest.mark.parametrize("value", ["2026-11-20T12:00:00", "yesterday", "", None, [], "2026-13-01T00:00:00Z"])
def test_moments_have_a_zone(value: Any) -> None:
    with pytest.raises(Damaged):
        STORED["version"].from_bytes(changed("version", "created", value), key="k")


@pytest.mark.parametrize("value", [0, 2, "1", 1.5, None, [1]])
@pytest.mark.parametrize("kind", ["store", "version", "intent", "outcome", "key", "run"])
def test_another_format_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(Damaged):
        STORED[kind].from_bytes(changed(kind, "format", value), key="k")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"\0" * len(data),
        lambda data: b"[" + data + b"]",
        lambda data: data + data,
        lambda data: b"null",
        lambda data: b"\xff" + data,
        lambda data: b"[" * 100_000,
    ],
)
def test_damaged_bytes_are_named(kind: str, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Damaged, match="the/key"):
        STORED[kind].from_bytes(damage(examples.FULL[kind].to_bytes()), key="the/key")


def test_no_number_is_infinite() -> None:
    for text in (b"1e999", b"NaN", b"Infinity"):
        data = examples.FULL["outcome"].to_bytes().replace(b'"score":0.5', b'"score":' + text)
        assert text in data
        with pytest.raises(Damaged):
            STORED["outcome"].from_bytes(data, key="k")


# ---------------------------------------------------------------------- the rest


@given(st.lists(st.text(max_size=5_000), max_size=40))
def test_a_list_of_files_is_cut(found: list[str]) -> None:
    kept = FileList.of(found)
    assert kept.count == len(found)
    assert list(kept.names) == found[: len(kept.names)]
    assert sum(len(name.encode()) for name in kept.names) <= 1 << 16


def test_a_list_of_many_files_is_cut() -> None:
    kept = FileList.of([str(number) for number in range(5_000)])
    assert (kept.count, len(kept.names)) == (5_000, 1_000)


def test_what_is_final() -> None:
    run = examples.FULL["run"]
    assert run.final  # type: ignore[attr-defined]
    open_states: tuple[Status, ...] = ("scheduled", "packaging", "queued", "running", "silent")
    for status in open_states:
        assert status not in FINAL


def test_defaults_are_not_needed_to_read() -> None:
    data = orjson.loads(examples.FULL["version"].to_bytes())
    for name in ("environment", "git", "origin", "description", "tags", "source"):
        del data[name]
    record = VersionRecord.from_bytes(orjson.dumps(data), key="k")
    assert (record.environment, record.tags) == (None, {})
    assert Head.from_bytes(b'{"major":1}', key="k").minor is None


def test_what_came_later_is_left_out_while_it_says_nothing() -> None:
    """So that a record which an earlier release wrote, or would have written, is the same to the byte in this one."""
    tree = Tree(digest="sha256:" + "0" * 64, files=0, bytes=0)
    asked = TrainingRequest(base=Version(1, 0), tree=tree, data=None)
    assert not TrainingRequest.LATER & orjson.loads(asked.to_bytes()).keys()
    told = orjson.loads(asked.model_copy(update={"baseline": False}).to_bytes())
    assert TrainingRequest.LATER & told.keys() == {"baseline"}
    assert TrainingRequest.from_bytes(asked.to_bytes(), key="x") == asked


def test_what_came_later_is_left_out_of_each_of_several_records_too() -> None:
    tree = Tree(digest="sha256:" + "0" * 64, files=0, bytes=0)
    one = Passed(call="train", role="trained", folder="dataset", tree=tree, attested=True)
    at = datetime(2026, 11, 21, tzinfo=UTC)
    facts = Facts(started=at, ended=at, passed=(one, one.model_copy(update={"listed": True})))
    assert [line.get("listed") for line in orjson.loads(facts.to_bytes())["passed"]] == [None, True]
    assert facts.listed == (tree,)


def test_what_came_later_has_a_default() -> None:
    for kind in _kinds(Record):
        for name in kind.LATER:
            assert not kind.model_fields[name].is_required()


def _kinds(above: type[Record]) -> Iterator[type[Record]]:
    for kind in above.__subclasses__():
        yield kind
        yield from _kinds(kind)
