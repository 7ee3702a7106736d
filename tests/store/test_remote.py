"""S3 as a store's place: creating is atomic, a lost answer harms nobody, what a server lacks is named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pkgrun.errors import Bug, NotFound, PermissionDenied, Temporary, UsageError
from pkgrun.store import aws
from pkgrun.store.backend import RECORD_LIMIT, Upload
from pkgrun.store.local import CHUNK
from pkgrun.store.outgoing import GATHERED, SINGLE
from pkgrun.store.parallel import each
from pkgrun.store.remote import RemoteBackend
from tests.servers import Server, s3
from tests.servers.proxy import LOST, Fault, Proxy, proxy

KEY = "objects/aa/" + "a" * 64


def at(server: Server, prefix: str = "team/store") -> RemoteBackend:
    return RemoteBackend(f"{server.url}/{prefix}", aws.access(server.env))


@pytest.fixture
def backend(ministack: Server) -> RemoteBackend:
    return at(ministack)


@pytest.fixture
def spoilt(ministack: Server) -> Iterator[Proxy]:
    with proxy(ministack) as made:
        yield made


def fill(upload: Upload, size: int) -> None:
    for _ in range(size // CHUNK):
        upload.write(bytes(CHUNK))


def unfinished(server: Server) -> int:
    return s3.request(server, "GET", query={"uploads": ""}).body.count(b"<Upload>")


# ---------------------------------------------------------------------- reading


def test_reads_ranges(backend: RemoteBackend) -> None:
    backend.create("runs/r/a.json", b"0123456789")
    assert backend.read("runs/r/a.json") == b"0123456789"
    assert backend.read("runs/r/a.json", 3) == b"3456789"
    assert backend.read("runs/r/a.json", 3, 4) == b"3456"
    assert backend.read("runs/r/a.json", 0, 0) == b""
    assert backend.read("runs/r/a.json", 8, 100) == b"89"
    assert backend.read("runs/r/a.json", 100) == b""


def test_streams_in_pieces(backend: RemoteBackend) -> None:
    data = os.urandom(3 * CHUNK + 5)
    backend.write("blob", data)
    pieces = list(backend.stream("blob"))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= CHUNK


def test_missing_keys_are_not_found(backend: RemoteBackend, ministack: Server) -> None:
    for read in (backend.read, lambda key: backend.read(key, 0, 0), lambda key: list(backend.stream(key))):
        with pytest.raises(NotFound, match=f"^{ministack.url}/team/store/no/where does not exist$"):
            read("no/where")
    assert backend.stat("no/where") is None
    assert list(backend.list("no")) == []
    assert list(backend.walk("no")) == []
    backend.delete("no/where")


def test_lists_what_is_below(backend: RemoteBackend, ministack: Server) -> None:
    keys = {"runs/a/x.json", "runs/a/deep/er.json", "runs/b/x.json", "runs-not/y.json"}
    for key in keys:
        backend.write(key, b"{}")
    at(ministack, "team").write("elsewhere", b"")
    assert sorted(backend.list("")) == ["runs", "runs-not"]
    assert sorted(backend.list("runs")) == ["a", "b"]
    assert sorted(backend.list("runs/a")) == ["deep", "x.json"]
    assert {key for key, _ in backend.walk("runs")} == keys - {"runs-not/y.json"}
    assert {key for key, _ in backend.walk("")} == keys


def test_lists_more_than_a_page(backend: RemoteBackend) -> None:
    keys = [f"objects/{number % 7}/{number}" for number in range(2100)]
    each(lambda key: backend.write(key, b""), keys)
    assert sorted(key for key, _ in backend.walk("objects")) == sorted(keys)
    assert len(list(backend.list("objects/0"))) == 300


def test_stat_tells_size_and_time_and_delete_forgets(backend: RemoteBackend) -> None:
    backend.write("a", b"four")
    found = backend.stat("a")
    assert found is not None
    assert found.size == 4
    assert found.modified > 1.6e9
    backend.delete("a")
    assert backend.stat("a") is None


def test_a_store_may_lie_at_the_bucket_itself(ministack: Server) -> None:
    backend = RemoteBackend(ministack.url, aws.access(ministack.env))
    backend.write("runs/a.json", b"{}")
    assert (backend.url, list(backend.list("")), [key for key, _ in backend.walk("")]) == (
        ministack.url,
        ["runs"],
        ["runs/a.json"],
    )


# ---------------------------------------------------------------------- creating


def test_create_says_whether_the_key_was_free(backend: RemoteBackend) -> None:
    assert backend.create("runs/r/intent.json", b"first")
    assert not backend.create("runs/r/intent.json", b"second")
    assert backend.read("runs/r/intent.json") == b"first"


def test_a_record_has_a_limit(backend: RemoteBackend) -> None:
    assert backend.create("most", b"x" * RECORD_LIMIT)
    with pytest.raises(Bug, match=str(RECORD_LIMIT)):
        backend.create("more", b"x" * (RECORD_LIMIT + 1))


def test_of_sixteen_rivals_one_creates(ministack: Server) -> None:
    backends = [at(ministack) for _ in range(16)]
    barrier = threading.Barrier(16)

    def rival(number: int) -> list[bool]:
        won = []
        for turn in range(20):
            barrier.wait()
            won.append(backends[number].create(f"packages/p/{turn}.json", b"%d" % number))
        return won

    answers = each(rival, range(16), threads=16, run=1)
    for turn, won in enumerate(zip(*answers, strict=True)):
        assert sum(won) == 1
        assert backends[0].read(f"packages/p/{turn}.json") == b"%d" % won.index(True)


def test_a_lost_answer_to_a_create_is_a_refusal(spoilt: Proxy) -> None:
    backend = at(spoilt.server)
    spoilt.plan("PUT", LOST)
    assert not backend.create("mine.json", b"mine")
    assert backend.read("mine.json") == b"mine"
    assert [one.method for one in spoilt.requests].count("PUT") == 2


def test_a_deletion_whose_answer_was_lost_is_not_over(spoilt: Proxy) -> None:
    backend = at(spoilt.server)
    backend.create("runs/r/a.json", b"{}")
    spoilt.plan("DELETE", LOST)
    assert backend.delete("runs/r/a.json") is False
    assert backend.delete("runs/r/a.json") is True


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_a_server_in_trouble_is_asked_again(spoilt: Proxy, status: int) -> None:
    spoilt.plan("PUT", Fault(status=status), Fault(status=status))
    assert at(spoilt.server).create("mine.json", b"mine")
    spoilt.plan("PUT", Fault(status=500), Fault(status=503))
    at(spoilt.server).write("mine.json", b"else")


def test_a_conflict_without_end_is_temporary(spoilt: Proxy) -> None:
    spoilt.always("PUT", Fault(status=409))
    with pytest.raises(Temporary, match=rf"mine\.json: {spoilt.server.endpoint} answers 409"):
        at(spoilt.server).create("mine.json", b"mine")
    assert 5 <= len(spoilt.requests) <= 40


@pytest.mark.parametrize("method", ["create", "write", "read", "stat", "list", "delete"])
def test_a_412_for_no_reason_is_asked_again(spoilt: Proxy, method: str) -> None:
    """Nobody has the key: a refusal that is about nothing must not pass for one."""
    backend = at(spoilt.server)
    backend.write("there", b"bytes")
    asked: dict[str, Callable[[], object]] = {
        "create": lambda: backend.create("mine.json", b"mine"),
        "write": lambda: backend.write("mine.json", b"mine"),
        "read": lambda: backend.read("there"),
        "stat": lambda: backend.stat("there"),
        "list": lambda: list(backend.list("")),
        "delete": lambda: backend.delete("there"),
    }
    for verb in ("PUT", "GET", "HEAD", "DELETE"):
        spoilt.plan(verb, Fault(status=412))
    answer = asked[method]()
    assert (
        answer is False if method == "delete" else answer not in (False, [])
    )  # it had to be asked for again
    assert len(spoilt.spoilt) == 1 + (method == "create")  # which looks, too
    if method in ("create", "write"):
        assert backend.read("mine.json") == b"mine"


def test_a_412_without_end_is_temporary(spoilt: Proxy) -> None:
    spoilt.always("PUT", Fault(status=412))
    with pytest.raises(Temporary, match=r"mine\.json: .* answers 412, as if it were there"):
        at(spoilt.server).create("mine.json", b"mine")


def test_a_slow_server_is_waited_for(spoilt: Proxy) -> None:
    spoilt.plan("PUT", Fault(late=0.3))
    assert at(spoilt.server).create("mine.json", b"mine")
    assert len(spoilt.requests) == 1


def test_an_answer_that_is_cut_is_asked_for_again(spoilt: Proxy) -> None:
    backend = at(spoilt.server)
    data = os.urandom(3 * CHUNK)
    backend.write("blob", data)
    for read in (backend.read, lambda key: b"".join(backend.stream(key))):
        spoilt.plan("GET", LOST, Fault(cut=CHUNK + 1))
        assert read("blob") == data
    assert backend.read("blob", 5, 10) == data[5:15]


# ---------------------------------------------------------------------- blobs


@pytest.mark.parametrize("size", [0, 5, CHUNK, SINGLE])
def test_a_small_blob_is_one_request(spoilt: Proxy, size: int) -> None:
    backend = at(spoilt.server)
    upload = backend.upload(KEY)
    upload.write(b"x" * size)
    upload.publish(KEY)
    backend.flush()
    assert [(one.method, one.size) for one in spoilt.requests] == [("PUT", size)]
    assert backend.read(KEY) == b"x" * size


@pytest.mark.parametrize("size", [GATHERED, 3 * GATHERED])
def test_pieces_are_gathered(spoilt: Proxy, size: int) -> None:
    upload = at(spoilt.server).upload(KEY)
    fill(upload, size)
    upload.publish(KEY)
    assert len(spoilt.requests) == (1 if size <= GATHERED else 2 + size // (8 << 20))


def test_a_large_blob_arrives_in_parts(spoilt: Proxy) -> None:
    backend, data = at(spoilt.server), os.urandom(8 * GATHERED + CHUNK + 5)
    upload = backend.upload(KEY)
    for start in range(0, len(data), CHUNK):
        upload.write(data[start : start + CHUNK])
    spoilt.plan("PUT", None, LOST, Fault(status=503))
    upload.publish(KEY)
    assert b"".join(backend.stream(KEY)) == data
    assert {one.method for one in spoilt.requests[:-1]} == {"POST", "PUT"}
    assert max(one.size for one in spoilt.requests) == 8 << 20


def test_a_discarded_blob_leaves_nothing(backend: RemoteBackend, ministack: Server) -> None:
    for size in (CHUNK, GATHERED + 40 * CHUNK):
        upload = backend.upload(KEY)
        fill(upload, size)
        assert unfinished(ministack) == (size > GATHERED)
        upload.discard()
        assert unfinished(ministack) == 0
    assert list(backend.walk("")) == []


def test_a_blob_that_cannot_be_sent_says_so(spoilt: Proxy) -> None:
    spoilt.always("PUT", Fault(status=403))
    upload = at(spoilt.server).upload(KEY)
    with pytest.raises(PermissionDenied, match="refuses"):
        fill(upload, 1000 * CHUNK)
    with pytest.raises(PermissionDenied, match="refuses"):
        upload.publish(KEY)
    upload.discard()
    assert unfinished(spoilt.server) == 0


def test_eight_large_blobs_at_once(backend: RemoteBackend) -> None:
    def send(number: int) -> None:
        upload = backend.upload(f"objects/{number}")
        fill(upload, 30 * CHUNK)
        upload.publish(f"objects/{number}")

    each(send, range(8), threads=8, run=1)
    sizes = [backend.stat(f"objects/{number}") for number in range(8)]
    assert [found and found.size for found in sizes] == [30 * CHUNK] * 8


def test_a_blob_needs_its_key_first(backend: RemoteBackend) -> None:
    with pytest.raises(Bug, match="needs its key"):
        backend.upload()
    with pytest.raises(Bug, match="renames nothing"):
        backend.upload(KEY).publish("objects/other")


_LARGE = """
import sys
from pkgrun.store import aws
from pkgrun.store.remote import RemoteBackend
from tests.bench.resident import peak

