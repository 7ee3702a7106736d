"""Memory, processors and storage have an end, by the best means there is, and the record can say which end it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pkgrun.worker import cgroups, ending, storage
from pkgrun.worker.limits import HOLDS_NOTHING, Confines, Limits, confined
from pkgrun.worker.messages import Exited, Failure
from pkgrun.worker.supervisor import Stop
from tests.processes import powerless
from tests.worker.mounted import ground
from tests.worker.trial import Trial, package, trained, tried, until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="control groups and address spaces are Linux's"
)

ROOT = Path(__file__).resolve().parents[2]
MEGA = 10**6
GREEDY = "bytearray(400_000_000)"
needs_groups = pytest.mark.skipif(
    not (cgroups.places("memory") and cgroups.places("cpu")), reason="no control group can be made here"
)


def limited(folder: Path, body: str, limits: Limits) -> Trial:
    """What `train` does that has `body`, under limits."""
    workdir = package(folder, trained(body))
    with confined(limits, folders=[workdir]) as confines:
        return tried(workdir, confines=confines)


def groups() -> list[str]:
    """The control groups of ours that there are."""
    return [
        name
        for kind in get_args(cgroups.Controller)
        for place in cgroups.places(kind)
        for name in os.listdir(place.folder)
        if name.startswith(cgroups.PREFIX)
    ]


@pytest.fixture
def no_group_is_left() -> Iterator[None]:
    before = set(groups())
    yield
    assert set(groups()) <= before


# ---------------------------------------------------------------------- memory


@needs_groups
@pytest.mark.usefixtures("no_group_is_left")
def test_its_own_limit_of_memory_is_told_from_all_other_ends(tmp_path: Path) -> None:
    small, large = Limits(memory=100 * MEGA), Limits(memory=900 * MEGA)
    trial = limited(tmp_path, GREEDY, small)
    assert (trial.exit.reason, trial.exit.cause, trial.exit.signal) == ("out-of-memory", "limit", 9)
    assert limited(tmp_path, GREEDY, large).exit.ok
    killed = limited(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)", small).exit
    assert (killed.reason, killed.cause, killed.signal) == ("signalled", None, signal.SIGKILL)
    crashed = limited(tmp_path, "import ctypes; ctypes.string_at(0)", small).exit
    assert (crashed.reason, crashed.signal) == ("signalled", signal.SIGSEGV)


@needs_groups
def test_all_its_processes_together_have_the_limit(tmp_path: Path) -> None:
    body = """
        code = 'import sys; x = b"x" * 60_000_000; print(1, flush=True); sys.stdin.read()'
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        helpers = [subprocess.Popen([sys.executable, '-c', code], **pipes) for _ in range(3)]
        assert all(helper.stdout.readline() for helper in helpers), 'one has died'
    """
    trial = limited(tmp_path, body, Limits(memory=100 * MEGA))
    assert (trial.exit.reason, trial.exit.cause) == ("out-of-memory", "limit")
    assert trial.exit.failure is None or "one has died" in trial.exit.failure.message


@needs_groups
def test_a_run_that_lives_without_what_was_killed_has_finished(tmp_path: Path) -> None:
    body = f"subprocess.run([sys.executable, '-c', {GREEDY!r}])"
    trial = limited(tmp_path, body, Limits(memory=100 * MEGA))
    assert trial.exit.ok
    assert trial.notices == ["a process that the run had started was killed for want of memory"]


def test_where_no_group_can_be_made_the_address_space_is_bounded() -> None:
    with ground("user") as made:
        if isinstance(made, str):
            pytest.skip(made)
        place = made

        def here(body: str) -> tuple[Confines, Trial]:
            with confined(Limits(memory=300 * MEGA, cpus=0.5)) as confines:
                return confines, place.run_here(body, confines=confines, overlay=None)

        confines, trial = place.as_user(lambda: here(GREEDY))
        assert (confines.memory, confines.cpus, confines.groups) == ("address-space", "affinity", ())
        assert (trial.exit.reason, trial.exit.cause) == ("out-of-memory", "exception")
        assert trial.exit.failure.type == "MemoryError"
        _, trial = place.as_user(lambda: here("print(len(os.sched_getaffinity(0)))"))
        assert trial.lines()[0] == "1"


def test_a_memory_error_without_a_limit_is_the_code_s_own(tmp_path: Path) -> None:
    trial = limited(tmp_path, "raise MemoryError", HOLDS_NOTHING)
    assert trial.exit.reason == "raised"


def within(group: str, workdir: str) -> None:
    """Two runs from within a control group, one of them with a group of its own; prints how they ended."""
    (Path(group) / "cgroup.procs").write_text("0")
    for limits in (HOLDS_NOTHING, Limits(memory=900 * MEGA)):
        with confined(limits) as confines:
            end = tried(Path(workdir), confines=confines).exit
            print(end.reason, end.cause)


@needs_groups
def test_memory_that_is_short_around_the_run_is_the_system_s_doing(tmp_path: Path) -> None:
    """The group above it, here one of the test's, is what is full: as when the machine has no memory left."""
    group = cgroups.made({"memory": 150 * MEGA})["memory"]
    workdir = package(tmp_path, trained("x = b'x' * 400_000_000"))
    # A process that has just begun: of two in a group that is full, the larger one dies.
    code = "import sys; from tests.worker.test_limits import within; within(*sys.argv[1:])"
    try:
        said = subprocess.check_output(
            [sys.executable, "-c", code, str(group.folder), str(workdir)], cwd=ROOT, text=True
        )
    finally:
        group.remove()
    assert said.splitlines() == ["out-of-memory system"] * 2


