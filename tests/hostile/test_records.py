"""Row 2: records that were changed to point elsewhere, and what is no record at all: refused by name, never followed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import Damaged, PkgrunError
from pkgrun.store.root import open_store
from tests.hostile.scene import Scene, tree
from tests.store.blobs import file_of

pytestmark = pytest.mark.row(2)

POINTERS = [
    "../../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "https://host/x", "sha256:../../x", "sha256:" + "G" * 64,
    "sha256:" + "a" * 63, "sha256:" + "a" * 64 + "\n", "md5:" + "a" * 32, "", 5, None, ["sha256:" + "a" * 64], {},
]  # fmt: skip


def trained(scene: Scene) -> str:
    """The id of a training of a package in the scene."""
    scene.added("mark('artifacts/f')")
    return scene.train().record.run


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    record = json.loads(path.read_bytes())
    path.write_text(json.dumps(change(record) or record))


def put(scene: Scene, data: bytes) -> str:
    """An object of the store; its digest."""
    value = hashlib.sha256(data).hexdigest()
    path = scene.store / "objects" / value[:2] / value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"sha256:{value}"


def version_file(scene: Scene, minor: int = 0, package: str = "pack") -> Path:
    return scene.store / "packages" / package / "00000001" / f"{minor:08}.json"


@pytest.mark.parametrize("pointer", POINTERS)
def test_row_2_a_version_points_to_a_digest_only(scene: Scene, pointer: object) -> None:
    trained(scene)
    for name in ("tree", "previous", "lock"):
        file = version_file(scene, 1)
        kept = file.read_bytes()

        def change(record: Any, name: str = name) -> None:
            if name == "tree":
                record["tree"]["digest"] = pointer
            elif name == "lock":
                record["environment"]["lock"]["digest"] = pointer
            else:
                record["previous"] = pointer

        changed(file, change)
        if name == "previous" and pointer is None:
            continue
        for look in (lambda: scene.workspace.version("pack@1.1"), lambda: scene.train()):
            with pytest.raises(Damaged, match=r"00000001/00000001\.json"):
                look()
        file.write_bytes(kept)
    assert scene.outside().keys() == {"home", "pack", "pack/train.py", "pack/main.py"}


def test_row_2_records_do_not_change_places(scene: Scene) -> None:
    run = trained(scene)
    scene.workspace.add(scene.package("print(1)"))
    other = scene.train("pack@2").record.run
    scene.workspace.add(scene.package(), name="twin")
    for what, minor in (("twin", 0), ("pack", 1)):
        file = version_file(scene, minor, what)
        kept = file.read_bytes()
        file.write_bytes(version_file(scene).read_bytes())
        with pytest.raises(Damaged, match=r"is the record of pack@1\.0"):
            scene.workspace.version(f"{what}@1.{minor}")
        file.write_bytes(kept)
    for name in ("run.json", "intent.json"):
        file = scene.store / "runs" / run / name
        kept = file.read_bytes()
        file.write_bytes((scene.store / "runs" / other / name).read_bytes())
        if name == "intent.json":
            (scene.store / "runs" / run / "run.json").unlink()
        with pytest.raises(Damaged, match=other):
            scene.workspace.run(run).record()
        file.write_bytes(kept)
    outcome = scene.store / "runs" / run / "outcome.json"
    kept = outcome.read_bytes()
    outcome.write_bytes((scene.store / "runs" / other / "outcome.json").read_bytes())
    with pytest.raises(Damaged, match=other):
        scene.workspace.run(run).record()
    outcome.write_bytes(kept)
    assert str(scene.workspace.run(run).record().version) == "1.1"


@pytest.mark.parametrize(
    "name", ["../x", "/x", "..", ".", "a/b", "", "a\0b", "%2e%2e/x", "%2E%2E", "%2F", "%00", "%zz"]
)
@pytest.mark.parametrize("kind", ["file", "dir", "symlink"])
def test_row_2_a_tree_writes_only_below_its_folder(scene: Scene, name: str, kind: str) -> None:
    trained(scene)
    blob, empty = put(scene, b"pwned"), put(scene, b'{"entries":[]}')
    entry = {
        "file": {"name": name, "kind": "file", "digest": blob, "size": 5},
        "dir": {"name": name, "kind": "dir", "digest": empty, "files": 0, "bytes": 0},
        "symlink": {"name": name, "kind": "symlink", "target": "x"},
    }[kind]
    _refused(scene, json.dumps({"entries": [entry]}).encode())


@pytest.mark.parametrize(
    "node",
    [
        *(
            json.dumps({"entries": [{"name": "l", "kind": "symlink", "target": target}]}).encode()
            for target in ("/etc/passwd", "../../x", "a/../../b", "", "a\0", "%00", "x/..")
        ),
        b"", b"[]", b"5", b"null", b"{}", b'{"entries":{}}', b'{"entries":[5]}', b'{"entries":[[]]}', b'{"parts":[5]}',
        b"\xff", b"[" * 100_000, b'{"entries":' * 5000, b'{"entries":[{"name":"a","kind":"device"}]}',
        b'{"entries":[{"name":"a","kind":"file","digest":"../../x","size":5}]}',
        b'{"entries":[{"name":"a","kind":"file","digest":"https://x","size":5}]}',
        b'{"entries":[{"name":"a","kind":"symlink","target":"b"},{"name":"a","kind":"symlink","target":"c"}]}',
        b'{"entries":[{"name":"b","kind":"symlink","target":"c"},{"name":"a","kind":"symlink","target":"c"}]}',
        b'{"entries":[{"name":5,"kind":"symlink","target":"b"}]}',
        b'{"entries":[{"name":"a","kind":"symlink","target":null}]}',
        b'{"entries":[{"name":"a","kind":"dir","digest":"sha256:' + b"0" * 64 + b'","files":1e400,"bytes":0}]}',
        b'{"entries":[{"name":"a","kind":"dir","digest":"sha256:' + b"0" * 64 + b'","files":-1,"bytes":0}]}',
        b'{"entries":[{"name":"a","kind":"dir","digest":"sha256:' + b"0" * 64 + b'","files":0,"bytes":0}]}',
        b'{"parts":[{"first":"a","digest":"/etc/passwd","files":0,"bytes":0}]}',
    ],
)  # fmt: skip
def test_row_2_what_is_no_tree_is_refused(scene: Scene, node: bytes) -> None:
    trained(scene)
    _refused(scene, node)


def _refused(scene: Scene, node: bytes) -> None:
    digest = put(scene, node)

    def change(record: Any) -> None:
        record["tree"]["digest"] = digest

    changed(version_file(scene, 1), change)
    before = scene.outside()
    ended = scene.train()
    assert ended.error is not None
    assert ended.error.kind == "damaged"
    assert "sha256:" in ended.error.message
    assert [str(one.version) for one in scene.workspace.versions("pack")] == ["1.0", "1.1"]
    assert scene.outside() == before
    assert scene.left() == []


def test_row_2_artifacts_with_a_link_that_leads_out_are_not_written(scene: Scene) -> None:
    run = trained(scene)
    node = put(scene, b'{"entries":[{"kind":"symlink","name":"l","target":"/etc/passwd"}]}')

    def change(record: Any) -> None:
        record["facts"]["artifacts"]["digest"] = node

    changed(scene.store / "runs" / run / "run.json", change)
    out = scene.root / "home" / "out"
    with pytest.raises(Damaged):
        scene.workspace.run(run).export_artifacts(out)
    assert not os.path.lexists(out / "l")


def test_row_2_a_lock_that_is_another_object(scene: Scene) -> None:
    trained(scene)
    for data in (b"\xff\xfe\0", b"import os\n", b"-r /etc/passwd\n", b"-e .\n"):
        digest = put(scene, data)

        def change(record: Any, digest: str = digest) -> None:
            record["environment"]["lock"]["digest"] = digest
            record["environment"]["mode"] = "isolated"

        changed(version_file(scene, 1), change)
        ended = scene.train("pack@1.1", environment="isolated")
        if ended.error is not None:
            assert ended.error.exit_code in (4, 8), ended.error
            assert "root:" not in ended.error.message
        scene.goes_on()


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "NUL": b"\0" * 100,
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "nothing in it": b"{}",
    "deep": b"[" * 200_000,
    "deeper": b'{"a":' * 200_000,
    "a huge number": b'{"format": ' + b"9" * 100_000 + b"}",
    "not UTF-8": b'{"format": "\xff"}',
    "a newer format": b'{"format": 2}',
    "huge": b'{"format": "' + b"x" * (80 << 20) + b'"}',
}


def _records(scene: Scene, run: str) -> list[tuple[Path, Callable[[], object]]]:
    """Records, and what reads each."""
    runs = scene.store / "runs" / run
    key = next((scene.store / "keys").rglob("*.json"))
    return [
        (version_file(scene, 1), lambda: scene.workspace.version("pack@1.1")),
        (runs / "run.json", lambda: scene.workspace.run(run).record()),
        (scene.store / "pkgrun-store.json", lambda: Scene(scene.root).workspace),
        (key, lambda: scene.workspace.train("pack@1.1", environment="current", idempotency_key="k").wait()),
        (runs / "outcome.json", lambda: _unwritten(scene, runs)),
        (runs / "intent.json", lambda: _unwritten(scene, runs)),
    ]


def _unwritten(scene: Scene, runs: Path) -> object:
    """Read a run whose `run.json` nobody has written yet."""
    (runs / "run.json").unlink(missing_ok=True)
    return scene.workspace.run(runs.name).record()


def _keyed(scene: Scene) -> str:
    scene.added()
    run = scene.workspace.train("pack@1.0", environment="current", idempotency_key="k")
    run.wait()
    return run.id


@pytest.mark.parametrize("name", BROKEN)
def test_row_2_a_file_that_is_no_record_is_named(scene: Scene, name: str) -> None:
    for file, look in _records(scene, _keyed(scene)):
        kept = file.read_bytes()
        file.write_bytes(BROKEN[name])
        with pytest.raises(PkgrunError) as caught:
            look()
        assert caught.value.kind in ("damaged", "conflict"), (file, caught.value)
        assert file.name in caught.value.message or name == "a newer format", caught.value
        file.write_bytes(kept)
        if file.name != "intent.json":
            look() if file.name != next((scene.store / "keys").rglob("*.json")).name else None


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop", "nowhere", "socket"])
def test_row_2_what_is_no_file_is_named_and_never_waited_for(scene: Scene, kind: str) -> None:
    import socket

    for file, look in _records(scene, _keyed(scene)):
        kept = file.with_name("kept")
        file.rename(kept)
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "folder":
            file.mkdir()
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as one:
                os.chdir(file.parent)
                one.bind(file.name)
                os.chdir(scene.root / "home")
        else:
            file.symlink_to(file.name if kind == "loop" else "nowhere")
        before = scene.outside()
        try:
            look()
        except PkgrunError as error:
            assert error.exit_code in (6, 7, 8, 75), (file, error)  # noqa: PT017
        assert scene.outside() == before
        file.rmdir() if kind == "folder" else file.unlink(missing_ok=True)
        kept.rename(file)


@pytest.mark.parametrize("kind", ["pipe", "folder", "nowhere"])
def test_row_2_a_number_that_is_no_file_ends_the_run_not_the_patience(scene: Scene, kind: str) -> None:
    scene.added()
    file = version_file(scene, 1)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("nowhere")
    said = scene.call("train", "pack", "--environment", "current", timeout=20)
    assert said.code == 8, said
    assert "00000001.json is not a file" in said.err
    assert scene.left() == []


def test_row_2_keys_twice_in_a_record(scene: Scene) -> None:
    trained(scene)
    file = version_file(scene, 1)
    file.write_text(
        '{"package":"other",' + file.read_text()[1:].replace('"package":"pack"', '"package":"pack"')
    )
    assert scene.workspace.version("pack@1.1").package == "pack"
    file.write_text(file.read_text()[:-1] + ',"package":"other"}')
    with pytest.raises(Damaged):
        scene.workspace.version("pack@1.1")


def test_row_2_a_log_that_is_no_log(scene: Scene) -> None:
    run = trained(scene)
    for data in (
        b"\xff",
        b"{}",
        b"[]",
        b'{"event":"log"}',
        b'{"event":"log","stream":"out","text":5,"at":1}',
        b"[" * 9999,
    ):
        digest = put(scene, data)

        def change(record: Any, digest: str = digest) -> None:
            record["facts"]["log"]["digest"] = digest

        changed(scene.store / "runs" / run / "run.json", change)
        for words in (["run", "logs", run], ["run", "show", run], ["run", "logs", "-f", run]):
            said = scene.call(*words)
            assert said.code == 8, said
            assert "Traceback" not in said.err


def test_row_2_strangers_in_the_store_are_passed_over(scene: Scene) -> None:
    run = trained(scene)
    for name in ("runs/lost+found", "runs/" + run[:-1], "runs/" + run[:-1] + "\n", "packages/@eaDir", "packages/..x",
                 "packages/empty", "runs/00000000-0000-7000-8000-000000000000", "keys/x", "objects/zz",
                 "packs/zz", "packs/" + "a" * 64, "packs/" + "A" * 64 + ".pack", "datasets/@eaDir"):  # fmt: skip
        (scene.store / name).mkdir(exist_ok=True, parents=True)
    (scene.store / "runs/Thumbs.db").write_text("x")
    (scene.store / "packages/x.txt").write_text("x")
    assert [one.run for one in scene.workspace.runs()] == [run]
    assert scene.workspace.packages().keys() == {"pack"}
    assert scene.call("run", "list").code == 0
    assert scene.call("package", "list").code == 0


def test_row_2_a_store_whose_folders_lie_elsewhere_is_one_all_the_same(scene: Scene) -> None:
    trained(scene)
    for name in ("objects", "packs", "runs", "packages"):
        elsewhere = scene.root / "disk" / name
        elsewhere.parent.mkdir(exist_ok=True)
        (scene.store / name).rename(elsewhere)
        (scene.store / name).symlink_to(elsewhere)
    assert str(scene.train().record.version) == "1.2"
    assert scene.workspace.packages().keys() == {"pack"}


def test_row_2_a_link_for_an_object_is_read_by_its_content(scene: Scene) -> None:
    trained(scene)
    digest = scene.workspace.version("pack@1.1").tree.digest.removeprefix("sha256:")
    file = file_of(open_store(str(scene.store), create=False), f"sha256:{digest}")
    assert file.suffix == ".pack"
    file.unlink()
    ways: tuple[Callable[[Path], object], ...]
    ways = (lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, Path.mkdir)
    for replace in ways:
        replace(file)
        with pytest.raises(Damaged, match=digest):
            list(pkgrun.open(scene.store).files("pack@1.1"))
        file.rmdir() if file.is_dir() else file.unlink()
    large = hashlib.sha256(b"x" * (1 << 20)).hexdigest()
    alone = scene.store / "objects" / large[:2] / large
    alone.parent.mkdir(parents=True, exist_ok=True)
    for replace in ways:
        replace(alone)
        with pytest.raises(Damaged, match=large):
            list(open_store(str(scene.store), create=False).objects.stream(f"sha256:{large}"))
        alone.rmdir() if alone.is_dir() else alone.unlink()
    assert "passwd" not in tree(scene.root / "home")
