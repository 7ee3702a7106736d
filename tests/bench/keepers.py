"""The programs that keep datasets, pkgrun among them: the command lines by which each does it. It times nothing.

All work in the same way: in a folder of their own with the dataset as `data` in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .ground import Ground, environ
from .scratch import Scratch
from .timing import Trial, call

DATA = "data"

_LOG = """\
import mlflow
with mlflow.start_run() as run:
    mlflow.log_artifacts("data", "data")
open("run", "w").write(run.info.run_id)
"""

_DOWNLOAD = """\
import mlflow, os
os.mkdir("out")
mlflow.artifacts.download_artifacts(run_id=open("run").read(), artifact_path="data", dst_path="out")
"""


@dataclass(frozen=True, slots=True)
class Keeper:
    """How one of them keeps `data`, again after it was kept, and writes it out; `{bin}` is where its programs are.

    `make` is what a new folder needs before, untimed. `restored` is where the dataset lies when it was written out.
    """

    name: str
    first: Sequence[str]
    again: Sequence[str]
    restore: Sequence[str]
    restored: str
    make: Sequence[Sequence[str]] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    venv: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is pkgrun, with whatever command lines."""
        return self.name == "pkgrun"


PKGRUN = Keeper(
    name="pkgrun",
    first=("{bin}/pkgrun", "dataset", "add", "bench", DATA),
    again=("{bin}/pkgrun", "dataset", "add", "bench", DATA),
    restore=("{bin}/pkgrun", "dataset", "export", "bench", "out"),
    restored="out",
    env={"PKGRUN_STORE": "{place}/store", "PKGRUN_CACHE": "{place}/cache"},
)
DVC = Keeper(
    name="dvc",
    make=(
        ("{bin}/dvc", "init", "--no-scm", "-q"),
        ("{bin}/dvc", "config", "core.analytics", "false"),
        ("{bin}/dvc", "config", "core.check_update", "false"),
    ),
    first=("{bin}/dvc", "add", "-q", DATA),
    again=("{bin}/dvc", "add", "-q", DATA),
    restore=("{bin}/dvc", "checkout", "-q"),
    restored=DATA,
    env={"DVC_SITE_CACHE_DIR": "{place}/site", "DVC_NO_ANALYTICS": "1"},
    venv=True,
)
RESTIC = Keeper(
    name="restic",
    make=(("{bin}/restic", "init", "-q"),),
    first=("{bin}/restic", "backup", "-q", DATA),
    again=("{bin}/restic", "backup", "-q", DATA),
    restore=("{bin}/restic", "restore", "-q", "latest", "--target", "out"),
    restored=f"out/{DATA}",
    env={
        "RESTIC_REPOSITORY": "{place}/store",
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": "{place}/cache",
    },
)
BORG = Keeper(
    name="borg",
    make=(("{bin}/borg", "init", "-e", "none"),),
    first=("{bin}/borg", "create", "::first", DATA),
    again=("{bin}/borg", "create", "::{{now:%s.%f}}", DATA),
    restore=("sh", "-ec", "mkdir out; cd out; exec {bin}/borg extract ::first"),
    restored=f"out/{DATA}",
    env={
        "BORG_REPO": "{place}/store",
        "BORG_BASE_DIR": "{place}/cache",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    },
)
MLFLOW = Keeper(
    name="mlflow",
    make=(("{bin}/python", "-c", "import mlflow; mlflow.search_experiments()"),),
    first=("{bin}/python", "-c", _LOG),
    again=("{bin}/python", "-c", _LOG),
    restore=("{bin}/python", "-c", _DOWNLOAD),
    restored=f"out/{DATA}",
    env={
        "MLFLOW_TRACKING_URI": "sqlite:///{place}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    },
    venv=True,
)
KEEPERS: Sequence[Keeper] = (PKGRUN, DVC, RESTIC, BORG, MLFLOW)


def programs(ground: Ground, keeper: Keeper) -> Path | None:
    """The folder that a keeper's programs are in, or None if it is not there."""
    if keeper.ours:
        return ground.program.parent
    if keeper.venv:
        return next((peer.bin for peer in ground.peers if peer.name == keeper.name), None)
    found = shutil.which(keeper.name)
    return Path(found).parent if found else None


def chosen(ground: Ground, keepers: Sequence[Keeper] = KEEPERS) -> Iterator[Keeper]:
    """Those that nobody asked to leave out."""
    return (keeper for keeper in keepers if keeper.name not in ground.without)


@dataclass(frozen=True, slots=True)
class Place:
    """A keeper at work on a dataset in a folder of a scratch; a new one by each `begin`, with the same dataset.

    `variables` go into its environment, and into its command lines where these name them.
    """

    keeper: Keeper
    bin: Path
    scratch: Scratch
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def tree(self) -> Path:
        """The dataset."""
        return self.folder / DATA

    @property
    def restored(self) -> Path:
        """Where it lies when it was written out."""
        return self.folder / self.keeper.restored

    @property
    def source(self) -> Path:
        """Where it is taken to while it is not to be found."""
        return self.folder.with_name(f"{self.folder.name}-source")

    @property
    def env(self) -> dict[str, str]:
        """The environment of the keeper's programs."""
        base = environ(self.folder)
        known = {"place": self.folder, **self.variables}
        own = {name: value.format(**known) for name, value in self.keeper.env.items()}
        return base | own | {"PATH": f"{self.bin}:{base['PATH']}"} | dict(self.variables)

    def begin(self) -> None:
        """A new folder in which nothing but the dataset is kept so far."""
        if self.tree.exists():
            self.take_away()
        self.scratch.park(self.folder)
        self.folder.mkdir()
        self.bring_back()
        for argv in self.keeper.make:
            self.call(argv)

    def take_away(self) -> None:
        """Remove the dataset, as far as the keeper can tell."""
        self.tree.rename(self.source)

    def bring_back(self) -> None:
        """Undo it."""
        self.scratch.park(self.tree)
        self.source.rename(self.tree)

    def trial(self, name: str, argv: Sequence[str], prepare: Callable[[], object] = lambda: None) -> Trial:
        """One of the keeper's command lines, to be timed."""
        return Trial(name, self._filled(argv), self.folder, self.env, prepare)

    def call(self, argv: Sequence[str]) -> str:
        """One of the keeper's command lines, not timed; its standard output."""
        return call(self._filled(argv), cwd=self.folder, env=self.env)

    def _filled(self, argv: Sequence[str]) -> tuple[str, ...]:
        return tuple(word.format(bin=self.bin, **self.variables) for word in argv)
