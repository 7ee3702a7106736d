"""What a full pipeline leaves: its results, snapshots by role, what is attested; also when it is stopped, or its store moves on."""

from __future__ import annotations

import json
import re
import shutil
import threading
from typing import Any

import pytest

from pkgrun import Event, Phase, Progress
from pkgrun.errors import Conflict, NotFound
from pkgrun.store import trees
from pkgrun.store.intake import ingest
from pkgrun.store.root import open_store
from pkgrun.store.sinks import Hashing
from tests.datasets.remote.web_server import File, web_server
from tests.store.blobs import lacking

from .lab import Lab, minors, until
from .scripted import SCRIPTED, SPLIT, Seen, dataset, full, seen, unprepared

EMPTY = ["artifacts/", "dataset/", "dataset/test/", "dataset/training/"]
MOUNTS = ["overlay", "copy"]

# ---------------------------------------------------------------- what is recorded and kept


def test_the_results_key_by_key(lab: Lab) -> None:
    data, held_out = dataset(lab), dataset(lab, "held-out", {"b": "2"})
    found = full(lab, data=data, evaluation_data=held_out, env={"depth": "3"})

    assert found.results["parameters"] == {
        "pipeline": "full",
        "inputs": {
            "package": "p",
            "version": "1.0",
            "train_data": str(data),
            "evaluation_data": str(held_out),
            "gpu": "False",
        },
        "env": {"depth": "3"},
    }
    assert found.outputs == {
        "train_data": "STORE/runs/RUN/data",
        "evaluation_data": "STORE/runs/RUN/evaluation_data",
        "artifacts_data": "STORE/runs/RUN/artifacts",
        "score": 0.5,
        "package": "p",
        "version": "1.1",
    }


@pytest.mark.parametrize("call", ["init", "process_data", "train", "save"])
def test_a_failed_run_has_all_keys_and_its_artifacts(lab: Lab, call: str) -> None:
    does = {f"on_{call}": "write('artifacts/half.txt', 'half'); raise ValueError('no')"}
    found = full(lab, data=dataset(lab), save_training_data=False, save_test_data=False, env=does)

    assert (found.record.status, found.record.version) == ("failed", None)
    assert found.outputs == {
        "train_data": None,
        "evaluation_data": None,
        "artifacts_data": "STORE/runs/RUN/artifacts",
        "score": None,
        "package": "p",
        "version": None,
    }
    assert "half.txt" in dict(found.run.artifacts())
    assert found.record.error is not None
    assert found.record.error.phase == call


@pytest.mark.parametrize(
    ("call", "does", "hint"),
    [
        ("process_data", "sys.exit(0)", "process_data() has to return"),
        ("evaluate", "os._exit(0)", "evaluate() has to return"),
        ("process_data", "open('./dataset/x.csv')", "no dataset was given, so dataset/ was empty; --data PATH gives one"),
    ],
)  # fmt: skip
def test_a_failure_says_the_way_out(lab: Lab, call: str, does: str, hint: str) -> None:
    found = full(lab, env={f"on_{call}": does})

    assert found.record.error is not None
    assert (found.record.status, found.record.error.hint) == ("failed", hint)


def exported(lab: Lab, found: Seen, role: str) -> dict[str, str]:
    out = lab.folder / f"out-{role}"
    lab.pkgrun("run", "artifacts", found.run.id, "--snapshot", "--role", role, "--out", out)
    return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mount", MOUNTS)
def test_snapshots_by_role(lab: Lab, mount: str) -> None:
    found = full(lab, data=dataset(lab), mount=mount, env={"on_process_data": SPLIT})

    assert exported(lab, found, "input") == {"rows.csv": "1,2\n"}
    assert exported(lab, found, "trained") == {"a.csv": "1,2\n"}
    assert exported(lab, found, "evaluated") == {"b.csv": "2"}


def test_without_process_data_what_was_given_is_what_was_trained_and_evaluated_on(lab: Lab) -> None:
    options = {"data": dataset(lab), "evaluation_data": dataset(lab, "held-out", {"b": "2"})}
    found = full(lab, unprepared(lab), **options)

    assert exported(lab, found, "trained") == exported(lab, found, "input") == {"rows.csv": "1,2\n"}
    assert exported(lab, found, "evaluated") == {"b": "2"}


