"""Who wants something that a collection is deleting: whom he waits for, and when he brings it to its end himself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from pkgrun.errors import Damaged, PermissionDenied, Temporary
from pkgrun.records.collecting import Sentence
from pkgrun.store import alive, collecting, helping, operations, sentences, sweeping
from pkgrun.store.backend import Backend
from pkgrun.store.condemned import Condemned
from pkgrun.store.helping import Waits
from pkgrun.store.root import Store
from pkgrun.store.wrappers import Call, Retrying, Wrapper
from tests.store.blobs import blobs
from tests.store.test_collecting import (
    FILES,
    NOBODY,
    OTHERS,
    again,
    begin,
    collect,
    commit,
    folder,
    leave,
    whole,
)

pytestmark = pytest.mark.row(14)

T = TypeVar("T")

AT_ONCE = Waits(dead=0.0, unsettled=0.0, remote=0.0, most=0.1)


def condemn(store: Store, path: Path) -> Sentence:
    """What a writer has left, condemned."""
    leave(store, path)
    assert collect(store, grace=1000.0).condemned
    (sentence,) = collecting.read_all(store.backend)
    return sentence


def sweep(store: Store, sentence: Sentence, *, settled: bool = True) -> None:
    """As far as a collector came who died then."""
    store.backend.create(sentences.key(sentence.id, sentences.SWEEPING), b"{}")
    if settled:
        sentences.settle(store.backend, sentence, ())


def looking(
    backend: Backend, waits: Waits = AT_ONCE, *, pause: Callable[[float], None] = lambda seconds: None
) -> Condemned:
    found = Condemned(backend, pause=pause, waits=waits)
    found.look()
    return found


def _collect_until_killed(url: str) -> None:
    from pkgrun.store.root import open_store

    store = open_store(url, create=False)

    def told(what: str, done: int, total: int) -> None:
        if what == "delete":
            os.kill(os.getpid(), signal.SIGKILL)

    sweeping.collect(
        store.backend, store.objects, by=NOBODY, new_id=operations.new_run_id, grace=0.0, told=told
    )


def test_a_writer_beside_a_collector_that_was_killed_waits_for_seconds(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "data", OTHERS)
    condemn(store, path)
    process = multiprocessing.get_context("spawn").Process(target=_collect_until_killed, args=(store.url,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert sentences.names(store.backend, sentences.VERDICT)
    began = time.monotonic()
    tree = commit(again(store), begin(store), path)
    print(f"it took {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 20
    whole(store, tree, OTHERS)
    assert sentences.names(store.backend) == []


def test_what_is_settled_is_carried_out_by_who_waits(store: Store, tmp_path: Path) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    sweep(store, sentence)
    found = looking(store.backend)
    assert sentence.objects[0].key in found
    assert found.spare(sentence.objects[0].key) is False
    assert blobs(store) == {}
    assert [key for key, _ in store.backend.walk("gc")] == ["gc/clock.json"]


def test_what_is_not_settled_stays(store: Store, tmp_path: Path) -> None:
    """Whoever was judging it died, or takes long: what nobody needs of it is condemned anew."""
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    before = blobs(store)
    sweep(store, sentence, settled=False)
    assert looking(store.backend).spare(sentence.objects[0].key) is False
    assert blobs(store) == before
    assert sentences.names(store.backend) == []
    assert collect(store).deleted == len(sentence.objects)


def test_a_collector_that_judges_finds_that_a_writer_has_pardoned_all(store: Store, tmp_path: Path) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    before = blobs(store)
    sweep(store, sentence, settled=False)
    sentences.pardon(store.backend, sentence.id)
    assert collect(store).deleted == 0
    assert blobs(store) == before


def test_who_is_alive_and_deletes_is_waited_for(store: Store, tmp_path: Path) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    sweep(store, sentence)
    deleting = sentences.delete(store.backend, sentence, sentence.objects)
    deleted = []

    def go_on(seconds: float) -> None:
        one = next(deleting, None)
        if one is None:
            sentences.forget(store.backend, sentence.id)
        else:
            deleted.append(one)

    assert looking(store.backend, pause=go_on).spare(sentence.objects[0].key) is False
    assert [one for one, _ in deleted] == list(sentence.objects)


def test_nobody_deletes_beside_one_that_is_only_stopped(store: Store, tmp_path: Path) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    before = blobs(store)
    sweep(store, sentence)
    found = looking(store.backend)
    with (
        alive.at_work(store.backend, sentences.key(sentence.id, sentences.SWEEPING)),
        pytest.raises(Temporary, match="has not come to its end") as failure,
    ):
        found.spare(sentence.objects[0].key)
    assert "store gc --yes" in (failure.value.hint or "")
    assert blobs(store) == before
    assert found.spare(sentence.objects[0].key) is False


class Elsewhere(Wrapper):
    """A place of which nobody sees who is alive; deleting is refused, if that is said."""

    def __init__(self, backend: Backend, *, refuses: bool = False) -> None:
        super().__init__(backend)
        self.capabilities = replace(backend.capabilities, paths=False)
        self._refuses = refuses

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if self._refuses and call.method == "delete":
            raise PermissionDenied("you may not delete")
        return work()


def test_on_a_server_it_is_waited_until_no_request_can_be_underway(store: Store, tmp_path: Path) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    before = blobs(store)
    sweep(store, sentence)
    patient = AT_ONCE._replace(remote=1000.0)
    with pytest.raises(Temporary):
        looking(Elsewhere(store.backend), patient).spare(sentence.objects[0].key)
    assert blobs(store) == before
    assert looking(Elsewhere(store.backend)).spare(sentence.objects[0].key) is False
    assert blobs(store) == {}


@pytest.mark.parametrize("settled", [True, False])
def test_who_may_not_delete_is_told(store: Store, tmp_path: Path, settled: bool) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    sweep(store, sentence, settled=settled)
    with pytest.raises(Temporary, match="has not come to its end"):
        looking(Elsewhere(store.backend, refuses=True)).spare(sentence.objects[0].key)


def test_while_one_waits_others_do_what_they_can(store: Store, tmp_path: Path) -> None:
    """And if it is interrupted, nobody goes on waiting in its place."""
    held = condemn(store, folder(tmp_path / "data", FILES))
    leave(store, folder(tmp_path / "other", {"x": b"another"}))
    collect(store, grace=1000.0)
    free = next(one for one in collecting.read_all(store.backend) if one.id != held.id)
    sweep(store, held)
    waiting, interrupt = threading.Event(), threading.Event()

    def pause(seconds: float) -> None:
        waiting.set()
        if interrupt.wait(0.01):
            raise KeyboardInterrupt

    found = looking(store.backend, Waits(most=60.0, dead=60.0), pause=pause)
    ends: list[type[BaseException]] = []

    def want(key: str) -> None:
        try:
            found.spare(key)
        except BaseException as error:
            ends.append(type(error))

    threads = [threading.Thread(target=want, args=(one.key,)) for one in held.objects]
    for thread in threads:
        thread.start()
    assert waiting.wait(10)
    assert found.spare(free.objects[0].key) is True
    assert held.objects[0].key in found
    interrupt.set()
    for thread in threads:
        thread.join(10)
    assert ends == [KeyboardInterrupt] * len(threads)


def test_a_verdict_that_cannot_be_read_is_named_with_the_way_out(store: Store, tmp_path: Path) -> None:
    sentence = condemn(store, folder(tmp_path / "data", OTHERS))
    sweep(store, sentence)
    verdict = sentences.key(sentence.id, sentences.VERDICT)
    Path(store.url, verdict).write_bytes(b"{")
    for wants in (lambda: looking(store.backend).spare(sentence.objects[0].key), lambda: collect(store)):
        with pytest.raises(Damaged) as failure:
            wants()
        assert verdict in failure.value.message
        assert "store repair" in (failure.value.hint or "")


def test_what_is_written_down_of_waiting_is_longer_than_what_it_waits_for() -> None:
    from pkgrun.store.patience import LIMIT

    assert Waits().remote > LIMIT
    assert Waits().most > Waits().remote
    assert helping.Waits().dead < 5


class Unheard(Wrapper):
    """The first deletion gets no answer."""

    lost = False

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if call.method == "delete" and call.key.startswith(("packs/", "objects/")) and not self.lost:
            self.lost = True
            raise Temporary("no answer")
        return work()


def test_while_a_deletion_may_be_on_its_way_nobody_writes_anew_what_it_would_take_away(
    store: Store, tmp_path: Path
) -> None:
    leave(store, folder(tmp_path / "data", OTHERS))
    deaf = Retrying(Unheard(store.backend), pause=lambda seconds: None)
    done = sweeping.collect(deaf, store.objects, by=NOBODY, new_id=operations.new_run_id, grace=0.0)
    assert done.deleted
    assert [one.seconds for one in done.waiting] == [sentences.LATE]
    (name,) = sentences.names(store.backend)
    (waiting,) = collect(store, grace=0.0).waiting
    assert 0 < waiting.seconds <= sentences.LATE
    assert sentences.names(store.backend) == [name]
    os.utime(tmp_path / "store" / sentences.key(name, sentences.SWEEPING), (1.0, 1.0))
    assert not collect(store, grace=0.0).waiting
    assert not sentences.names(store.backend)
