"""Packages from real git repositories, on this machine and from a web server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pkgrun.errors import NotFound, PackageInvalid, PermissionDenied, PkgrunError, UsageError
from pkgrun.observe import Event, Notice
from pkgrun.packages import git_sources
from pkgrun.packages.git import Provenance
from pkgrun.packages.git_addresses import parse
from pkgrun.packages.git_client import Bounds
from tests.packages.repositories import Repository, repository, web


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return repository(tmp_path / "served" / "repo")


class Fetch:
    """Fetches into a fresh folder, and keeps what was told."""

    def __init__(self, above: Path) -> None:
        self._above, self.events = above, list[Event]()

    def __call__(self, address: str, bounds: Bounds | None = None) -> tuple[Path, Provenance]:
        scratch = self._above / f"scratch{len(list(self._above.glob('scratch*')))}"
        scratch.mkdir(mode=0o700)
        folder, known = git_sources.fetch(parse(address), scratch, self.events.append, bounds)
        assert os.listdir(scratch) == ["package"]
        return Path(folder), known

    @property
    def notices(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Notice)]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    return Fetch(tmp_path)


def test_the_default_branch(repo: Repository, fetch: Fetch) -> None:
    folder, known = fetch(repo.address)
    assert sorted(os.listdir(folder)) == ["main.py", "packages", "train.py"]
    commit = repo.git("rev-parse", "HEAD")
    assert known == Provenance(commit, "trunk", f"file://{repo.root}", dirty=False, path=".")


def test_branches_tags_and_commits(repo: Repository, fetch: Fetch) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "light")
    repo.git("tag", "-a", "v1", "-m", "one")
    repo.git("branch", "feature/a")
    (repo.root / "later.py").touch()
    second = repo.commit()
    for revision, commit, branch in [
        ("trunk", second, "trunk"),
        ("feature/a", first, "feature/a"),
        ("v1", first, None),
        ("light", first, None),
        ("refs/heads/feature/a", first, "feature/a"),
        (first, first, None),
        (first[:9], first, None),
        (second, second, None),
    ]:
        folder, known = fetch(f"{repo.address}@{revision}")
        assert (known.commit, known.branch) == (commit, branch)
        assert (folder / "later.py").exists() == (commit == second)


def test_a_name_of_a_branch_and_a_tag_is_ambiguous(repo: Repository, fetch: Fetch) -> None:
    repo.git("branch", "both")
    repo.git("tag", "both")
    with pytest.raises(UsageError, match="refs/heads/both and refs/tags/both"):
        fetch(f"{repo.address}@both")
    assert fetch(f"{repo.address}@refs/tags/both")[1].branch is None


@pytest.mark.parametrize("revision", ["nothing", "deadbeef", "refs/heads/nothing", "d" * 40])
def test_a_revision_that_is_not_there_is_named(repo: Repository, fetch: Fetch, revision: str) -> None:
    with pytest.raises(NotFound, match=revision):
        fetch(f"{repo.address}@{revision}")


def test_a_tag_of_a_file_is_no_commit(repo: Repository, fetch: Fetch) -> None:
    repo.git("tag", "file", repo.blob())
    with pytest.raises(UsageError, match="no commit"):
        fetch(f"{repo.address}@file")


def test_an_empty_repository_has_no_default_branch(tmp_path: Path, fetch: Fetch) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "empty"], check=True)
    with pytest.raises(NotFound, match="HEAD"):
        fetch(f"git+file://{tmp_path}/empty")


def test_what_is_no_repository_is_not_found(tmp_path: Path, fetch: Fetch) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotFound, match="does not appear to be a git repository"):
            fetch(f"git+file://{path}")


def test_a_repository_of_the_other_hash(tmp_path: Path, fetch: Fetch) -> None:
    made = Repository(tmp_path / "wide")
    made.root.mkdir()
    made.git("init", "--quiet", "--object-format=sha256", "--initial-branch", "trunk")
    (made.root / "train.py").touch()
    commit = made.commit()
    for revision in ("", f"@{commit}", f"@{commit[:8]}"):
        assert fetch(made.address + revision)[1].commit == commit


@pytest.mark.parametrize("filters", [False, True])
@pytest.mark.parametrize("remote", [False, True])
def test_a_subdirectory(repo: Repository, fetch: Fetch, filters: bool, remote: bool) -> None:
    repo.git("config", "uploadpack.allowFilter", str(filters))
    (repo.root / "packages" / "churn" / "a b").mkdir()
    (repo.root / "packages" / "churn" / "a b" / "ä").write_bytes(b"\0\r\n")
    commit = repo.commit()
    with web(repo.root.parent) as server:
        address = f"git+{server.url}/repo" if remote else repo.address
        folder, known = fetch(f"{address}#subdirectory=packages/churn")
    assert (folder / "a b" / "ä").read_bytes() == b"\0\r\n"
    assert sorted(os.listdir(folder)) == ["a b", "main.py", "train.py"]
    assert (known.commit, known.path) == (commit, "packages/churn")


def test_only_the_files_of_a_subdirectory_are_fetched(repo: Repository, fetch: Fetch) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    (repo.root / "large").write_bytes(os.urandom(3 << 20))
    repo.commit()
    small = Bounds(size=1 << 20)
    assert fetch(f"{repo.address}#subdirectory=packages/churn", small)
    with pytest.raises(PackageInvalid, match="too large"):
        fetch(repo.address, small)


def test_only_one_commit_is_fetched(repo: Repository, fetch: Fetch) -> None:
    for _ in range(3):
        (repo.root / "large").write_bytes(os.urandom(1 << 20))
        repo.commit()
    assert fetch(repo.address, Bounds(size=2 << 20))


def test_files_are_as_they_were_committed(repo: Repository, fetch: Fetch) -> None:
    (repo.root / ".gitattributes").write_text(
        "*.txt text eol=crlf\n*.py ident\n*.enc working-tree-encoding=UTF-16\n"
    )
    (repo.root / "a.txt").write_bytes(b"a\nb\n")
    (repo.root / "id.py").write_bytes(b"# $Id$\n")
    (repo.root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (repo.root / "run.sh").chmod(0o755)
    (repo.root / "link").symlink_to("train.py")
    repo.commit()
    folder, _ = fetch(repo.address)
    assert (folder / "a.txt").read_bytes() == b"a\nb\n"
    assert (folder / "id.py").read_bytes() == b"# $Id$\n"
    assert os.access(folder / "run.sh", os.X_OK)
    assert not os.access(folder / "train.py", os.X_OK)
    assert os.readlink(folder / "link") == "train.py"


def test_a_web_server(repo: Repository, fetch: Fetch) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.commit()
    with web(repo.root.parent) as server:
        address = f"git+{server.url}/repo/.git"
        assert fetch(address)[1].branch == "trunk"
        assert fetch(f"{address}@{first}")[1] == Provenance(
            first, None, f"{server.url}/repo/.git", dirty=False, path="."
        )
        with pytest.raises(NotFound, match="not found"):
            fetch(f"git+{server.url}/nothing")


def test_a_login_in_the_address(repo: Repository, fetch: Fetch) -> None:
    with web(repo.root.parent, login="ada:p@ss/word") as server:
        place = server.url.removeprefix("http://") + "/repo"
        _, known = fetch(f"git+http://ada:p%40ss%2Fword@{place}@trunk")
        assert known.remote == f"{server.url}/repo"
        for userinfo in ("", "ada@", "ada:wrong@", "p%40ss%2Fword@"):
            with pytest.raises(PermissionDenied) as refused:
                fetch(f"git+http://{userinfo}{place}")
            assert "ss/word" not in str(refused.value)
            assert "wrong" not in str(refused.value)


def test_the_users_credential_helper_is_asked(
    repo: Repository, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings"
    settings.write_text('[credential]\nhelper = "!f() { echo username=ada; echo password=word; }; f"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with web(repo.root.parent, login="ada:word") as server:
        assert fetch(f"git+{server.url}/repo")[1].branch == "trunk"
    with web(repo.root.parent, login="bob:other") as server:  # what the address says goes before
        place = server.url.removeprefix("http://") + "/repo"
        assert fetch(f"git+http://bob:other@{place}")[1].branch == "trunk"


def test_without_git_it_is_said(tmp_path: Path, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PkgrunError, match="git is not installed"):
        fetch(f"git+file://{tmp_path}")


def test_a_file_that_stays_on_a_server_of_its_own_is_told(repo: Repository, fetch: Fetch) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1234\n"
    for number in range(5):
        (repo.root / f"model{number}.bin").write_text(pointer)
    repo.commit()
    folder, _ = fetch(repo.address)
    assert (folder / "model0.bin").read_text() == pointer
    assert fetch.notices == [
        "model0.bin, model1.bin, model2.bin and 2 more: pointers of git-lfs, whose contents were not fetched"
    ]
