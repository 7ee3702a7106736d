"""What a lineage says was erased since: of whoever saw it, as the store knows now, and not as a receipt names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkgrun.errors import Damaged
from pkgrun.lineage import looking
from pkgrun.lineage.direct import Direct
from pkgrun.lineage.index import opened
from pkgrun.records import VersionRecord
from pkgrun.records.erasing import Receipt
from pkgrun.store import erased
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import new_run_id
from tests.store import entries

from .stores import History, new_store
from .walked import Walked


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(new_store(tmp_path))


def erase(history: History, text: str, *versions: str) -> str:
    """Put a receipt, which names these; the digest."""
    digest = digest_of(text.encode())
    receipt = Receipt(
        digest=digest,
        bytes=1,
        reason="r",
        by=entries.BY,
        created=entries.NOW,
        run=new_run_id(),
        versions=versions,
    )
    history.store.backend.create(erased.key(bytes.fromhex(digest[7:])), receipt.to_bytes())
    return digest


def marks(history: History) -> dict[str, tuple[str, ...]]:
    with opened(history.store) as index:
        found = looking.erased(history.store, index)
    assert found == looking.erased(history.store, Walked(history.store))
    return found


def label(record: VersionRecord | None) -> str:
    assert record is not None
    return f"{record.package}@{record.version}"


def test_names_of_another_store_say_nothing_here(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "1"}, {"rows": "x"})
    digest = erase(history, "x", "churn@1.0", "other@1.7")
    assert marks(history) == {label(one): (digest,)}


def test_what_was_made_since_and_what_nobody_named_is_marked(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "1"}, {"rows": "x", "more": "y"})
    assert one is not None
    first, second = erase(history, "x", label(one)), erase(history, "y")
    two = history.train(one, {"main.py": "2"}, {"rows": "z"})
    moved = history.import_("moved", {"main.py": "2"}, origin=two)
    both = tuple(sorted((first, second)))
    assert marks(history) == {label(one): both, label(two): both, label(moved): both}


def test_a_receipt_that_is_damaged_still_marks(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "1"}, {"rows": "x"})
    digest = digest_of(b"x")
    history.store.backend.create(erased.key(bytes.fromhex(digest[7:])), b"no receipt")
    assert marks(history) == {label(one): (digest,)}
    direct = Direct(history.store, Damaged("no index"))
    assert looking.erased(history.store, direct) == {}


def test_without_an_index_a_receipt_is_believed(history: History) -> None:
    digest = erase(history, "x", "churn@1.0")
    direct = Direct(history.store, Damaged("no index"))
    assert looking.erased(history.store, direct) == {"churn@1.0": (digest,)}