# ------------------------------------------------------------------ processors


@needs_groups
def test_a_share_of_a_processor_is_not_exceeded(tmp_path: Path) -> None:
    body = """
        end = time.monotonic() + 1
        while time.monotonic() < end: pass
    """
    trial = limited(tmp_path, body, Limits(cpus=0.2))
    assert trial.exit.ok
    assert trial.exit.usage.cpu_seconds < 0.6


# --------------------------------------------------------------------- storage


@pytest.mark.parametrize(
    "body",
    [
        "open('big', 'wb').write(bytes(30_000_000))",
        "[open(f'f{i}', 'wb').write(bytes(1_000_000)) for i in range(30)]",
        "[open(f'f{i}', 'wb').write(bytes(1_000_000)) for i in range(30)]; time.sleep(50)",
        "subprocess.run('head -c 30000000 /dev/zero > big', shell=True, check=True)",
    ],
    ids=["one file", "many files, found at the end", "many files, found meanwhile", "a helper"],
)
def test_writing_more_than_the_limit_ends_the_run(tmp_path: Path, body: str) -> None:
    trial = limited(tmp_path, body, Limits(storage=10 * MEGA))
    assert trial.exit.reason == "storage-exceeded"
    assert trial.seconds < 20
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 40 * MEGA


def test_what_lay_there_before_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "weights").write_bytes(bytes(20 * MEGA))
    trial = limited(tmp_path, "open('small', 'wb').write(bytes(1_000_000))", Limits(storage=10 * MEGA))
    assert trial.exit.ok


def test_a_file_counts_once_and_a_hole_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(MEGA))
    one = storage.held([tmp_path])
    assert MEGA <= one < 2 * MEGA
    os.link(tmp_path / "file", tmp_path / "again")
    with open(tmp_path / "hole", "wb") as hole:
        hole.truncate(10**9)
    assert storage.held([tmp_path]) == one
    assert storage.held([tmp_path / "gone"]) == 0


# ------------------------------------------------------------------------ ends

KILLED = Exited(None, signal.SIGKILL, 0.0, 0, "", survivors=False)
LACKING = Failure("train", "MemoryError", "", "", lacks="memory")


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ({"asked": "timed-out", "exited": KILLED}, ("timed-out", None)),
        ({"asked": "killed"}, ("killed", None)),
        ({"exited": None}, ("lost", None)),
        ({"exited": KILLED}, ("signalled", None)),
        ({"exited": Exited(None, 9, 0, 0, "limit", False)}, ("out-of-memory", "limit")),
        ({"exited": Exited(None, 9, 0, 0, "system", False)}, ("out-of-memory", "system")),
        ({"failure": LACKING}, ("raised", None)),
        ({"failure": LACKING, "limits": Limits(memory=1)}, ("out-of-memory", "exception")),
        ({"exited": Exited(0, None, 0, 0, "limit", False), "complete": True}, ("finished", None)),
        ({"complete": True, "overfull": True}, ("storage-exceeded", None)),
        ({"overfull": True}, ("storage-exceeded", None)),
        ({"exited": Exited(None, signal.SIGXFSZ, 0, 0, "", False)}, ("signalled", None)),
        (
            {"exited": Exited(None, signal.SIGXFSZ, 0, 0, "", False), "limits": Limits(storage=1)},
            ("storage-exceeded", None),
        ),
        ({"exited": Exited(3, None, 0, 0, "", False)}, ("exited", None)),
    ],
)
def test_every_end_has_its_own_name(told: dict[str, object], end: tuple[str, str | None]) -> None:
    known: dict[str, object] = {
        "asked": None,
        "exited": Exited(1, None, 0.0, 0, "", survivors=False),
        "failure": None,
        "complete": False,
        "limits": HOLDS_NOTHING,
        "overfull": False,
    }
    assert ending.ended(**{**known, **told}) == end  # type: ignore[arg-type]


