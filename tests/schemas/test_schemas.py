"""The schemas are those of the code, a real store keeps to them, and what does not is refused."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

import pkgrun
from pkgrun.errors import UserCodeFailed
from pkgrun.records import RunRecord, VersionRecord
from pkgrun.records.nodes import TreeNode
from pkgrun.records.schemas import STORED, schema
from pkgrun.store import clock, trees
from pkgrun.store.objects import digest_of, key_of
from pkgrun.store.root import Store, open_store
from pkgrun.workspace import stores
from tests import examples
from tests.schemas import FOLDER, written
from tests.store.blobs import blobs, file_of, flip

KINDS = sorted(STORED)
SCHEMAS = {kind: Draft202012Validator(schema(kind)) for kind in KINDS}

_ID = "[0-9a-f-]{36}"
_RUN = rf"runs/{_ID}"
KEYS = {
    r"pkgrun-store\.json": "store",
    r"packages/[^/]+/[0-9]{8}/[0-9]{8}\.json": "version",
    rf"{_RUN}/intent\.json": "intent",
    rf"{_RUN}/outcome\.json": "outcome",
    rf"{_RUN}/heartbeat\.json": "heartbeat",
    rf"{_RUN}/run\.json": "run",
    rf"{_RUN}/_results\.json": "results",
    r"keys/[0-9a-f]{64}/[0-9]{8}\.json": "key",
    r"datasets/[^/]+/[0-9]{8}\.json": "dataset",
    r"packages/[^/]+/[0-9]{8}/[0-9]{8}\.removed\.json": "removal",
    r"erased/[0-9a-f]{64}\.json": "receipt",
    rf"gc/condemned/{_ID}\.json": "sentence",
    rf"gc/open/{_ID}\.json": "underway",
    rf"gc/verdict/{_ID}\.json": "verdict",
}


def errors(kind: str, value: Any) -> list[str]:
    """What the schema finds wrong."""
    return [error.message for error in SCHEMAS[kind].iter_errors(value)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_those_of_the_code(kind: str) -> None:
    """If this fails, the format has changed. If that is meant: `python -m tests.schemas`."""
    assert (FOLDER / f"{kind}.json").read_text(encoding="utf-8") == written()[f"{kind}.json"]


def test_there_are_no_other_files() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == written().keys()


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_schemas(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))
    assert schema(kind)["$id"] == f"pkgrun:{kind}:1"


@pytest.mark.parametrize("kind", KINDS)
def test_full_records_are_valid(kind: str) -> None:
    assert errors(kind, orjson.loads(examples.FULL[kind].to_bytes())) == []


# ---------------------------------------------------------------------- mutations


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a document."""
    inner: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, one in inner:
        yield (*path, name)
        yield from places(one, (*path, name))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_takes_another_type(kind: str) -> None:
    whole = orjson.loads(examples.FULL[kind].to_bytes())
    for path in places(whole):
        value = copy.deepcopy(whole)
        above = at(value, path[:-1])
        above[path[-1]] = 12345 if isinstance(at(whole, path), dict | list) else {"wrong": []}
        assert errors(kind, value), path


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_code_requires_the_schema_requires(kind: str) -> None:
    whole = orjson.loads(examples.FULL[kind].to_bytes())
    for path in places(whole):
        value = copy.deepcopy(whole)
        del at(value, path[:-1])[path[-1]]
        try:
            STORED[kind].model_validate_json(orjson.dumps(value))
        except ValueError:
            assert errors(kind, value), path
        else:
            assert errors(kind, value) == [], path


