"""`pkgrun doctor`: what it finds, what it says about it, that it changes nothing unless asked, and how it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pkgrun.store.operations import key
from pkgrun.worker import cgroups
from tests.servers import Server

from .lab import Lab, until

WAITING = """
import os, time

class Main:
    def train(self, training_directory):
        open("written", "wb").write(bytes(1_000_000))
        open(os.environ["MARK"], "w").close()
        time.sleep(100)

    def save(self): pass
"""


def doctor(lab: Lab, *words: str, code: int = 0, **env: str) -> dict[tuple[str, str], Any]:
    """Its checks by topic and name."""
    document = lab.document("doctor", *words, code=code, **env)
    assert document["fit"] == (code == 0)
    return {(check["topic"], check["name"]): check for check in document["checks"]}


def content(folder: Path) -> dict[str, bytes | None]:
    """All that lies in a folder."""
    paths = sorted(folder.rglob("*"))
    return {
        str(path): path.read_bytes() if path.is_file() and not path.is_symlink() else None for path in paths
    }


def dead_run(lab: Lab) -> str:
    """A run whose supervisor was killed; its id."""
    mark = lab.mark("going")
    process = lab.start("train", lab.package("w", WAITING), "-e", f"MARK={mark}")
    until(mark.exists)
    process.kill()
    process.wait()
    [name] = [name for name in lab.leftovers() if not name.endswith(".lock")]
    return name


def test_a_machine_that_is_well_says_so_and_nothing_has_changed(lone_lab: Lab) -> None:
    lone_lab.pkgrun("train", lone_lab.package())
    before = content(lone_lab.store), content(lone_lab.cache)
    checks = doctor(lone_lab)
    assert (content(lone_lab.store), content(lone_lab.cache)) == before
    assert not [check for check in checks.values() if check["state"] == "problem"]
    [store] = [check for (_, name), check in checks.items() if name == "store"]
    assert store["message"] == f"{lone_lab.store}, format 1, id {store['numbers']['id']}"
    assert checks["store", "open runs"]["numbers"] == {"seen": 2, "open": 0, "silent": 0, "pending": 0}
    assert checks["cache", "environments"]["numbers"]["count"] == 1
    assert checks["store", "hard links"]["state"] == "ok"
    assert checks["store", "fsync"]["numbers"]["seconds"] > 0
    assert checks["programs", "uv"]["message"].startswith("uv ")
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in checks["programs", "Python"]["message"]
    assert checks["left over", "work folders"]["message"] == "no work folders of runs that died"


def test_the_page_has_a_row_for_each_check_and_its_way_out(lone_lab: Lab) -> None:
    page = lone_lab.pkgrun("doctor").out
    assert "store\n  · store" in page
    assert "there is no store at" in page
    assert "makes one; --store or PKGRUN_STORE names another" in page
    assert "folder" in page
    quiet = lone_lab.pkgrun("doctor", "-q").out
    assert "there is no store at" in quiet
    assert "✓" not in quiet


def test_where_nothing_is_there_yet_nothing_is_made(lone_lab: Lab) -> None:
    checks = doctor(lone_lab)
    assert checks["store", "store"]["state"] == "note"
    assert "made when it is needed" in checks["cache", "folder"]["message"]
    assert not lone_lab.cache.exists()
    assert not lone_lab.store.exists()
    assert doctor(lone_lab, "--clean")["left over", "work folders"]["state"] == "ok"
    assert not lone_lab.cache.exists()


# ------------------------------------------------------------------- left over


def test_what_a_killed_run_has_left_is_found_and_cleaned(lone_lab: Lab) -> None:
    name = dead_run(lone_lab)
    found = doctor(lone_lab)["left over", "work folders"]
    assert found["state"] == "note"
    assert found["numbers"]["count"] == 1
    assert found["numbers"]["bytes"] > 1_000_000
    assert "--clean" in found["hint"]
    assert name in lone_lab.leftovers()
    assert (
        "1 work folder of a run that died removed"
        in doctor(lone_lab, "--clean")["left over", "work folders"]["message"]
    )
    assert lone_lab.leftovers() == []


def test_the_folder_of_a_run_that_goes_on_is_left_alone(lone_lab: Lab) -> None:
    mark = lone_lab.mark("going")
    process = lone_lab.start("train", lone_lab.package("w", WAITING), "-e", f"MARK={mark}")
    until(mark.exists)
    checks = doctor(lone_lab, "--clean")
    assert checks["left over", "work folders"]["numbers"]["count"] == 0
    assert checks["store", "open runs"]["numbers"]["open"] == 1
    assert any((lone_lab.cache / "work").glob("*/w/written"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_folder_that_was_kept_is_told_and_kept(lone_lab: Lab) -> None:
    lone_lab.pkgrun("train", lone_lab.package(), "--keep-workdir")
    kept = doctor(lone_lab, "--clean")["left over", "kept work folders"]
    assert kept["numbers"]["count"] == 1
    assert len(lone_lab.leftovers()) == 1


@pytest.fixture
def builds(lone_lab: Lab) -> Iterator[tuple[Path, Path]]:
    """Two environments that were begun: of one the builder has died, the other is being built."""
    folder = lone_lab.cache / "environments"
    for name in ("dead", "alive"):
        (folder / name / "bin").mkdir(parents=True)
        (folder / f"{name}.work").mkdir()
        (folder / f"{name}.lock").write_text("")
    with open(folder / "alive.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder / "dead", folder / "alive"


def test_an_interrupted_build_is_removed_and_one_that_goes_on_is_not(
    lone_lab: Lab, builds: tuple[Path, Path]
) -> None:
    dead, alive = builds
    assert doctor(lone_lab)["left over", "builds"]["numbers"]["count"] == 2
    assert dead.exists()
    assert doctor(lone_lab, "--clean")["left over", "builds"]["state"] == "ok"
    assert sorted(path.name for path in dead.parent.iterdir()) == [
        "alive",
        "alive.lock",
        "alive.work",
        "dead.lock",
    ]
    assert alive.exists()


def test_an_environment_whose_python_is_gone_is_an_unfinished_build(lone_lab: Lab) -> None:
    lone_lab.pkgrun("train", lone_lab.package())
    [python] = (lone_lab.cache / "environments").glob("*/bin/python")
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert doctor(lone_lab, "--clean")["left over", "builds"]["numbers"]["count"] == 1
    assert not python.parent.exists()
    lone_lab.pkgrun("train", "p")


@pytest.mark.skipif(not cgroups.places("memory"), reason="no control group can be made here")
def test_a_control_group_of_a_run_that_died_is_found_and_cleaned(lone_lab: Lab) -> None:
    [place, *_] = cgroups.places("memory")
    group = (
        place.folder / f"{cgroups.PREFIX}{os.getpid()}-1-{os.urandom(4).hex()}-memory"
    )  # no process began then
    group.mkdir()
    try:
        assert doctor(lone_lab)["left over", "control groups"]["state"] == "note"
        assert group.exists()
        doctor(lone_lab, "--clean")
        assert not group.exists()
    finally:
        if group.exists():
            group.rmdir()


# ------------------------------------------------------------------- the store


def test_silent_runs_and_decisions_that_wait_are_told(lone_lab: Lab) -> None:
    name = dead_run(lone_lab)
    done = lone_lab.document("train", lone_lab.package())["run_id"]
    os.unlink(lone_lab.store / key(done, "run.json"))
    an_hour_ago = time.time() - 3600
    for file in (lone_lab.store / "runs" / name).glob("*.json"):
        os.utime(file, (an_hour_ago, an_hour_ago))
    checks = doctor(lone_lab)
    assert name[:13] in checks["store", "silent runs"]["message"]
    assert done[:13] in checks["store", "pending decisions"]["message"]
    assert "pkgrun run recover" in checks["store", "pending decisions"]["hint"]
    lone_lab.pkgrun("run", "recover")
    checks = doctor(lone_lab)
    assert checks["store", "silent runs"]["state"] == checks["store", "pending decisions"]["state"] == "ok"


@pytest.mark.parametrize(
    ("record", "code", "said"),
    [('{"format": 9}', 7, "format 9"), ("{", 8, "is not a store's record")],
)
def test_a_store_that_cannot_be_used_is_a_problem_with_the_code_of_a_training(
    lone_lab: Lab, record: str, code: int, said: str
) -> None:
    lone_lab.store.mkdir()
    (lone_lab.store / "pkgrun-store.json").write_text(record)
    check = doctor(lone_lab, code=code)["store", "store"]
    assert check["state"] == "problem"
    assert said in check["message"]
    lone_lab.pkgrun("run", "list", code=code)


def test_a_cache_that_cannot_be_made_is_a_problem(lone_lab: Lab) -> None:
    file = lone_lab.folder / "file"
    file.write_text("")
    check = doctor(lone_lab, code=9, PKGRUN_CACHE=str(file))["cache", "folder"]
    assert check["message"] == f"{file} is no folder"
    assert "PKGRUN_CACHE" in check["hint"]


def test_a_setting_that_means_nothing_is_a_problem(lone_lab: Lab) -> None:
    assert doctor(lone_lab, code=2, PKGRUN_CACHE_SIZE="huge")["settings", "settings"]["state"] == "problem"


def test_a_server_that_does_not_answer_is_not_waited_for(lone_lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        access = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "PKGRUN_STORE": "s3://bucket/prefix",
        }
        began = time.monotonic()
        check = doctor(lone_lab, code=75, **access)["store", "store"]
        assert "does not answer" in check["message"]
        assert time.monotonic() - began < 10


def test_a_store_on_s3_is_told_with_its_clock(lone_lab: Lab, ministack: Server) -> None:
    lone_lab.env.update(ministack.env, PKGRUN_STORE=f"{ministack.url}/doctor")
    assert doctor(lone_lab)["store", "store"]["state"] == "note"
    lone_lab.pkgrun("train", lone_lab.package(), "--environment", "current")
    checks = doctor(lone_lab)
    assert checks["store", "store"]["message"].startswith(f"{ministack.url}/doctor, format 1")
    assert abs(checks["store", "clock"]["numbers"]["seconds"]) < 30
    assert checks["store", "open runs"]["numbers"]["seen"] == 2
