"""Row 4: git repositories and addresses that would run, ask or tell something, or never come to an end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest

from pkgrun.errors import NotFound, PackageInvalid, PermissionDenied, PkgrunError, Temporary, UsageError
from pkgrun.observe import Event, Notice
from pkgrun.packages import git_sources
from pkgrun.packages.git_addresses import parse
from pkgrun.packages.git_client import Bounds
from tests.hostile.scene import SCRIPT, Scene
from tests.hostile.test_secrets import nowhere
from tests.packages.repositories import Repository, repository, web

pytestmark = pytest.mark.row(4)


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return repository(tmp_path / "served" / "repo")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a trace when it runs."""
    program = tmp_path / "trap"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/sprung'\nexit 1\n")
    program.chmod(0o755)
    return program


def sprung(trap: Path) -> bool:
    return trap.with_name("sprung").exists()


def fetch(address: str, above: Path, bounds: Bounds | None = None, told: list[Event] | None = None) -> Path:
    scratch = above / f"scratch{time.monotonic_ns()}"
    scratch.mkdir()
    events = told if told is not None else []
    return Path(git_sources.fetch(parse(address), scratch, events.append, bounds)[0])


@pytest.mark.parametrize(
    "address",
    [
        "git+ext::TRAP",
        "git+ext::sh -c TRAP",
        "git+--upload-pack=TRAP",
        "git+file:///repo --upload-pack=TRAP",
        "git+file:///repo@--upload-pack=TRAP",
        "git+ssh://-oProxyCommand=TRAP/repo",
        "git+-oProxyCommand=TRAP@host:repo",
        "git+TRAP:x",
        "git+https://$(TRAP)/x",
        "git+https://h/`TRAP`@;TRAP",
    ],
)
@pytest.mark.parametrize("command", [("package", "add"), ("train",), ("package", "check")])
def test_row_4_an_address_runs_nothing(
    scene: Scene, trap: Path, address: str, command: tuple[str, ...]
) -> None:
    said = scene.call(*command, "--", address.replace("TRAP", str(trap)))
    assert said.code in {2, 6, 75}
    assert said.err.startswith("error: ")
    assert not sprung(trap)


