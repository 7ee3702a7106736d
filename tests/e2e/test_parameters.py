"""Parameters that a package declares, from its folder into the record of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkgrun.errors import UsageError
from pkgrun.observe import Event, Notice
from tests.hostile.conftest import scene as scene  # noqa: PLC0414  # a fixture
from tests.hostile.scene import Scene

DECLARED = """
[parameters.epochs]
type = "int"
default = 10
maximum = 20

[parameters.mode]
type = "choice"
choices = ["fast", "exact"]
required = true
"""


@pytest.fixture
def package(scene: Scene) -> Path:
    made = scene.package(
        "print(os.environ['epochs'], os.environ['mode'])", save="open('model.txt', 'a').write('x')"
    )
    (made / "pkgrun.toml").write_text(DECLARED)
    return made


def test_what_was_used_is_recorded_and_inherited(scene: Scene, package: Path) -> None:
    first = scene.train(package, env={"mode": "fast", "free": "1"}).record
    assert first.request is not None
    assert first.request.parameters == {"epochs": "10", "mode": "fast", "free": "1"}
    assert scene.lines(first.run) == ["10 fast"]
    again = scene.train("pack", env={"mode": "exact", "epochs": "20"}).record
    assert scene.lines(again.run) == ["20 exact"]
    versions = [scene.workspace.version(f"pack@1.{minor}").contract.parameters for minor in range(3)]
    assert sorted(versions[0]) == ["epochs", "mode"]
    assert versions[0] == versions[1] == versions[2]


@pytest.mark.parametrize("env", [{}, {"mode": "slow"}, {"mode": "fast", "epochs": "21"}])
def test_a_wrong_value_is_refused_before_anything_is_written(
    scene: Scene, package: Path, env: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=r"mode|epochs"):
        scene.workspace.train(str(package), env=env)
    assert scene.workspace.packages() == {}
    assert list(scene.workspace.runs()) == []
    scene.workspace.add(package)
    with pytest.raises(UsageError, match=r"mode|epochs"):
        scene.workspace.train("pack", env=env)
    assert scene.left() == []


def test_what_is_nearly_declared_is_told_once(scene: Scene, package: Path) -> None:
    events: list[Event] = []
    ended = scene.train(package, env={"mode": "fast", "epoch": "3"}, observer=events.append)
    assert ended.error is None
    told = [event.message for event in events if isinstance(event, Notice) and "declares" in event.message]
    assert told == ["the package declares no parameter epoch; did you mean epochs?"]


def test_a_default_that_is_a_secrets_value_is_refused(scene: Scene, package: Path) -> None:
    (package / "pkgrun.toml").write_text('[parameters.token]\ntype = "str"\ndefault = "canary-of-a-secret"\n')
    with pytest.raises(UsageError, match="token") as refused:
        scene.workspace.train(str(package), secrets={"KEY": "canary-of-a-secret"})
    assert "canary" not in f"{refused.value}{refused.value.hint}"


def test_check_and_show_tell_them(scene: Scene, package: Path) -> None:
    said = scene.call("package", "check", package)
    assert "parameter epochs: int = 10, at most 20\n" in said.out
    assert scene.call("--json", "package", "check", package).document["parameters"]["mode"]["choices"] == [
        "fast",
        "exact",
    ]
    scene.workspace.add(package)
    assert "epochs: int = 10, at most 20" in scene.call("package", "show", "pack@1.0").out
    (package / "pkgrun.toml").write_text('[parameters.epochs]\ntype = "number"\n')
    said = scene.call("package", "check", package)
    assert "error: pkgrun.toml: [parameters.epochs]: type is 'number'" in said.out


def test_a_package_can_be_where_one_stands(scene: Scene, package: Path) -> None:
    """What it declares is no configuration of pkgrun's."""
    said = scene.call("package", "check", ".", cwd=package)
    assert said.code == 0
    assert scene.call("package", "list", cwd=package).code in {0, 6}