@pytest.mark.parametrize(
    ("kind", "path", "wrong"),
    [
        ("version", ("tree", "digest"), "https://example.com/tree"),
        ("version", ("tree", "digest"), "/etc/passwd"),
        ("version", ("tree", "files"), -1),
        ("version", ("package",), "../x"),
        ("version", ("version",), "1"),
        ("version", ("format",), 2),
        ("version", ("previous",), "sha256:"),
        ("intent", ("kind",), "other"),
        ("outcome", ("decision",), "commit"),
        ("run", ("status",), "done"),
        ("tree", ("entries", 0, "name"), ".."),
        ("tree", ("entries", 0, "name"), "a/b"),
        ("tree", ("entries", 0, "name"), ""),
        ("tree", ("entries", 0, "name"), "a\0"),
        ("tree", ("entries", 0, "digest"), "../../etc/passwd"),
        ("tree", ("entries", 0, "size"), 1.5),
        ("tree", ("entries", 0, "size"), 1 << 63),
        ("tree", ("entries", 0, "executable"), False),
        ("tree", ("entries", 0, "kind"), "device"),
        ("tree", ("entries", 0, "kind"), "dir"),
        ("key", ("asked",), "x"),
        ("heartbeat", ("status",), "alive"),
    ],
)
def test_wrong_values_are_refused(kind: str, path: tuple[Any, ...], wrong: Any) -> None:
    value = orjson.loads(examples.FULL[kind].to_bytes())
    at(value, path[:-1])[path[-1]] = wrong
    assert errors(kind, value)


# ---------------------------------------------------------------------- a real store

TRAIN = """
import json, os
class Main:
    def __init__(self):
        self.rows = 0
    def train(self, data):
        print("training on", os.listdir(data))
        if os.environ.get("fail"):
            raise ValueError("no rows")
        self.rows = sum(len(open(os.path.join(data, name)).read()) for name in os.listdir(data))
        os.makedirs("artifacts/deep", exist_ok=True)
        with open("artifacts/metrics.json", "w") as file:
            json.dump({"rows": self.rows}, file)
        with open("artifacts/deep/report.txt", "w") as file:
            file.write("fine")
    def save(self):
        with open("model.json", "w") as file:
            json.dump(self.rows, file)
"""
MAIN = """
import json
class Main:
    def __init__(self):
        self.rows = json.load(open("model.json"))
    def predict(self, text):
        return self.rows
"""


