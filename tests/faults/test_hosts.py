"""Row 8: two hosts on one store, and the cable of one is cut while it trains."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import SCRIPT, Lab, until
from tests.faults import hosts
from tests.faults.hosts import Host
from tests.servers import Server

pytestmark = [
    pytest.mark.row(8),
    pytest.mark.slow,
    pytest.mark.skipif(not hosts.possible(), reason="only root can make networks"),
]

WAITS = """
import os, time

class Main:
    def train(self, training_directory):
        open(os.environ["begun"], "w").close()
        while not os.path.exists(os.environ["go"]):
            time.sleep(0.05)

    def save(self):
        with open("model.txt", "w") as file:
            file.write(os.environ["mark"])
"""


class Site:
    """A host with a cache of its own, and pkgrun on it."""

    def __init__(self, lab: Lab, host: Host, env: dict[str, str]) -> None:
        self.host, self._lab, self._env = host, lab, env

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        cache = self._lab.folder / f"cache-{self.host.name}"
        env = self._lab.variables(**self._env, PKGRUN_CACHE=str(cache))
        argv = [*self.host.enter, str(SCRIPT), *map(str, arguments)]
        process = subprocess.Popen(
            argv,
            cwd=self._lab.folder,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._lab.started.append(process)
        return process

    def document(self, *arguments: str | Path, code: int = 0) -> Any:
        process = self.start(*arguments, "--json")
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}:\n{out}\n{err}"
        return json.loads(out)


@pytest.fixture
def sites(tmp_path: Path, ministack: Server) -> Iterator[tuple[Site, Site]]:
    """Two of them, and the package `p` in their store."""
    with ExitStack() as stack:
        lab = stack.enter_context(Lab(tmp_path / "lab", tmp_path / "cache"))
        lab.folder.mkdir(exist_ok=True)
        made = []
        for number in (1, 2):
            host = stack.enter_context(hosts.host(number))
            endpoint = stack.enter_context(hosts.relay(host.gateway, ministack.endpoint))
            env = {**ministack.env, "AWS_ENDPOINT_URL": endpoint, "PKGRUN_STORE": f"{ministack.url}/store"}
            made.append(Site(lab, host, env))
        one, other = made
        one.document("package", "add", lab.package("p", WAITS))
        yield one, other


def train(site: Site, place: Path, mark: str) -> subprocess.Popen[str]:
    """Begin a training that waits for a sign."""
    given = (f"mark={mark}", f"begun={place / f'{mark}-begun'}", f"go={place / f'{mark}-go'}")
    options = [word for one in given for word in ("-e", one)]
    process = site.start("train", "p@1.0", "--environment", "current", "--json", *options)
    until((place / f"{mark}-begun").exists, 60, "the beginning of the training")
    return process


def test_a_host_that_was_cut_off_and_given_up_makes_no_version(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    one, other = sites
    cut_off = train(one, tmp_path, "one")
    one.host.unplug()
    [run] = other.document("run", "list")["runs"]
    assert run["status"] in ("packaging", "running")
    until(lambda: recovered(other) == [run["run_id"]], 120, "the giving up")
    (tmp_path / "other-go").touch()
    second = train(other, tmp_path, "other")
    second.communicate(timeout=60)
    assert second.returncode == 0
    (tmp_path / "one-go").touch()
    one.host.plug_in()
    out, err = cut_off.communicate(timeout=120)
    assert cut_off.returncode == 75, (out, err)
    assert '"lost"' in out
    versions = other.document("package", "show", "p")["versions"]
    assert [one["version"] for one in versions] == ["1.0", "1.1"]
    assert {run["status"] for run in other.document("run", "list")["runs"]} == {"lost", "successful"}
    other.document("store", "fsck", "--read-data")


def recovered(site: Site) -> list[str]:
    """The runs that are lost after somebody there gave up who is silent."""
    site.document("run", "recover", "--silent-for", "30s")
    return [run["run_id"] for run in site.document("run", "list")["runs"] if run["status"] == "lost"]


def test_a_host_that_was_cut_off_for_a_while_ends_what_it_began(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    one, other = sites
    cut_off = train(one, tmp_path, "one")
    one.host.unplug()
    (tmp_path / "other-go").touch()
    assert train(other, tmp_path, "other").wait(60) == 0
    (tmp_path / "one-go").touch()
    with pytest.raises(subprocess.TimeoutExpired):
        cut_off.wait(5)
    one.host.plug_in()
    _, err = cut_off.communicate(timeout=120)
    assert cut_off.returncode == 0, err
    versions = other.document("package", "show", "p")["versions"]
    assert [one["version"] for one in versions] == ["1.0", "1.1", "1.2"]
    other.document("store", "fsck", "--read-data")


def test_it_can_be_killed_from_the_other_host(sites: tuple[Site, Site], tmp_path: Path) -> None:
    one, other = sites
    training = train(one, tmp_path, "one")
    [run] = other.document("run", "list")["runs"]
    other.start("run", "kill", run["run_id"]).communicate(timeout=60)
    training.communicate(timeout=60)
    assert training.returncode == 130
    assert other.document("run", "show", run["run_id"])["status"] == "killed"