backend = RemoteBackend(sys.argv[1])
backend.write("warm", b"")
before = peak()
upload = backend.upload("large")
for _ in range(200):
    upload.write(bytes(1 << 20))
upload.publish("large")
sent = peak()
assert sum(map(len, backend.stream("large"))) == 200 << 20
print(sent - before >> 20, peak() - sent >> 20)
"""


def test_a_large_blob_takes_little_memory(ministack: Server) -> None:
    done = subprocess.run(
        (sys.executable, "-c", _LARGE, f"{ministack.url}/p"),
        cwd=Path(__file__).parents[2],
        env=os.environ | ministack.env,
        capture_output=True,
        text=True,
        check=True,
    )
    sent, read = map(int, done.stdout.split())
    assert sent < 120
    assert read < 30


# ---------------------------------------------------------------------- refusals


def test_a_bucket_that_is_not_there(ministack: Server) -> None:
    backend = RemoteBackend("s3://no-such-bucket/p", aws.access(ministack.env))
    for work in (
        lambda: backend.read("a"),
        lambda: backend.create("a", b""),
        lambda: list(backend.list("")),
        lambda: list(backend.walk("")),
    ):
        with pytest.raises(NotFound, match=f"there is no bucket no-such-bucket at {ministack.endpoint}") as e:
            work()
        assert "pkgrun makes no buckets" in str(e.value.hint)


def test_nobody_answers() -> None:
    env = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    with pytest.raises(Temporary, match=r"s3://bucket/p/a: http://127\.0\.0\.1:1 cannot be reached"):
        RemoteBackend("s3://bucket/p", aws.access(env)).read("a")


def test_wrong_keys_are_refused_and_not_repeated(rclone: Server) -> None:
    env = rclone.env | {"AWS_SECRET_ACCESS_KEY": "WRONGSECRET", "AWS_SESSION_TOKEN": "WRONGTOKEN"}
    with pytest.raises(PermissionDenied, match="refuses") as caught:
        RemoteBackend(rclone.url, aws.access(env)).read("a")
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)
    assert "WRONG" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"


def test_a_server_that_ignores_ranges_is_named(rclone: Server) -> None:
    backend = at(rclone)
    backend.write("a", b"0123456789")
    with pytest.raises(UsageError, match=f"the server at {rclone.endpoint} ignores Range"):
        backend.read("a", 2, 3)


@pytest.mark.parametrize(
    "location",
    ["s3://", "s3:///p", "s3://b", "s3://bucket//p", "s3://bucket/../p", "s3://bucket/a/./b", "s3://bucket/p?x=PW",
     "s3://bucket/p#PW", "s3://bucket/a\\b", "s3://bucket/a\nb", "s3://-bucket/p", "s3://user:PW@bucket/p", "s3://PW@bucket"],
)  # fmt: skip
def test_what_is_no_store_is_refused_without_being_repeated(ministack: Server, location: str) -> None:
    with pytest.raises(UsageError, match="URL") as caught:
        RemoteBackend(location, aws.access(ministack.env))
    assert "PW" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("prefix", ["a b", "größe", "50%", "a+b=c", "it's (here)!", "a/b/c/"])
def test_any_readable_prefix_will_do(ministack: Server, prefix: str) -> None:
    at(ministack, prefix).create("k.json", b"{}")
    assert s3.request(ministack, "GET", f"{prefix.rstrip('/')}/k.json").body == b"{}"
    assert [key for key, _ in at(ministack, prefix).walk("")] == ["k.json"]


def test_a_listing_that_breaks_off_goes_on_from_where_it_was(spoilt: Proxy) -> None:
    backend = at(spoilt.server)
    keys = sorted(f"many/{number:04}" for number in range(1100))
    each(lambda key: backend.write(key, b"x"), keys)
    for place in range(3):
        spoilt.plan("GET", *[None] * place, Fault(status=409))
        assert sorted(key for key, _ in backend.walk("many")) == keys