def test_what_was_never_trained_on_is_no_snapshot_of_that(lab: Lab) -> None:
    found = full(lab, data=dataset(lab), env={"on_process_data": "raise ValueError"})

    assert exported(lab, found, "input") == {"rows.csv": "1,2\n"}
    with pytest.raises(NotFound, match="what it trained on"):
        found.run.export_snapshot(lab.folder / "none", role="trained")


@pytest.mark.parametrize(
    ("env", "options", "kept"),
    [
        ({}, {}, {"input", "trained", "evaluated"}),
        ({"save_training_data": "False"}, {}, {"evaluated"}),
        ({"save_test_data": "FALSE"}, {}, {"input", "trained"}),
        ({}, {"save_training_data": False, "save_test_data": False}, set()),
        ({"save_training_data": "no", "save_test_data": "", "save_data": "TRUE"}, {}, {"input", "trained", "evaluated"}),
    ],
)  # fmt: skip
def test_which_snapshots_are_kept(
    lab: Lab, env: dict[str, str], options: dict[str, Any], kept: set[str]
) -> None:
    found = full(lab, data=dataset(lab), env={"on_process_data": SPLIT, **env}, **options)

    def there(role: Any) -> bool:
        try:
            return found.run.export_snapshot(lab.folder / f"out-{role}", role=role) > 0
        except NotFound:
            return False

    assert {role for role in ("input", "trained", "evaluated") if there(role)} == kept
    assert [one.kept for one in found.facts.passed if one.role == "trained"] == ["trained" in kept]
    assert len(found.passed) == 3, "the digests are recorded all the same"
    assert lacking(open_store(str(lab.store), create=False)) == set()


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_digests_are_of_what_each_call_was_given(lab: Lab, mount: str) -> None:
    """A call may change what a later one is given."""
    does = {"on_process_data": SPLIT, "on_train": "write('dataset/test/c.csv', '3')"}
    found = full(lab, data=dataset(lab), mount=mount, env=does)

    expected = [dataset(lab, "one", {"b.csv": "2"}), dataset(lab, "two", {"a.csv": "1,2\n"})]
    expected += [dataset(lab, "three", {"b.csv": "2", "c.csv": "3"})]
    assert [one.tree for one in found.facts.passed] == [
        ingest(str(folder), Hashing()).tree for folder in expected
    ]
    assert [one.role for one in found.facts.passed] == ["evaluated", "trained", "evaluated"]
    assert exported(lab, found, "evaluated") == {"b.csv": "2", "c.csv": "3"}


WRITER = """
import threading
names = ["dataset/training/%d" % number for number in range(20)]
for name in names:
    write(name, "x" * (1 << 20))

def change(names=names, time=time, os=os):
    while not os.path.exists({here!r}):
        time.sleep(0.002)
    for name in names:
        with open(name, "a") as file:
            file.write("y")
    open({done!r}, "w").close()

threading.Thread(target=change, daemon=True).start()
"""


@pytest.mark.parametrize("mount", MOUNTS)
def test_what_changes_while_it_is_hashed_is_not_attested(lab: Lab, mount: str) -> None:
    here, done = lab.mark("here"), lab.mark("done")

    def observer(event: Event) -> None:
        if isinstance(event, Progress) and event.label == "hashing dataset/training":
            here.touch()
            until(done.exists)

    does = {"on_process_data": WRITER.format(here=str(here), done=str(done))}
    found = full(lab, data=dataset(lab), mount=mount, env=does, observer=observer)

    assert found.record.status == "successful"
    assert {one.call: one.attested for one in found.facts.passed} == {
        "baseline": True,
        "train": False,
        "evaluate": True,
    }
    assert found.warned("of dataset/training changed while it was hashed")


def test_stable_data_can_be_required_of_what_is_prepared(lab: Lab) -> None:
    does = {"on_process_data": "os.symlink('../rows.csv', 'dataset/training/rows.csv')"}
    options: dict[str, Any] = {"data": dataset(lab), "env": does, "require_stable_data": True}
    found = full(lab, **options)

    assert found.record.error is not None
    assert (found.record.status, found.record.error.kind) == ("failed", "data-unstable")
    assert "dataset/training" in found.record.error.message
    assert found.record.version is None
    options["env"] = {"on_process_data": SPLIT}
    assert full(lab, "p", **options).record.status == "successful"