@pytest.mark.parametrize(
    "name",
    [
        "GIT_SSH_COMMAND",
        "GIT_SSH",
        "GIT_ASKPASS",
        "SSH_ASKPASS",
        "GIT_PROXY_COMMAND",
        "GIT_EXTERNAL_DIFF",
        "GIT_EXEC_PATH",
        "GIT_TEMPLATE_DIR",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_CONFIG",
        "GIT_NAMESPACE",
        "GIT_SHALLOW_FILE",
        "GIT_TRACE",
    ],
)
def test_row_4_variables_of_the_host_change_nothing(
    repo: Repository, trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    value = (
        f"'core.fsmonitor={trap}' 'core.hooksPath={tmp_path}'" if name == "GIT_CONFIG_PARAMETERS" else trap
    )
    monkeypatch.setenv(name, str(value))
    before = trap.read_bytes()
    with web(repo.root.parent, login="a:b") as server:
        with pytest.raises(PermissionDenied):
            fetch(f"git+{server.url}/repo", tmp_path)
        assert fetch(f"git+http://a:b@{server.url.removeprefix('http://')}/repo", tmp_path)
    with pytest.raises(PkgrunError):
        fetch("git+ssh://git@host.invalid/x", tmp_path)
    assert not sprung(trap)
    assert trap.read_bytes() == before


def test_row_4_settings_of_the_host_by_variables_change_nothing(
    repo: Repository, trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "uploadpack.packObjectsHook": trap,
        "core.hooksPath": tmp_path,
        "protocol.ext.allow": "always",
    }
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for number, (key, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", str(value))
    assert fetch(repo.address, tmp_path)
    assert not sprung(trap)


@pytest.mark.parametrize("instead", ["ext::TRAP ", "fd::", "git://host.invalid/", "--upload-pack=TRAP "])
def test_row_4_a_rewritten_address_goes_nowhere_else(
    trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instead: str
) -> None:
    """Whatever `insteadOf` and `protocol.*.allow` of the user's own say."""
    settings = tmp_path / "settings"
    text = instead.replace("TRAP", str(trap))
    settings.write_text(
        f'[protocol]\nallow = always\n[protocol "ext"]\nallow = always\n'
        f'[url "{text}"]\ninsteadOf = https://example.invalid/\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with pytest.raises(PkgrunError):
        fetch("git+https://example.invalid/x", tmp_path)
    assert not sprung(trap)


def test_row_4_a_server_sends_nobody_elsewhere(repo: Repository, tmp_path: Path) -> None:
    """A redirection to a file, or to a program, is not followed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            for _ in range(2):
                connection = server.accept()[0]
                with connection:
                    connection.recv(65536)
                    connection.sendall(
                        f"HTTP/1.1 302 Found\r\nLocation: file://{repo.root}\r\nContent-Length: 0\r\n\r\n".encode()
                    )
                return

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(PkgrunError):
            fetch(f"git+http://127.0.0.1:{server.getsockname()[1]}/x", tmp_path)
        thread.join()


HOOKS = (
    "post-checkout",
    "post-merge",
    "reference-transaction",
    "post-index-change",
    "pre-auto-gc",
    "fsmonitor",
)


def test_row_4_no_hook_and_no_filter_runs(repo: Repository, trap: Path, tmp_path: Path) -> None:
    tree = repo.git("rev-parse", "HEAD^{tree}")
    attributes = repo.blob(b"* filter=x\n")
    entries = [("100644", b".gitattributes", attributes)]
    entries += [("100644", b"train.py", repo.git("rev-parse", f"{tree}:train.py"))]
    repo.point(repo.tree(entries))
    hooks = repo.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in HOOKS:
        (hooks / name).symlink_to(trap)
    for key in ("core.fsmonitor", "core.sshCommand", "filter.x.smudge", "filter.x.process", "core.askPass",
                "uploadpack.packObjectsHook", "core.alternateRefsCommand", "diff.external", "core.gitProxy"):  # fmt: skip
        repo.git("config", key, str(trap))
    repo.git("config", "core.hooksPath", str(hooks))
    assert sorted(os.listdir(fetch(repo.address, tmp_path))) == [".gitattributes", "train.py"]
    assert not sprung(trap)


def test_row_4_hooks_of_the_users_own_do_not_run(
    repo: Repository, trap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for name in HOOKS:
        (template / name).symlink_to(trap)
    (tmp_path / "settings").write_text(
        f"[init]\ntemplateDir = {template.parent}\n[core]\nhooksPath = {template}\nfsmonitor = {trap}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    assert fetch(repo.address, tmp_path)
    assert not sprung(trap)


def test_row_4_a_local_repository_that_lacks_something_fetches_nothing(
    repo: Repository, trap: Path, tmp_path: Path
) -> None:
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "far",
        "remote.far.url": f"file://{tmp_path}",
        "remote.far.uploadpack": str(trap),
        "remote.far.promisor": "true",
        "protocol.ext.allow": "always",
    }.items():
        repo.git("config", key, value)
    blob = repo.git("rev-parse", "HEAD:train.py")
    (repo.root / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(PkgrunError):
        fetch(repo.address, tmp_path)
    assert not sprung(trap)


def test_row_4_submodules_are_told_and_never_fetched(repo: Repository, tmp_path: Path, trap: Path) -> None:
    inner = repository(tmp_path / "served" / "inner")
    repo.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.root), "vendor/inner"
    )
    (repo.root / ".gitmodules").write_text(
        f'[submodule "vendor/inner"]\npath = vendor/inner\nurl = ext::{trap}\nupdate = !{trap}\n'
    )
    repo.commit()
    told: list[Event] = []
    with web(tmp_path / "served") as server:
        folder = fetch(f"git+{server.url}/repo", tmp_path, told=told)
    assert os.listdir(folder / "vendor" / "inner") == []
    notices = [event.message for event in told if isinstance(event, Notice)]
    assert notices == ["vendor/inner: a submodule, left empty: submodules are not fetched"]
    assert not any("inner" in line for line in server.asked)
    assert not sprung(trap)
    with pytest.raises(UsageError, match="submodule"):
        fetch(f"{repo.address}#subdirectory=vendor/inner", tmp_path)


@pytest.mark.parametrize("name", [b"..", b".", b".git", b".GIT", b"a/b", b"../../escaped"])
def test_row_4_a_tree_with_impossible_names_writes_nothing(
    repo: Repository, tmp_path: Path, name: bytes
) -> None:
    blob = repo.blob(b"escaped")
    inner = repo.tree([("100644", b"escaped", blob)])
    repo.point(repo.tree([("40000", name, inner)] if name != b"a/b" else [("100644", b"../b", blob)]))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises((PackageInvalid, Temporary, NotFound)):
        fetch(repo.address, tmp_path)
    assert [name for name in sorted(os.listdir(tmp_path)) if not name.startswith("scratch")] == before
    assert not list(tmp_path.glob("scratch*/**/escaped"))


def test_row_4_nothing_is_written_through_a_link(repo: Repository, tmp_path: Path) -> None:
    """A tree in which a name is a link and a folder at once."""
    outside = tmp_path / "outside"
    outside.mkdir()
    inner = repo.tree([("100644", b"escaped", repo.blob())])
    link = repo.blob(str(outside).encode())
    for entries in (
        [("120000", b"a", link), ("40000", b"a", inner)],
        [("40000", b"a", inner), ("120000", b"a", link)],
    ):
        repo.point(repo.tree(entries))
        with pytest.raises(PackageInvalid, match="two things"):
            fetch(repo.address, tmp_path)
        assert os.listdir(outside) == []


@pytest.mark.parametrize("target", [b"", b"a\0b", b"x" * 5000])
def test_row_4_a_link_to_no_path_is_named(repo: Repository, tmp_path: Path, target: bytes) -> None:
    repo.point(repo.tree([("120000", b"a", repo.blob(target))]))
    with pytest.raises(PackageInvalid, match="link to no path: a"):
        fetch(repo.address, tmp_path)


def test_row_4_names_that_no_disk_has_are_named(repo: Repository, tmp_path: Path) -> None:
    deep = repo.tree([("100644", b"n" * 300, repo.blob())])
    repo.point(deep)
    with pytest.raises(PackageInvalid, match="too long a path: nnn"):
        fetch(repo.address, tmp_path)
    for _ in range(300):
        deep = repo.tree([("40000", b"d" * 20, deep)])
    repo.point(deep)
    with pytest.raises(PackageInvalid, match="too long a path: ddd"):
        fetch(repo.address, tmp_path)
    repo.point(repo.tree([("100644", b"\xff\xfe\n", repo.blob())]))
    assert os.listdir(os.fsencode(fetch(repo.address, tmp_path))) == [b"\xff\xfe\n"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "loop"])
def test_row_4_a_link_that_leaves_the_package_is_refused_or_kept_as_one(
    scene: Scene, repo: Repository, target: str
) -> None:
    (repo.root / "loop").symlink_to(target)
    repo.commit()
    said = scene.call("package", "add", repo.address)
    assert said.code in {0, 4}
    if said.code == 0:
        listed = {
            entry["path"]: entry
            for entry in scene.call("--json", "package", "files", "repo@1.0").document["files"]
        }
        assert listed["loop"]["kind"] == "symlink"


@pytest.mark.parametrize("path", ["link", "link/churn", "train.py", "packages/nothing", "nothing"])
def test_row_4_a_subdirectory_is_a_folder_of_the_repository(
    repo: Repository, tmp_path: Path, path: str
) -> None:
    (repo.root / "link").symlink_to("packages")
    repo.commit()
    with pytest.raises((UsageError, NotFound), match=path.partition("/")[0]):
        fetch(f"{repo.address}#subdirectory={path}", tmp_path)


def test_row_4_a_bomb_of_trees_is_too_large(repo: Repository, tmp_path: Path) -> None:
    """Ten blobs a folder, ten folders a folder, ten folders deep: 10^10 files in 20 objects."""
    tree = repo.tree([("100644", b"f%d" % number, repo.blob()) for number in range(10)])
    for _ in range(9):
        tree = repo.tree([("40000", b"d%d" % number, tree) for number in range(10)])
    repo.point(tree)
    with pytest.raises(PackageInvalid, match="too large"):
        fetch(repo.address, tmp_path)


def test_row_4_a_bomb_of_zeros_is_too_large(repo: Repository, tmp_path: Path) -> None:
    (repo.root / "zeros").write_bytes(bytes(32 << 20))
    repo.commit()
    with pytest.raises(PackageInvalid, match="too large"):
        fetch(repo.address, tmp_path, Bounds(size=16 << 20))


@pytest.mark.parametrize("bounds", [Bounds(silence=0.7), Bounds(total=0.7)])
@pytest.mark.parametrize("scheme", ["http", "ssh"])
def test_row_4_a_server_that_says_nothing_is_given_up(tmp_path: Path, bounds: Bounds, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises((Temporary, PackageInvalid)) as refused:
            fetch(f"git+{scheme}://127.0.0.1:{server.getsockname()[1]}/x", tmp_path, bounds)
        assert time.monotonic() - began < 10
        assert isinstance(refused.value, Temporary) or scheme == "ssh"  # where there is no ssh
        server.settimeout(5)
        with server.accept()[0] as connection:
            connection.settimeout(5)
            while connection.recv(65536):  # whoever asked is gone
                pass


def test_row_4_nobody_is_asked_for_a_password(scene: Scene, repo: Repository) -> None:
    """Not even where there is a terminal."""
    import pty

    with web(repo.root.parent, login="ada:word") as server:
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                os.execv(
                    SCRIPT,
                    [SCRIPT, "--store", str(scene.store), "package", "add", f"git+{server.url}/repo"],
                )
            finally:
                os._exit(99)
        said = b""
        try:
            while data := os.read(terminal, 4096):
                said += data
        except OSError:  # its end
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 9, said
    assert b"terminal prompts disabled" in said


@pytest.mark.parametrize(
    "how", ["fetched", "wrong revision", "wrong login", "no repository", "no server", "broken"]
)
@pytest.mark.parametrize(
    "command", [("package", "add"), ("train",), ("package", "check"), ("--json", "package", "add")]
)
def test_row_4_credentials_are_recorded_nowhere(
    scene: Scene, repo: Repository, canary: str, how: str, command: tuple[str, ...]
) -> None:
    quoted = urllib.parse.quote(canary, safe="")
    login = "ada:other" if how == "wrong login" else f"ada:{canary}"
    with web(repo.root.parent, login=login) as server:
        place = server.url.removeprefix("http://")
        address = {
            "wrong revision": f"{place}/repo@nothing",
            "no repository": f"{place}/nothing",
            "no server": "127.0.0.1:1/repo",
            "broken": f"{place}/repo?token={quoted}",
        }.get(how, f"{place}/repo@trunk")
        more = ["--environment", "current"] if command == ("train",) else []
        said = scene.call(*command, f"git+http://ada:{quoted}@{address}", *more)
        token = scene.call(*command, f"git+http://{quoted}@{address}", *more)
    assert (said.code == 0) == (how == "fetched"), said.err
    assert token.code != 0
    if scene.store.exists():
        nowhere(scene, canary, said.out, said.err, token.out, token.err)


def test_row_4_what_a_record_says_of_a_repository(scene: Scene, repo: Repository) -> None:
    with web(repo.root.parent, login="ada:word") as server:
        address = f"{server.url.removeprefix('http://')}/repo@trunk#subdirectory=packages/churn"
        run = scene.train(f"git+http://ada:word@{address}")
        assert run.error is None
        record = scene.workspace.version("churn@1.0")
        again = scene.workspace.add(f"git+http://ada:word@{address}")
        keyed = [
            scene.train(f"git+http://ada:{word}@{address}", idempotency_key="once").record.run
            for word in ("word", "other")
        ]
    assert record.source == f"git+http://{address}"
    assert record.git is not None
    assert (record.git.commit, record.git.branch) == (repo.git("rev-parse", "HEAD"), "trunk")
    assert (record.git.remote, record.git.path) == (f"{server.url}/repo", "packages/churn")
    assert not record.git.dirty
    assert not again.new
    assert keyed[0] == keyed[1], "a new password is no new call"
    assert scene.left() == []


def test_row_4_a_message_of_a_server_steers_no_terminal(scene: Scene, repo: Repository) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                body = b"0036# service=git-upload-pack\n0000" + b"001dERR \x1b]0;owned\x07\x1b[2Jgone"
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n"
                    + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
                    + body
                )

        thread = threading.Thread(target=answer)
        thread.start()
        said = scene.call("package", "add", f"git+http://127.0.0.1:{server.getsockname()[1]}/x")
        thread.join()
    assert said.code != 0
    assert not set("\x1b\x07") & set(said.err)


def test_row_4_an_interrupted_fetch_leaves_nothing(scene: Scene) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        address = f"git+http://127.0.0.1:{server.getsockname()[1]}/x"
        started = subprocess.Popen([SCRIPT, "--store", scene.store, "package", "add", address])
        with server.accept()[0] as connection:
            started.send_signal(signal.SIGINT)
            assert started.wait(30) == 130
            connection.settimeout(5)
            while connection.recv(65536):  # git is gone, too
                pass
    assert scene.left() == []
