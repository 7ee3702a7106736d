"""Data by overlay: the training may do what it likes at data/, the source and the store stay as they are."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pkgrun.datasets.overlay import written
from pkgrun.datasets.written import Written
from pkgrun.errors import Temporary
from pkgrun.observe import Event, Phase
from pkgrun.runs.place import remove
from pkgrun.worker.child import mounts as child
from pkgrun.worker.namespaces import Overlay, probe
from pkgrun.worker.supervisor import Stop
from tests.processes import apart, powerless
from tests.worker.mounted import USERS, Ground, ground, mounts, seen
from tests.worker.test_child import interpreters, named
from tests.worker.trial import alive, environment, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has overlays")


@pytest.fixture(params=USERS)
def place(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(request.param) as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


@pytest.fixture
def roots() -> Iterator[Ground]:
    with ground("root") as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


@pytest.fixture
def users() -> Iterator[Ground]:
    with ground("user") as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


HAVOC = """
    import mmap, shutil
    os.chdir('data')
    open('overwritten', 'w').write('new')
    open('truncated', 'r+').truncate(1)
    open('appended', 'a').write('more')
    os.rename('renamed', 'elsewhere')
    os.chmod('chmodded', 0o600)
    os.utime('touched')
    os.unlink('deleted')
    shutil.rmtree('tree')
    os.mkdir('made'); os.mkdir('made/empty'); open('made/file', 'w')
    os.link('linked', 'second')
    with open('mapped', 'r+b') as file, mmap.mmap(file.fileno(), 0) as mapped: mapped[0:1] = b'X'
    shutil.rmtree('anew'); os.mkdir('anew'); open('anew/kept', 'w')
    shutil.rmtree('sub/deep')
    os.unlink('kind'); os.mkdir('kind'); open('kind/x', 'w')
    shutil.rmtree('dir'); os.symlink('x', 'dir')
    try: os.rename('folder', 'moved')
    except OSError as error: print(error.errno)
    try: open('inside', 'a')
    except OSError as error: print(error.errno)
    print(open('appended').read(), open('mapped').read(), open('read').read())
    os.chdir('..')
