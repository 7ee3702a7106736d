"""A collection between a decision and its number: what was decided is needed, also where the same was removed before."""

from __future__ import annotations

from pathlib import Path

import pytest

import pkgrun
from pkgrun import Workspace
from pkgrun.errors import Temporary
from pkgrun.records import Actor
from pkgrun.store import sweeping
from pkgrun.store.objects import Objects
from pkgrun.store.operations import new_run_id
from pkgrun.store.root import Store, open_store
from pkgrun.testing import Fault, Faulty, Plan
from tests.packages.folders import package


def test_a_content_that_was_removed_and_is_decided_again_is_needed(store: Store, tmp_path: Path) -> None:
    workspace, folder = pkgrun.open(store.url), package(tmp_path / "p")
    workspace.add(folder)
    workspace.remove("p@1.0")
    number = Fault(
        "create", 3, "before", Temporary("the answer did not come")
    )  # after the intent and the outcome
    backend = Faulty(store.backend, Plan(number))
    with pytest.raises(Temporary):
        Workspace(Store(backend, Objects(backend), store.id)).add(folder)

    seen = open_store(store.url, create=False)
    by = Actor(user="nobody", host="nowhere", pkgrun="0")
    done = sweeping.collect(seen.backend, seen.objects, by=by, new_id=new_run_id, grace=0.0)
    assert done.deleted == 0
    workspace.recover()
    assert [str(version.version) for version in workspace.versions("p")] == ["1.0", "2.0"]
    assert workspace.export("p@2.0", tmp_path / "out").files > 0
