"""Reading classes from source: where `Main` comes from, followed through real package folders."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from pkgrun.packages.inspection import check
from tests.packages.folders import ALL, TRAIN, only, package, texts, trained


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import torch\nexcept ImportError:\n    torch = None\n" + TRAIN,
        "if True:\n" + "".join(f"    {line}\n" for line in TRAIN.splitlines()),
        "try:\n    pass\nfinally:\n" + "".join(f"    {line}\n" for line in TRAIN.splitlines()),
        "match 1:\n  case _:\n" + "".join(f"    {line}\n" for line in TRAIN.splitlines()),
        TRAIN.replace("Main", "Trainer") + "Main = Trainer\n",
        TRAIN.replace("Main", "Trainer") + "Main: type = Trainer\n",
        TRAIN.replace("Main", "Trainer") + "class Main(Trainer): pass\n",
        TRAIN.replace("Main", "Trainer") + "class Middle(Trainer): pass\nclass Main(Middle): pass\n",
        TRAIN + "class Main(Main): pass\n",
        "import abc, typing\nclass Base(abc.ABC, typing.Generic[int]): pass\n"
        + TRAIN.replace("Main", "Main(Base, object)"),
        "def late(self): pass\n" + TRAIN.replace("    def save(self):\n        pass\n", "    save = late\n"),
        TRAIN.replace("    def save(self):\n        pass\n", "    save = lambda self: None\n"),
        TRAIN.replace("    def save(self):\n        pass\n", "") + "Main.save = print\n",
        TRAIN.replace("self.model = None", "self.save = print").replace(
            "    def save(self):\n        pass\n", ""
        ),
    ],
)
def test_it_is_found(tmp_path: Path, source: str) -> None:
    report = trained(tmp_path, source)
    assert report.problems == (), texts(report)
    assert set(report.methods) == {"train", "evaluate", "save", "process_data"}


@pytest.mark.parametrize(
    ("train", "files"),
    [
        ("from trainer import Main", {"trainer": TRAIN}),
        ("from trainer import Trainer as Main", {"trainer": TRAIN.replace("Main", "Trainer")}),
        ("from trainer import *", {"trainer": TRAIN}),
        ("import trainer\nMain = trainer.Main", {"trainer": TRAIN}),
        ("import trainer as t\nclass Main(t.Main): pass", {"trainer": TRAIN}),
        ("from trainer import Main\nclass Main(Main): pass", {"trainer": TRAIN}),
        ("from lib.trainer import Main", {"lib/trainer": TRAIN}),
        ("from lib.trainer import Main", {"lib/__init__": "", "lib/trainer": TRAIN}),
        ("import lib.trainer\nMain = lib.trainer.Main", {"lib/trainer": TRAIN}),
        ("from lib import trainer\nMain = trainer.Main", {"lib/trainer": TRAIN}),
        ("from lib import trainer\nMain = trainer.Main", {"lib/__init__": "", "lib/trainer": TRAIN}),
        ("from lib import Main", {"lib/__init__": "from .trainer import Main", "lib/trainer": TRAIN}),
        (
            "from lib import Main",
            {
                "lib/__init__": "from .a.b import Main",
                "lib/a/b": "from ..c import Main",
                "lib/c": TRAIN,
            },
        ),
        ("from lib import Main", {"lib/__init__": "from . import t\nMain = t.Main", "lib/t": TRAIN}),
        (
            "try:\n    from .trainer import Main\nexcept ImportError:\n    from trainer import Main",
            {"trainer": TRAIN},
        ),
        ("try:\n    from trainer import Main\nexcept ImportError:\n    Main = None", {"trainer": TRAIN}),
        ("from json import Main", {"json": TRAIN}),
    ],
)
def test_it_is_followed_through_the_package(tmp_path: Path, train: str, files: dict[str, str]) -> None:
    report = trained(tmp_path, train, **files)
    assert report.problems == (), texts(report)
    assert set(report.methods) == {"train", "evaluate", "save", "process_data"}


@pytest.mark.parametrize(
    "source",
    [
        "",
        "class main: pass",
        "def f():\n    class Main: pass",
        "class Outer:\n    class Main: pass",
        'if __name__ == "__main__":\n    class Main: pass',
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from trainer import Main",
        "from trainer import Other as Another",
        "from trainer import Main",
        "from itertools import *",
    ],
)
def test_it_is_missing(tmp_path: Path, source: str) -> None:
    problem = only(trained(tmp_path, source, trainer="x = 1"))
    assert str(problem).startswith("train.py: no class Main at the top level; rules out training")
    assert problem.severity == "error"


@pytest.mark.parametrize(
    "source",
    ["Main = 3", "Main = None", "Main = {}", "import trainer as Main", "Main = 'x'"],
)
def test_it_is_no_class(tmp_path: Path, source: str) -> None:
    problem = only(trained(tmp_path, source, trainer=""))
    assert str(problem).startswith("train.py:1: Main is not a class; rules out training")


@pytest.mark.parametrize(
    "source",
    [
        "from sklearn.linear_model import Main",
        "from sklearn import *",
        "Main = make()",
        "def Main(): return Trainer()",
        "A, Main = 1, 2",
        "def __getattr__(name): return object",
        "from compiled import Main",
        "class A:\n    class Main: pass\nMain = A.Main",
        "Main = A if B else C",
    ],
)
def test_what_cannot_be_read_is_kept_possible(tmp_path: Path, source: str) -> None:
    (tmp_path / "compiled.cpython-311-x86_64-linux-gnu.so").write_bytes(b"")
    report = trained(tmp_path, source)
    assert only(report).severity == "warning"
    assert "its methods are not known" in only(report).message
    assert (report.pipelines, report.methods) == (ALL, ())


def test_a_base_class_of_somebody_else(tmp_path: Path) -> None:
    report = trained(tmp_path, "import torch\nclass Main(torch.nn.Module):\n    def train(self, d): pass\n")
    assert str(only(report)) == (
        "train.py:2: not known whether class Main has evaluate, save, process_data: "
        "torch.nn.Module is not part of the package"
    )
    assert (report.pipelines, report.methods) == (ALL, ("train",))


@pytest.mark.parametrize("base", ["make()", "Nowhere", "*bases", "a[0]()", "Main.x"])
def test_a_base_class_that_is_not_found(tmp_path: Path, base: str) -> None:
    report = trained(tmp_path, f"class Main({base}): pass\n")
    assert "not known whether" in only(report).message
    assert report.pipelines == ALL


def test_a_base_class_of_somebody_else_does_not_matter_when_all_is_there(tmp_path: Path) -> None:
    source = "import torch\n" + TRAIN.replace("Main", "Main(torch.nn.Module)")
    assert trained(tmp_path, source).problems == ()


def test_an_inherited_method_is_judged_where_it_stands(tmp_path: Path) -> None:
    report = trained(
        tmp_path,
        "from trainer import Main",
        trainer=TRAIN.replace("def save(self)", "def save(self, path)"),
    )
    assert str(only(report)).startswith("trainer.py:11: Main.save requires path")


def test_python_s_own_order_of_ancestors(tmp_path: Path) -> None:
    diamond = (
        TRAIN.replace("Main", "D").replace("def save(self)", "def save(self, path)")
        + "class B(D): pass\nclass C(D):\n    def save(self): pass\nclass Main(B, C): pass\n"
    )
    assert trained(tmp_path, diamond).problems == ()


@pytest.mark.parametrize(
    "files",
    [
        {"train": "from a import Main", "a": "from train import Main"},
        {"train": "from train import Main"},
        {"train": "from a import *", "a": "from b import *", "b": "from a import *"},
        {"train": "Main = Main"},
        {"train": "from a import Main as X\nclass Main(X): pass", "a": "from train import Main"},
        {
            "train": "\n".join(f"from a{n} import *" for n in range(20)),
            **{f"a{m}": "\n".join(f"from a{n} import *" for n in range(20)) for m in range(20)},
        },
        {"train": "class Main(B): pass\nclass B(Main): pass"},
        {
            "train": "\n".join(f"class C{n}({', '.join(f'C{m}' for m in range(n))}): pass" for n in range(60))
            + "\nclass Main(C59, C58): pass"
        },
        {"train": "from a0 import Main", **{f"a{n}": f"from a{n + 1} import Main" for n in range(300)}},
    ],
    ids=["pair", "self", "stars", "name", "base", "dense", "late", "classes", "long"],
)
def test_cycles_and_thickets_end(tmp_path: Path, files: dict[str, str]) -> None:
    package(tmp_path, **files)
    start = time.monotonic()
    assert check(tmp_path).problems
    assert time.monotonic() - start < 2


def test_a_relative_import_above_the_package(tmp_path: Path) -> None:
    report = trained(tmp_path / "p", "from lib.a import Main", **{"lib/a": "from ...p.train import Main"})
    assert "imports from above the package" in only(report).message


def test_a_relative_import_in_train_py_fails(tmp_path: Path) -> None:
    report = trained(tmp_path, "from .trainer import Main", trainer=TRAIN)
    assert str(only(report)).startswith("train.py:1: train.py is not inside a Python package")
    assert report.pipelines == ()
    assert report.methods


def test_a_broken_file_is_named_itself(tmp_path: Path) -> None:
    for use in ("from trainer import Main", "import trainer\nclass Main(trainer.Main): pass"):
        problem = only(trained(tmp_path, use, trainer="x = 1\nclass Main\n"))
        assert str(problem).startswith("trainer.py:2: is not valid Python")
        assert problem.rules_out == ALL


def test_a_file_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text(TRAIN)
    root = package(tmp_path / "p", train="from trainer import Main")
    (root / "trainer.py").symlink_to(tmp_path / "outside.py")
    assert "trainer.py: is a link that leaves the package" in texts(check(root))[0]


def test_nothing_is_imported(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    trained(tmp_path, trap + "from trainer import Main", trainer=trap + TRAIN)
    assert not (tmp_path / "ran").exists()
    assert "trainer" not in sys.modules
