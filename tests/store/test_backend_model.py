"""Backends against the simplest model there is: a dict of what is kept, and one of what was published."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pkgrun.errors import NotFound
from pkgrun.store.backend import Backend
from pkgrun.store.local import LocalBackend
from pkgrun.testing import MemoryBackend
from pkgrun.testing.strategies import keys, names, records

# Few tops, so that keys meet; all of one depth, so that none is a folder of another.
places = st.one_of(keys(), st.sampled_from(["runs/a/x", "runs/a/y", "runs/b/x", "objects/aa/0"]))
positions = st.integers(0, 300)


class Model(RuleBasedStateMachine):
    """What a backend is asked, and what it must answer."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = self.made()
        self.kept: dict[str, bytes] = {}
        self.published: dict[str, bytes] = {}
        self.used: set[str] = set()

    def made(self) -> Backend:
        """A fresh backend."""
        raise NotImplementedError

    @rule(key=places, data=records)
    def create(self, key: str, data: bytes) -> None:
        if key in self.published:
            return  # whether a published blob is there before the flush is the backend's to say
        assert self.backend.create(key, data) == (key not in self.kept)
        self.kept.setdefault(key, data)
        self.used.add(key.split("/")[1])

    @rule(key=places, data=records)
    def write(self, key: str, data: bytes) -> None:
        if key not in self.published:
            self.backend.write(key, data)
            self.kept[key] = data
            self.used.add(key.split("/")[1])

    @rule(key=places)
    def delete(self, key: str) -> None:
        if key not in self.published:
            self.backend.delete(key)
            self.kept.pop(key, None)

    @rule(key=places, chunks=st.lists(records, max_size=3), discard=st.booleans())
    def upload(self, key: str, chunks: list[bytes], discard: bool) -> None:
        data = b"".join(chunks)
        if self.kept.get(key, data) != data or self.published.get(key, data) != data:
            return  # blobs are kept under what they hold: one key is one content
        upload = self.backend.upload(key)
        for chunk in chunks:
            upload.write(chunk)
        if discard:
            upload.discard()
        else:
            upload.publish(key)
            self.published[key] = data
            self.used.add(key.split("/")[1])

    @rule()
    def flush(self) -> None:
        self.backend.flush()
        self.kept |= self.published
        self.published.clear()

    @rule()
    def flush_again(self) -> None:
        self.flush()
        self.backend.flush(set(self.kept))

    @rule()
    def open_again(self) -> None:
        self.flush()
        self.backend = self.backend.apart()

    @rule(key=places, start=positions, length=st.none() | positions)
    def read(self, key: str, start: int, length: int | None) -> None:
        if key in self.published:
            return
        if key not in self.kept:
            with pytest.raises(NotFound):
                self.backend.read(key, start, length)
            return
        end = None if length is None else start + length
        assert self.backend.read(key, start, length) == self.kept[key][start:end]

    @rule(key=places)
    def stream(self, key: str) -> None:
        if key in self.kept:
            assert b"".join(self.backend.stream(key)) == self.kept[key]

    @rule(top=names, more=names)
    def look_where_nothing_is(self, top: str, more: str) -> None:
        for prefix in (top, f"{top}/{more}"):
            if not any(key.startswith(f"{prefix}/") for key in self.kept | self.published):
                assert list(self.backend.list(prefix)) == []
                assert list(self.backend.walk(prefix)) == []

    @invariant()
    def it_has_what_it_should(self) -> None:
        """Every key, seen in each way; what was published may be seen, and then it is whole."""
        seen = {key for top in self.tops() for key, _ in self.backend.walk(top)}
        assert set(self.kept) <= seen <= set(self.kept | self.published)
        for key in seen:
            found = self.backend.stat(key)
            assert found is not None
            assert found.size == len((self.kept | self.published)[key])
        for top in self.tops():
            listed = set(self.backend.list(top))
            assert {key.split("/")[1] for key in seen if key.startswith(f"{top}/")} <= listed
            # A folder may outlast what was in it, which a directory's does.
            assert all(name in self.used for name in listed)

    def tops(self) -> set[str]:
        return {key.partition("/")[0] for key in self.kept | self.published}


class LocalModel(Model):
    """A directory."""

    def made(self) -> Backend:
        self.folder = tempfile.mkdtemp()
        return LocalBackend(Path(self.folder))

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


class RenamingModel(Model):
    """Memory that learns keys late."""

    def made(self) -> Backend:
        return MemoryBackend(rename=True)


class KeyedModel(Model):
    """Memory that insists on keys."""

    def made(self) -> Backend:
        return MemoryBackend(rename=False)


FEW = settings(max_examples=15, stateful_step_count=30)
LocalModel.TestCase.settings = FEW
RenamingModel.TestCase.settings = FEW
KeyedModel.TestCase.settings = FEW
TestLocal = LocalModel.TestCase
TestRenaming = RenamingModel.TestCase
TestKeyed = KeyedModel.TestCase