"""
FILES = (
    *(
        "overwritten",
        "truncated",
        "appended",
        "renamed",
        "chmodded",
        "touched",
        "deleted",
        "tree/a/b",
        "tree/c",
    ),
    *("linked", "mapped", "anew/kept", "anew/gone", "anew/in/gone", "sub/deep/x", "sub/y", "kind", "dir/x"),
    *("folder/x", "folder/in/y", "read", "other/untouched"),
)


def test_whatever_the_training_does_to_its_data_the_source_stays_as_it_was(place: Ground) -> None:
    place.fill({name: f"<{name}>" for name in FILES})
    os.symlink(place.source / "read", place.source / "inside")
    before = seen(place.source)
    trial = place.run(HAVOC)
    assert trial.exit.ok, trial
    read_only, across = ["30"], ["18"] if place.user == "user" else []
    assert trial.lines()[:-1] == [*across, *read_only, "<appended>more Xmapped> <read>"]
    assert seen(place.source) == before
    assert mounts(place.root) == []
    assert list(place.data.iterdir()) == []
    moved = place.user == "root"
    assert place.as_user(lambda: written(str(place.upper), str(place.source))) == Written.of(
        ["elsewhere", "made/file", "made/empty/", "second", "kind/x", "dir"]
        + (["moved/x", "moved/in/y"] if moved else []),
        ["overwritten", "truncated", "appended", "chmodded", "touched", "linked", "mapped", "anew/kept"],
        ["renamed", "deleted", "tree/", "anew/gone", "anew/in/", "sub/deep/", "kind", "dir/"]
        + (["folder/"] if moved else []),
    )


def test_what_was_only_read_was_not_written(place: Ground) -> None:
    place.fill({"a": "1", "in/b": "2", "empty/": ""})
    trial = place.run("print(sorted(os.walk('data')), open('data/in/b').read())")
    assert trial.exit.ok
    assert not place.as_user(lambda: written(str(place.upper), str(place.source)))


def test_the_layers_can_be_removed(place: Ground) -> None:
    place.fill({"in/b": "2"})
    place.run("os.mkdir('data/x'); os.chmod('data/x', 0); os.chmod('data/in', 0)")
    assert place.as_user(lambda: written(str(place.upper), str(place.source))) == Written(("x/",))
    place.as_user(lambda: remove(str(place.root / "scratch")))
    assert not (place.root / "scratch").exists()


def test_a_store_cannot_be_written_to_but_its_owner_still_can(place: Ground) -> None:
    place.as_user(lambda: (place.root / "store" / "object").write_text("x"))
    before = seen(place.root / "store")
    body = """
        for act in (lambda: open('../store/object', 'a'), lambda: open('../store/new', 'w'),
                    lambda: os.unlink('../store/object'), lambda: os.chmod('../store/object', 0o600)):
            try: act()
            except OSError as error: print(error.errno)
        print(open('../store/object').read())
        mark('ready')
        while not os.path.exists('../store/by-its-owner'): time.sleep(0.01)
    """

    def work() -> list[str]:
        owner = threading.Thread(target=_write_when_ready, args=(place.root,))
        owner.start()
        trial = place.run_here(body, readonly=(place.root / "store",))
        owner.join()
        return trial.lines()

    assert place.as_user(work) == [*["30"] * 4, "x", "saved"]
    (place.root / "store" / "by-its-owner").unlink()
    after = seen(place.root / "store")
    assert {path: after[path] for path in after if path.endswith("object")} == {
        path: before[path] for path in before if path.endswith("object")
    }


def _write_when_ready(root: Path) -> None:
    if until((root / "ready").exists):
        (root / "store" / "by-its-owner").write_text("")


def test_a_store_is_closed_without_an_overlay_too(place: Ground) -> None:
    body = "open('../store/new', 'w')"
    trial = place.run(body, overlay=None, readonly=(place.root / "store",))
    assert trial.exit.failure is not None
    assert "Read-only file system" in trial.exit.failure.message


def test_a_python_in_a_folder_that_is_closed_still_runs(place: Ground) -> None:
    home = Path(place.python).resolve().parent.parent
    trial = place.run(
        "import decimal; subprocess.run([sys.executable, '-c', ''], check=True)", readonly=(home,)
    )
    assert trial.exit.ok


ESCAPES = """
    def tried(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else 'refused'
    print([line.split()[1].strip('0') for line in open('/proc/self/status') if line.startswith('Cap')])
    print(tried('grep', '-E', '^Cap(Prm|Eff|Bnd)', '/proc/self/status').count('0000000000000000'))
    print(tried('umount', 'data'), tried('umount', '-l', 'data'))
    again = ('unshare', '--user', '--map-root-user', '--mount')
    print(tried(*again, 'sh', '-c', 'id -u'))
    data = os.path.abspath('data')
    print(tried(*again, 'umount', data), tried(*again, 'umount', '-l', data))
    print(tried(*again, 'sh', '-c', 'mount --bind .. /mnt && ls -d /mnt/work/data/below'))
    print(tried(*again, 'mount', '-o', 'remount,bind,rw', os.environ['SOURCE']))
    print(tried('nsenter', '--mount', '--target', str(os.getppid()), 'true'))
    try: print(os.listdir('/proc/%d/root/' % os.getppid()))
    except PermissionError: print('refused')
    try: open(os.environ['SOURCE'] + '/new', 'w')
    except OSError as error: print(error.errno)
"""


def test_an_ordinary_user_has_no_more_power_than_before_and_cannot_look_under_the_mount(
    users: Ground,
) -> None:
    users.fill({"a": "1"})
    (users.data / "below").write_text("")
    trial = users.run(ESCAPES, env=environment(SOURCE=str(users.source)))
    no = "refused"
    assert trial.lines() == [
        str([""] * 5), "3", f"{no} {no}", "0", f"{no} {no}", no, no, no, no, "30", "saved"
    ], trial  # fmt: skip


def test_an_ordinary_user_is_who_it_was(users: Ground) -> None:
    trial = users.run("print(os.getresuid(), os.getresgid(), os.stat('.').st_uid)")
    user, group = users.as_user(lambda: (os.getuid(), os.getgid()))
    assert trial.lines()[0] == f"{(user,) * 3} {(group,) * 3} {user}"


def test_root_keeps_its_powers(roots: Ground) -> None:
    body = "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')])"
    assert roots.run(body).lines() == roots.run(body, overlay=None).lines()


@pytest.mark.parametrize("python", interpreters(), ids=named)
def test_every_python_can_mount(roots: Ground, python: str) -> None:
    roots.fill({"a": "1"})
    workdir_python = python
    body = (
        "print(sys.version_info[:2], os.listdir('data'), [name for name in sys.modules if name == 'mounts'])"
    )
    trial = roots.as_user(lambda: _with(roots, workdir_python, body))
    assert trial[0].endswith("['a'] []"), trial


def _with(place: Ground, python: str, body: str) -> list[str]:
    return Ground(place.root, place.user, python, place.as_user).run_here(body).lines()


ODD = "a:b,c=d\\e 'f\"\n\udcff" + "ä" * 90


def test_a_path_may_have_any_bytes_and_be_long(place: Ground) -> None:
    def work() -> tuple[list[str], Written, list[str]]:
        far = place.root.joinpath(*[ODD] * 9)
        layers = Overlay(far / "lower", far / "upper", far / "work", place.data)
        for path in (layers.lower, layers.upper, layers.work):
            path.mkdir(parents=True)
        (layers.lower / "file").write_text("x")
        body = "print(open('data/file').read()); open('data/' + 'n' * 200, 'w').write('y')"
        trial = place.run_here(body, overlay=layers, readonly=(far,), env=environment(LC_ALL="C"))
        return trial.lines(), written(str(layers.upper), str(layers.lower)), os.listdir(layers.lower)

    lines, found, left = place.as_user(work)
    assert lines == ["x", "saved"]
    assert found == Written(("n" * 200,))
    assert left == ["file"]


def test_a_daemon_sees_the_data_and_dies_with_the_run(place: Ground) -> None:
    place.fill({"a": "1"})
    canary = f"canary-{os.getpid()}-{place.user}"
    body = """
        if os.fork() == 0:
            os.setsid()
            if os.fork(): os._exit(0)
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2): os.dup2(null, number)
            mark('daemon', os.listdir('data'))
            time.sleep(1000)
        os.wait()
        while not os.path.exists('../daemon'): time.sleep(0.01)
    """
    assert place.run(body, env=environment(CANARY=canary)).exit.ok
    assert (place.root / "daemon").read_text() == "['a']"
    assert alive(canary) == []


@pytest.mark.parametrize("how", ["timed-out", "killed"])
def test_a_run_that_is_stopped_leaves_nothing(place: Ground, how: str) -> None:
    canary = f"canary-{os.getpid()}-{place.user}-{how}"
    body = "subprocess.Popen(['sleep', '1000']); open('data/x', 'w').write('x'); print('there'); time.sleep(1000)"

    def work() -> str:
        stop = Stop()

        def watch(event: Event) -> None:
            if how == "killed" and isinstance(event, Phase) and event.name == "train":
                stop.request()

        timeout = 1.0 if how == "timed-out" else 60
        return place.run_here(
            body, env=environment(CANARY=canary), stop=stop, watch=watch, timeout=timeout, grace=1
        ).exit.reason

    assert place.as_user(work) == how
    assert alive(canary) == []
    assert mounts(place.root) == []


def test_a_supervisor_that_is_killed_leaves_neither_mount_nor_process(place: Ground) -> None:
    canary = f"canary-{os.getpid()}-{place.user}-killed"
    reader, writer = os.pipe()

    def work() -> None:
        pid = os.fork()
        if pid == 0:
            body = "subprocess.Popen(['sleep', '1000']); mark('ready'); time.sleep(1000)"
            place.run_here(body, env=environment(CANARY=canary))
        os.close(writer)
        assert until((place.root / "ready").exists)
        assert alive(canary)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    place.as_user(work)
    os.close(writer)
    select.select([reader], [], [], 10)
    os.close(reader)
    assert until(lambda: alive(canary) == [])
    assert mounts(place.root) == []


def test_a_guard_that_is_killed_takes_the_run_with_it(place: Ground) -> None:
    canary = f"canary-{os.getpid()}-{place.user}-guard"
    body = "subprocess.Popen(['sleep', '1000'], start_new_session=True); os.kill(os.getppid(), 9); time.sleep(1000)"
    assert place.run(body, env=environment(CANARY=canary)).exit.reason == "lost"
    assert until(lambda: alive(canary) == [])
    assert mounts(place.root) == []


def test_a_refused_mount_is_no_failure_of_the_package_and_names_the_way_out(place: Ground) -> None:
    """The same layers twice: the kernel refuses them."""

    def work() -> tuple[object, ...]:
        layers = place.layers()
        place.run_here("pass", overlay=layers)
        try:
            place.run_here("print('never')", overlay=layers)
        except Temporary as error:
            return error.kind, error.message, error.hint
        return ()

    kind, message, hint = place.as_user(work)
    assert (kind, hint) == ("temporary", "--mount copy needs no mounts")
    assert message == "the data cannot be mounted: an overlay: Invalid argument"


def test_user_code_cannot_say_that_a_mount_was_refused(place: Ground) -> None:
    body = """
        import json
        for number in range(3, 300):
            try: os.write(number, b'\\n' + json.dumps({'event': 'unmounted', 'reason': 'x'}).encode() + b'\\n')
            except OSError: pass
    """
    trial = place.run(body)
    assert trial.exit.ok
    assert trial.notices == ["the package's code writes on pkgrun's own pipe"]


def test_the_probe_is_asked_once(place: Ground) -> None:
    counted = place.root / "python"
    counted.write_text(f'#!/bin/sh\necho x >> "{place.root}/count"\nexec {place.python} "$@"\n')
    counted.chmod(0o755)
    probed = partial(probe, place.source, place.root / "scratch", cache=place.root / "cache", python=counted)
    for _ in range(3):
        assert place.as_user(probed) is None
    assert (place.root / "count").read_text() == "x\n"
    assert os.listdir(place.root / "scratch") == []
    for remembered in (place.root / "cache" / "mounts").iterdir():
        remembered.write_text("of another start of the kernel")
    assert place.as_user(probed) is None
    assert (place.root / "count").read_text() == "x\nx\n"


def test_the_probe_says_why_not(place: Ground) -> None:
    def ask(scratch: Path) -> str | None:
        return probe(place.source, scratch, cache=place.root / "cache", python=Path(place.python))

    for scratch in (Path("/proc"), place.root / "nowhere"):
        reason = place.as_user(partial(ask, scratch))
        assert isinstance(reason, str)
        assert reason
    assert place.as_user(lambda: probe(place.source, place.root, cache=place.root, python=Path("/bin/false")))
    assert not (place.root / "mounts").exists()


def test_the_probe_refuses_data_in_which_something_is_mounted(roots: Ground) -> None:
    (roots.source / "in side").mkdir()

    def work() -> str | None:
        layers = roots.layers()
        inner = Overlay(layers.lower, layers.upper, layers.work, roots.source / "in side")
        child.enter(inner.spelt(), [])
        return probe(roots.source, roots.root, cache=roots.root, python=Path(roots.python))

    answer = apart(work)
    assert answer == f"another file system is mounted in it, at {roots.source}/in side"


def test_nobody_may_have_no_user_namespaces(users: Ground) -> None:
    """As where the administrator forbids them: the limit of a namespace around, here."""
    script = f"""
import sys; sys.path[:0] = {sys.path!r}
from pathlib import Path
from pkgrun.worker.namespaces import probe
root = Path({str(users.root)!r})
print(probe(root / 'source', root / 'scratch', cache=root / 'other', python=Path({users.python!r})))
"""
    shell = (
        'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all "$@"'
    )
    command = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", shell]
    command += ["-", users.python, "-c", script]
    done = powerless(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    assert "a user namespace: No space left on device" in done.stdout, done