def test_a_source_that_changes_under_an_overlay_attests_nothing(lab: Lab) -> None:
    source = dataset(lab)
    change = f"write({str(lab.mark('here'))!r}, '')\nwhile not os.path.exists({str(lab.mark('go'))!r}): time.sleep(0.005)"
    options: dict[str, Any] = {"env": {"on_train": change}, "environment": "current", "mount": "overlay"}
    run = lab.workspace().full(lab.package("p", SCRIPTED), data=source, **options)
    until(lab.mark("here").exists)
    (source / "rows.csv").write_text("changed")
    lab.mark("go").touch()
    found = seen(run)

    assert found.facts.data is not None
    assert (found.record.status, found.facts.data.attested) == ("successful", False)
    assert not any(one.attested for one in found.facts.passed)


@pytest.mark.parametrize(
    "writes",
    ["write('dataset/training/x', os.environ['TOKEN'])", "write('dataset/test/' + os.environ['TOKEN'], '')"],
)
def test_a_secret_in_what_is_prepared_is_not_kept(lab: Lab, writes: str) -> None:
    word = "hunter2-hunter2"
    does = {"on_init": "self.environment = {}", "on_process_data": writes + "; self.calls = []"}
    does |= {f"on_{call}": "self.calls = []" for call in ("baseline", "train", "save", "evaluate")}
    options: dict[str, Any] = {"data": dataset(lab), "env": does, "secrets": {"TOKEN": word}}
    found = full(lab, **options)

    assert found.record.error is not None
    assert (found.record.status, found.record.error.kind) == ("failed", "secret-found")
    assert found.record.error.message.startswith("dataset/t")
    quiet = full(lab, "p", **options, save_training_data=False, save_test_data=False)
    assert quiet.record.status == "successful"
    assert len(quiet.passed) == 3
    for file in lab.store.rglob("*"):
        assert file.is_dir() or word.encode() not in file.read_bytes()


@pytest.mark.parametrize("does", ["shutil.rmtree('dataset/training')", "os.rename('dataset', 'moved')"])
def test_a_prepared_folder_that_is_gone_is_said(lab: Lab, does: str) -> None:
    found = full(lab, data=dataset(lab), mount="copy", env={"on_process_data": f"import shutil; {does}"})

    assert found.warned("is no folder of the run's any more when")
    assert found.record.status == "successful"


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("target", ["../made", "{cwd}/made", "{cwd}/dataset/elsewhere"])
def test_a_prepared_folder_that_is_a_link_is_looked_at_where_it_leads(
    lab: Lab, mount: str, target: str
) -> None:
    links = f"""
place = {target!r}.format(cwd=os.getcwd())
write(os.path.join("dataset", place, "a.csv"), "1")
os.rmdir("dataset/training")
os.symlink(place, "dataset/training")
self.given = os.listdir("dataset/training")
"""
    found = full(lab, data=dataset(lab), mount=mount, env={"on_process_data": links})

    assert found.record.status == "successful"
    [trained] = [one for one in found.facts.passed if one.role == "trained"]
    assert trained.attested
    assert trained.tree == ingest(str(dataset(lab, "one", {"a.csv": "1"})), Hashing()).tree


@pytest.mark.parametrize("target", ["/etc", "../..", "training", "../outside"])
def test_a_link_out_of_the_work_directory_is_not_looked_at(lab: Lab, target: str) -> None:
    links = f"os.rmdir('dataset/training'); os.symlink({target!r}, 'dataset/training')"
    found = full(lab, data=dataset(lab), mount="copy", env={"on_process_data": links})

    assert found.warned("dataset/training is no folder of the run's any more when train begins")
    assert [one.role for one in found.facts.passed] == ["evaluated", "evaluated"]


@pytest.mark.parametrize("mount", MOUNTS)
def test_what_no_digest_can_hold_is_said_and_not_attested(lab: Lab, mount: str) -> None:
    """Splitting by symbolic links is usual with images."""
    does = "os.symlink('../rows.csv', 'dataset/training/rows.csv'); os.symlink('../rows.csv', 'dataset/test/b.csv')"
    found = full(lab, data=dataset(lab), mount=mount, env={"on_process_data": does})

    assert found.record.status == "successful"
    assert not any(one.attested for one in found.facts.passed)
    assert found.warned(
        "the digest of dataset/training is without an entry that no digest can hold: rows.csv"
    )
    assert not found.warned("dataset/test is empty")


