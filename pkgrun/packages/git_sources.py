"""Packages from git repositories: one folder of one commit, written out as it was committed.

No working tree is ever made, so nothing of a repository's is obeyed: hooks, filters, attributes, submodules. What is fetched is
one commit without its history, and of a repository with a subdirectory, where the server can, only the files below that.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from pkgrun.errors import NotFound, PackageInvalid, UsageError
from pkgrun.observe import Observer, Progress
from pkgrun.packages.git import Provenance, public_url
from pkgrun.packages.git_addresses import Address
from pkgrun.packages.git_client import REMOTE, Bounds, Client, GitFailed
from pkgrun.packages.git_files import Entry, check_path, listed, write
from pkgrun.store.files import shown
from pkgrun.store.local import translate

ENTRIES = 100_000
"""More files than that are no package."""

_WANTED = "refs/pkgrun/wanted"
_WHOLE = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT = re.compile(r"[0-9a-f]{7,63}")


def fetch(
    address: Address, scratch: Path, observer: Observer, bounds: Bounds | None = None
) -> tuple[str, Provenance]:
    """Fetch what an address means: a folder below `scratch`, an empty one that is only ours, and its commit.

    Raises:
        NotFound: there is no such repository, revision or subdirectory.
        UsageError: the revision is no commit, or the subdirectory no folder.
        PackageInvalid: it holds what cannot be written, or too much.
        PermissionDenied: the server wants to know who asks.
        Temporary: the server does not answer, or the disk is full.
    """
    bounds = bounds or Bounds()
    folder = scratch / "package"
    client = Client(scratch / "repository", address, bounds, lambda size: _told(observer, size))
    try:
        commit, branch = _commit(client)
        entries = _entries(client, _tree(client, commit), bounds)
        folder.mkdir()
        write(client, entries, os.fsencode(folder), observer)
    except GitFailed as failed:
        raise client.failed(failed) from None
    except OSError as error:
        raise translate(error, shown(str(folder))) from error
    finally:
        shutil.rmtree(client.home, ignore_errors=True)
    remote = public_url(address.url)
    return str(folder), Provenance(commit, branch, remote, dirty=False, path=address.subdirectory or ".")


def _told(observer: Observer, size: int) -> None:
    observer(Progress("fetch", size, None, "bytes"))


def _commit(client: Client) -> tuple[str, str | None]:
    """The commit that is meant, which is there afterwards; and the branch, if one was meant."""
    revision = client.address.revision
    if revision and _WHOLE.fullmatch(revision):
        _begin(client, len(revision))
        return _fetch(client, revision), None
    reference, length = _reference(client)
    _begin(client, length)
    if reference is None:
        return _fetch(client, _whole(client)), None
    commit = _fetch(client, reference)
    return commit, reference.removeprefix("refs/heads/") if reference.startswith("refs/heads/") else None


def _reference(client: Client) -> tuple[str | None, int]:
    """The reference of the server's that a revision means, None for the beginning of a commit; and how long ids are."""
    revision = client.address.revision
    candidates = (f"refs/heads/{revision}", f"refs/tags/{revision}", str(revision)) if revision else ("HEAD",)
    heads: dict[str, str] = {}
    symbolic: dict[str, str] = {}
    for line in client.run("ls-remote", "--symref", REMOTE, "HEAD", *candidates).decode().splitlines():
        value, _, name = line.partition("\t")
        (symbolic if value.startswith("ref: ") else heads)[name] = value.removeprefix("ref: ")
    length = max(map(len, heads.values()), default=40)
    found = [name for name in candidates if name in heads]
    if len(found) > 1:
        raise UsageError(
            f"{client.address.text} is ambiguous: there are {' and '.join(found)}",
            hint="write one of these after the @",
        )
    if found:
        return symbolic.get(found[0], found[0]), length
    if revision and _SHORT.fullmatch(revision):
        return None, length
    what = f"branch, tag or commit {revision}" if revision else "branch that it calls its own (HEAD)"
    raise NotFound(
        f"{client.address.text} cannot be fetched: the repository has no {what}",
        hint="an @ in a path is written %40" if revision else "name a branch after an @",
    )


