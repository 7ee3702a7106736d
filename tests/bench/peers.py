"""The programs that pkgrun is compared to, and how each is asked to do what pkgrun is asked to do.

    python -m tests.bench.peers DIR [NAME ...]

makes a virtual environment of each in a folder. One that is not there is left out of the tables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .timing import Trial, call

SCRIPT = "run.py"
MODEL = "model.json"

_STAGE = """\
stages:
  train:
    cmd: {python} run.py
    deps: [run.py, train.py, average.py, data]
    outs: [model.json]
"""

_FLOW = """\
from metaflow import FlowSpec, step


class Training(FlowSpec):
    @step
    def start(self):
        exec(open("run.py").read(), {"__name__": "__main__"})
        self.model = open("model.json", "rb").read()
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Training()
"""

_PROJECT = """\
name: training
entry_points:
  main:
    command: "{python} run.py"
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program in a virtual environment of its own."""

    name: str
    bin: Path

    @property
    def version(self) -> tuple[str, ...]:
        """The command that only says who it is."""
        return (str(self.bin / self.name), *_KINDS[self.name].version)

    def env(self, home: Path, base: Mapping[str, str]) -> dict[str, str]:
        """Its environment: nothing is sent home, all is kept below `home`."""
        kind = _KINDS[self.name]
        own = {name: value.format(home=home) for name, value in kind.env.items()}
        return {**base, **own, "HOME": str(home), "PATH": f"{self.bin}:{base['PATH']}"}

    def run(self, folder: Path, python: Path, base: Mapping[str, str]) -> Trial:
        """Run the script in `folder`, which holds its modules and data, and keep the model that it makes."""
        home = folder / ".home"
        home.mkdir()
        env = self.env(home, base)
        return _KINDS[self.name].run(self, folder, python, env)


@dataclass(frozen=True, slots=True)
class _Kind:
    version: tuple[str, ...]
    env: Mapping[str, str]
    run: Callable[[Peer, Path, Path, Mapping[str, str]], Trial]
    extra: str = ""


def _dvc(peer: Peer, folder: Path, python: Path, env: Mapping[str, str]) -> Trial:
    dvc = peer.bin / "dvc"
    call((dvc, "init", "--no-scm", "-q"), cwd=folder, env=env)
    call((dvc, "config", "core.analytics", "false"), cwd=folder, env=env)
    call((dvc, "config", "core.check_update", "false"), cwd=folder, env=env)
    (folder / "dvc.yaml").write_text(_STAGE.format(python=python))
    return Trial("dvc repro", (str(dvc), "repro", "-q", "-f"), folder, env)


def _metaflow(peer: Peer, folder: Path, python: Path, env: Mapping[str, str]) -> Trial:
    (folder / "flow.py").write_text(_FLOW)
    argv = (str(peer.bin / "python"), "flow.py", "--quiet", "run")
    return Trial("metaflow run", argv, folder, env)


def _mlflow(peer: Peer, folder: Path, python: Path, env: Mapping[str, str]) -> Trial:
    (folder / "MLproject").write_text(_PROJECT.format(python=python))
    mlflow = str(peer.bin / "mlflow")
    call((mlflow, "experiments", "create", "-n", "bench"), cwd=folder, env=env)
    argv = (mlflow, "run", ".", "--env-manager", "local", "--experiment-name", "bench")
    return Trial("mlflow run", argv, folder, env)


_KINDS: Mapping[str, _Kind] = {
    "dvc": _Kind(
        ("--version",), {"DVC_SITE_CACHE_DIR": "{home}/site", "DVC_NO_ANALYTICS": "1"}, _dvc, "[s3]"
    ),
    "metaflow": _Kind(
        (),  # it has no --version; without arguments it says who it is
        {
            "METAFLOW_HOME": "{home}/metaflow",
            "METAFLOW_DATASTORE_SYSROOT_LOCAL": "{home}/metaflow",
            "METAFLOW_DEFAULT_DATASTORE": "local",
            "USERNAME": "bench",
        },
        _metaflow,
    ),
    "mlflow": _Kind(
        ("--version",),
        {
            "MLFLOW_TRACKING_URI": "sqlite:///{home}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        },
        _mlflow,
    ),
}


def found(folder: Path | None) -> tuple[list[Peer], list[str]]:
    """The peers whose virtual environments lie in a folder, and the names of those that do not."""
    there = [
        Peer(name, folder.absolute() / name / "bin")
        for name in _KINDS
        if folder is not None and (folder / name / "bin" / name).exists()
    ]
    return there, [name for name in _KINDS if name not in {peer.name for peer in there}]


def make(folder: Path, names: list[str]) -> Iterator[str]:
    """Install peers, each into a virtual environment, their bytecode compiled; a line about each."""
    folder.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ) | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for name in names:
        python = folder.absolute() / name / "bin" / "python"
        if (python.parent / name).exists():
            yield f"{name}: there already"
            continue
        call((sys.executable, "-m", "venv", folder / name), cwd=folder, env=env)
        wanted = f"{name}{_KINDS[name].extra}"
        call((python, "-m", "pip", "install", "-q", wanted), cwd=folder, env=env)
        version = call(
            (python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"), cwd=folder, env=env
        )
        yield f"{name}: installed {version.strip()}"


def main(arguments: list[str]) -> int:
    """The command line."""
    if not arguments or arguments[0].startswith("-") or set(arguments[1:]) - set(_KINDS):
        print(__doc__)
        print(f"the names are {', '.join(_KINDS)}")
        return 2
    for line in make(Path(arguments[0]).absolute(), arguments[1:] or list(_KINDS)):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
