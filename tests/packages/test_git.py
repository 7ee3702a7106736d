"""Provenance, read from real repositories; hostile ones must not get anything executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pkgrun.packages.git import Provenance, Unknown, provenance, public_url

pytestmark = pytest.mark.row(4)

AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@pytest.fixture(autouse=True)
def _author(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AUTHOR.items():
        monkeypatch.setenv(name, value)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit, which holds the package `churn` and a file beside it."""
    root = tmp_path / "repo"
    (root / "churn").mkdir(parents=True)
    (root / "churn" / "train.py").write_text("x = 1\n")
    (root / "beside.txt").write_text("beside\n")
    git(root, "init", "-q", "-b", "trunk")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def known(folder: Path) -> Provenance:
    found = provenance(folder)
    assert isinstance(found, Provenance), found
    return found


def test_outside_of_repositories_there_is_none(tmp_path: Path) -> None:
    assert provenance(tmp_path) is None


def test_gitpython_is_not_imported_outside_of_repositories(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from pkgrun.packages.git import provenance;"
        f"assert provenance(pathlib.Path({str(tmp_path)!r})) is None; assert 'git' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_clean_folder(repo: Path) -> None:
    commit = git(repo, "rev-parse", "HEAD")
    assert known(repo / "churn") == Provenance(
        commit=commit, branch="trunk", remote=None, dirty=False, path="churn"
    )
    assert known(repo).path == "."


def test_a_change_beside_the_folder_does_not_make_it_dirty(repo: Path) -> None:
    (repo / "beside.txt").write_text("changed\n")
    (repo / "untracked").write_text("")
    assert not known(repo / "churn").dirty
    assert known(repo).dirty


def test_modified_staged_untracked_and_deleted_are_dirty(repo: Path) -> None:
    package = repo / "churn"
    file = package / "train.py"
    file.write_text("x = 2\n")
    assert known(package).dirty
    git(repo, "add", ".")
    assert known(package).dirty
    git(repo, "commit", "-q", "-m", "second")
    assert not known(package).dirty
    (package / "new\nname.txt").write_text("")
    assert known(package).dirty
    (package / "new\nname.txt").unlink()
    file.unlink()
    assert known(package).dirty


def test_a_touched_file_is_not_dirty(repo: Path) -> None:
    os.utime(repo / "churn" / "train.py", (1, 1))
    assert not known(repo / "churn").dirty


def test_ignored_files_are_not_dirty(repo: Path) -> None:
    (repo / ".gitignore").write_text("*.pyc\n")
    (repo / "churn" / "a.pyc").write_text("")
    assert not known(repo / "churn").dirty


def test_settings_of_the_repository_hide_nothing(repo: Path) -> None:
    git(repo, "config", "status.showUntrackedFiles", "no")
    (repo / "churn" / "new.py").write_text("")
    assert known(repo / "churn").dirty


def test_an_ignored_folder_does_not_come_from_the_commit(repo: Path) -> None:
    (repo / ".gitignore").write_text("private/\n")
    (repo / "private").mkdir()
    (repo / "private" / "train.py").write_text("")
    found = provenance(repo / "private")
    assert isinstance(found, Unknown)
    assert "private" in found.reason


def test_an_untracked_folder_is_dirty(repo: Path) -> None:
    (repo / "new").mkdir()
    (repo / "new" / "train.py").write_text("")
    assert known(repo / "new").dirty


def test_before_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    assert known(tmp_path) == Provenance(commit=None, branch="trunk", remote=None, dirty=False, path=".")
    (tmp_path / "a").write_text("")
    assert known(tmp_path).dirty


def test_a_detached_head_has_no_branch(repo: Path) -> None:
    git(repo, "checkout", "-q", "--detach")
    assert known(repo).branch is None


def test_a_worktree(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    found = known(tmp_path / "side" / "churn")
    assert (found.branch, found.path, found.dirty) == ("side", "churn", False)


def test_a_submodule_answers_for_itself(repo: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo), "sub")
    found = known(outer / "sub" / "churn")
    assert found.commit == git(repo, "rev-parse", "HEAD")
    assert (found.path, found.remote) == ("churn", str(repo))


def test_a_linked_folder_is_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo / "churn")
    assert known(tmp_path / "link").path == "churn"


