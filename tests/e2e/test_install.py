"""A wheel, built and installed into a fresh environment, trains the examples; what it writes is checked field by field."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

import pkgrun
from pkgrun.records import RunRecord
from pkgrun.records.schemas import schema

from .lab import EXAMPLES, ROOT, Lab

pytestmark = pytest.mark.slow

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in isolation from a copy of what belongs to the project."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pkgrun", "examples", "schemas", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        there = ROOT / name
        if there.is_dir():
            shutil.copytree(there, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif there.exists():
            shutil.copy2(there, source / name)
    _quietly(sys.executable, "-m", "build", "--wheel", "--outdir", out, source)
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def script(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of a fresh environment in which nothing but the wheel was installed."""
    folder = tmp_path_factory.mktemp("venv")
    _quietly(sys.executable, "-m", "venv", folder)
    _quietly(folder / "bin" / "pip", "install", "-q", wheel)
    return folder / "bin" / "pkgrun"


def _quietly(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


class Installed:
    """The installed script in a lab."""

    def __init__(self, script: Path, lab: Lab) -> None:
        self.script, self.lab = script, lab

    def __call__(self, *arguments: str | Path, **env: str) -> Any:
        command = [self.script, *arguments, "--json"]
        ended = subprocess.run(
            command,
            cwd=self.lab.folder,
            env=self.lab.variables(**env),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        self.said = ended.stderr
        return json.loads(ended.stdout)


@pytest.fixture
def installed(script: Path, lab: Lab) -> Installed:
    return Installed(script, lab)


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names} == {"pkgrun", f"pkgrun-{pkgrun.__version__}.dist-info"}
    assert "pkgrun/worker/child/__main__.py" in names
    assert not [name for name in names if "__pycache__" in name]


def test_iris_with_the_standard_library_alone(installed: Installed) -> None:
    document = installed("train", EXAMPLES / "iris", "--data", EXAMPLES / "data" / "iris")

    assert (document["status"], document["version"], document["parent"]) == ("successful", "1.1", "1.0")
    assert document["metrics"]["accuracy.held_out"] > 0.9


def test_diagnosis_with_scikit_learn_really_installed(installed: Installed) -> None:
    lab, data = installed.lab, EXAMPLES / "data" / "diagnosis"
    repository, package = under_git(lab)
    document = installed(
        *("train", package, "--data", data, "-e", "C=0.5", "--description", "half", "--tag", "team=x"),
        OMP_NUM_THREADS="1",
        AWS_SECRET_ACCESS_KEY="never-recorded-anywhere",
    )
    record, facts = document["record"], document["record"]["facts"]

    jsonschema.validate(record, schema("run"))
    assert document["results"] == json.loads(stored(lab, document, "_results.json").read_text())
    kept = stored(lab, document, "run.json").read_bytes()
    assert record == RunRecord.from_bytes(kept, key="run.json").model_dump(mode="json")
    assert facts["data"] == {
        "source": str(data),
        "tree": {
            "digest": facts["data"]["tree"]["digest"],
            "files": 1,
            "bytes": (data / "patients.csv").stat().st_size,
        },
        "role": "input",
        "mount": facts["data"]["mount"],
        "attested": True,
        "unstable": {"count": 0, "names": []},
        "doubt": None,
        "written": {how: {"count": 0, "names": []} for how in ("added", "changed", "removed")},
        "listed": True,
    }
    assert DIGEST.fullmatch(facts["data"]["tree"]["digest"])
    assert facts["data"]["mount"] in {"copy", "reflink", "overlay"}
    assert record["request"]["parameters"] == {"C": "0.5"}
    assert (record["request"]["description"], record["request"]["tags"]) == ("half", {"team": "x"})
    assert {"OMP_NUM_THREADS", "PATH"} <= set(facts["inherited"])
    assert "AWS_SECRET_ACCESS_KEY" not in facts["inherited"]
    assert facts["environment"]["mode"] == "isolated"
    assert facts["environment"]["lock"]["bytes"] > 500
    assert facts["changes"]["added"]["names"] == ["model.joblib"]
    assert facts["changes"]["unexpected"]["names"] == ["model.joblib"]
    assert facts["changes"]["changed"]["count"] == facts["changes"]["removed"]["count"] == 0
    assert facts["metrics"]["cross_validation.accuracy"] > 0.9
    assert facts["metrics"] == document["metrics"]
    assert facts["exit"] == {"reason": "finished", "code": 0, "signal": None, "cause": None}
    assert facts["usage"]["peak_memory_bytes"] > 10_000_000
    assert facts["usage"]["cpu_seconds"] > 0
    assert record["by"] == {
        "user": getpass.getuser(),
        "host": os.uname().nodename,
        "pkgrun": pkgrun.__version__,
    }
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert record["git"] == {
        "commit": commit,
        "branch": "trunk",
        "remote": "https://example.org/team/models.git",
        "path": "models/diagnosis",
        "dirty": False,
    }
    everything = b"".join(file.read_bytes() for file in lab.store.rglob("*") if file.is_file())
    assert b"never-recorded-anywhere" not in everything
    assert b"pass-of-the-remote" not in everything
    is_as_the_contract_says(lab, document, data, {"C": "0.5"})
    retraining_reuses_the_lock(installed, document)


def under_git(lab: Lab) -> tuple[Path, Path]:
    """A repository with the example in it, whose remote has a password."""
    repository = lab.folder / "repository"
    package = repository / "models" / "diagnosis"
    shutil.copytree(EXAMPLES / "diagnosis", package, ignore=shutil.ignore_patterns("__pycache__"))
    remote = "https://user:pass-of-the-remote@example.org/team/models.git"
    for command in (
        ["git", "init", "-q", "-b", "trunk"],
        ["git", "add", "."],
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "Add"],
        ["git", "remote", "add", "origin", remote],
    ):
        subprocess.run(command, cwd=repository, check=True)
    return repository, package


