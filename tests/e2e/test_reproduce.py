"""Doing a run again: what goes in, the three verdicts, and what is refused."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkgrun import Workspace
from pkgrun.errors import (
    EnvironmentFailed,
    Erased,
    Killed,
    Mismatch,
    NotFound,
    UsageError,
    UserCodeFailed,
)
from pkgrun.worker.accelerators import look
from tests.datasets.remote.web_server import File, web_server

from .again import CODE, flat, package, reproduced, workspace, world
from .lab import EXAMPLES, Lab, minors, until
from .scripted import dataset
from .test_install import wheel_of

__all__ = ["flat", "package", "workspace", "world"]


# ---------------------------------------------------------------- identical


def test_a_training_comes_out_the_same(lab: Lab, workspace: Workspace, package: Path, flat: Path) -> None:
    first = workspace.train(package, data=flat).wait(60)
    said = lab.pkgrun("reproduce", "p@1.1")

    assert "● identical  p 1.1: the same came out, byte for byte" in said.out
    assert minors(lab.store, "p") == [0, 1], "no number is taken"
    told = lab.document("reproduce", first.run_id[:13])
    assert (told["verdict"], told["of"], told["version"]) == ("identical", first.run_id, None)
    assert (told["differs"], told["causes"], told["doubts"]) == ([], [], [])
    again = workspace.run(told["run_id"]).record()
    then = first.record
    assert again.facts is not None
    assert then.facts is not None
    assert again.kind == "reproduction"
    assert again.request is not None
    assert (again.request.reproduces, again.request.pipeline) == (first.run_id, "training")
    assert again.facts.environment == then.facts.environment
    assert again.facts.hash_seed == then.facts.hash_seed
    assert again.reproduced is not None
    assert again.reproduced.tree == then.output


def test_parameters_are_as_then_also_the_hash_seed(workspace: Workspace, package: Path, flat: Path) -> None:
    first = workspace.train(package, data=flat, env={"depth": "3", "PYTHONHASHSEED": "7"}).wait(60)
    again = workspace.reproduce("p").wait(60).record

    assert again.request is not None
    assert again.request.parameters == {"depth": "3", "PYTHONHASHSEED": "7"}
    assert again.facts is not None
    assert again.facts.hash_seed == "7"
    assert again.reproduced is not None
    assert (again.reproduced.run, again.reproduced.verdict) == (first.run_id, "identical")


def test_an_evaluation_comes_out_with_the_same_score(workspace: Workspace, package: Path, flat: Path) -> None:
    run = workspace.evaluate(package, data=flat)
    run.wait(60)
    found = reproduced(workspace, run.id)

    assert (found.verdict, found.tree, found.version) == ("identical", None, None)
    assert (found.before.score, found.now.score) == (2.0, 2.0)


@pytest.mark.parametrize("apart", [True, False])
def test_a_full_pipeline_comes_out_the_same(lab: Lab, workspace: Workspace, apart: bool) -> None:
    code = CODE + "\n    def process_data(self, input_directory):\n        import shutil\n"
    code += "        for role in ('training', 'test'): shutil.copy('dataset/rows.csv', f'dataset/{role}/rows.csv')\n"
    held = dataset(lab, "held", {"h.csv": "9"}) if apart else None
    workspace.full(lab.package("p", code), data=dataset(lab), evaluation_data=held).wait(60)
    found = reproduced(workspace, "p@1.1")

    assert (found.verdict, found.doubts) == ("identical", ())
    assert found.now.score is not None
    assert found.now == found.before


def test_the_same_lock_is_installed_whatever_there_is_now(
    lab: Lab, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = lab.folder / "wheels"
    wheels.mkdir()
    wheel_of(wheels, "1.0")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    code = "import dep\nclass Main:\n    def train(self, training_directory): pass\n"
    code += "    def save(self): open('model.txt', 'w').write(dep.version)\n"
    workspace.train(lab.package("p", code, {"requirements.txt": "dep>=1\n"})).wait(60)
    wheel_of(wheels, "1.1")
    workspace.train("p@1.0", upgrade=True).wait(60)

    assert reproduced(workspace, "p@1.1").verdict == "identical"
    assert reproduced(workspace, "p@1.2").verdict == "identical"
    (wheels / "dep-1.0-py3-none-any.whl").unlink()
    monkeypatch.setenv("PKGRUN_CACHE", str(lab.folder / "another-cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(lab.folder / "another-uv"))
    with pytest.raises(EnvironmentFailed):
        workspace.reproduce("p@1.1").wait(60)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "data"), [("diagnosis", "diagnosis"), ("routing", "routing/batch1")])
def test_the_examples_with_scikit_learn_come_out_the_same(lab: Lab, name: str, data: str) -> None:
    lab.pkgrun("train", EXAMPLES / name, "--data", EXAMPLES / "data" / data)

    assert lab.document("reproduce", f"{name}@1.1")["verdict"] == "identical"


# ---------------------------------------------------------------- where the data is


def test_what_the_store_keeps_is_used_when_the_source_is_gone(
    workspace: Workspace, package: Path, flat: Path
) -> None:
    workspace.train(package, data=flat, save_training_data=True).wait(60)
    shutil.rmtree(flat)
    again = workspace.reproduce("p@1.1").wait(60).record

    assert again.reproduced is not None
    assert again.reproduced.verdict == "identical"
    assert again.facts is not None
    assert again.facts.data is not None
    assert again.facts.data.source == again.facts.data.tree.digest


def test_lineage_and_history_tell_of_it_on_a_line_each(
    lab: Lab, workspace: Workspace, package: Path, flat: Path
) -> None:
    first = workspace.train(package, data=flat, save_training_data=True).wait(60).run_id
    again = workspace.reproduce("p@1.1").wait(60).run_id

    assert "reproduction identical  on sha256:" in lab.pkgrun("lineage", "p@1.1").out
    assert f"did the run {first[:13]} again, which made p@1.1" in lab.pkgrun("lineage", again).out
    told = lab.pkgrun("history", "p").out + lab.pkgrun("diff", "p@1.1", again).out
    assert not re.search("[0-9a-f]{64}", told)


def test_a_folder_of_a_registered_dataset_will_do(
    lab: Lab, workspace: Workspace, package: Path, flat: Path
) -> None:
    workspace.train(package, data=flat).wait(60)
    above = lab.folder / "above"
    above.mkdir()
    shutil.move(flat, above / "inner")
    workspace.datasets.add("all", above)
    shutil.rmtree(above)

    assert reproduced(workspace, "p@1.1").verdict == "identical"


def test_a_single_file_is_the_same_from_a_copy(workspace: Workspace, package: Path, flat: Path) -> None:
    workspace.train(package, data=flat / "a.csv").wait(60)
    copy = flat.parent / "elsewhere"
    copy.mkdir()
    shutil.move(flat / "a.csv", copy / "a.csv")

    assert reproduced(workspace, "p@1.1", data=copy).verdict == "identical"
    assert reproduced(workspace, "p@1.1", data=copy / "a.csv").verdict == "identical"


def test_data_that_is_nowhere_is_refused_with_the_ways_out(
    lab: Lab, workspace: Workspace, package: Path, flat: Path
) -> None:
    workspace.train(package, data=flat).wait(60)
    moved = shutil.move(flat, lab.folder / "moved")
    said = lab.pkgrun("reproduce", "p@1.1", code=6)

    assert "the data of the run" in said.err
    assert "--data PATH" in said.err
    assert "--save-training-data" in said.err
    assert lab.document("reproduce", "p@1.1", "--data", moved)["verdict"] == "identical"


def test_data_that_changed_is_told_before_anything_runs(
    lab: Lab, workspace: Workspace, package: Path, flat: Path
) -> None:
    workspace.train(package, data=flat).wait(60)
    (flat / "b.csv").write_text("other\n")
    (flat / "new.csv").write_text("new\n")
    said = lab.pkgrun("reproduce", "p@1.1", code=8)

    assert "b.csv was changed, new.csv was added" in said.err
    assert len(list(workspace.runs())) == 1, "nothing was begun"
    with pytest.raises(Mismatch):
        workspace.reproduce("p@1.1", data=lab.package("other"))


def test_what_was_erased_is_refused_by_its_receipt(
    lab: Lab, workspace: Workspace, package: Path, flat: Path
) -> None:
    workspace.train(package, data=flat, save_training_data=True).wait(60)
    workspace.train("p@1.0", data=flat).wait(60)
    workspace.erase(flat / "b.csv", reason="a person asked for it")
    for name in ("p@1.1", "p@1.2"):
        with pytest.raises(Erased, match=r"had b\.csv.*a person asked for it") as caught:
            workspace.reproduce(name, data=flat)
        assert "erased/" in (caught.value.hint or "")

    assert {row.kind for row in workspace.runs()} == {"training"}, "nothing was begun"


def test_data_at_an_address_is_fetched_and_looked_at(workspace: Workspace, package: Path) -> None:
    with web_server() as web:
        web.files["/a.csv"] = File(b"1,2\n")
        workspace.train(package, data=f"{web.url}/a.csv").wait(60)
        assert reproduced(workspace, "p@1.1").verdict == "identical"
        web.files["/a.csv"] = File(b"other\n", etag='"2"')
        with pytest.raises(Mismatch, match=r"a\.csv was changed"):
            workspace.reproduce("p@1.1")
        del web.files["/a.csv"]
        with pytest.raises(NotFound):
            workspace.reproduce("p@1.1")


def test_a_run_without_data_takes_none(workspace: Workspace, package: Path, flat: Path) -> None:
    workspace.train(package).wait(60)
    with pytest.raises(UsageError, match="was given nothing"):
        workspace.reproduce("p@1.1", data=flat)

    assert reproduced(workspace, "p@1.1").verdict == "identical"


# ---------------------------------------------------------------- unproven


def test_what_was_not_attested_is_not_claimed(
    lab: Lab, workspace: Workspace, package: Path, flat: Path, world: Path
) -> None:
    begun, go = lab.mark("begun"), lab.mark("go")
    waiting = (
        f"import time; open({str(begun)!r}, 'w')\nwhile not os.path.exists({str(go)!r}): time.sleep(0.005)"
    )
    (world / "train.py").write_text(waiting)
    run = workspace.train(package, data=flat, env={"world": str(world)})
    until(begun.exists)
    os.utime(flat / "a.csv")
    go.touch()
    first = run.wait(60).record
    assert first.facts is not None
    assert first.facts.data is not None
    if first.facts.data.attested:
        pytest.skip("only a copy can be mounted here, which is hashed itself")
    said = lab.pkgrun("reproduce", "p@1.1", code=8)

    assert "○ unproven" in said.out
    assert "the data was not attested then: a file changed while the code ran" in said.out


def test_the_python_at_hand_proves_nothing(workspace: Workspace, package: Path, flat: Path) -> None:
    workspace.train(package, data=flat, environment="current").wait(60)
    found = reproduced(workspace, "p@1.1")

    assert found.verdict == "unproven"
    assert "without hashes" in found.doubts[0]


def test_a_random_hash_seed_proves_nothing(workspace: Workspace, package: Path) -> None:
    workspace.train(package, env={"PYTHONHASHSEED": "random"}).wait(60)

    assert reproduced(workspace, "p@1.1").doubts == ("the hash seed was random, so each run had its own",)


def test_where_nothing_came_out_nothing_is_proven(lab: Lab, workspace: Workspace) -> None:
    code = "class Main:\n    def evaluate(self, evaluation_directory): return float('nan')\n"
    run = workspace.evaluate(lab.package("p", code))
    run.wait(60)

    found = reproduced(workspace, run.id)
    assert (found.verdict, found.doubts) == ("unproven", ("nothing came out that could be compared",))


def test_an_environment_that_somebody_altered_proves_nothing(
    lab: Lab, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = lab.folder / "wheels"
    wheels.mkdir()
    wheel_of(wheels, "1.0")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_LINK_MODE", "copy")  # so that only this environment is altered
    monkeypatch.setenv("PKGRUN_CACHE", str(lab.folder / "own-cache"))
    code = CODE.replace("import os", "import os, dep")
    workspace.train(lab.package("p", code, {"requirements.txt": "dep>=1\n"})).wait(60)
    (module,) = (lab.folder / "own-cache").glob("environments/*/lib/python*/site-packages/dep*.py")
    module.write_text(module.read_text() + "\n# altered\n")

    found = reproduced(workspace, "p@1.1")
    assert found.verdict == "unproven"
    assert found.doubts == (f"files of the environment are not as they were installed: {module.name}",)


def test_a_record_that_is_only_for_reading_is_not_believed(lab: Lab, workspace: Workspace) -> None:
    run = workspace.train(lab.package("p", CODE), environment="current").wait(60).record.run
    derived = lab.store / "runs" / run / "run.json"
    derived.write_text(derived.read_text().replace('"mode":"current"', '"mode":"isolated"'))
    assert '"isolated"' in derived.read_text()

    assert reproduced(workspace, "p@1.1").verdict == "unproven"


# ---------------------------------------------------------------- refused, failed


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("p@1.0", 2, "was imported: no run made it"),
        ("p@9.9", 6, "no p@9.9"),
        ("nobody", 6, "no package nobody"),
        ("0123-4567", 6, "no run 0123-4567"),
    ],
)
def test_what_no_run_made_cannot_be_done_again(
    lab: Lab, workspace: Workspace, package: Path, name: str, code: int, words: str
) -> None:
    workspace.train(package).wait(60)

    assert words in lab.pkgrun("reproduce", name, code=code).err


def test_a_failed_run_a_reproduction_and_a_registration_are_refused(
    workspace: Workspace, package: Path, flat: Path, world: Path
) -> None:
    (world / "save.py").write_text("raise ValueError('no')")
    failed = workspace.train(package, env={"world": str(world)})
    failed.ended(60)
    with pytest.raises(UsageError, match="no result to compare with"):
        workspace.reproduce(failed.id)
    workspace.train("p@1.0").wait(60)
    again = workspace.reproduce("p@1.1").wait(60)
    with pytest.raises(UsageError, match="is a reproduction itself"):
        workspace.reproduce(again.run_id)
    registered = workspace.datasets.add("rows", flat).record.run
    with pytest.raises(UsageError, match="ran no pipeline"):
        workspace.reproduce(registered)


def test_secrets_are_given_again_all_of_them_and_no_others(
    lab: Lab, workspace: Workspace, package: Path
) -> None:
    workspace.train(package, secrets={"TOKEN": "hunter2-hunter2"}).wait(60)
    said = lab.pkgrun("reproduce", "p@1.1", code=2)

    assert "--secret TOKEN" in said.err
    with pytest.raises(UsageError, match="no secret OTHER"):
        workspace.reproduce("p@1.1", secrets={"TOKEN": "hunter2-hunter2", "OTHER": "hunter3-hunter3"})
    with pytest.raises(UsageError, match="TOKEN must be text, not int"):
        workspace.reproduce("p@1.1", secrets={"TOKEN": 3})  # type: ignore[dict-item]
    found = reproduced(workspace, "p@1.1", secrets={"TOKEN": "hunter2-hunter2"})
    assert found.verdict == "unproven"
    assert found.doubts == ("the values of secrets are not recorded, and may be others: TOKEN",)


def test_code_that_fails_now_gives_no_verdict(
    lab: Lab, workspace: Workspace, package: Path, world: Path
) -> None:
    workspace.train(package, env={"world": str(world)}).wait(60)
    (world / "save.py").write_text("raise ValueError('the server is gone')")
    told = lab.document("reproduce", "p@1.1", code=1)

    assert (told["status"], told["verdict"]) == ("failed", None)
    assert "the server is gone" in told["error"]["message"]
    with pytest.raises(UserCodeFailed):
        workspace.reproduce("p@1.1").wait(60)


def test_one_that_is_stopped_gives_no_verdict(
    lab: Lab, workspace: Workspace, package: Path, world: Path
) -> None:
    workspace.train(package, env={"world": str(world)}).wait(60)
    begun = lab.mark("begun")
    (world / "save.py").write_text(f"import time; open({str(begun)!r}, 'w'); time.sleep(60)")
    run = workspace.reproduce("p@1.1")
    until(begun.exists)
    run.kill()
    with pytest.raises(Killed):
        run.wait(60)

    assert run.record().reproduced is None


def rewritten(lab: Lab, run: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter what was asked of a run, and what it found out."""
    folder = lab.store / "runs" / run
    intent, outcome = (json.loads((folder / name).read_text()) for name in ("intent.json", "outcome.json"))
    change({"request": intent["training"], "facts": outcome["facts"]})
    (folder / "intent.json").write_text(json.dumps(intent))
    (folder / "outcome.json").write_text(json.dumps(outcome))