def test_names_with_spaces_and_more(repo: Path) -> None:
    package = repo / "ä b\n:(glob)*"
    package.mkdir()
    (package / "train.py").write_text("")
    assert known(package).dirty
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "odd")
    assert not known(package).dirty
    assert known(package).path == "ä b\n:(glob)*"


def test_an_empty_mark_is_not_a_repository(repo: Path) -> None:
    (repo / "churn" / ".git").mkdir()
    assert known(repo / "churn").path == "churn"


def test_the_environment_of_a_hook_does_not_mislead(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = git(repo, "rev-parse", "HEAD")
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    found = known(repo)
    assert (found.commit, found.dirty) == (commit, False)


def test_origin_goes_before_other_remotes(repo: Path) -> None:
    git(repo, "remote", "add", "upstream", "https://user:token@example.org/up.git")
    assert known(repo).remote == "https://example.org/up.git"
    git(repo, "remote", "add", "fork", "git@example.org:fork.git")
    assert known(repo).remote is None
    git(repo, "remote", "add", "origin", "git@example.org:x.git")
    assert known(repo).remote == "git@example.org:x.git"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("https://user:SECRET@example.org/x.git", "https://example.org/x.git"),
        ("https://SECRET@example.org:8443/x", "https://example.org:8443/x"),
        ("https://user:SEC@RET@example.org/x", "https://example.org/x"),
        ("https://user:SEC/RET@example.org/x", "https://example.org/x"),
        ("https://example.org/x?private_token=SECRET", "https://example.org/x"),
        ("https://user:SECRET@example.org/x@2", "https://example.org/x@2"),
        ("https://example.org:443/team/@x", "https://example.org:443/team/@x"),
        ("ssh://git@example.org/x", "ssh://git@example.org/x"),
        ("ssh://git:SECRET@example.org:22/x", "ssh://git@example.org:22/x"),
        ("SSH://git:SECRET@example.org/x", "SSH://git@example.org/x"),
        ("ext::curl https://u:SECRET@example.org/x", "ext::curl https://example.org/x"),
        ("git@example.org:team/x.git", "git@example.org:team/x.git"),
        ("user:SECRET@example.org:team/x.git", "example.org:team/x.git"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("../x@2.git", "../x@2.git"),
        ("", ""),
    ],
)
def test_urls_are_kept_without_secrets(url: str, public: str) -> None:
    assert public_url(url) == public


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A program that leaves a trace when it runs, `canary.ran`; as a filter (without arguments) it changes nothing."""
    program = tmp_path / "canary"
    program.write_text(f'#!/bin/sh\ntouch "{tmp_path}/canary.ran"\n[ $# = 0 ] && cat\nexit 0\n')
    program.chmod(0o755)
    return program


def ran(canary: Path) -> bool:
    return canary.with_name("canary.ran").exists()


def test_the_canary_would_sing(repo: Path, canary: Path) -> None:
    git(repo, "config", "core.fsmonitor", str(canary))
    git(repo, "status")
    assert ran(canary)


def test_no_file_system_monitor_runs(repo: Path, canary: Path) -> None:
    git(repo, "config", "core.fsmonitor", str(canary))
    assert not known(repo).dirty
    assert not ran(canary)


@pytest.mark.parametrize("driver", ["evil", "e=v.i l", "lfs"])
@pytest.mark.parametrize("key", ["clean", "process"])
def test_no_filter_of_the_repository_runs(repo: Path, canary: Path, driver: str, key: str) -> None:
    if driver != "e=v.i l":
        (repo / ".gitattributes").write_text(f"*.py filter={driver}\n")
    (repo / "hidden.config").write_text(f'[filter "{driver}"]\n{key} = {canary}\nrequired = true\n')
    git(repo, "config", "include.path", str(repo / "hidden.config"))
    file = repo / "churn" / "train.py"
    file.write_text("x = 3\n")
    os.utime(file, (1, 1))
    assert known(repo / "churn").dirty
    assert not ran(canary)


def test_a_filter_of_the_user_runs(
    repo: Path, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user.config").write_text(f'[filter "mine"]\nclean = {canary}\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "user.config"))
    (repo / ".gitattributes").write_text("*.py filter=mine\n")
    os.utime(repo / "churn" / "train.py", (1, 1))
    assert not known(repo / "churn").dirty
    assert ran(canary)


def test_no_hook_runs_and_the_index_is_not_written(repo: Path, canary: Path) -> None:
    hook = repo / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.symlink_to(canary)
    os.utime(repo / "churn" / "train.py", (1, 1))
    before = (repo / ".git" / "index").read_bytes()
    assert not known(repo).dirty
    assert (repo / ".git" / "index").read_bytes() == before
    assert not ran(canary)


def test_nothing_of_a_submodule_runs(repo: Path, canary: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo), "sub")
    git(outer, "commit", "-q", "-m", "with sub")
    git(outer / "sub", "config", "core.fsmonitor", str(canary))
    (outer / "sub" / "churn" / "train.py").write_text("x = 9\n")
    assert not known(outer).dirty
    assert not ran(canary)


@pytest.mark.parametrize("transport", ["ext", "ssh"])
def test_nothing_is_fetched_into_a_partial_clone(repo: Path, canary: Path, transport: str) -> None:
    url = f"ext::{canary} %S" if transport == "ext" else "ssh://example.org/x"
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "far",
        "remote.far.url": url,
        "remote.far.promisor": "true",
        "protocol.ext.allow": "always",
        "core.sshCommand": str(canary),
    }.items():
        git(repo, "config", key, value)
    tree = git(repo, "rev-parse", "HEAD:churn")
    (repo / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    (repo / "churn" / "train.py").write_text("x = 3\n")
    git(repo, "update-index", "--force-remove", "churn/train.py")
    assert isinstance(provenance(repo / "churn"), Unknown)
    assert not ran(canary)
    subprocess.run(["git", "status"], cwd=repo, check=False, capture_output=True)
    assert ran(canary), "the repository was not hostile enough"


def test_a_repository_of_somebody_else_is_not_asked(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = provenance(repo)
    assert isinstance(found, Unknown)
    assert "dubious ownership" in found.reason


def test_a_repository_that_the_user_trusts_by_environment(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    (repo.parent / "user.config").write_text("[safe]\ndirectory = *\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(repo.parent / "user.config"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.quotePath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "false")
    assert not known(repo).dirty


@pytest.mark.parametrize("content", ["", "gitdir: /nowhere\n", "\0\xff"])
def test_a_broken_mark_is_unknown(tmp_path: Path, content: str) -> None:
    (tmp_path / ".git").write_bytes(content.encode("latin-1"))
    found = provenance(tmp_path)
    assert isinstance(found, Unknown)
    assert found.reason


def test_a_damaged_repository_is_unknown(repo: Path) -> None:
    (repo / ".git" / "index").write_bytes(b"rubbish")
    assert isinstance(provenance(repo), Unknown)


def test_a_broken_configuration_is_unknown(repo: Path) -> None:
    (repo / ".git" / "config").write_text("[[[")
    assert isinstance(provenance(repo), Unknown)


def test_a_folder_that_is_gone_is_unknown(repo: Path) -> None:
    assert isinstance(provenance(repo / "gone"), Unknown)


def test_a_loop_of_links_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert isinstance(provenance(tmp_path / "loop"), Unknown)


@pytest.mark.parametrize("imported", [False, True])
def test_without_git_the_reason_is_said(repo: Path, imported: bool) -> None:
    """GitPython refuses to be imported without git, and fails later when git vanishes after that."""
    code = (
        f"import os, pathlib; {'import git; ' if imported else ''}os.environ['PATH'] = '/nowhere';"
        "from pkgrun.packages.git import provenance, Unknown;"
        f"found = provenance(pathlib.Path({str(repo)!r})); assert isinstance(found, Unknown), found;"
        "print(found.reason)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "git" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_an_empty_address_is_none(repo: Path) -> None:
    git(repo, "config", "remote.origin.url", "")
    assert known(repo).remote is None


def test_a_setting_that_git_itself_refuses_is_unknown(repo: Path) -> None:
    with (repo / ".git" / "config").open("a") as config:
        config.write('[filter "x"]\nclean\n')
    assert isinstance(provenance(repo), Unknown)