def stored(lab: Lab, document: Any, name: str) -> Path:
    return lab.store / "runs" / str(document["run_id"]) / name


def is_as_the_contract_says(lab: Lab, document: Any, data: Path, env: dict[str, str]) -> None:
    """`_results.json` has the vendor's names, all of them, and no others."""
    results = json.loads(stored(lab, document, "_results.json").read_text())
    summary, facts = results["run_summary"], document["record"]["facts"]
    start, end = (datetime.fromisoformat(facts[name]).timestamp() for name in ("started", "ended"))

    assert results["parameters"] == {
        "pipeline": "training",
        "inputs": {"package": "diagnosis", "version": "1.0", "train_data": str(data), "gpu": "False"},
        "env": env,
    }
    assert set(results) == {"parameters", "run_summary"}
    assert summary == {
        "execution_time": pytest.approx(end - start, abs=1e-3),
        "start_at": pytest.approx(start),
        "end_at": pytest.approx(end),
        "outputs": {
            "train_data": None,
            "artifacts_data": f"{lab.store}/runs/{document['run_id']}/artifacts",
            "package": "diagnosis",
            "version": "1.1",
        },
    }


def retraining_reuses_the_lock(installed: Installed, first: Any) -> None:
    data = EXAMPLES / "data" / "diagnosis"
    second = installed("train", "diagnosis@1.1", "--data", data)
    assert "resolving" not in installed.said
    assert second["version"] == "1.2"
    assert lock_of(second) == lock_of(first)


def lock_of(document: Any) -> Any:
    return document["record"]["facts"]["environment"]["lock"]


def test_routing_gets_better_with_each_batch(installed: Installed) -> None:
    data, accuracy = EXAMPLES / "data" / "routing", []
    package: str | Path = EXAMPLES / "routing"
    for batch, version in (("batch1", "1.1"), ("batch2", "1.2"), ("batch3", "1.3")):
        document = installed("train", package, "--data", data / batch)
        assert document["version"] == version
        accuracy.append(document["metrics"]["held_out_accuracy.after"])
        package = "routing"

    assert accuracy == sorted(set(accuracy))
    assert accuracy == pytest.approx([0.558, 0.692, 0.833], abs=0.03)

    answer = installed("predict", "routing@1.3", "--text", '{"text": "eigenvalues of a large sparse matrix"}')
    assert json.loads(answer["prediction"])["topic"] == "sparse"
    rows = installed("compare", "routing@1.1", "routing@1.2", "routing@1.3")["rows"]
    assert next(row["best"] for row in rows if row["name"] == "held_out_accuracy.after") == [2]


def wheel_of(folder: Path, version: str) -> None:
    """Write a wheel of `dep` that has nothing but its version."""
    info = f"dep-{version}.dist-info"
    with zipfile.ZipFile(folder / f"dep-{version}-py3-none-any.whl", "w") as archive:
        code = f"version = '{version}'\n"
        digest = base64.urlsafe_b64encode(hashlib.sha256(code.encode()).digest()).rstrip(b"=").decode()
        archive.writestr("dep.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: dep\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD",
            f"dep.py,sha256={digest},{len(code)}\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
        )


