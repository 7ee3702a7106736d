"""Records for tests of the store, with what matters given and the rest filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pkgrun.records import Actor, Contract, Head, Heartbeat, Intent, Outcome, Tree, VersionEntry
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import new_run_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BY = Actor(user="u", host="h", pkgrun="0")


def tree(content: object) -> Tree:
    """Some tree."""
    return Tree(digest=digest_of(repr(content).encode()), files=1, bytes=1)


def entry(content: object = 0, **given: Any) -> VersionEntry:
    """A version but for its number."""
    values: dict[str, Any] = {
        "package": "p",
        "kind": "training",
        "run": new_run_id(),
        "parent": None,
        "tree": tree(content),
        "contract": Contract(methods=("train",), pipelines=("training",), servable=True),
        "created": NOW,
    }
    return VersionEntry(**values | given)


def intent(run: str, **given: Any) -> Intent:
    """What is asked."""
    values: dict[str, Any] = {
        "kind": "training",
        "package": "p",
        "created": NOW,
        "by": BY,
        "head": Head(major=1),
    }
    return Intent(run=run, **values | given)


def outcome(run: str, decision: Any, **given: Any) -> Outcome:
    """A decision."""
    return Outcome(run=run, decision=decision, created=NOW, **given)


def heartbeat(run: str) -> Heartbeat:
    """A sign of life."""
    return Heartbeat(
        run=run, at=NOW, status="running", phase="train", host="h", boot="b", pid=1, pid_started="1"
    )
