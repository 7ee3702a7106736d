"""The evaluation pipeline as its users see it: what the code finds, the score, what is recorded, and no version."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import Conflict, NotFound, PackageInvalid, UsageError, UserCodeFailed

from .lab import Lab, minors, until
from .scripted import SCRIPTED, dataset, evaluated, seen

# ---------------------------------------------------------------- what the code finds


@pytest.mark.parametrize("mount", ["auto", "copy"])
def test_the_dataset_is_at_evaluation_data_before_main_is_constructed(lab: Lab, mount: str) -> None:
    found = evaluated(lab, data=dataset(lab), mount=mount)

    assert found.names == ["init", "evaluate"]
    assert found.there("init") == ["artifacts/", "evaluation_data/", "evaluation_data/rows.csv"]
    assert found.calls[1]["given"] == "./evaluation_data"
    assert len({(call["instance"], call["process"]) for call in found.calls}) == 1


def test_without_a_dataset_evaluation_data_is_empty(lab: Lab) -> None:
    found = evaluated(lab)

    assert found.there("init") == ["artifacts/", "evaluation_data/"]
    assert (found.facts.data, found.record.status) == (None, "successful")
    assert found.results["parameters"]["inputs"]["evaluation_data"] is None


def test_a_single_file_appears_under_its_name(lab: Lab) -> None:
    found = evaluated(lab, data=dataset(lab) / "rows.csv")

    assert found.there("evaluate") == ["artifacts/", "evaluation_data/", "evaluation_data/rows.csv"]


def test_the_variables_have_both_names_of_the_evaluation_set(lab: Lab) -> None:
    found = evaluated(lab, env={"depth": "3"}).environment

    wanted = {
        "artifacts_directory": "artifacts",
        "data_directory": "evaluation_data",
        "test_data_directory": "evaluation_data",
        "evaluation_data_directory": "evaluation_data",
        "save_test_data": "false",
        "depth": "3",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert not {"training_data_directory", "save_training_data"} & found.keys()


def test_what_the_code_writes_into_its_data_reaches_nobody(lab: Lab) -> None:
    source = dataset(lab)
    writes = "write('evaluation_data/rows.csv', 'x'); write('evaluation_data/new/predictions.csv', 'y')"
    found = evaluated(lab, data=source, env={"on_evaluate": writes}, save_test_data=True)

    assert {path.name: path.read_text() for path in source.iterdir()} == {"rows.csv": "1,2\n"}
    assert found.facts.data is not None
    assert found.facts.data.written is not None
    assert found.facts.data.written.changed.names == ("rows.csv",)
    assert "new/predictions.csv" in found.facts.data.written.added.names
    assert found.run.export_snapshot(lab.folder / "out", role="evaluated") == 1
    assert (lab.folder / "out" / "rows.csv").read_text() == "1,2\n"


# ---------------------------------------------------------------- the score


@pytest.mark.parametrize(
    ("returns", "score"),
    [
        ("0.25", 0.25),
        ("3", 3.0),
        ("-0.0", 0.0),
        ("1e308", 1e308),
        ("__import__('decimal').Decimal('0.5')", 0.5),
    ],
)
def test_the_score_is_the_number_that_evaluate_returns(lab: Lab, returns: str, score: float) -> None:
    found = evaluated(lab, env={"evaluate_returns": returns})

    assert (found.facts.score, found.outputs["score"], found.facts.warnings) == (score, score, ())


@pytest.mark.parametrize("kind", ["float32", "Tensor"])
def test_a_number_of_some_library_is_a_score(lab: Lab, kind: str) -> None:
    """What turns into a float is one, such as numpy's and torch's."""
    returns = f"type({kind!r}, (), {{'__float__': lambda self: 0.5}})()"

    assert evaluated(lab, env={"evaluate_returns": returns}).facts.score == 0.5


def test_an_array_of_several_numbers_is_no_score(lab: Lab) -> None:
    returns = "type('ndarray', (), {'__float__': lambda self: float([1, 2])})()"
    found = evaluated(lab, env={"evaluate_returns": returns})

    assert found.facts.score is None
    assert found.warned("a value of type ndarray")


@pytest.mark.parametrize(
    ("returns", "word"),
    [
        ("None", "None"),
        ("{'f1': 0.5}", "dict"),
        ("float('nan')", "nan or infinity"),
        ("-float('inf')", "nan or infinity"),
        ("'0.5'", "str"),
        ("True", "bool"),
        ("10 ** 400", "int"),
    ],
)
def test_what_is_no_finite_number_is_no_score_and_warned_of(lab: Lab, returns: str, word: str) -> None:
    found = evaluated(lab, env={"evaluate_returns": returns})

    assert (found.record.status, found.facts.score, found.outputs["score"]) == ("successful", None, None)
    assert found.warned("there is no score")
    assert found.warned(word)


# ---------------------------------------------------------------- what is recorded


def test_no_version_is_made_and_no_number_taken(lab: Lab) -> None:
    found = evaluated(lab, data=dataset(lab))

    assert (found.record.version, found.record.output, str(found.record.parent)) == (None, None, "1.0")
    assert minors(lab.store, "p") == [0]
    trained = lab.workspace().train("p", environment="current").wait(60)
    evaluated(lab, "p")
    assert str(trained.version) == "1.1"
    assert str(lab.workspace().train("p", environment="current").wait(60).version) == "1.2"


def test_the_newest_version_is_evaluated_or_the_one_that_is_named(lab: Lab) -> None:
    package = lab.package("p", SCRIPTED)
    lab.workspace().train(package, environment="current").wait(60)
    score = {"evaluate_returns": "read('model.txt').count('model')"}

    assert evaluated(lab, "p", env=score).facts.score == 1
    assert evaluated(lab, "p@1", env=score).facts.score == 1
    missing = evaluated(lab, "p@1.0", env=score)
    assert missing.record.error is not None
    assert "evaluate() raised FileNotFoundError" in missing.record.error.message


def test_the_results_key_by_key(lab: Lab) -> None:
    data = dataset(lab)
    found = evaluated(lab, data=data, env={"depth": "3", "save_test_data": "TRUE"})

    parameters, summary = found.results["parameters"], found.results["run_summary"]
    assert parameters == {
        "pipeline": "evaluation",
        "inputs": {"package": "p", "version": "1.0", "evaluation_data": str(data), "gpu": "False"},
        "env": {"depth": "3", "save_test_data": "TRUE"},
    }
    assert summary["outputs"] == {
        "score": 0.5,
        "evaluation_data": "STORE/runs/RUN/evaluation_data",
        "artifacts_data": "STORE/runs/RUN/artifacts",
    }
    assert summary["execution_time"] == pytest.approx(summary["end_at"] - summary["start_at"], abs=1e-3)
    written = json.loads((lab.store / "runs" / found.run.id / "_results.json").read_text())
    assert written["run_summary"]["outputs"]["evaluation_data"] == (
        f"{lab.store}/runs/{found.run.id}/evaluation_data"
    )


def test_a_failed_evaluation_has_all_keys_and_its_artifacts(lab: Lab) -> None:
    doing = {"on_evaluate": "write('artifacts/half.txt', 'half'); raise ValueError('no rows')"}
    found = evaluated(lab, data=dataset(lab), env=doing)

    assert found.record.error is not None
    assert (found.record.status, found.record.error.phase) == ("failed", "evaluate")
    assert "evaluate() raised ValueError: no rows" in found.record.error.message
    assert found.outputs == {
        "score": None, "evaluation_data": None, "artifacts_data": "STORE/runs/RUN/artifacts",
    }  # fmt: skip
    assert "half.txt" in dict(found.run.artifacts())
    with pytest.raises(UserCodeFailed) as caught:
        found.run.wait()
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("name", "word", "kept"),
    [
        ("save_test_data", "True", True),
        ("save_data", "TRUE", True),
        ("save_test_data", "False", False),
        ("save_training_data", "true", False),
    ],
)
def test_a_snapshot_is_asked_for_in_any_case(lab: Lab, name: str, word: str, kept: bool) -> None:
    found = evaluated(lab, data=dataset(lab), env={name: word})

    assert found.facts.data is not None
    wanted = found.facts.data.tree if kept else None
    assert found.facts.snapshot == wanted
    assert (found.outputs["evaluation_data"] is None) == (wanted is None)


def test_the_snapshot_is_of_what_was_evaluated_and_of_nothing_else(lab: Lab) -> None:
    found = evaluated(lab, data=dataset(lab), save_test_data=True)

    assert found.facts.data is not None
    assert (found.facts.data.role, found.facts.data.attested) == ("evaluated", True)
    assert found.environment["save_test_data"] == "true"
    out = lab.folder / "out"
    said = lab.pkgrun("run", "artifacts", found.run.id, "--snapshot", "--role", "evaluated", "--out", out)
    assert [path.name for path in out.iterdir()] == ["rows.csv"], said
    refused = lab.pkgrun(
        "run",
        "artifacts",
        found.run.id,
        "--snapshot",
        "--role",
        "trained",
        "--out",
        lab.folder / "none",
        code=6,
    )
    assert "kept no snapshot of what it trained on" in refused.err


def test_secrets_in_scores_and_messages_are_masked(lab: Lab) -> None:
    word, quiet = "hunter2-hunter2", {"on_init": "self.environment = {}"}
    odd = "type(os.environ['TOKEN'], (), {})()"
    found = evaluated(lab, env={"evaluate_returns": odd, **quiet}, secrets={"TOKEN": word})
    assert found.record.status == "successful"
    assert found.warned("a value of type ***")

    raised = "raise type(os.environ['TOKEN'], (Exception,), {})(os.environ['TOKEN'])"
    found = evaluated(lab, "p", env={"on_evaluate": raised, **quiet}, secrets={"TOKEN": word})
    assert found.record.status == "failed"
    for file in lab.store.rglob("*.json"):
        assert word not in file.read_text()


# ---------------------------------------------------------------- refusals, keys, the command


def test_a_package_that_cannot_evaluate_is_refused_before_anything_runs(lab: Lab) -> None:
    package = lab.package("p")  # it has train and save only
    with pytest.raises(PackageInvalid, match="cannot run the evaluation pipeline") as caught:
        lab.workspace().evaluate(package, environment="current")

    assert (caught.value.exit_code, list(lab.workspace().runs())) == (4, [])


def test_a_package_that_can_only_evaluate_is_evaluated(lab: Lab) -> None:
    code = "class Main:\n    def evaluate(self, evaluation_directory):\n        return 1\n"

    assert evaluated(lab, lab.package("p", code)).facts.score == 1


def test_an_argument_that_there_is_not_is_refused(lab: Lab) -> None:
    workspace, package = lab.workspace(), lab.package("p", SCRIPTED)
    wrong: Any = {"enviroment": "current"}
    for start in (workspace.evaluate, workspace.full):
        with pytest.raises(TypeError, match="enviroment"):
            start(package, **wrong)
    beside: Any = {"evaluation_data": dataset(lab)}
    with pytest.raises(UsageError, match="takes no evaluation set"):
        workspace.evaluate(package, **beside)
    assert list(workspace.runs()) == []


def test_a_file_of_the_package_where_the_data_goes_is_named(lab: Lab) -> None:
    found = evaluated(lab, lab.package("p", SCRIPTED, {"evaluation_data": "a file"}))

    assert found.record.error is not None
    assert found.record.error.message == "the run's folder 'evaluation_data' is a file of the package"
    assert found.record.error.hint == "rename what the package has there"


def test_one_key_one_evaluation(lab: Lab) -> None:
    lab.workspace().add(lab.package("p", SCRIPTED))
    first = evaluated(lab, "p@1.0", idempotency_key="k")
    again = evaluated(lab, "p@1.0", idempotency_key="k")

    assert first.run.id == again.run.id
    with pytest.raises(Conflict):
        lab.workspace().evaluate("p@1.0", environment="current", idempotency_key="k", env={"x": "1"})
    with pytest.raises(Conflict):
        lab.workspace().train("p@1.0", environment="current", idempotency_key="k")


def test_a_key_of_a_failed_evaluation_begins_anew(lab: Lab) -> None:
    lab.workspace().add(lab.package("p", SCRIPTED))
    asked: dict[str, Any] = {"env": {"on_evaluate": f"1 / os.path.exists({str(lab.mark('go'))!r})"}}
    first = evaluated(lab, "p@1.0", idempotency_key="k", **asked)
    lab.mark("go").touch()
    again = evaluated(lab, "p@1.0", idempotency_key="k", **asked)

    assert [first.record.status, again.record.status] == ["failed", "successful"]


def test_the_command_and_its_document(lab: Lab) -> None:
    lab.package("p", SCRIPTED)
    document = lab.document("evaluate", "packages/p", "--data", dataset(lab), "--environment", "current")

    assert (document["status"], document["version"], document["parent"]) == ("successful", None, "1.0")
    assert document["results"]["run_summary"]["outputs"]["score"] == 0.5
    assert "score" in lab.pkgrun("run", "show", document["run_id"]).out
    lab.pkgrun("evaluate", "p", "--environment", "current", "-e", "on_evaluate=raise ValueError", code=1)
    lab.pkgrun("evaluate", "none", code=6)


def test_evaluating_on_a_registered_dataset(lab: Lab) -> None:
    lab.workspace().datasets.add("held-out", dataset(lab))
    found = evaluated(lab, data="held-out")

    assert found.facts.data is not None
    assert (found.facts.data.source, found.facts.data.attested) == ("held-out@1", True)
    with pytest.raises(NotFound):
        evaluated(lab, "p", data="held-out@2")


def test_a_result_tells_its_score(lab: Lab) -> None:
    result = lab.workspace().evaluate(lab.package("p", SCRIPTED), environment="current").wait(60)

    assert (result.score, result.version) == (0.5, None)
    assert result.score is not None
    assert math.isfinite(result.score)


def test_metrics_are_read_of_an_evaluation_too(lab: Lab) -> None:
    writes = "write('artifacts/metrics.json', '{\"f1\": 0.75}')"
    run = lab.workspace().evaluate(
        lab.package("p", SCRIPTED), environment="current", env={"on_evaluate": writes}
    )

    assert run.wait(60).metrics == {"f1": 0.75}
    assert seen(run).facts.metrics == {"f1": 0.75}


def test_an_evaluation_leaves_nothing_behind(lone_lab: Lab) -> None:
    evaluated(lone_lab, data=dataset(lone_lab), env={"on_evaluate": "write('stray.txt', 'x')"})

    assert lone_lab.leftovers() == []
    assert not (Path.cwd() / "stray.txt").exists()
    assert "stray.txt" not in lone_lab.version_files("p")


# ---------------------------------------------------------------- stopped, and recovered


def test_a_kill_by_its_id_from_elsewhere(lone_lab: Lab) -> None:
    lab, mark = lone_lab, lone_lab.mark("here")
    lab.workspace().add(lab.package("p", SCRIPTED))
    waits = f"on_evaluate=open({str(mark)!r}, 'w').close()\nwhile True: time.sleep(0.01)"
    process = lab.start("evaluate", "p", "--environment", "current", "-e", waits)
    until(mark.exists)
    [run] = lab.workspace().runs()
    said = lab.pkgrun("run", "kill", run.run)
    process.communicate(timeout=30)

    assert "killed" in said.out
    assert process.returncode != 0
    assert (lab.leftovers(), lab.processes()) == ([], [])
    found = lab.document("run", "results", run.run)
    assert found["run_summary"]["outputs"]["score"] is None


def test_a_timeout_ends_it(lab: Lab) -> None:
    found = evaluated(lab, env={"on_evaluate": "while True: time.sleep(0.01)"}, timeout=0.5)

    assert found.record.error is not None
    assert (found.record.status, found.record.error.phase) == ("timed-out", "evaluate")


DIES = """
    import os, signal, sys
    import pkgrun
    from pkgrun.store.objects import Objects
    from pkgrun.store.root import Store, open_store
    from pkgrun.store.wrappers import Wrapper

    class Mortal(Wrapper):
        # The process dies before or after the decision.

        def around(self, call, work):
            mine = call.method == "create" and call.key.endswith("outcome.json")
            if mine and sys.argv[2] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = work()
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    store = open_store(sys.argv[1], create=False)
    backend = Mortal(store.backend)
    workspace = pkgrun.Workspace(Store(backend, Objects(backend), store.id))
    workspace.evaluate("p@1.0", environment="current", idempotency_key="k").wait()
"""


@pytest.mark.parametrize(("when", "status"), [("before", "lost"), ("after", "successful")])
def test_a_supervisor_that_dies_at_its_decision(lab: Lab, when: str, status: str) -> None:
    lab.workspace().add(lab.package("p", SCRIPTED))
    process = lab.python(DIES, lab.store, when)
    process.wait(60)
    assert process.returncode == -9

    lab.pkgrun("run", "recover")
    [dead] = lab.workspace().runs()
    written = json.loads((lab.store / "runs" / dead.run / "_results.json").read_text())
    assert (dead.status, dead.version) == (status, None)
    assert written["run_summary"]["outputs"]["score"] == (0.5 if status == "successful" else None)
    again = evaluated(lab, "p@1.0", idempotency_key="k")
    assert (again.run.id == dead.run) == (status == "successful")
    assert minors(lab.store, "p") == [0]
    lab.pkgrun("store", "fsck")
