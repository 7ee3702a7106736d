"""The package check, on real folders: what it finds, where, and that no text makes it fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import PackageInvalid
from pkgrun.packages import contract
from pkgrun.packages.contract import PIPELINES, wants_snapshot
from pkgrun.packages.inspection import Problem, Report, check
from tests.packages.folders import ALL, MAIN, TRAIN, only, package, texts, trained


def test_a_complete_package_has_no_problems(tmp_path: Path) -> None:
    assert check(package(tmp_path), "churn") == Report(
        problems=(),
        methods=("train", "evaluate", "save", "process_data"),
        pipelines=ALL,
        servable=True,
        requirements="requirements.txt",
    )


def test_the_text_of_a_problem() -> None:
    problem = Problem("warning", "train.py", 12, "class Main has no method save", ("training", "full"))
    assert str(problem) == "train.py:12: class Main has no method save; rules out training, full"
    assert str(Problem("error", None, None, "useless")) == "useless"
    assert str(Problem("error", "main.py", None, "x")) == "main.py: x"


class TestNames:
    def test_every_variable_and_folder_of_the_contract(self) -> None:
        assert {kind: dict(pipeline.variables) for kind, pipeline in PIPELINES.items()} == {
            "training": {
                "artifacts_directory": "artifacts",
                "data_directory": "data",
                "training_data_directory": "data",
                "save_training_data": "false",
            },
            "evaluation": {
                "artifacts_directory": "artifacts",
                "data_directory": "evaluation_data",
                "test_data_directory": "evaluation_data",
                "evaluation_data_directory": "evaluation_data",
                "save_test_data": "false",
            },
            "full": {
                "artifacts_directory": "artifacts",
                "data_directory": "dataset",
                "training_data_directory": "dataset/training",
                "test_data_directory": "dataset/test",
                "evaluation_data_directory": "dataset/test",
                "save_training_data": "true",
                "save_test_data": "true",
            },
        }

    def test_pipelines_agree_with_themselves(self) -> None:
        for kind, pipeline in PIPELINES.items():
            needed = {*pipeline.methods, *pipeline.unless_evaluation_set}
            assert pipeline.kind == kind
            assert needed == {step.method for step in pipeline.steps}
            assert pipeline.data in pipeline.folders
            assert pipeline.makes_version == (contract.SAVE in pipeline.methods)

    def test_they_cannot_be_changed(self) -> None:
        with pytest.raises(TypeError):
            PIPELINES["training"] = PIPELINES["full"]  # type: ignore[index]

    @pytest.mark.parametrize(
        ("variables", "wanted"),
        [
            ({}, False),
            ({"save_training_data": "false"}, False),
            ({"save_training_data": "true"}, True),
            ({"save_training_data": "TRUE"}, True),
            ({"save_training_data": "false", "save_data": "True"}, True),
            ({"save_training_data": "yes"}, False),
            ({"save_test_data": "true"}, False),
        ],
    )
    def test_wants_snapshot(self, variables: dict[str, str], wanted: bool) -> None:
        assert wants_snapshot("trained", variables) is wanted


class TestFiles:
    def test_without_train_py_it_serves(self, tmp_path: Path) -> None:
        (package(tmp_path) / "train.py").unlink()
        report = check(tmp_path)
        assert texts(report) == [
            "train.py: the package has no such file; rules out training, evaluation, full"
        ]
        assert (report.pipelines, report.servable, report.usable) == ((), True, True)

    def test_without_main_py_it_trains(self, tmp_path: Path) -> None:
        (package(tmp_path) / "main.py").unlink()
        report = check(tmp_path)
        assert texts(report) == ["main.py: the package has no such file; rules out serving"]
        assert (report.pipelines, report.servable, report.usable) == (ALL, False, True)

    def test_with_neither_it_is_useless(self, tmp_path: Path) -> None:
        report = check(tmp_path)
        assert not report.usable
        assert report.problems[-1].severity == "error"
        assert report.requirements is None

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(PackageInvalid):
            check(tmp_path / "gone")
        (tmp_path / "file").write_text("")
        with pytest.raises(PackageInvalid):
            check(tmp_path / "file")

    def test_training_requirements_go_first(self, tmp_path: Path) -> None:
        (package(tmp_path) / "train_requirements.txt").write_text("")
        assert check(tmp_path).requirements == "train_requirements.txt"

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        (package(tmp_path) / "train.py").unlink()
        (tmp_path / "train.py").mkdir()
        (tmp_path / "requirements.txt").unlink()
        (tmp_path / "requirements.txt").mkdir()
        report = check(tmp_path)
        assert "train.py: is not a regular file" in texts(report)[0]
        assert report.requirements is None

    def test_a_fifo_does_not_block(self, tmp_path: Path) -> None:
        (package(tmp_path) / "train.py").unlink()
        os.mkfifo(tmp_path / "train.py")
        assert "train.py: is not a regular file" in texts(check(tmp_path))[0]

    def test_links(self, tmp_path: Path) -> None:
        root = package(tmp_path / "p")
        outside = tmp_path / "outside.py"
        outside.write_text(TRAIN)
        for target, said in {
            outside: "train.py: is a link that leaves the package",
            root / "nothing": "train.py: is a link to nothing",
            root / "train.py": "train.py:",
        }.items():
            (root / "train.py").unlink()
            (root / "train.py").symlink_to(target)
            assert texts(check(root))[0].startswith(said)
            assert check(root).pipelines == ()
        (root / "real.py").write_text(TRAIN)
        (root / "train.py").unlink()
        (root / "train.py").symlink_to("real.py")
        assert check(root).problems == ()

    def test_a_package_reached_by_a_link(self, tmp_path: Path) -> None:
        package(tmp_path / "real")
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert check(tmp_path / "link").problems == ()

    def test_a_loop_of_links_beside(self, tmp_path: Path) -> None:
        (package(tmp_path) / "data").symlink_to("data")
        assert check(tmp_path).problems == ()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_an_unreadable_file(self, tmp_path: Path) -> None:
        (package(tmp_path) / "train.py").chmod(0)
        assert "cannot be read" in texts(check(tmp_path))[0]

    def test_huge_source(self, tmp_path: Path) -> None:
        report = trained(tmp_path, TRAIN + "#" * (11 << 20))
        assert "too large for source code" in only(report).message

    def test_huge_source_in_many_files(self, tmp_path: Path) -> None:
        pad = "#" * (1 << 20)
        files = {f"m{n}": f"from m{n + 1} import Main\n{pad}" for n in range(8)}
        report = trained(tmp_path, "from m0 import Main\n", **files)
        assert "exceed" in only(report).message


class TestSyntax:
    @pytest.mark.parametrize(
        ("source", "line"),
        [
            (b"x = 1\nclass Main\n", 2),
            (b"print 'old'\n", 1),
            (b"x = 1\n\xff\n", None),
            (b"# coding: no-such-codec\n", None),
            (b"# coding: hex\n61\n", None),
            (b"x = 1\0\n", None),
            (TRAIN.encode("utf-16"), None),
            (b"(" * 300, 1),
            (b"x = " + b"9" * 5000, 1),
            (b"  x = 1\n y = 2\n", None),
        ],
    )
    def test_it_is_named_with_its_line(self, tmp_path: Path, source: bytes, line: int | None) -> None:
        (package(tmp_path) / "train.py").write_bytes(source)
        problem = only(check(tmp_path))
        assert (problem.severity, problem.file, problem.rules_out) == ("error", "train.py", ALL)
        assert "is not valid Python" in problem.message
        if line is not None:
            assert problem.line == line

    @pytest.mark.parametrize(
        "source",
        [
            "-" * 100_000 + "1",
            "a" + ".a" * 100_000,
            "1+" * 50_000 + "1",
            "if a:pass\n" + "elif a:pass\n" * 20_000,
        ],
    )
    def test_deep_nesting(self, tmp_path: Path, source: str) -> None:
        assert "nested too deeply" in only(trained(tmp_path, source)).message

    @pytest.mark.parametrize(
        ("source", "encoding"),
        [
            (TRAIN, "utf-8-sig"),
            ("# coding: latin-1\nname = 'é'\n" + TRAIN, "latin-1"),
            ("# coding: utf-16-le\n", "ascii"),
            (TRAIN.replace("\n", "\r\n"), "utf-8"),
            ('"\\d"\n' + TRAIN, "utf-8"),
        ],
    )
    def test_what_python_accepts_is_accepted(self, tmp_path: Path, source: str, encoding: str) -> None:
        (package(tmp_path) / "train.py").write_bytes(source.encode(encoding))
        valid = "utf-16" not in source
        assert (check(tmp_path).problems == ()) is valid

    @given(st.text(max_size=200))
    def test_no_text_makes_it_fail(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        root = tmp_path_factory.getbasetemp() / "any"
        root.mkdir(exist_ok=True)
        (root / "train.py").write_bytes(text.encode("utf-8", "surrogatepass"))
        assert isinstance(check(root, text), Report)

    @given(
        st.lists(st.sampled_from(TRAIN.split() + list("\n\t :(),=*@.") + ["from", "import", "if", "Main"]))
    )
    def test_no_python_like_text_makes_it_fail(
        self, tmp_path_factory: pytest.TempPathFactory, words: list[str]
    ) -> None:
        root = tmp_path_factory.getbasetemp() / "like"
        root.mkdir(exist_ok=True)
        (root / "train.py").write_text(" ".join(words))
        assert isinstance(check(root), Report)


class TestMethods:
    @pytest.mark.parametrize(
        ("name", "out"),
        [
            ("train", ("training", "full")),
            ("save", ("training", "full")),
            ("evaluate", ("evaluation", "full")),
            ("process_data", ()),
        ],
    )
    def test_a_missing_one_names_what_it_rules_out(
        self, tmp_path: Path, name: str, out: tuple[str, ...]
    ) -> None:
        report = trained(tmp_path, TRAIN.replace(f"def {name}(", f"def no_{name}("))
        problem = only(report)
        assert (problem.file, problem.line, problem.rules_out) == ("train.py", 1, out)
        assert problem.message.startswith(f"class Main has no method {name}")
        assert report.pipelines == tuple(kind for kind in ALL if kind not in out)
        assert name not in report.methods

    def test_without_process_data_an_evaluation_set_is_needed(self, tmp_path: Path) -> None:
        report = trained(tmp_path, TRAIN.replace("process_data", "process"))
        assert only(report).message.endswith("a full pipeline needs an evaluation set then")

    def test_a_missing_predict_rules_out_serving_only(self, tmp_path: Path) -> None:
        report = check(package(tmp_path, main="class Main: pass"))
        assert str(only(report)) == "main.py:1: class Main has no method predict; rules out serving"
        assert (report.pipelines, report.servable) == (ALL, False)

    def test_none_hides_an_inherited_method(self, tmp_path: Path) -> None:
        source = TRAIN.replace("Main", "Base") + "class Main(Base):\n    save = None\n"
        assert "has no method save" in only(trained(tmp_path, source)).message

    @pytest.mark.parametrize(
        "definition",
        [
            "def train(self, training_directory, epochs=3): pass",
            "def train(self, *args): pass",
            "def train(*args, **kwargs): pass",
            "def train(self, d, *, epochs=3, **more): pass",
            "def train(self, d, /): pass",
            "def train(self, d=None): pass",
            "@staticmethod\n    def train(d): pass",
            "@classmethod\n    def train(cls, d): pass",
            "@functools.wraps(print)\n    def train(): pass",
            "@decorated\n    async def train(self): pass",
            "@torch.no_grad()\n    def train(self, d): pass",
            "def train(self, d):\n        def inner(): yield 1\n        lambda: (yield)",
            "train = _train",
            "train = lambda self: None",
            "import json as train",
            "class train: pass",
        ],
    )
    def test_signatures_that_fit(self, tmp_path: Path, definition: str) -> None:
        source = TRAIN.replace("def train(self, training_directory):\n        pass", definition)
        report = trained(tmp_path, source)
        assert report.problems == (), texts(report)

    @pytest.mark.parametrize(
        ("definition", "said"),
        [
            ("def train(self): pass", "accepts 0 arguments besides self and would get 1"),
            ("def train(): pass", "has no parameter self"),
            ("def train(self, a, b): pass", "requires b, which it would not get"),
            ("def train(self, a, b, c, d=1): pass", "requires b, c, which"),
            ("def train(self, a, *, b, c=1): pass", "requires b, which"),
            ("def train(self, a, b, *args): pass", "requires b, which"),
            ("@staticmethod\n    def train(): pass", "accepts 0 arguments besides self"),
            ("@staticmethod\n    def train(self, d): pass", "requires d, which"),
            ("@classmethod\n    def train(cls): pass", "accepts 0 arguments"),
            ("async def train(self, d): pass", "is async"),
            ("def train(self, d):\n        yield 1", "is a generator"),
            ("def train(self, d, *, __): pass", "requires __, which"),
        ],
    )
    def test_signatures_that_do_not_fit(self, tmp_path: Path, definition: str, said: str) -> None:
        source = TRAIN.replace("def train(self, training_directory):\n        pass", definition)
        problem = only(trained(tmp_path, source))
        assert problem.message.startswith(f"Main.train {said}")
        assert problem.message.endswith("(expected: train(self, training_directory))")
        assert problem.rules_out == ("training", "full")
        assert (problem.severity, problem.file) == ("error", "train.py")
        assert problem.line == 5 + definition.count("\n    def") + definition.count("\n    async")

    def test_what_a_wrong_signature_rules_out(self, tmp_path: Path) -> None:
        wrong = {
            "def process_data(self, input_directory)": ("full",),
            "def evaluate(self, evaluation_directory)": ("evaluation", "full"),
            "def __init__(self)": ALL,
        }
        for definition, out in wrong.items():
            name = definition.partition("(")[0]
            source = TRAIN.replace(definition, f"{name}(self, a, b)")
            assert only(trained(tmp_path, source)).rules_out == out

    def test_a_wrong_predict(self, tmp_path: Path) -> None:
        report = check(package(tmp_path, main="class Main:\n    def predict(self): pass\n"))
        assert str(only(report)).startswith("main.py:2: Main.predict accepts 0 arguments")
        assert only(report).rules_out == ("serving",)

    def test_conditional_methods(self, tmp_path: Path) -> None:
        source = TRAIN + "    if fast:\n        def save(self): pass\n    else:\n        save = None\n"
        assert trained(tmp_path, source).problems == ()


class TestWarnings:
    def test_a_keyword_is_no_name(self, tmp_path: Path) -> None:
        report = check(package(tmp_path), "class")
        assert report.problems[0].severity == "error"
        assert "Python keyword" in report.problems[0].message
        assert not report.usable

    def test_a_name_that_shadows(self, tmp_path: Path) -> None:
        package(tmp_path, **{"churn/model": "", "helper": ""})
        assert "churn: has the package's own name" in str(only(check(tmp_path, "churn")))
        assert "helper.py: has the package's own name" in str(only(check(tmp_path, "helper")))
        assert check(tmp_path, "other").problems == ()
        assert check(tmp_path, "../p").problems == ()

    @pytest.mark.parametrize("folder", ["data", "dataset", "evaluation_data", "artifacts"])
    def test_folders_that_a_run_hides(self, tmp_path: Path, folder: str) -> None:
        (package(tmp_path) / folder).mkdir()
        problem = only(check(tmp_path))
        assert (problem.severity, problem.file, problem.rules_out) == ("warning", f"{folder}/", ())

    def test_a_module_in_a_folder_that_a_run_hides(self, tmp_path: Path) -> None:
        report = trained(tmp_path, "import data.loader\n" + TRAIN, **{"data/loader": ""})
        assert "train.py:1: imports data.loader, and a run may hide data/" in texts(report)[0]
        assert report.pipelines == ALL

    def test_imports_that_nothing_installs(self, tmp_path: Path) -> None:
        source = (
            "import os, numpy as np\nfrom sklearn.svm import SVC\nimport numpy.linalg\nimport lib.a, helper\n"
            + TRAIN
        )
        package(tmp_path, train=source, **{"lib/a": "", "helper": ""})
        (tmp_path / "requirements.txt").unlink()
        assert str(only(check(tmp_path))) == (
            "train.py:1: imports numpy (line 1), sklearn (line 2), and there is no requirements.txt or "
            "train_requirements.txt to install it from"
        )
        (tmp_path / "train_requirements.txt").write_text("numpy")
        assert check(tmp_path).problems == ()
        (tmp_path / "main.py").write_text("import torch\n" + MAIN)
        assert texts(check(tmp_path)) == [
            "main.py:1: imports torch (line 1), and there is no requirements.txt to install it from"
        ]

    def test_a_folder_without_python_is_no_module(self, tmp_path: Path) -> None:
        package(tmp_path, train="import datasets\n" + TRAIN)
        (tmp_path / "requirements.txt").unlink()
        (tmp_path / "datasets").mkdir()
        (tmp_path / "datasets" / "a.csv").write_text("")
        assert "imports datasets (line 1)" in only(check(tmp_path)).message

    @pytest.mark.parametrize(
        "call",
        [
            "Main().train('./data')",
            "m = Main()\nm.train('./data')",
            "for m in [Main()]:\n    m.train('x')",
            "if True:\n    Main().train('x')",
            "if __name__ != '__main__' and False: pass\nelse:\n    Main().train('x')",
            "result = model.fit(x, y)",
            "with Main() as m:\n    m.train('x')",
            "def go():\n    Main().train('x')\ngo()",
            "print(Main().train('x'))",
        ],
    )
    def test_a_training_on_import(self, tmp_path: Path, call: str) -> None:
        report = trained(tmp_path, TRAIN + call + "\n")
        problem = only(report)
        assert problem.severity == "warning"
        assert "when train.py is imported" in problem.message
        assert problem.line == 16 + max(n for n, text in enumerate(call.splitlines()) if "(" in text)
        assert report.pipelines == ALL

    @pytest.mark.parametrize(
        "call",
        [
            "if __name__ == '__main__':\n    Main().train('./data')",
            "if '__main__' == __name__:\n    Main().train('./data')",
            "if DEBUG and __name__ == '__main__':\n    Main().train('./data')",
            "def go():\n    Main().train('x')",
            "go = lambda: Main().train('x')",
            "class Other:\n    def f(self): self.model.fit()",
            "train = Main().train",
        ],
    )
    def test_no_training_on_import(self, tmp_path: Path, call: str) -> None:
        report = trained(tmp_path, TRAIN + call + "\n")
        assert report.problems == (), texts(report)


def test_the_examples_train_and_serve() -> None:
    examples = Path(__file__).parents[2] / "examples"
    for root in sorted(path.parent for path in examples.glob("*/train.py")):
        report = check(root, root.name)
        assert report.servable
        assert "training" in report.pipelines
        assert all(problem.severity == "warning" for problem in report.problems), texts(report)