def test_a_retraining_keeps_the_lock_until_it_is_told_to_resolve_anew(installed: Installed) -> None:
    """`dep` has a newer release by the time of the retraining; there is no index."""
    lab = installed.lab
    wheels = lab.folder / "wheels"
    wheels.mkdir()
    wheel_of(wheels, "1.0")
    code = "import dep\nclass Main:\n    def train(self, training_directory): print('dep', dep.version)\n"
    code += "    def save(self): open('model.txt', 'a').write(dep.version)\n"
    package = lab.package("p", code, {"requirements.txt": "dep>=1\n"})
    offline = {"UV_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1"}

    first = installed("train", package, **offline)
    assert "dep 1.0" in installed.said
    wheel_of(wheels, "1.1")
    second = installed("train", "p", **offline)
    assert "dep 1.0" in installed.said
    assert lock_of(second) == lock_of(first)
    third = installed("train", "p", "--upgrade", **offline)
    assert "dep 1.1" in installed.said
    assert lock_of(third) != lock_of(first)
    assert (
        third["record"]["facts"]["environment"]["requirements"]
        == (first["record"]["facts"]["environment"]["requirements"])
    )
    fourth = installed("train", "p", **offline)
    assert lock_of(fourth) == lock_of(third)
    fifth = installed("train", "p@1.1", **offline)
    assert lock_of(fifth) == lock_of(first)


def other_pythons() -> dict[str, Path]:
    """Pythons besides this one that are on this machine: their series, and the folder they lie in."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for folder in [*map(Path, os.get_exec_path()), *pyenv.glob("*/bin")]:
        for python in folder.glob("python3.[0-9]*"):
            series = python.name.removeprefix("python")
            minor = series.removeprefix("3.")
            if (
                minor.isdecimal()
                and int(minor) >= 8
                and int(minor) != sys.version_info.minor
                and starts(python)
            ):
                found[series] = folder
    return found


def starts(python: Path) -> bool:
    try:
        return subprocess.run([python, "-c", "import venv"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def test_another_python(installed: Installed) -> None:
    found = other_pythons()
    if not found:
        pytest.skip("there is no other Python here")
    series, folder = max(found.items(), key=lambda item: int(item[0].removeprefix("3.")))
    path = f"{folder}:{os.environ['PATH']}"
    data = EXAMPLES / "data" / "iris"
    first = installed("train", EXAMPLES / "iris", "--data", data, "--python", series, PATH=path)
    assert first["record"]["facts"]["environment"]["python"].startswith(f"{series}.")

    second = installed("train", "iris", "--data", data, PATH=path)
    assert (
        second["record"]["facts"]["environment"]["python"]
        == (first["record"]["facts"]["environment"]["python"])
    )
    third = installed("train", "iris", "--data", data, "--python", sys.executable)
    assert third["record"]["facts"]["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_guide_from_a_vendors_zip_and_back_with_scikit_learn(installed: Installed) -> None:
    lab, data = installed.lab, EXAMPLES / "data"
    seed, out, back = lab.folder / "seed", lab.folder / "out", lab.folder / "back"
    installed("package", "add", EXAMPLES / "diagnosis", "--store", seed)
    installed("package", "export", "diagnosis@1.0", lab.folder, "--format", "aicenter", "--store", seed)
    (lab.folder / "diagnosis_v1.0_pkgrun.json").unlink()  # the vendor writes none
    names = "diagnosis_v{}.zip", "diagnosis_v{}_metadata.json"
    given = [lab.folder / name.format("1.0") for name in names]
    assert installed("package", "add", given[0], "--metadata", given[1])["version"] == "1.0"

    made = installed("full", "diagnosis@1.0", "--data", data / "diagnosis")
    facts = made["record"]["facts"]
    assert (made["version"], made["baseline_score"]) == ("1.1", None)
    assert made["score"] == made["results"]["run_summary"]["outputs"]["score"] > 0.9
    assert [(one["call"], one["role"], one["attested"]) for one in facts["passed"]] == [
        ("baseline", "evaluated", True),
        ("train", "trained", True),
        ("evaluate", "evaluated", True),
    ]
    assert facts["passed"][0]["tree"] == facts["passed"][2]["tree"] != facts["passed"][1]["tree"]
    judged = installed("evaluate", "diagnosis", "--data", data / "diagnosis-held-out")
    assert judged["version"] is None
    assert judged["score"] > 0.9
    again = installed("full", "diagnosis@1.1", "--data", data / "diagnosis", "-e", "folds=3", "--no-baseline")
    assert again["version"] == "1.2"
    rows = installed("compare", "diagnosis@1.1", "diagnosis@1.2")["rows"]
    assert [row["values"] for row in rows if row["name"] == "folds"] == [[None, "3"]]

    installed("package", "export", "diagnosis@1.2", out, "--format", "aicenter")
    exported = [out / name.format("1.2") for name in names]
    there = installed("package", "add", exported[0], "--metadata", exported[1], "--store", back)
    assert there["tree"] == made_tree(installed, "diagnosis@1.2")
    assert len(there["origin"]["ancestors"]) == 2


def made_tree(installed: Installed, version: str) -> Any:
    """The content of a version."""
    return installed("package", "show", version)["tree"]