@pytest.fixture
def used(tmp_path: Path, cache: Path) -> Store:
    """A store after two imports and three trainings, one of which failed; one version is removed, and rubbish condemned."""
    assert cache
    package, data = tmp_path / "tiny", tmp_path / "data"
    for folder in (package / "empty", package / "sub", data):
        folder.mkdir(parents=True)
    (package / "train.py").write_text(TRAIN)
    (package / "main.py").write_text(MAIN)
    (package / "model.json").write_text("0")
    (package / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (package / "sub" / "run.sh").chmod(0o755)
    (package / "sub" / "link").symlink_to("../main.py")
    (data / "rows.csv").write_text("1,2\n")
    workspace = pkgrun.open(tmp_path / "store")
    first = workspace.train(package, data=data, environment="current", idempotency_key="once").wait()
    assert str(first.version) == "1.1"
    second = workspace.train(
        "tiny", data=data, env={"x": "1"}, save_training_data=True, environment="current", tags={"a": "b"}
    )
    assert str(second.wait().version) == "1.2"
    with pytest.raises(UserCodeFailed):
        workspace.train("tiny", data=data, env={"fail": "1"}, environment="current").wait()
    (package / "main.py").write_text(MAIN + "\n")
    workspace.add(package)
    for content in ("1,2\n", "3,4\n"):
        (data / "rows.csv").write_text(content)
        workspace.datasets.add("rows", data)
    workspace.remove("tiny@1.2", reason="it is no good")
    rubbish = open_store(workspace.url, create=False).objects
    rubbish.put(b"what a dead writer left")
    rubbish.flush()
    stores.gc(workspace.url)
    workspace.erase(digest_of(b"what nobody has"), reason="it is not to come")
    return open_store(workspace.url, create=False)


def test_a_real_store_keeps_to_them(used: Store) -> None:
    root, seen = Path(used.url), set()
    for path in root.rglob("*"):
        key = str(path.relative_to(root))
        if path.is_dir() or key.startswith(("objects/", "packs/", clock.KEY)):
            continue
        kind = next((kind for pattern, kind in KEYS.items() if re.fullmatch(pattern, key)), None)
        assert kind, f"{key} is not described"
        assert errors(kind, orjson.loads(path.read_bytes())) == [], key
        assert STORED[kind].from_bytes(path.read_bytes(), key=key).to_bytes() == path.read_bytes()
        seen.add(kind)
    # A verdict is there only while something is deleted, a passport lies beside what was exported.
    assert seen == STORED.keys() - {"tree", "verdict", "passport"}


def roots(used: Store) -> Iterator[str]:
    """The digest of every tree that a record of the store names."""
    for path in Path(used.url).rglob("*.json"):
        if re.fullmatch(r"[0-9]{8}\.json", path.name) and "packages" in path.parts:
            yield VersionRecord.from_bytes(path.read_bytes(), key=path.name).tree.digest
        elif path.name == "run.json":
            record = RunRecord.from_bytes(path.read_bytes(), key=path.name)
            for tree in (record.input, record.output, record.facts and record.facts.artifacts,
                         record.facts and record.facts.snapshot):  # fmt: skip
                if tree:
                    yield tree.digest


def test_every_node_of_a_real_store_keeps_to_them(used: Store) -> None:
    nodes = set(roots(used))
    for root in sorted(nodes):
        nodes |= {entry.digest for _, entry in trees.walk(used.objects, root) if entry.kind == "dir"}
    assert len(nodes) >= 8
    for digest in nodes:
        assert errors("tree", orjson.loads(used.objects.read(digest))) == []


def test_every_object_has_the_digest_that_it_is_called_by(used: Store) -> None:
    """As anybody can check with sha256sum; nothing else lies there, and all that is named is there."""
    for path in Path(used.url, "objects").rglob("*"):
        if path.is_file():
            digest = digest_of(path.read_bytes())
            assert path == Path(used.url, key_of(digest))
    assert {path.suffix for path in Path(used.url, "packs").iterdir()} == {".pack"}
    there = blobs(used)  # each is checked
    for root in roots(used):
        assert {
            root,
            *(one.digest for _, one in trees.walk(used.objects, root) if one.digest),
        } <= there.keys()


def test_the_lines_for_checking_by_hand_check(used: Store, tmp_path: Path) -> None:
    """Those of schemas/README.md, which know nothing of this code."""
    text = (Path(__file__).parents[2] / "schemas" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "check.py"
    script.write_text(code)
    wanted = next(roots(used))

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(script), wanted]
        return subprocess.run(command, cwd=used.url, capture_output=True, text=True, check=False)

    said = check()
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"{len(blobs(used))} pieces, all good\n")
    assert said.stdout.partition("\n")[2].encode() == used.objects.read(wanted) + b"\n"
    flip(file_of(used, wanted), 8)
    assert check().returncode != 0


def test_every_version_holds_the_digest_of_the_one_before(used: Store) -> None:
    folder = Path(used.url, "packages", "tiny")
    before: str | None = None
    for name in ("00000001/00000000", "00000001/00000001", "00000001/00000002"):
        data = (folder / f"{name}.json").read_bytes()
        assert orjson.loads(data)["previous"] == before
        before = digest_of(data)
    second = orjson.loads((folder / "00000002" / "00000000.json").read_bytes())
    assert second["previous"] == digest_of((folder / "00000001" / "00000000.json").read_bytes())


def test_a_log_is_lines_of_events(used: Store) -> None:
    for path in Path(used.url).rglob("run.json"):
        facts = orjson.loads(path.read_bytes())["facts"]
        if facts is None:  # an import
            continue
        log = used.objects.read(facts["log"]["digest"])
        assert len(log) == facts["log"]["bytes"]
        events = [orjson.loads(line) for line in log.splitlines()]
        assert {event["event"] for event in events} <= {"phase", "log", "notice"}
        assert any(event["event"] == "log" and event["text"].startswith("training on") for event in events)


def test_parts_keep_to_them(store: Store) -> None:
    entries = [trees.Entry(f"{number:05}", "symlink", target="x") for number in range(10_001)]
    node = store.objects
    tree = trees.write_node(entries, node)
    node.flush()
    data = node.read(tree.digest)
    assert errors("tree", orjson.loads(data)) == []
    assert TreeNode.from_bytes(data, key="node").parts
