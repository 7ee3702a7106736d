"""What two calls with one idempotency key must have in common, and that a later release finds it the same."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace

from pkgrun.runs.launch import Wish
from pkgrun.store.objects import digest_of
from pkgrun.worker.limits import Limits

PLAIN = Wish(
    package="churn",
    version="1.0",
    data="rows@1",
    env={"epochs": "3"},
    secrets={"TOKEN": "hush"},
    save_training_data=True,
    gpu=False,
    timeout=3600,
    python=None,
    environment="isolated",
    upgrade=False,
    description=None,
    tags={"team": "blue"},
    mount="auto",
    require_stable_data=False,
    keep_workdir=False,
)

FIRST = {
    "package", "version", "data", "env", "secrets", "save_training_data", "gpu", "timeout", "python", "environment", "upgrade",
    "description", "tags", "mount", "require_stable_data", "keep_workdir",
}  # fmt: skip
"""What the first release had. This never grows: a part that comes later has a default."""


def test_the_same_request_has_the_digest_that_stores_hold_already() -> None:
    """If these change, every key that is in use means something else after an update: do not write them anew."""
    plain = "sha256:3890eb354765db2e404a0be4ddbd2b062b1aa2c7d6f7d5f9c02afafc49fe1933"
    limited = "sha256:56a7686dc5ac724b2bdcc6241dce26b6edf1e5ca3c99e46221d03bec50f8c2c5"
    assert digest_of(PLAIN.asked()) == plain
    assert digest_of(replace(PLAIN, limits=Limits(memory=10**9)).asked()) == limited


def test_what_came_later_is_told_only_where_it_is_used() -> None:
    assert {one.name for one in fields(Wish) if one.default is MISSING} == FIRST
    assert set(json.loads(PLAIN.asked())) == FIRST - {"keep_workdir"}
    told = json.loads(replace(PLAIN, limits=Limits(storage=10**9)).asked())
    assert told["limits"] == {"storage": 10**9}


def test_every_part_that_changes_what_is_done_is_told() -> None:
    others = [
        replace(PLAIN, env={}),
        replace(PLAIN, secrets={"OTHER": "hush"}),
        replace(PLAIN, version="1.1"),
        replace(PLAIN, mount="copy"),
        replace(PLAIN, limits=Limits(sandbox="process")),
    ]
    assert len({one.asked() for one in [PLAIN, *others]}) == 6


def test_what_changes_nothing_is_not_told() -> None:
    """A secret's value is nobody's to keep, and may have been given anew."""
    assert replace(PLAIN, secrets={"TOKEN": "other"}, keep_workdir=True).asked() == PLAIN.asked()