# ---------------------------------------------------------------- stopped


WAITS = "write('artifacts/here', '')\nopen({mark!r}, 'w').close()\nwhile True: time.sleep(0.01)"


@pytest.mark.parametrize("call", ["process_data", "baseline"])
def test_a_kill_while_the_code_prepares(lone_lab: Lab, call: str) -> None:
    lab, mark = lone_lab, lone_lab.mark("here")
    options: dict[str, Any] = {"env": {f"on_{call}": WAITS.format(mark=str(mark))}, "environment": "current"}
    run = lab.workspace().full(lab.package("p", SCRIPTED), data=dataset(lab), **options)
    until(mark.exists)
    run.kill()
    found = seen(run)

    assert found.record.status == "killed"
    assert found.outputs["version"] is None
    assert "here" in dict(run.artifacts())
    assert minors(lab.store, "p") == [0]
    assert (lab.leftovers(), lab.processes()) == ([], [])


def test_a_timeout_in_process_data(lab: Lab) -> None:
    does = {"on_process_data": "while True: time.sleep(0.01)"}
    found = full(lab, data=dataset(lab), env=does, timeout=1)

    assert found.record.error is not None
    assert (found.record.status, found.record.error.phase) == ("timed-out", "process_data")


LARGE = "f = open('dataset/training/large', 'wb'); f.truncate(8 << 30); f.close()"
"""8 GiB of nothing, which takes seconds to hash."""


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_kill_while_what_was_prepared_is_hashed(lone_lab: Lab, mount: str) -> None:
    lab, heard = lone_lab, threading.Event()

    def observer(event: Event) -> None:
        if isinstance(event, Phase) and event.name == "digest" and reached.is_set():
            heard.set()
        if isinstance(event, Phase) and event.name == "process_data":
            reached.set()

    reached = threading.Event()
    package = lab.package("p", SCRIPTED)
    options: dict[str, Any] = {"env": {"on_process_data": LARGE}, "environment": "current", "mount": mount}
    run = lab.workspace().full(
        package, data=dataset(lab), baseline=False, save_training_data=False, observer=observer, **options
    )
    assert heard.wait(30)
    run.kill()
    record = run.ended(8)

    assert (record.status, record.version) == ("killed", None)
    assert (lab.leftovers(), lab.processes()) == ([], [])


DIES = """
    import os, signal, sys
    import pkgrun

    def observer(event):
        if isinstance(event, pkgrun.Phase) and event.name == sys.argv[3]:
            os.kill(os.getpid(), signal.SIGKILL)

    workspace = pkgrun.open(sys.argv[1])
    workspace.full("p@1.0", data=sys.argv[2], environment="current", observer=observer, idempotency_key="k").wait()
"""


@pytest.mark.parametrize("phase", ["process_data", "digest", "evaluate", "commit"])
def test_a_supervisor_that_dies(lone_lab: Lab, phase: str) -> None:
    lab = lone_lab
    lab.workspace().add(lab.package("p", SCRIPTED))
    data = dataset(lab)
    process = lab.python(DIES, lab.store, data, phase)
    process.wait(60)
    assert process.returncode == -9

    [dead] = lab.workspace().runs()
    assert (dead.status, dead.version) == ("lost", None)
    written = json.loads((lab.store / "runs" / dead.run / "_results.json").read_text())
    assert written["run_summary"]["outputs"] == {
        "train_data": None,
        "evaluation_data": None,
        "score": None,
        "package": "p",
        "version": None,
        "artifacts_data": f"{lab.store}/runs/{dead.run}/artifacts",
    }
    again = full(lab, "p@1.0", data=data, idempotency_key="k")
    assert (again.run.id != dead.run, str(again.record.version)) == (True, "1.1")
    assert lab.leftovers() == []
    until(lambda: not lab.processes(), 3, "the end of all processes")


def test_one_key_one_full_pipeline(lab: Lab) -> None:
    lab.workspace().add(lab.package("p", SCRIPTED))
    data = dataset(lab)
    asked: dict[str, Any] = {"environment": "current", "idempotency_key": "k", "data": data}
    first = full(lab, "p@1.0", **asked)
    assert full(lab, "p@1.0", **asked).run.id == first.run.id
    for other in ({"evaluation_data": data}, {"baseline": False}, {"save_test_data": False}):
        with pytest.raises(Conflict):
            lab.workspace().full("p@1.0", **asked, **other)
    assert minors(lab.store, "p") == [0, 1]


