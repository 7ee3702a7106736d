"""Row 13: what runs code when it is loaded, as a model, an artifact and a dataset: nothing but the package's own process ever
loads it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.scene import SCRIPT, Scene, holders

pytestmark = pytest.mark.row(13)


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self._mark, "w")


@pytest.fixture
def mark(scene: Scene) -> Path:
    """The file that would be there."""
    return scene.root / "home" / "exploded"


def armed(folder: Path, mark: Path) -> Path:
    """A folder with everything that some tool would load, or run, without being asked to."""
    folder.mkdir(exist_ok=True)
    data = pickle.dumps(Bomb(mark))
    for name in ("model.pkl", "model.joblib", "model.pt", "weights.npy", "data.pickle"):
        (folder / name).write_bytes(data)
    code = f"open({str(mark)!r}, 'w')\n"
    for name in ("sitecustomize.py", "usercustomize.py", "conftest.py", "orjson.py", "json.py", "setup.py"):
        (folder / name).write_text(code)
    (folder / "evil.pth").write_text("import sys; " + code)
    (folder / "model.yaml").write_text(f"!!python/object/apply:builtins.open ['{mark}', 'w']\n")
    return folder


def test_row_13_the_bomb_is_one(scene: Scene, mark: Path) -> None:
    file = armed(scene.root / "d", mark) / "model.pkl"
    subprocess.run(
        [sys.executable, "-c", f"import pickle; pickle.load(open({str(file)!r}, 'rb'))"], check=True
    )
    assert mark.exists()


def test_row_13_it_is_inert_in_every_command(scene: Scene, mark: Path) -> None:
    """Each is a process of its own, in the very folder that holds what would be imported by accident."""
    here = armed(scene.root / "d", mark)
    save = "import pickle\nopen('model.pkl', 'wb').write(open('data/model.pkl', 'rb').read())"
    body = "import shutil\nshutil.copytree(folder, 'artifacts/all')"
    package = armed(scene.package(body, save=save), mark)

    def call(*words: str) -> str:
        said = subprocess.run(
            [SCRIPT, "--store", str(scene.store), *words],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, (words, said.stderr)
        assert not mark.exists(), words
        return said.stdout

    for words in (
        ["package", "check", str(package)],
        ["package", "add", str(package)],
        ["dataset", "add", "bombs", "."],
        ["dataset", "show", "bombs"], ["dataset", "show", "bombs@1"], ["dataset", "list"], ["dataset", "files", "bombs"],
        ["dataset", "diff", "bombs@1", "bombs@1"], ["dataset", "export", "bombs", str(scene.root / "home" / "out1")],
        ["package", "list"], ["package", "show", "pack"], ["package", "show", "pack@1.0"], ["package", "files", "pack@1.0"],
        ["package", "files", "pack@1.0", "--out", str(scene.root / "home" / "out2")],
        ["package", "add", str(scene.root / "home" / "out2"), "--name", "pack"],
        ["store", "copy", str(scene.store), str(scene.root / "copy")],
    ):  # fmt: skip
        call(*words)
    # The package's own process may: what lies beside `train.py` is its to import.
    for file in package.glob("*customize.py"):
        file.unlink()
    for name in ("orjson.py", "json.py"):
        (package / name).unlink()
    call("package", "add", str(package))
    call("train", "pack", "--environment", "current", "--data", ".", "--save-training-data")
    run = scene.workspace.runs(limit=1).__next__().run
    for words in (
        ["run", "list", "--all"], ["run", "show", run], ["run", "logs", run], ["run", "results", run], ["run", "artifacts", run],
        ["run", "artifacts", run, "--out", str(scene.root / "home" / "out3")],
        ["run", "artifacts", run, "--snapshot", "--out", str(scene.root / "home" / "out4")],
        ["package", "show", "pack"], ["package", "files", "pack"], ["store", "copy", str(scene.store), str(scene.root / "copy2")],
        ["store", "fsck"], ["store", "fsck", "--read-data"], ["store", "repair"],
        ["store", "gc"], ["store", "gc", "--yes", "--grace", "0"], ["store", "fsck", "--read-data"],
        ["package", "remove", "pack@2.1", "--yes"], ["store", "gc", "--yes", "--grace", "0"], ["store", "fsck", "--read-data"],
        ["run", "recover"], ["doctor"],
    ):  # fmt: skip
        call(*words)
    # It was there all the time, byte by byte.
    bomb = pickle.dumps(Bomb(mark))
    for out in ("out1", "out2", "out4"):
        assert (scene.root / "home" / out / "model.pkl").read_bytes() == bomb
    assert (scene.root / "home" / "out3" / "all" / "model.pkl").read_bytes() == bomb


def test_row_13_only_the_packages_own_process_loads_it(scene: Scene, mark: Path) -> None:
    """Trained on, the model is loaded by the package's code, in its process: and what it does there ends there."""
    body = "import pickle\nif os.path.exists('model.pkl'): pickle.load(open('model.pkl', 'rb')); os._exit(0)"
    package = scene.package(body, save="pass")
    (package / "model.pkl").write_bytes(pickle.dumps(Bomb(mark)))
    scene.workspace.add(package)
    assert not mark.exists()
    ended = scene.train()
    assert mark.exists()
    assert ended.record.status == "failed"
    mark.unlink()
    scene.goes_on()
    assert not mark.exists()


def test_row_13_no_module_that_unpickles_is_loaded(scene: Scene, mark: Path) -> None:
    """Only `hand.py` reads such a thing: what it is told by the process that started it, through their own pipe."""
    root = Path(__file__).parents[2] / "pkgrun"
    needles = [
        b"pickle.load",
        b"pickle.Unpickler",
        b"yaml.load",
        b"joblib.load",
        b"np.load",
        b"torch.load",
        b"marshal.load",
        b"shelve",
    ]
    found = [os.path.basename(path) for path in holders(root, needles) if path.endswith(".py")]
    assert found == ["hand.py"]
    assert not mark.exists()
