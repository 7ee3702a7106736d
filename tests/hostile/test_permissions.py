"""Row 11: nobody else reads a run's files while it goes on, whatever the umask; nothing guessable in shared folders."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.errors import PkgrunError
from tests.datasets.remote.web_server import File, web_server
from tests.hostile.scene import Scene
from tests.processes import powerless

pytestmark = pytest.mark.row(11)

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")

LOOK = """
here, found = os.getcwd(), {}
while here != '/':
    found[here] = os.stat(here).st_mode & 0o777
    here = os.path.dirname(here)
import json
json.dump(found, open(os.environ['OUT'], 'w'))
"""


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("exists", [False, True])
def test_row_11_a_work_directory_is_private(scene: Scene, umask: int, *, exists: bool) -> None:
    if exists:
        (scene.cache / "work").mkdir(parents=True)
        (scene.cache / "work").chmod(0o777)
    scene.added(LOOK)
    out = scene.root / "home" / "modes.json"
    assert scene.train(env={"OUT": str(out)}).error is None
    modes = json.loads(out.read_text())
    runs = [path for path in modes if os.path.dirname(path) == str(scene.cache / "work")]
    assert [modes[path] for path in runs] == [0o700]
    assert umask in (0, 0o022, 0o077)


@root
def test_row_11_others_read_nothing_of_a_run(scene: Scene) -> None:
    os.umask(0o022)
    scene.added("mark('artifacts/x')\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.01)")
    go = scene.root / "home" / "go"
    for path in (*scene.root.parents, scene.root):
        path.chmod(path.stat().st_mode | 0o5)
    run = scene.workspace.train("pack", environment="current", env={"GO": str(go)}, timeout=60)
    for event in run.events():
        if getattr(event, "name", "") == "train":
            break
    place = scene.cache / "work" / run.id
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            os.listdir(place)
        except PermissionError:
            os._exit(0)
        os._exit(1)
    denied = os.waitpid(pid, 0)[1]
    go.write_text("")
    run.wait()
    assert denied == 0


def test_row_11_the_store_obeys_the_umask(scene: Scene, umask: int) -> None:
    scene.added()
    assert scene.train().error is None
    for path in scene.store.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & umask == 0, path
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_row_11_what_lies_ready_in_the_work_folder_is_not_followed(scene: Scene) -> None:
    """Somebody who may write there has put links for the sweeper to remove, and to remove by."""
    work = scene.cache / "work"
    work.mkdir(parents=True)
    victim = scene.root / "home" / "victim"
    (victim / "inner").mkdir(parents=True)
    (victim / "inner" / "file").write_text("x")
    (victim / "inner").chmod(0o555)
    (work / "old").symlink_to(victim)
    (work / "old.lock").write_text("")
    (work / "older").symlink_to("nowhere")
    (work / "older.lock").symlink_to(victim / "inner" / "file")
    scene.added()
    assert scene.train().error is None
    assert (victim / "inner" / "file").read_text() == "x"
    assert stat.S_IMODE((victim / "inner").stat().st_mode) == 0o555


@root
def test_row_11_a_folder_that_its_owner_may_not_read_is_removed_all_the_same() -> None:
    from pkgrun.runs.place import remove
    from tests.processes import open_folder

    with open_folder() as above:
        os.chmod(above, 0o777)  # noqa: S103

        def work() -> bool:
            target = Path(above, "x")
            (target / "a/b/c").mkdir(parents=True)
            (target / "a/b/c/file").write_text("x")
            (target / "a/b/c").chmod(0o500)
            (target / "a/b").chmod(0)
            (target / "a").chmod(0)
            remove(str(target))
            return target.exists()

        assert powerless(work) is False


@root
def test_row_11_a_store_that_may_only_be_read(scene: Scene) -> None:
    scene.added()
    run = scene.train().record.run
    for path in (*scene.root.parents, scene.root):
        path.chmod(path.stat().st_mode | 0o5)

    def read() -> tuple[str, int]:
        return scene.workspace.run(run).record().status, len(scene.workspace.versions("pack"))

    def write() -> object:
        try:
            scene.workspace.train("pack", environment="current")
        except PkgrunError as error:
            return error.kind, error.message
        return None

    assert read() == ("successful", 2)
    assert powerless(read) == ("successful", 2)
    kind, message = powerless(write)
    assert kind == "permission"
    assert str(scene.store) in message


OPEN = """
import stat
found = []
def look(folder):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode): continue
        if mode & 0o077: found.append((path, oct(mode)))
        elif stat.S_ISDIR(mode) and os.access(path, os.X_OK): continue  # what is below is as closed as it is
for folder in os.environ['LOOK'].split(':'): look(folder)
open(os.environ['OUT'], 'w').write('\\n'.join(map(repr, found)))
"""


def test_row_11_what_is_made_in_cache_and_temporary_folders_is_for_nobody_else(
    scene: Scene, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the code runs, and afterwards; with an environment of its own and a dataset that was fetched."""
    temporary = scene.root / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    out = scene.root / "home" / "open"
    scene.added(OPEN)
    below = [scene.cache / name for name in ("work", "datasets", "stores", "environments")]
    with web_server() as web:
        web.files["/d.csv"] = File(b"a,b\n")
        ended = scene.train(
            environment="isolated",
            data=f"{web.url}/d.csv",
            save_training_data=True,
            env={"OUT": str(out), "LOOK": f"{scene.cache}:{temporary}"},
        )
    assert ended.error is None, ended.error
    closed = stat.S_IMODE(scene.cache.stat().st_mode) & 0o077 == 0
    assert closed or out.read_text() == ""
    assert os.listdir(temporary) == []
    for folder in [scene.cache] if closed else [one for one in below if one.exists()]:
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0, folder
    for kind in ("work", "datasets"):
        for path in (scene.cache / kind).rglob("*"):
            if path.parent == scene.cache / kind:
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
