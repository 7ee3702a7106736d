"""Stores that releases wrote stay readable: what was seen in them then is seen now, and work goes on in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.workspace.stores import copy_store, fsck, gc
from tests.data import FOLDER, LARGE, STORES
from tests.data.seen import contains, object_of, seen
from tests.e2e.lab import chain_is_intact
from tests.hostile.scene import forked


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of a kept store, whole."""
    name: str = request.param
    store = tmp_path / name
    shutil.copytree(FOLDER / name, store)
    large = object_of(store, LARGE)
    large.parent.mkdir(parents=True, exist_ok=True)
    large.write_bytes(LARGE)
    return store


def then(kept: Path) -> Any:
    """What its release saw in it."""
    return json.loads((FOLDER / f"{kept.name}.json").read_bytes())


def there(kept: Path) -> list[str]:
    """The versions in it that were not removed."""
    return [name for name, about in then(kept)["versions"].items() if "removal" not in about]


def written(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_all_that_was_seen_is_seen(kept: Path, cache: Path, tmp_path: Path) -> None:
    before = written(kept)
    contains(seen(kept, tmp_path), then(kept))
    assert written(kept) == before


def test_every_page_shows_it(kept: Path, cache: Path) -> None:
    was = then(kept)
    calls = [["package", "list"], ["dataset", "list"], ["run", "list", "--all"]]
    calls += [["package", "show", name.partition("@")[0]] for name in was["versions"]]
    calls += [["package", words, name] for name in there(kept) for words in ("show", "files")]
    for name in was["datasets"]:
        calls += [["dataset", "show", name], ["dataset", "files", name]]
    for run, about in was["runs"].items():
        calls += [["run", "show", run], ["run", "logs", run]]
        calls += [["run", "artifacts", run]] if "artifacts" in about else []
        calls += [["run", "results", run]] if about["record"]["request"] else []
    for words in calls:
        for more in ([], ["--json"]):
            line = [word.encode() for word in ["--store", str(kept), *words, *more]]
            said = forked(line, None, b"", 30)
            assert said.code == 0, (words, said)


def test_a_run_goes_on_from_each_version(kept: Path, cache: Path) -> None:
    workspace = pkgrun.open(kept, create=False)
    names = there(kept)
    made = [workspace.train(name, data="rows", save_training_data=True).wait(60).version for name in names]
    assert None not in made
    assert len(set(zip(names, made, strict=True))) == len(names)
    for package in workspace.packages():
        for major in {record.version.major for record in workspace.versions(package)}:
            assert chain_is_intact(kept, package, major)


def test_what_was_there_is_found_again(kept: Path, cache: Path, tmp_path: Path) -> None:
    """The same key, the same package and the same data make nothing new."""
    workspace = pkgrun.open(kept, create=False)
    was = then(kept)
    keyed = json.loads(next((kept / "keys").rglob("*.json")).read_bytes())["run"]
    again = workspace.train("churn", data="rows@1", env={"rate": "0.1"}, idempotency_key="nightly")
    assert again.id == keyed
    workspace.export("churn@2.0", tmp_path / "churn")
    assert not workspace.add(tmp_path / "churn").new
    workspace.datasets.export("rows@2", tmp_path / "rows")
    assert not workspace.datasets.add("rows", tmp_path / "rows").new
    contains(seen(kept, tmp_path), was)


def test_a_copy_of_it_says_the_same(kept: Path, cache: Path, tmp_path: Path) -> None:
    copy_store(kept, tmp_path / "copy")
    was = then(kept)
    was["runs"] = {run: about for run, about in was["runs"].items() if about["record"]["kind"] != "copy"}
    contains(seen(tmp_path / "copy", tmp_path), was)


def test_nothing_is_wrong_with_it(kept: Path, cache: Path) -> None:
    report = fsck(kept, read_data=True)
    assert report.sound
    assert report.counts["hole"] == report.counts["damage"] == 0


def test_what_was_condemned_then_is_deleted_and_no_more(kept: Path, cache: Path, tmp_path: Path) -> None:
    assert list((kept / "gc" / "condemned").iterdir())
    gc(kept, grace=0)
    assert not list((kept / "gc" / "condemned").iterdir())
    assert fsck(kept, read_data=True).sound
    contains(seen(kept, tmp_path), then(kept))