def test_a_python_of_another_patch_is_told_and_proves_nothing(
    lab: Lab, workspace: Workspace, package: Path
) -> None:
    run = workspace.train(package).wait(60).run_id
    series = ".".join(platform.python_version_tuple()[:2])
    rewritten(lab, run, lambda record: record["facts"]["environment"].update(python=f"{series}.99"))
    found = reproduced(workspace, "p@1.1")

    assert found.verdict == "unproven"
    assert any(f"then {series}.99" in doubt for doubt in found.doubts)


def test_without_a_python_of_its_series_it_is_refused(lab: Lab, workspace: Workspace, package: Path) -> None:
    run = workspace.train(package).wait(60).run_id
    rewritten(lab, run, lambda record: record["facts"]["environment"].update(python="3.99.1"))
    said = lab.pkgrun("reproduce", "p@1.1", code=4, UV_PYTHON_DOWNLOADS="never")

    assert "hint: install a Python 3.99, then reproduce it" in said.err
    assert len(list(workspace.runs())) == 1


@pytest.mark.skipif(bool(look(os.environ).shown), reason="there is a GPU")
def test_without_the_gpu_it_is_refused(lab: Lab, workspace: Workspace, package: Path) -> None:
    run = workspace.train(package).wait(60).run_id
    rewritten(lab, run, lambda record: record["request"].update(gpu=True))

    assert "hint: reproduce it on a machine that has one" in lab.pkgrun("reproduce", "p@1.1", code=2).err
