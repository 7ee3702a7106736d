"""Old pins: what has no wheel for a Python is named with the ways out, and may be overridden or relaxed."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import EnvironmentFailed, NotFound, UsageError
from pkgrun.observe import Event, Notice
from pkgrun.worker import overrides, pins
from pkgrun.worker.environment import Environment, ensure
from pkgrun.worker.overrides import Overrides
from pkgrun.worker.pins import Requirement
from pkgrun.worker.requirements import read

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_INDEX"))}
ENVIRON |= {"UV_PYTHON_DOWNLOADS": "never", "PIP_CONFIG_FILE": os.devnull}
HERE = f"3.{sys.version_info.minor}"
PLATFORM = "linux_x86_64" if sys.platform == "linux" and os.uname().machine == "x86_64" else None

linux = pytest.mark.skipif(PLATFORM is None, reason="its wheels are for Linux on x86-64")

Make = Callable[..., Environment]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """All that is known to uv in these tests."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def make(tmp_path: Path, wheels: Path) -> Make:
    """Writes requirements and makes their environment from `wheels`."""
    package = tmp_path / "package"
    package.mkdir()
    environ = ENVIRON | {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
    }

    def made(text: str, **options: Any) -> Environment:
        (package / "requirements.txt").write_text(text)
        given = {"environ": environ | options.pop("variables", {})} | options
        return ensure(read(package), package=package, cache=tmp_path / "cache", **given)

    return made


def _wheel(folder: Path, name: str, version: str, *pythons: str, needs: str = "") -> None:
    """Wheels of a project for some Pythons; for all of them if none is named."""
    module = name.replace("-", "_")
    tags = [f"cp{python.replace('.', '')}-cp{python.replace('.', '')}-{PLATFORM}" for python in pythons]
    for tag in tags or ["py3-none-any"]:
        info = f"{module}-{version}.dist-info"
        required = f"Requires-Dist: {needs}\n" if needs else ""
        with zipfile.ZipFile(folder / f"{module}-{version}-{tag}.whl", "w") as archive:
            archive.writestr(f"{module}.py", f"version = {version!r}\n")
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}"
            )
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
            archive.writestr(f"{info}/RECORD", "")


_BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/{wheel}", "w") as archive:
        archive.writestr("{info}/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        archive.writestr("{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("{info}/RECORD", "")
    return "{wheel}"
"""


def _source(folder: Path, name: str, version: str, *, builds: bool) -> None:
    """A source archive that builds, or does not; what builds it is in it, so that nothing has to be fetched."""
    import io
    import tarfile

    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    body = _BACKEND.format(
        info=info, wheel=f"{module}-{version}-py3-none-any.whl", name=name, version=version
    )
    files = {
        "backend.py": body if builds else "raise SystemExit('too old for this Python')\n",
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
    }
    with tarfile.open(folder / f"{module}-{version}.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{module}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


def _failure(make: Make, text: str, **options: Any) -> EnvironmentFailed:
    with pytest.raises(EnvironmentFailed) as caught:
        make(text, **options)
    return caught.value


def _locked(made: Environment) -> list[str]:
    return [line.split()[0] for line in made.lock.splitlines() if "==" in line]


# What is said


@linux
def test_a_pin_without_a_wheel_names_the_pythons_that_have_one_and_the_ways_out(
    make: Make, wheels: Path
) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.7", "3.8", "3.9")
    error = _failure(make, "old-thing==1.0\n")
    assert error.message.splitlines()[0] == (
        f"requirements.txt: old-thing==1.0 does not install on Python {HERE}: "
        "for this platform it has wheels for Python 3.8, 3.9 (of 3.8 to 3.14)"
    )
    assert error.hint is not None
    assert error.hint.startswith("--python 3.9 (the newest with wheels for it")
    assert error.hint.endswith("; or --override-requirements FILE; or --relax-pins")


@linux
def test_the_python_that_is_advised_fits_all_pins_also_those_that_install_here(
    make: Make, wheels: Path
) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8", "3.9", "3.10")
    _wheel(wheels, "other-thing", "2.0", "3.8", "3.9")
    _wheel(wheels, "good-thing", "3.0", "3.8", HERE)
    error = _failure(make, "good-thing==3.0\nold-thing==1.0\nother-thing==2.0 ; python_version > '3'\n")
    assert "no wheel for it either: other-thing==2.0 (3.8, 3.9)" in error.message or (
        "no wheel for it either: old-thing==1.0 (3.8, 3.9, 3.10)" in error.message
    )
    assert (error.hint or "").startswith("--python 3.8 (the newest with wheels for all that is required")


@linux
def test_where_no_python_fits_all_that_is_said(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "new-thing", "1.0", "3.10", HERE)
    error = _failure(make, "old-thing==1.0\nnew-thing==1.0\n")
    assert "no Python has wheels for all that is required" in error.message
    assert error.hint == "--override-requirements FILE; or --relax-pins"


@linux
def test_a_range_and_what_it_needs_are_named_by_what_failed(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "asking", "1.0", needs="old-thing==1.0")
    assert _failure(make, "old-thing<2\n").message.startswith(
        "requirements.txt: old-thing<2 does not install"
    )
    assert "old-thing==1.0 does not install on" in _failure(make, "asking\n").message


@linux
def test_a_source_that_does_not_build_is_blamed_and_one_that_builds_is_not(make: Make, wheels: Path) -> None:
    for name, builds in (("broken-thing", False), ("sound-thing", True)):
        _wheel(wheels, name, "1.0", "3.8")
        _source(wheels, name, "1.0", builds=builds)
    error = _failure(make, "broken-thing==1.0\n")
    assert "broken-thing==1.0 does not install" in error.message
    assert "for this platform it has wheels for Python 3.8" in error.message
    assert "too old for this Python" in error.message
    notices: list[Event] = []
    made = make("sound-thing==1.0\n", relax=True, observer=notices.append)
    assert (_locked(made), made.relaxed) == (["sound-thing==1.0"], ())
    assert any("so it is built, which may take long: sound-thing==1.0" in str(each) for each in notices)


def test_more_than_ten_are_counted(make: Make, wheels: Path) -> None:
    from pkgrun.worker import diagnosis

    found = [Requirement(f"p{number}", f"p{number}==1", "1", 1) for number in range(13)]
    known = {one: ["3.8"] for one in found}
    error = diagnosis.explained(
        EnvironmentFailed("uv"),
        diagnosis.Diagnosis(found[0], HERE, tuple(found[1:]), known, "3.8"),
        source="requirements.txt",
        ways=[],
        here=[],
        download=True,
    )
    line = error.message.splitlines()[1]
    assert line.count("==1") == 10
    assert line.endswith(" and 2 more")
    assert error.hint == "--python 3.8 (the newest with wheels for all that is required, which uv downloads)"


@pytest.mark.parametrize("text", ["six==9.9.9\n", "pkgrun-none==1\n"])
def test_a_version_that_does_not_exist_is_no_matter_of_pythons(make: Make, wheels: Path, text: str) -> None:
    _wheel(wheels, "six", "1.16.0")
    error = _failure(make, text)
    assert error.message.startswith("requirements.txt cannot be resolved")
    assert "wheels for Python" not in error.message


@linux
def test_offline_nothing_is_asked_and_that_is_said(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    error = _failure(make, "old-thing==1.0\n", variables={"UV_OFFLINE": "1"})
    assert "(which Pythons it has wheels for was not asked: uv is offline)" in error.message
    assert (error.hint or "").startswith("an older Python: --python X; or --override-requirements FILE")


@linux
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there is no newer one")
def test_a_newer_python_is_advised_where_the_one_at_hand_is_too_old(make: Make, wheels: Path) -> None:
    _wheel(wheels, "new-thing", "2.0", "3.14")
    assert (_failure(make, "new-thing==2.0\n").hint or "").startswith("--python 3.14 ")


# Relaxed


@linux
def test_only_pins_that_do_not_install_are_relaxed_up_to_the_next_major(make: Make, wheels: Path) -> None:
    for version in ("1.0", "1.9", "2.0"):
        _wheel(wheels, "old-thing", version, *(["3.8"] if version == "1.0" else [HERE]))
    _wheel(wheels, "old-thing", "1.95", "3.8")
    for version in ("1.0", "1.5"):
        _wheel(wheels, "good-thing", version)
    notices: list[Event] = []
    made = make("old-thing==1.0\ngood-thing==1.0\n", relax=True, observer=notices.append)
    assert _locked(made) == ["good-thing==1.0", "old-thing==1.9"]
    assert made.relaxed == (("old-thing==1.0", "1.9"),)
    assert "relaxed to old-thing>=1.0,<2" in str(notices)
    plain = make("old-thing==1.0\ngood-thing==1.0\n", lock=made.lock)
    assert (plain.key, plain.origin, plain.relaxed) == (made.key, "cached", ())


@linux
def test_what_was_relaxed_is_remembered(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "old-thing", "1.9", HERE)
    first = make("old-thing==1.0\n", relax=True)
    notices: list[Event] = []
    again = make("old-thing==1.0\n", relax=True, observer=notices.append)
    assert (again.key, again.origin, again.relaxed) == (first.key, "cached", first.relaxed)
    assert notices == []


@linux
def test_below_one_the_first_choice_is_below_one(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "0.23.2", "3.8")
    _wheel(wheels, "old-thing", "1.4", HERE)
    assert make("old-thing==0.23.2\n", relax=True).relaxed == (("old-thing==0.23.2", "1.4"),)
    _wheel(wheels, "old-thing", "0.24", HERE)
    assert make("old-thing==0.23.2\n", relax=True, upgrade=True).relaxed == (("old-thing==0.23.2", "0.24"),)


@linux
def test_pins_that_stand_in_the_way_of_a_relaxed_one_give_way(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "old-thing", "1.9", HERE, needs="absl>=1")
    _wheel(wheels, "absl", "0.11")
    _wheel(wheels, "absl", "1.2")
    made = make("absl==0.11\nold-thing==1.0\n", relax=True)
    assert made.relaxed == (("old-thing==1.0", "1.9"), ("absl==0.11", "1.2"))


@linux
def test_a_pin_that_cannot_be_relaxed_says_so(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "old-thing", "2.0", HERE)
    error = _failure(make, "old-thing==1.0\n", relax=True)
    assert "relaxed to old-thing>=1.0,<2, it has no wheel for that Python either" in error.message
    assert (error.hint or "").endswith("; or --override-requirements FILE")


# Overridden


@linux
def test_overrides_replace_what_anybody_requires(make: Make, wheels: Path, tmp_path: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "old-thing", "2.0")
    _wheel(wheels, "asking", "1.0", needs="old-thing==1.0")
    file = tmp_path / "overrides.txt"
    file.write_text("# newer\nOld_Thing==2.0  # builds\n\nidle>3\n")
    notices: list[Event] = []
    given = overrides.read(file)
    made = make("asking\nold-thing==1.0\n", override=given, observer=notices.append)
    assert _locked(made) == ["asking==1.0", "old-thing==2.0"]
    assert "overridden, but required by nothing: idle" in [
        each.message for each in notices if isinstance(each, Notice)
    ]
    assert make("asking\nold-thing==1.0\n", override=given).origin == "cached"
    _failure(make, "asking\nold-thing==1.0\n")  # what was resolved with overrides is not taken without


@linux
def test_an_override_is_never_relaxed(make: Make, wheels: Path) -> None:
    _wheel(wheels, "old-thing", "1.0", "3.8")
    _wheel(wheels, "old-thing", "1.9", HERE)
    error = _failure(make, "old-thing==1.9\n", override=Overrides("old-thing==1.0\n"), relax=True)
    assert "old-thing==1.0 does not install" in error.message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-r other.txt", "is no requirement"),
        ("--index-url https://example.org", "is no requirement"),
        ("./lib", "is no requirement"),
        ("lib @ file:///lib", "is no requirement"),
        ("numpy==1 --hash=sha256:00", "is no requirement"),
        ("lib @ https://me:secret@example.org/lib.whl", "holds a password or a token"),
    ],
)
def test_what_cannot_be_an_override_is_refused_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "o.txt"
    file.write_text(f"six\n{line}\n")
    with pytest.raises(UsageError, match=rf"o\.txt:2: .*{says}"):
        overrides.read(file)


def test_an_override_may_be_an_address(tmp_path: Path) -> None:
    text = "a @ https://${TOKEN}@example.org/a.whl\nb[x] @ git+ssh://git@example.org/b.git@v1 ; python_version > '3'\nc\n"
    (tmp_path / "o.txt").write_text(text)
    found = overrides.read(tmp_path / "o.txt")
    assert found.text == text
    assert found.names == {"a", "b", "c"}


def test_overrides_that_are_not_there_or_too_much(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        overrides.read(tmp_path / "none")
    (tmp_path / "o.txt").write_text("six\n" * 20_000)
    with pytest.raises(UsageError, match="64 KiB"):
        overrides.read(tmp_path / "o.txt")
    (tmp_path / "o.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        overrides.read(tmp_path / "o.txt")


# The lines


@pytest.mark.parametrize(
    ("line", "range_"),
    [
        ("NumPy==1.19.5", "NumPy>=1.19.5,<2"),
        ("a_b[x,y] == 2.4 ; python_version > '3'", "a_b[x,y]>=2.4,<3 ; python_version > '3'"),
        ("torch==1.7.1+cpu --hash=sha256:00", "torch>=1.7.1,<2"),
        ("numpy==1.19.*", "numpy>=1.19,<2"),
        ("x===3.0rc1", "x>=3.0rc1,<4"),
        ("pandas==0.25.3", "pandas>=0.25.3,<1"),
        ("numpy>=1.19", "numpy>=1.19"),
        ("numpy==1.19,!=1.19.2", "numpy==1.19,!=1.19.2"),
        ("x==1!2.0", "x==1!2.0"),
    ],
)
def test_a_pin_becomes_a_range(line: str, range_: str) -> None:
    found = pins.parse(line)
    assert found is not None
    assert found.relaxed(pins.bounds(found)[0]).line == range_


@pytest.mark.parametrize(
    "line", ["-r x", "./lib", "x @ https://example.org/x.whl", "git+https://example.org/x"]
)
def test_what_no_index_is_asked_for_is_no_requirement(line: str) -> None:
    assert pins.parse(line) is None


# Real ones


def test_a_real_pin_is_explained(tmp_path: Path) -> None:
    """TensorFlow 2.4.0 has wheels for Python 3.6 to 3.8 and no source."""
    (tmp_path / "requirements.txt").write_text("six==1.16.0\ntensorflow==2.4.0\n")
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(read(tmp_path), package=tmp_path, cache=tmp_path / "cache")
    assert "tensorflow==2.4.0 does not install" in caught.value.message
    assert (caught.value.hint or "").startswith("--python 3.8 ") or sys.platform != "linux"


@pytest.mark.slow
def test_a_real_source_that_no_longer_builds_is_explained_and_overridden(tmp_path: Path) -> None:
    """PyYAML 5.4.1 does not build with today's Cython; the wheels end at Python 3.9."""
    (tmp_path / "requirements.txt").write_text("pyyaml==5.4.1\n")
    with pytest.raises(EnvironmentFailed) as caught:
        ensure(read(tmp_path), package=tmp_path, cache=tmp_path / "cache")
    assert "pyyaml==5.4.1 does not install" in caught.value.message
    assert "3.8, 3.9" in caught.value.message
    override = Overrides("pyyaml>=6\n")
    made = ensure(read(tmp_path), package=tmp_path, cache=tmp_path / "cache", override=override)
    assert made.lock.startswith("pyyaml==6")