# ---------------------------------------------------------------- the store


def test_collection_keeps_the_snapshots_and_frees_them_with_their_version(lab: Lab) -> None:
    found = full(lab, data=dataset(lab), env={"on_process_data": SPLIT})
    ingredients = dict(exported(lab, found, "trained"))
    lab.workspace().evaluate("p@1.0", environment="current", save_test_data=True, data=dataset(lab)).wait(60)

    lab.pkgrun("store", "gc", "--grace", "0", "--yes")
    shutil.rmtree(lab.folder / "out-trained")
    assert exported(lab, found, "trained") == ingredients
    lab.pkgrun("store", "fsck")

    lab.pkgrun("package", "remove", "p@1.1", "--reason", "a test", "--yes")
    lab.pkgrun("store", "gc", "--grace", "0", "--yes")
    with pytest.raises(NotFound):
        found.run.export_snapshot(lab.folder / "none", role="trained")
    [held] = [one.tree.digest for one in found.facts.passed if one.role == "trained"]
    objects = open_store(str(lab.store), create=False).objects
    assert not objects.holds_directory(held)
    assert [entry.name for entry in trees.read_node(objects, held)] == ["a.csv"], (
        "what was in it is still told"
    )
    lab.pkgrun("store", "fsck")


def test_a_copy_brings_the_snapshots(lab: Lab) -> None:
    found = full(lab, data=dataset(lab), env={"on_process_data": SPLIT})
    lab.pkgrun("store", "copy", lab.store, lab.folder / "other")

    run = lab.workspace().__class__(open_store(str(lab.folder / "other"), create=False)).run(found.run.id)
    for role in ("input", "trained", "evaluated"):
        assert run.export_snapshot(lab.folder / f"copied-{role}", role=role) == 1
    assert run.record().facts == found.facts
    lab.pkgrun("--store", lab.folder / "other", "store", "fsck")


def test_an_evaluation_set_by_name_and_the_same_for_both(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.datasets.add("rows", dataset(lab, files={"a/x": "1", "b/y": "2"}))
    found = full(lab, data="rows/a", evaluation_data="rows@1/b")

    assert found.there("init") == sorted([*EMPTY, "dataset/x", "dataset/test/y"])
    assert found.facts.evaluation_data is not None
    assert (found.facts.evaluation_data.source, found.facts.evaluation_data.role) == ("rows@1/b", "evaluated")
    same = full(lab, "p@1.0", data="rows@1", evaluation_data="rows@1")
    assert same.record.status == "successful"
    with pytest.raises(NotFound):
        full(lab, "p", data="rows", evaluation_data="rows@1/c")


def test_an_evaluation_set_by_a_url(lab: Lab) -> None:
    with web_server() as web:
        web.files["/held-out.csv"] = File(b"1,2\n")
        url = web.url.replace("://", "://user:hunter2@") + "/held-out.csv?token=hunter3"
        found = full(lab, data=web.url + "/held-out.csv", evaluation_data=url)

    assert found.there("init") == sorted([*EMPTY, "dataset/held-out.csv", "dataset/test/held-out.csv"])
    assert found.facts.evaluation_data is not None
    assert found.facts.evaluation_data.attested
    for file in lab.store.rglob("*.json"):
        assert "hunter" not in file.read_text()


def test_the_command_and_its_document(lab: Lab) -> None:
    lab.package("p", SCRIPTED)
    given = ("--data", dataset(lab), "--evaluation-data", dataset(lab, "held-out", {"b": "1"}))
    document = lab.document("full", "packages/p", *given, "--no-baseline", "--environment", "current")

    assert (document["status"], document["version"], document["parent"]) == ("successful", "1.1", "1.0")
    assert document["results"]["run_summary"]["outputs"]["score"] == 0.5
    page = lab.pkgrun("run", "show", document["run_id"]).out
    assert re.search(r"score\s+0.5", page)
    assert "evaluation set" in page
    error = lab.pkgrun("full", "p", *given[:2], "--evaluation-data", lab.folder / "none", code=6).err
    assert str(lab.folder / "none") in error
