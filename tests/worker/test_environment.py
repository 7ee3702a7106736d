"""Environments are built by the real uv: once, whole or not at all, and found again without a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkgrun import errors
from pkgrun.observe import Event, Notice
from pkgrun.worker import environment, interpreters, locks
from pkgrun.worker.environment import Environment, ensure
from pkgrun.worker.requirements import NOTHING, read

ENVIRON = dict(os.environ) | {"UV_PYTHON_DOWNLOADS": "never"}

Make = Callable[..., Environment]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "package"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def make(package: Path, cache: Path) -> Make:
    """Writes the package's requirements and makes its environment."""

    def made(text: str, **options: Any) -> Environment:
        (package / "requirements.txt").write_text(text)
        return ensure(read(package), package=package, cache=cache, **({"environ": ENVIRON} | options))

    return made


def _wheel(folder: Path, *, version: str = "1.0", value: int = 1) -> Path:
    """A wheel of the project "pkgrun-probe", whose module `pkgrun_probe` holds `value`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pkgrun_probe-{version}-py3-none-any.whl"
    info = f"pkgrun_probe-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkgrun_probe.py", f"value = {value}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: pkgrun-probe\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def _offline(wheels: Path) -> dict[str, str]:
    """Variables under which nothing but `wheels` is known."""
    kept = {name: value for name, value in ENVIRON.items() if not name.startswith(("PIP_", "UV_INDEX"))}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def _says(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail("it did not come")


# What is built


def test_a_package_without_requirements_gets_a_bare_environment(package: Path, cache: Path) -> None:
    made = ensure(read(package), package=package, cache=cache)
    assert (made.mode, made.requirements, made.lock, made.origin) == ("isolated", NOTHING, "", "built")
    assert made.python == cache / "environments" / made.key / "bin/python"
    assert made.python_version == _says(made.python, "import platform; print(platform.python_version())")
    assert _says(made.python, "import sys; print(sys.prefix != sys.base_prefix)") == "True"
    assert ensure(read(package), package=package, cache=cache).origin == "cached"
    assert not (cache / "locks").exists()


def test_requirements_are_locked_with_hashes_installed_and_compiled(make: Make) -> None:
    events: list[Event] = []
    made = make("six==1.16.0  # from an index\n", observer=events.append)
    assert made.lock.startswith("six==1.16.0 ")
    assert "--hash=sha256:" in made.lock
    where = _says(made.python, "import six; print(six.__cached__)")
    assert Path(where).exists()
    assert [event.message for event in events if isinstance(event, Notice)] == [
        "resolving 1 requirement with uv",
        "building the environment: 1 package",
    ]


@pytest.mark.parametrize("python", [None, f"3.{sys.version_info.minor}", sys.executable])
def test_what_is_there_is_found_without_a_process(
    make: Make, monkeypatch: pytest.MonkeyPatch, python: str | None
) -> None:
    first = make("six\n", python=python)

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        again = make("six\n", python=python)
        times.append(time.perf_counter() - began)
    assert (again.origin, again.key, again.lock) == ("cached", first.key, first.lock)
    assert min(times) < 0.003


def test_wheels_and_folders_of_the_package_are_installed_from_a_copy(make: Make, package: Path) -> None:
    wheel = _wheel(package / "wheels", value=7)
    lib = package / "lib"
    lib.mkdir()
    (lib / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='pkgrun-lib', version='1', py_modules=['pkgrun_lib'])\n"
    )
    (lib / "pkgrun_lib.py").write_text("value = 8\n")
    before = sorted(package.rglob("*"))
    events: list[Event] = []
    made = make(f"./wheels/{wheel.name}\n-e ./lib\n", observer=events.append)
    assert (
        _says(made.python, "import pkgrun_probe, pkgrun_lib; print(pkgrun_probe.value, pkgrun_lib.value)")
        == "7 8"
    )
    assert sorted(package.rglob("*")) == sorted([*before, package / "requirements.txt"])
    assert f"./wheels/{wheel.name} \\\n    --hash=sha256:" in made.lock
    assert any("1 of 2 packages cannot be held to a hash: ./lib" in str(event) for event in events)
    assert not list(made.python.parents[2].glob("*.work"))
    (lib / "pkgrun_lib.py").write_text("value = 9\n")
    changed = make(f"./wheels/{wheel.name}\n-e ./lib\n")
    assert changed.key != made.key
    assert _says(changed.python, "import pkgrun_lib; print(pkgrun_lib.value)") == "9"


def test_wheels_beside_the_requirements_are_found_by_find_links(
    make: Make, package: Path, tmp_path: Path
) -> None:
    _wheel(package / "wheels")
    made = make("--find-links wheels\npkgrun-probe\n", environ=_offline(tmp_path))
    assert made.lock.startswith("pkgrun-probe==1.0 ")
    assert _says(made.python, "import pkgrun_probe; print(pkgrun_probe.value)") == "1"


def test_the_package_itself_can_be_a_requirement(make: Make, package: Path) -> None:
    """Its build may read the very requirements file that asks for it."""
    (package / "setup.py").write_text(
        "from setuptools import setup\n"
        "setup(name='pkgrun-self', version=str(len(open('requirements.txt').readlines())), py_modules=['pkgrun_self'])\n"
    )
    (package / "pkgrun_self.py").write_text("value = 5\n")
    made = make("# a comment\n-e .\n")
    code = "import pkgrun_self, importlib.metadata as m; print(pkgrun_self.value, m.version('pkgrun-self'))"
    assert _says(made.python, code) == "5 2"
    assert sorted(path.name for path in package.iterdir()) == [
        "pkgrun_self.py",
        "requirements.txt",
        "setup.py",
    ]


def test_constraints_bind_without_requiring(make: Make, package: Path) -> None:
    (package / "pins.txt").write_text("six<1.17\nidna==3.4\n")
    made = make("-c pins.txt\nsix\n")
    assert [line.split()[0] for line in locks.required(made.lock)] == ["six==1.16.0"]


def test_a_package_that_does_not_match_its_hash_is_refused(make: Make, tmp_path: Path, cache: Path) -> None:
    environ = _offline(_wheel(tmp_path / "wheels").parent)
    lock = make("pkgrun-probe\n", environ=environ).lock
    _wheel(tmp_path / "wheels", value=666)
    shutil.rmtree(cache / "environments")
    environ["UV_CACHE_DIR"] = str(tmp_path / "uv")  # the usual one still has the wheel that was meant
    with pytest.raises(
        errors.EnvironmentFailed, match=r"(?s)requirements\.txt.*[Hh]ash mismatch.*pkgrun-probe"
    ):
        make("pkgrun-probe\n", environ=environ, lock=lock)
    assert not [path for path in (cache / "environments").iterdir() if path.suffix != ".lock"]


# Locks


def test_a_lock_is_used_until_an_upgrade_is_asked_for(make: Make, tmp_path: Path) -> None:
    wheels = _wheel(tmp_path / "wheels").parent
    environ = _offline(wheels)
    first = make("pkgrun-probe\n", environ=environ)
    _wheel(wheels, version="2.0")
    assert make("pkgrun-probe\n", environ=environ).key == first.key
    upgraded = make("pkgrun-probe\n", environ=environ, lock=first.lock, upgrade=True)
    assert upgraded.lock.startswith("pkgrun-probe==2.0 ")
    assert make("pkgrun-probe\n", environ=environ).key == upgraded.key
    parents = make("pkgrun-probe\n", environ=environ, lock=first.lock)
    assert (parents.key, parents.origin) == (first.key, "cached")


def test_a_lock_installs_where_nothing_was_resolved(make: Make, cache: Path, tmp_path: Path) -> None:
    environ = _offline(_wheel(tmp_path / "wheels").parent)
    lock = make("pkgrun-probe\n", environ=environ).lock
    shutil.rmtree(cache)
    assert make("pkgrun-probe\n", environ=environ, lock=lock).lock == lock
    assert not (cache / "locks").exists()


def test_credentials_are_in_no_lock_and_come_back_for_the_installation() -> None:
    asked = (
        "a @ https://me:secret@example.org/a.whl\nb @ git+https://token@example.org/b.git@main\n"
        "c @ git+ssh://git@example.org/c.git\n--index-url https://me:secret@example.org/simple\n"
    )
    full = asked.replace("@main", "@0123").replace("--index-url https://me:secret@example.org/simple\n", "")
    public = locks.without_credentials(full)
    assert public == (
        "a @ https://example.org/a.whl\nb @ git+https://example.org/b.git@0123\nc @ git+ssh://git@example.org/c.git\n"
    )
    assert locks.with_credentials(public, asked) == full


# What goes wrong


def test_an_unknown_requirement_is_named_with_its_file(make: Make, cache: Path) -> None:
    with pytest.raises(errors.EnvironmentFailed) as caught:
        make("pkgrun-no-such-project-at-all\n")
    assert "requirements.txt cannot be resolved" in caught.value.message
    assert "pkgrun-no-such-project-at-all" in caught.value.message
    assert "--python" in (caught.value.hint or "")
    assert sorted(path.suffix for path in cache.rglob("*")) == ["", ".lock"]


def test_credentials_of_an_index_are_in_no_message_and_no_file(
    make: Make, cache: Path, tmp_path: Path
) -> None:
    environ = ENVIRON | {"PIP_EXTRA_INDEX_URL": "http://me:canary@127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(errors.Temporary) as caught:
        make("pkgrun-probe\n", environ=environ)
    assert "127.0.0.1:9" in caught.value.message
    assert "canary" not in caught.value.message + repr(caught.value.__cause__)
    made = make("", environ=environ)
    assert "canary" not in repr(made)
    texts = [path.read_text() for path in cache.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any("canary" in text for text in texts)


def test_an_installation_that_fails_leaves_nothing_that_counts(make: Make, cache: Path) -> None:
    with pytest.raises(errors.EnvironmentFailed, match="cannot be installed"):
        make("six\n", lock="six==0.0.99 --hash=sha256:" + "0" * 64 + "\n")
    assert [path.suffix for path in (cache / "environments").iterdir()] == [".lock"]


@pytest.mark.parametrize("break_it", ["ready.json", "bin/python"])
def test_a_half_built_environment_is_built_anew(make: Make, break_it: str) -> None:
    made = make("")
    folder = made.python.parents[1]
    (folder / break_it).unlink()
    (folder / "rubbish").write_text("x")
    leftover = folder.with_suffix(".work")
    leftover.mkdir()
    again = make("")
    assert (again.origin, again.key) == ("built", made.key)
    assert not (folder / "rubbish").exists()
    assert not leftover.exists()


def test_a_cache_that_cannot_be_written_is_named(package: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.EnvironmentFailed, match=str(tmp_path / "file")):
        ensure(read(package), package=package, cache=tmp_path / "file")


# Several at once, and being stopped

_MAKE = """
import json, os, sys
from pathlib import Path
from pkgrun.worker.environment import ensure
from pkgrun.worker.requirements import read
package, cache = map(Path, sys.argv[1:])
made = ensure(read(package), package=package, cache=cache)
print(json.dumps([made.origin, made.key, os.getpid()]))
"""


def _start(package: Path, cache: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _MAKE, str(package), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def test_four_processes_build_one_environment(package: Path, cache: Path) -> None:
    (package / "requirements.txt").write_text("six\nidna\n")
    processes = [_start(package, cache) for _ in range(4)]
    said = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(origin for origin, _, _ in said) == ["built", "cached", "cached", "cached"]
    (key,) = {key for _, key, _ in said}
    ready = json.loads((cache / "environments" / key / "ready.json").read_text())
    assert ready["pid"] == next(pid for origin, _, pid in said if origin == "built")


def _slow(package: Path) -> None:
    """Requirements whose build never ends; the build writes its process id to `package/pid`."""
    (package / "lib").mkdir()
    text = f"import os, time\nopen({str(package / 'pid')!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}.')\ntime.sleep(600)\n"
    (package / "lib/backend.py").write_text(text)
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (package / "lib/pyproject.toml").write_text(project)
    (package / "requirements.txt").write_text("./lib\n")


def _pids(package: Path) -> list[int]:
    def written() -> bool:
        return (package / "pid").exists() and (package / "pid").read_text().endswith(".")

    _until(written, 30)
    return [int(pid) for pid in (package / "pid").read_text().rstrip(".").split()]


def test_a_stop_ends_uv_and_what_it_started(package: Path, cache: Path) -> None:
    _slow(package)
    stop = threading.Event()
    pids: list[int] = []

    def watch() -> None:
        pids.extend(_pids(package))
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(errors.Killed):
        ensure(read(package), package=package, cache=cache, stop=stop.is_set)
    watcher.join()
    _until(lambda: not any(_alive(pid) for pid in pids))
    assert not list(cache.rglob("*.work"))


def test_whoever_waits_can_be_stopped(make: Make, cache: Path) -> None:
    from filelock import FileLock

    made = make("")
    (made.python.parents[1] / "ready.json").unlink()
    began = time.monotonic()
    events: list[Event] = []
    with FileLock(made.python.parents[1].with_suffix(".lock")), pytest.raises(errors.Killed):
        make("", stop=lambda: bool(events), observer=events.append)
    assert time.monotonic() - began < 5
    assert "waiting for another process" in str(events)


def test_uv_and_what_it_started_do_not_outlive_a_killed_parent(package: Path, cache: Path) -> None:
    _slow(package)
    process = _start(package, cache)
    build, uv = _pids(package)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    _until(lambda: not _alive(uv) and not _alive(build))
    (package / "requirements.txt").write_text("")
    assert ensure(read(package), package=package, cache=cache).origin == "built"


# Which Python


def _versions() -> list[str]:
    """The minor versions on this machine that uv can make environments of, apart from the running one."""
    found = {
        ".".join(path.name.split(".")[:2]) for path in Path("~/.pyenv/versions").expanduser().glob("3.*")
    }
    found |= {
        path.name[6:]
        for path in Path("/usr/bin").glob("python3.*")
        if path.name[6:].replace(".", "").isdigit()
    }
    running = f"3.{sys.version_info.minor}"
    return sorted(
        (each for each in found if int(each[2:]) >= 8 and each != running), key=lambda each: int(each[2:])
    )


@pytest.mark.parametrize("version", _versions())
def test_a_version_is_found_and_used(make: Make, version: str) -> None:
    made = make("", python=version)
    assert made.python_version.startswith(version + ".")
    assert _says(made.python, "import platform; print(platform.python_version())") == made.python_version
    assert make("", python=made.python_version).key == made.key
    assert make("", python=str(made.python)).key == made.key


def test_the_running_version_is_the_running_python(make: Make) -> None:
    versions = {make("").python_version, make("", python=sys.executable).python_version}
    assert versions == {interpreters.running().version}


def test_an_interpreter_says_what_the_running_one_knows(cache: Path) -> None:
    found = interpreters.find(sys.executable, cache=cache, variables=ENVIRON, stop=lambda: False)
    ours = interpreters.running()
    assert (found.implementation, found.version, found.platform) == (
        ours.implementation,
        ours.version,
        ours.platform,
    )
    assert found.path.resolve() == ours.path.resolve()


def test_the_highest_patch_that_runs_is_taken_and_asked_once(tmp_path: Path, cache: Path) -> None:
    log = tmp_path / "log"
    variables = {
        "PATH": str(tmp_path / "bin"),
        "PYENV_ROOT": str(tmp_path),
        "UV_PYTHON_INSTALL_DIR": str(tmp_path / "none"),
    }
    for place, version in (
        ("bin", "3.99.1"),
        ("versions/3.99.10/bin", "3.99.10"),
        ("versions/3.99.9/bin", "3.99.9"),
    ):
        said = {"path": f"/{version}", "implementation": "cpython", "version": version, "platform": "a//b"}
        _program(tmp_path / place / "python3", f"echo {version} >> {log}; echo '{json.dumps(said)}'")
    _program(tmp_path / "versions/3.99.11/bin/python3", "exit 127")
    found = interpreters.find("3.99", cache=cache, variables=variables, stop=lambda: False)
    assert (found.version, found.path) == ("3.99.10", Path("/3.99.10"))
    assert sorted(log.read_text().split()) == ["3.99.1", "3.99.10", "3.99.9"]


def _program(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("asked", ["3.97", "/nowhere/python3"])
def test_a_python_that_is_not_here_names_those_that_are(make: Make, asked: str) -> None:
    with pytest.raises(errors.EnvironmentFailed) as caught:
        make("", python=asked)
    assert asked in caught.value.message
    assert interpreters.running().version in (caught.value.hint or "")


def test_a_download_that_fails_is_announced_and_says_why(make: Make) -> None:
    nowhere = {
        "UV_PYTHON_DOWNLOADS": "automatic",
        "UV_HTTP_RETRIES": "0",
        "UV_PYPY_INSTALL_MIRROR": "http://127.0.0.1:9",
    }
    events: list[Event] = []
    with pytest.raises(
        errors.EnvironmentFailed, match=r"(?s)pypy3\.10 .* cannot be downloaded:.*127\.0\.0\.1:9"
    ):
        make("", python="pypy3.10", environ=ENVIRON | nowhere, observer=events.append)
    assert "asking uv to download it" in str(events)


@pytest.mark.parametrize("asked", ["", "-h", "3.11; touch x", "$(x)", "3.11\n"])
def test_what_is_no_version_is_a_usage_error(make: Make, asked: str) -> None:
    with pytest.raises(errors.UsageError):
        make("", python=asked)


def test_the_current_interpreter_is_an_environment_too() -> None:
    found = environment.current()
    assert (found.python, found.mode, found.requirements) == (Path(sys.executable), "current", NOTHING)
    assert any(line.startswith("pytest==") for line in found.lock.splitlines())
    assert found == environment.current()
