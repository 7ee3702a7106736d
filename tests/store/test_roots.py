"""What records need: above all of an import that is decided and has no number yet."""

from __future__ import annotations

import pytest

from pkgrun.identity import Version
from pkgrun.records import Head, VersionRecord
from pkgrun.store import numbers, roots
from tests.store.entries import entry, outcome


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (Head(major=6), False),  # 7.0 is what it will be found to be, and that was removed
        (Head(major=7), True),
        (Head(major=6, minor=1), True),  # it will be 6.2
        (Head(major=6, chosen=True), False),
        (Head(major=7, minor=0), True),
        (Head(major=4, chosen=True), True),
    ],
)
def test_an_import_without_a_number_needs_its_content_unless_it_is_a_version_that_was_removed(
    head: Head, kept: bool
) -> None:
    removed = VersionRecord(**entry("same", kind="import").model_dump(), version=Version(7, 0), previous=None)
    there = roots.Numbered(numbers.key("p", removed.version), removed, removed=True)
    late = entry("same", kind="import")
    found = roots.arrange([there], [], [outcome(late.run, "COMMIT", entry=late)], lambda run: head)
    assert any(late.tree in root.trees for root in found.kept) == kept
