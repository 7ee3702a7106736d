"""A content is erased while others bring it in, wait on it, or die with it; and all of it on a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import Erased
from pkgrun.store import operations
from pkgrun.store.objects import Objects, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.wrappers import Call
from pkgrun.workspace.stores import copy_store, fsck, gc
from tests.servers import Server

from .erasures import (
    SECRET,
    Meanwhile,
    anywhere,
    dataset,
    sound,
    train,
)
from .lab import TRAIN, Lab, until, waiting

pytestmark = pytest.mark.row(14)


def beside(lab: Lab, when: Callable[[Call], bool]) -> tuple[pkgrun.Workspace, Meanwhile]:
    """The store as one process sees it, while another one erases at a moment."""
    real = open_store(str(lab.store), create=False)
    wrapped = Meanwhile(
        real.backend, when, lambda: lab.workspace().erase(digest_of(SECRET), reason="meanwhile")
    )
    return pkgrun.Workspace(Store(wrapped, Objects(wrapped), real.id, str(lab.cache))), wrapped


MOMENTS: dict[str, Callable[[Call], bool]] = {
    "before anything is put": lambda call: call.method == "upload",
    "after the data was put": lambda call: call.method == "flush",
    "right before the decision": lambda call: call.method == "create" and call.key.endswith("outcome.json"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("what", ["training", "dataset", "import"])
def test_a_writer_that_began_before_the_receipt(lab: Lab, moment: str, what: str) -> None:
    """It either sees the receipt, sweeps what it has put and fails, or all of it was there for the erasure to find."""
    data = dataset(lab)
    package = lab.package("seer", TRAIN)
    lab.workspace().add(package)
    (package / "rows.csv").write_bytes(SECRET)
    workspace, meanwhile = beside(lab, MOMENTS[moment])
    writers: dict[str, Callable[[], object]] = {
        "training": lambda: train(workspace, "seer@1.0", data, save_training_data=True),
        "dataset": lambda: workspace.datasets.add("people", data),
        "import": lambda: workspace.add(package),
    }
    if moment == "right before the decision":
        writers[what]()
    else:
        with pytest.raises(Erased, match=r"csv holds .*: meanwhile"):
            writers[what]()
    assert meanwhile.happened
    assert not anywhere(lab.store)
    store = open_store(str(lab.store), create=False)
    assert not list(operations.undecided(store.backend))
    sound(lab)


def test_a_training_that_waits_while_it_is_erased(lab: Lab) -> None:
    """Another process, whose data is in the store, or on its way, when the receipt comes."""
    data, go = dataset(lab), lab.folder / "go"
    workspace = lab.workspace()
    workspace.add(lab.package("slow", waiting("open('model', 'w').close()")))
    process = lab.start(
        *("train", "slow@1.0", "--data", data, "--environment", "current", "--save-training-data"),
        *("--mount", "copy", "--env", f"go={go}"),
    )
    until(lambda: any(run.phase in ("init", "train") for run in workspace.runs()), 30, "the code's start")
    done = workspace.erase(data / "a.csv", reason="meanwhile")
    assert len(done.open) == 1
    assert not anywhere(lab.store)
    go.touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert "meanwhile" in err
    assert not anywhere(lab.store)
    sound(lab)


def test_a_training_whose_files_names_are_not_kept(lab: Lab) -> None:
    """There is a secret in one: so nothing in the store says which files it was given. It was given this one all the same."""
    data, go = dataset(lab, "data", **{"hunter2-is-it.csv": b"x"}), lab.folder / "go"
    workspace = lab.workspace()
    workspace.add(lab.package("slow", waiting("open('model', 'w').close()")))
    lab.env["TOKEN"] = "hunter2-is-it"
    process = lab.start(
        *("train", "slow@1.0", "--data", data, "--environment", "current", "--secret", "TOKEN"),
        *("--env", f"go={go}"),
    )
    until(lambda: any(run.phase in ("init", "train") for run in workspace.runs()), 30, "the code's start")
    workspace.erase(digest_of(SECRET), reason="meanwhile")
    go.touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    assert "meanwhile" in err


def test_what_is_to_be_trained_again_is_looked_up_when_the_receipt_is_there(lab: Lab) -> None:
    """Who commits right before it is in the list; the receipt tells what was known when it was asked for."""
    data = dataset(lab)
    lab.workspace().add(lab.package("seer", TRAIN))
    real = open_store(str(lab.store), create=False)
    wrapped = Meanwhile(
        real.backend,
        lambda call: call.method == "create" and call.key.startswith("erased/"),
        lambda: train(lab.workspace(), "seer@1.0", data),
    )
    workspace = pkgrun.Workspace(Store(wrapped, Objects(wrapped), real.id, str(lab.cache)))
    done = workspace.erase(digest_of(SECRET), reason="x")
    assert wrapped.happened
    assert [str(one) for one in done.affected] == ["seer@1.1"]
    assert (done.plan.affected, done.receipt.versions) == ((), ())


def test_a_writer_killed_before_it_could_look_leaves_it_to_a_collection(lab: Lab) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    workspace.add(lab.package("seer", TRAIN))
    process = lab.python(_DIES, lab.store, data, lab.cache)
    process.wait(60)
    assert process.returncode == -9
    assert anywhere(lab.store)
    gc(lab.store, grace=0)
    assert not anywhere(lab.store)
    sound(lab)


_DIES = """
import os, signal, sys
import pkgrun
from pkgrun.store.objects import Objects, digest_of
from pkgrun.store.root import Store, open_store
from tests.e2e.erasures import SECRET, Meanwhile

store = open_store(sys.argv[1], create=False)
begun = []

def erased():
    # Between the look at the beginning and what is put: the erasure finds nothing.
    pkgrun.open(sys.argv[1]).erase(digest_of(SECRET), reason="meanwhile")

first = Meanwhile(store.backend, lambda call: call.method == "upload.publish", erased)
second = Meanwhile(first, lambda call: call.method == "list" and call.key == "erased" and first.happened,
                   lambda: os.kill(os.getpid(), signal.SIGKILL))
workspace = pkgrun.Workspace(Store(second, Objects(second), store.id, sys.argv[3]))
workspace.datasets.add("people", sys.argv[2])
"""


# ---------------------------------------------------------------------- on S3


def test_the_same_on_s3(lab: Lab, ministack: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    url = f"{ministack.url}/team/store"
    workspace, data = pkgrun.open(url), dataset(lab)
    (data / "large").write_bytes(b"x" * (2 << 20))
    workspace.datasets.add("people", data)
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    for name in ("a.csv", "large"):
        done = workspace.erase(data / name, reason="gone")
        assert done.new
    copy_store(url, tmp_path / "seen")
    assert not anywhere(tmp_path / "seen")
    found = fsck(url, read_data=True)
    assert found.sound, found.findings
    assert {one.kind for one in found.findings} == {"erased"}
    with pytest.raises(Erased, match=r"(a\.csv|large) holds"):
        workspace.datasets.add("people", data)
    workspace.datasets.export("people@1", tmp_path / "out", skip_erased=True)
    gc(url, grace=0)
    assert fsck(url, read_data=True).sound