def _begin(client: Client, length: int) -> None:
    kind = "sha256" if length == 64 else "sha1"
    client.run("init", "--quiet", "--bare", "--template=", f"--object-format={kind}")


def _fetch(client: Client, what: str) -> str:
    """Bring one commit here without its history, and without its files if only some are meant."""
    wanted = f"+{what}:{_WANTED}"
    sparse = ("--filter=blob:none",) if client.address.subdirectory else ()
    try:
        _bring(client, "--depth=1", *sparse, wanted=(wanted,))
    except GitFailed as failed:
        if re.search("does not support shallow", str(failed)):  # files on a web server
            _bring(client, wanted=(wanted,))
        elif re.search("unadvertised object", str(failed)):  # an old server gives what has a name only
            _bring(client, wanted=("+refs/*:refs/pkgrun/all/*",))
            client.run("update-ref", _WANTED, what)
        else:
            raise
    try:
        return client.run("rev-parse", "--verify", "--quiet", f"{_WANTED}^{{commit}}").decode().strip()
    except GitFailed:
        raise UsageError(f"{client.address.text}: that revision is no commit") from None


def _whole(client: Client) -> str:
    """The commit whose id begins so: all commits are fetched for it, where the server can without their files."""
    heads, tags = "+refs/heads/*:refs/pkgrun/heads/*", "+refs/tags/*:refs/pkgrun/tags/*"
    _bring(client, "--filter=tree:0", wanted=(heads, tags))
    start = client.address.revision
    try:
        found = client.run("rev-parse", "--verify", f"{start}^{{commit}}").decode().strip()
    except GitFailed:
        raise NotFound(
            f"{client.address.text} cannot be fetched: the repository has no branch, tag or commit {start}",
            hint="a commit is best written in full",
        ) from None
    # What is here of it already would stay the little that it is.
    length = len(found)
    shutil.rmtree(client.home)
    _begin(client, length)
    return found


def _bring(client: Client, *options: str, wanted: tuple[str, ...] = (), objects: Iterable[str] = ()) -> None:
    """Fetch references, or some objects that a fetch before has left out."""
    given = ("--stdin",) if objects else ()
    client.run(
        # As git itself asks for such objects: else it would tell what is here, and think that these were, too.
        *(("-c", "fetch.negotiationAlgorithm=noop") if objects else ()),
        *("fetch", "--progress", "--no-tags", "--no-write-fetch-head", *options, *given, REMOTE, *wanted),
        stdin="".join(f"{one}\n" for one in objects).encode(),
    )


def _tree(client: Client, commit: str) -> str:
    """The id of the folder that is meant."""
    tree = client.run("rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip()
    done = ""
    for part in filter(None, client.address.subdirectory.split("/")):
        done = f"{done}/{part}" if done else part
        entry = next(listed(client.run("ls-tree", "-z", "--full-tree", tree, "--", part)), None)
        if entry is None:
            raise NotFound(f"{client.address.text}: there is no {shown(done)} in the repository")
        if entry.kind != "folder":
            raise UsageError(
                f"{client.address.text}: {shown(done)} is a {entry.kind} in the repository, not a folder",
                hint="name the folder that holds train.py",
            )
        tree = entry.object
    return tree


def _entries(client: Client, tree: str, bounds: Bounds) -> list[Entry]:
    """What the folder holds, after its files were brought here."""
    if client.address.subdirectory and (missing := _missing(client, tree)):
        _bring(client, "--filter=blob:none", objects=missing)
    # Looking up sizes is slow, and twenty objects can make a tree of 10^10 files.
    many = client.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", tree).count(b"\0") > ENTRIES
    found = [] if many else list(listed(client.run("ls-tree", "-r", "-z", "-l", "--full-tree", tree)))
    if many or sum(entry.size for entry in found) > bounds.size:
        raise PackageInvalid(
            f"{client.address.text} is too large for a package", hint="keep what is large in a dataset"
        )
    for entry in found:
        check_path(client, entry.path)
    return found


def _missing(client: Client, tree: str) -> list[str]:
    listed = client.run("rev-list", "--objects", "--missing=print", tree).decode(errors="replace")
    return [line[1:] for line in listed.splitlines() if line.startswith("?")]