def test_a_stop_and_a_deadline_are_told_from_memory(tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    with confined(Limits("process", memory=200 * MEGA)) as confines:
        workdir = package(tmp_path, trained("time.sleep(50)"))
        assert tried(workdir, confines=confines, timeout=0.5, grace=1.0).exit.reason == "timed-out"
        assert tried(workdir, confines=confines, stop=stop, grace=1.0).exit.reason == "killed"


# -------------------------------------------------------------- control groups

SUPERVISING = """
    import sys
    from pathlib import Path
    from pkgrun.worker.limits import Limits, confined
    from pkgrun.worker.supervisor import Call, Job, run
    with confined(Limits(memory=10**9, cpus=1.0)) as confines:
        print(*[group.folder for group in confines.groups], flush=True)
        run(Job(Path(sys.executable), Path(sys.argv[1]), {}, (Call("train", ("x",)),), confines=confines))
"""


@needs_groups
@pytest.mark.parametrize("guard_too", [False, True])
def test_after_a_kill_of_the_supervisor_the_groups_are_gone(tmp_path: Path, guard_too: bool) -> None:
    workdir = package(tmp_path, trained("mark('guard', os.getppid()); time.sleep(1000)"))
    command = [sys.executable, "-c", textwrap.dedent(SUPERVISING), str(workdir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            assert supervisor.stdout is not None
            folders = [Path(word) for word in supervisor.stdout.readline().split()]
            assert folders
            assert all(folder.exists() for folder in folders)
            assert until(lambda: (tmp_path / "guard").exists())
            if guard_too:
                supervisor.send_signal(signal.SIGSTOP)  # else it would tidy up after its guard
                os.kill(int((tmp_path / "guard").read_text()), signal.SIGKILL)
        finally:
            supervisor.kill()
    if not guard_too:
        assert until(lambda: not any(folder.exists() for folder in folders))
        return
    assert until(lambda: not any((folder / "cgroup.procs").read_text() for folder in folders))
    found = {group.folder: group for group in cgroups.stale()}
    assert set(folders) <= set(found)
    for folder in folders:
        found[folder].remove()
        assert not folder.exists()


@needs_groups
def test_groups_of_the_living_are_not_stale() -> None:
    with confined(Limits(memory=10**9)) as confines:
        [group] = confines.groups
        assert group.folder not in {stale.folder for stale in cgroups.stale()}
    assert not group.folder.exists()


def test_who_may_not_make_a_group_is_given_none() -> None:
    assert powerless(lambda: cgroups.made({"memory": 10**9, "cpu": 1})) == {}


# Version 2, of which this machine may have no controllers: files as the kernel shows them.

V2 = "32 24 0:27 {root} {mounted} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def unified(folder: Path, own: str, *, root: str = "/") -> Path:
    """A /proc, in which one is in the group `own` of what is mounted in `folder`."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/mountinfo").write_text(V2.format(root=root, mounted=folder / "sys"))
    (folder / "proc/self/cgroup").write_text(f"0::{own}\n")
    return folder / "proc"


def handed_on(folder: Path, controllers: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(controllers)
    (folder / "cgroup.procs").write_text("")
    return folder


def test_a_delegated_parent_of_version_2_is_where_a_group_is_made(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/user.slice/app.slice/run.scope")
    handed_on(tmp_path / "sys/user.slice/app.slice/run.scope", "")
    parent = handed_on(tmp_path / "sys/user.slice/app.slice", "cpu memory pids\n")
    [place] = cgroups.places("memory", proc=proc)
    assert (place.folder, place.means) == (parent, "cgroup-v2")
    assert [place.folder for place in cgroups.places("cpu", proc=proc)] == [parent]


def test_a_run_does_not_leave_limits_that_hold_us(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/slice/scope")
    handed_on(tmp_path / "sys/slice", "memory")
    own = handed_on(tmp_path / "sys/slice/scope", "")
    (own / "memory.max").write_text("max\n")
    (own / "cpu.max").write_text("max 100000\n")
    assert cgroups.places("memory", proc=proc)
    (own / "memory.max").write_text("1000000000\n")
    assert cgroups.places("memory", proc=proc) == []


def test_a_container_s_own_root_of_version_2_is_no_place_unless_it_hands_on(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/")
    root = handed_on(tmp_path / "sys", "")
    assert cgroups.places("memory", proc=proc) == []
    handed_on(root, "memory")
    assert [place.folder for place in cgroups.places("memory", proc=proc)] == [root]


def test_a_mount_of_a_part_of_the_tree_is_read_rightly(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/docker/abc/inner", root="/docker/abc")
    inner = handed_on(tmp_path / "sys/inner", "memory")
    handed_on(tmp_path / "sys", "")
    assert [place.folder for place in cgroups.places("memory", proc=proc)] == [inner]


def test_a_group_that_cannot_be_bounded_is_none(tmp_path: Path) -> None:
    proc = unified(tmp_path, "/")
    root = handed_on(tmp_path / "sys", "memory")
    assert cgroups.made({"memory": 10**9}, proc=proc) == {}  # a plain folder gets no memory.max
    assert sorted(path.name for path in root.iterdir()) == ["cgroup.procs", "cgroup.subtree_control"]


def test_without_control_groups_there_is_no_place(tmp_path: Path) -> None:
    assert cgroups.places("memory", proc=tmp_path) == []
