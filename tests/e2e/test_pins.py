"""A package whose pins are older than the Python at hand: what a training says, and what its record keeps of the ways out."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from pkgrun.errors import EnvironmentFailed, UsageError

from .lab import Lab

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="its wheels are for Linux on x86-64"
)

CODE = """
import old_thing
class Main:
    def train(self, training_directory):
        open("model.txt", "a").write(old_thing.version)
    def save(self):
        pass
"""


def _wheel(folder: Path, version: str, tag: str) -> None:
    info = f"old_thing-{version}.dist-info"
    with zipfile.ZipFile(folder / f"old_thing-{version}-{tag}.whl", "w") as archive:
        archive.writestr("old_thing.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: old-thing\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def old(lone_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that pins `old-thing` to a version with wheels for Python 3.8 only; 1.5 and 2.0 are for all."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    _wheel(wheels, "1.0", "cp38-cp38-linux_x86_64")
    _wheel(wheels, "1.5", "py3-none-any")
    _wheel(wheels, "2.0", "py3-none-any")
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    lone_lab.env.update(settings)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return lone_lab.package("old", CODE, {"requirements.txt": "old-thing==1.0\n"})


def test_a_pin_that_no_longer_installs_ends_the_run_with_the_ways_out(lone_lab: Lab, old: Path) -> None:
    run = lone_lab.workspace().train(old)
    with pytest.raises(EnvironmentFailed):
        run.wait()
    error = run.record().error
    assert error is not None
    assert error.phase == "environment"
    assert "old-thing==1.0 does not install on Python 3." in error.message
    assert "--python 3.8" in (error.hint or "")
    assert "--relax-pins" in (error.hint or "")


def test_relaxed_pins_are_recorded_and_a_retraining_inherits_what_ran(lone_lab: Lab, old: Path) -> None:
    first = lone_lab.workspace().train(old, relax_pins=True).wait()
    assert first.record.request is not None
    assert first.record.request.relax_pins
    made = lone_lab.workspace().version("old@1.1").environment
    assert made is not None
    assert [(one.pin, one.version) for one in made.relaxed] == [("old-thing==1.0", "1.5")]
    lone_lab.workspace().train("old@1.1").wait()
    again = lone_lab.workspace().version("old@1.2").environment
    assert again == made
    shown = lone_lab.pkgrun("package", "show", "old@1.2").out
    assert "old-thing==1.0 became 1.5" in shown


def test_overrides_are_recorded_kept_by_a_retraining_and_replaced_by_others(
    lone_lab: Lab, old: Path, tmp_path: Path
) -> None:
    file = tmp_path / "overrides.txt"
    file.write_text("old-thing==2.0\n")
    first = lone_lab.workspace().train(old, override_requirements=file).wait()
    assert first.record.request is not None
    assert first.record.request.override_requirements == "old-thing==2.0\n"
    made = lone_lab.workspace().version("old@1.1").environment
    assert made is not None
    assert made.overrides is not None
    lone_lab.workspace().train("old@1.1").wait()
    assert lone_lab.workspace().version("old@1.2").environment == made
    file.write_text("old-thing==1.5\n")
    lone_lab.workspace().train("old@1.2", override_requirements=file).wait()
    other = lone_lab.workspace().version("old@1.3").environment
    assert other is not None
    assert other.overrides not in (None, made.overrides)
    assert other.lock != made.lock


def test_the_command_takes_both(lone_lab: Lab, old: Path, tmp_path: Path) -> None:
    (tmp_path / "o.txt").write_text("old-thing\n")
    file = tmp_path / "o.txt"
    told = lone_lab.document("train", old, "--relax-pins", "--override-requirements", file)
    assert told["status"] == "successful"
    page = lone_lab.pkgrun("run", "show", told["run_id"]).out
    assert "overridden" in page


def test_the_python_at_hand_takes_no_other_requirements(lone_lab: Lab, old: Path) -> None:
    with pytest.raises(UsageError, match="no other requirements"):
        lone_lab.workspace().train(old, environment="current", relax_pins=True)
