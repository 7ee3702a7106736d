"""What users, packages, servers and the package's own code write, in every form that Hypothesis thinks of: what is meant,
or an error of ours (rows 1, 4, 6, 7).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pkgrun
from pkgrun.datasets.remote import fetching, urls
from pkgrun.datasets.sources import Remote, Source, Stored
from pkgrun.errors import DataInvalid, InvalidName, PackageInvalid, PkgrunError, UsageError
from pkgrun.identity import Version, check_name, check_run_id
from pkgrun.packages.sources import kept
from pkgrun.runs import lookup
from pkgrun.settings import cache_folder, cache_limit, store_location
from pkgrun.store.root import open_store
from pkgrun.worker import requirements
from pkgrun.worker.child import protocol
from pkgrun.worker.messages import Messages
from pkgrun.worker.variables import read_env_file
from tests.hostile.mutations import DEEP, changed, mutated, within, words

NUMBERS = ["1", "0", "1.0", "01", "1.", ".1", "-1", "1e0", "١", "99999999", "100000000", "\n"]
NAMES = [
    "pack",
    "rows",
    "@",
    "/",
    "..",
    ".",
    "-",
    "%2e",
    "\\",
    "\0",
    "~",
    "://",
    "file:",
    "*",
    "\udcff",
    *NUMBERS,
]


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh one for each example, and the current one."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as path:
        os.chdir(path)
        try:
            yield Path(path)
        finally:
            os.chdir(before)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> pkgrun.Workspace:
    """A store with one package and one dataset."""
    place = tmp_path_factory.mktemp("store")
    (place / "rows" / "deep").mkdir(parents=True)
    (place / "rows" / "deep" / "a").write_text("x")
    (place / "pack").mkdir()
    (place / "pack" / "main.py").write_text("class Main:\n    def predict(self, x):\n        return x\n")
    workspace = pkgrun.open(place / "store")
    workspace.add(place / "pack")
    workspace.datasets.add("rows", place / "rows")
    return workspace


# ---------------------------------------------------------------------- names


@pytest.mark.row(1)
@given(words(*NAMES))
def test_a_name_is_one_or_refused(text: str) -> None:
    for check in (check_name, check_run_id):
        with within(), suppress(InvalidName):
            found = check(text)
            assert found == text
            assert PurePosixPath(text).name == text
            assert text.isascii()
            assert not text.startswith(("-", "."))


@pytest.mark.row(1)
@given(words(*NUMBERS, "."))
def test_a_version_has_one_written_form(text: str) -> None:
    with within(), suppress(UsageError):
        assert str(Version.parse(text)) == text


@pytest.mark.row(1)
@given(text=words(*NAMES))
def test_whatever_is_looked_up_is_there_or_an_error_of_ours(workspace: pkgrun.Workspace, text: str) -> None:
    store = open_store(workspace.url, create=False)
    looks: list[Callable[[], object]] = [
        lambda: workspace.version(text).package == "pack",
        lambda: workspace.version(f"pack@{text}").package == "pack",
        lambda: workspace.versions(text),
        lambda: workspace.datasets.get(text).dataset == "rows",
        lambda: workspace.datasets.get(f"rows@{text}").dataset == "rows",
        lambda: workspace.datasets.numbers(text),
        lambda: workspace.run(text),
        lambda: isinstance(lookup.dataset(store, text), Source | Remote | Stored),
        lambda: isinstance(lookup.dataset(store, f"rows/{text}"), Source | Stored),
        lambda: lookup.is_folder(store, text) in (True, False),
    ]
    for look in looks:
        with within(), suppress(PkgrunError):
            assert look()


@pytest.mark.row(1)
@given(
    timeout=st.floats() | st.integers() | st.none(),
    name=words("A", "_", "=", "1", " ", "\0", "\n"),
    value=st.text(max_size=5) | st.just("\udcff"),
    where=words(".", "/", "data", "out", "\0", "..", "~"),
    python=st.none() | words("3", ".", "1", "/", "x", "\0", "-"),
)
@example(timeout=float("nan"), name="A", value="", where="out", python=None)
@example(timeout=float("inf"), name="A", value="", where="out", python=None)
def test_no_option_of_a_training_is_a_bug(
    workspace: pkgrun.Workspace, timeout: float | None, name: str, value: str, where: str, python: str | None
) -> None:
    """Of a package that cannot be trained: what is wrong is found before anything is begun."""
    before = os.listdir(Path(workspace.url, "runs"))
    with within(), pytest.raises(PkgrunError) as caught:
        workspace.train(
            "pack",
            timeout=timeout,
            env={name: value, "artifacts_directory": where},
            python=python,
            tags={name: value},
            environment="current" if python is None else "isolated",
        )
    assert caught.value.kind in ("usage", "package-invalid")
    assert os.listdir(Path(workspace.url, "runs")) == before


# ---------------------------------------------------------------------- settings


SETTING = b'store = "a/b"\ncache = "c"\ncache_size = "20GB"\n'


@pytest.mark.row(1)
@given(
    st.one_of(
        mutated(SETTING),
        words(
            "store", "cache", "cache_size", " = ", '"', "'", "[", "]", "{", "}", "\n", "\\", "1", "GB", "."
        ).map(lambda text: text.encode(errors="surrogateescape")),
        st.sampled_from([b"store = " + deep for deep in DEEP]),
        st.sampled_from(
            [b"store = 1979-05-27", b"store = [1]", b"store = {a=1}", b"[store]", b'store = "\\u0000"']
        ),
    )
)
def test_settings_are_read_or_refused(text: bytes) -> None:
    with folder() as place, pytest.MonkeyPatch.context() as patch, within():
        for variable in ("PKGRUN_STORE", "PKGRUN_CACHE", "PKGRUN_CACHE_SIZE"):
            patch.delenv(variable, raising=False)
        for file, content in (("pkgrun.toml", text), ("pyproject.toml", b"[tool.pkgrun]\n" + text)):
            (place / file).write_bytes(content)
            with suppress(UsageError):
                assert store_location()
            with suppress(UsageError):
                assert os.path.isabs(cache_folder())
            with suppress(UsageError):
                assert cache_limit() >= 0
            (place / file).unlink()


@pytest.mark.row(1)
@given(words("1", "20", ".", "5", "k", "M", "GiB", "TB", "b", " ", "-", "e9", "inf", "nan", "٣", "\n"))
def test_a_size_is_read_or_refused(text: str) -> None:
    with within(), suppress(UsageError):
        assert cache_limit(text) >= 0


@pytest.mark.row(1)
@given(st.one_of(mutated(b"A=1\n# x\nB= two \n"), st.binary(max_size=60)))
def test_a_file_of_variables_is_read_or_refused(text: bytes) -> None:
    with folder() as place, within():
        (place / "e").write_bytes(text)
        with suppress(UsageError):
            for name, value in read_env_file(place / "e").items():
                assert name.isidentifier()
                assert "\0" not in value


# ---------------------------------------------------------------------- packages


@pytest.mark.row(1)
@given(
    st.one_of(
        words(
            "[",
            "]",
            "!",
            "^",
            "-",
            "\\",
            "*",
            "**",
            "?",
            "/",
            "a",
            "z",
            "Z",
            " ",
            "\n",
            "#",
            "\r",
            "[z-a]",
            "[[:x:]]",
        ).map(lambda text: text.encode(errors="surrogateescape")),
        st.binary(max_size=40),
    ),
    words("a", "z", "/", "\n", "[", "\\", "\udcff"),
)
@example(b"[z-a]", "a")
@example(b"[", "a")
@example(b"\\", "a")
@pytest.mark.filterwarnings("ignore:Possible (nested set|set):FutureWarning")
def test_an_ignore_file_is_read_or_refused(lines: bytes, path: str) -> None:
    with folder() as place, within():
        (place / ".pkgrunignore").write_bytes(lines)
        with suppress(PackageInvalid):
            keep = kept(str(place))
            for is_folder in (False, True):
                assert keep(path.strip("/").replace("\0", "") or "a", is_folder) in (True, False)


PARTS = [
    "-r ", "-c ", "-e ", "-f ", "--requirement=", "--find-links ", "--index-url ", "--", "inside.txt", "wheel.whl", "../", "./", "/",
    "file:", "file:///", "://", "http://u:p@h/", "six==1", "[a,b]", " @ ", "${", "}", "#", "\\\n", "\n", ";", "'", '"', "%2e%2e/", "%00",
    "%", "~", "x" * 300,
]  # fmt: skip


@pytest.mark.row(1)
@given(
    st.one_of(
        words(*PARTS).map(lambda text: text.encode(errors="surrogateescape")),
        st.binary(max_size=40),
        st.binary(max_size=40).map(lambda data: b"\xff\xfe" + data),
    )
)
def test_requirements_are_read_or_refused_and_stay_inside(text: bytes) -> None:
    with folder() as place, within():
        (place / "p").mkdir()
        (place / "p" / "requirements.txt").write_bytes(text)
        (place / "p" / "inside.txt").write_text("six\n")
        (place / "p" / "wheel.whl").write_text("")
        (place / "outside.txt").write_text("outside-package\n")
        with suppress(PackageInvalid):
            found = requirements.read(place / "p")
            assert "outside-package" not in found.text + found.constraints
            for path in found.local:
                assert (place / "p" / path).resolve().is_relative_to(place.resolve() / "p")


# ---------------------------------------------------------------------- messages of the package's process


MESSAGES: list[bytes] = [
    protocol.encode(message).strip()
    for message in (
        {"event": "unmounted", "reason": "r"},
        {"event": "phase", "name": "train"},
        {"event": "failure", "phase": "p", "type": "t", "message": "m", "traceback": "x", "notes": "", "exits": False},
        {"event": "result", "scores": {"train": 0.5}},
        {"event": "ended"},
        {"event": "started", "pid": 5},
        {
            "event": "exit", "code": 0, "signal": None, "cpu_seconds": 0.5, "peak_memory_bytes": 1, "out_of_memory": False,
            "survivors": False,
        },
    )
]  # fmt: skip


@pytest.mark.row(6)
@given(st.lists(st.one_of(*map(changed, MESSAGES)), max_size=4), st.integers(1, 60))
def test_messages_are_read_or_counted(lines: list[bytes], size: int) -> None:
    messages = Messages()
    data = b"\n".join(lines) + b"\n"
    with within():
        found = [one for at in range(0, len(data), size) for one in messages.feed(data[at : at + size])]
        end = list(messages.feed(b'\n{"event":"ended"}\n'))
    assert len(end) == 1
    assert len(found) + messages.ignored <= data.count(b"\n") + 1


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.row(6)
@given(st.dictionaries(st.text(), _VALUES, max_size=4))
def test_what_the_protocol_writes_it_reads(message: dict[str, Any]) -> None:
    line = protocol.encode(message)
    assert line.count(b"\n") == 2
    assert protocol.decode(line.strip()) == message


@pytest.mark.row(6)
@given(st.text(max_size=200), st.integers(0, 100))
def test_what_is_bounded_is_bounded(text: str, limit: int) -> None:
    assert len(protocol.bounded(text, limit)) <= max(limit, len(text) if len(text) <= limit else limit + 60)


# ---------------------------------------------------------------------- URLs and what servers list


LINKS = [
    "http", "https", "s3", "file", "zip", "ext", "://", "::", "user", ":", "word", "@", "host", "[", "]", "[::1]", "/", "a%2Fb", "%", "%00",
    "..", "?", "token=", "sig=", "&", ";", "#", "=", " ", "\n", "\udcff", "\0", "8080", "{", "*",
]  # fmt: skip


@pytest.mark.row(4)
@pytest.mark.row(7)
@given(words(*LINKS))
def test_a_url_is_understood_or_refused(url: str) -> None:
    with within():
        assert isinstance(urls.label(url), str)
        assert isinstance(urls.identity(url), str)
        urls.scheme(url)
        assert isinstance(urls.scrubbed(f"cannot open {url}", url), str)
        with suppress(PkgrunError):
            fetching.local_path(url)
        with suppress(PkgrunError):
            fetching.check(url)
        with suppress(PkgrunError):
            name = urls.file_name(url)
            assert name not in ("", ".", "..")
            assert "/" not in name


SECRET = "hunter-twenty-two-x"


@pytest.mark.row(7)
@given(
    st.sampled_from(["https", "s3", "http", "ftp"]),
    st.sampled_from(["user:{}@", "{}@", "{}:word@", "user:{}/more@", "user:a@{}@"]),
    st.sampled_from(["host", "host:80", "[::1]", "[::1]:80"]),
    st.sampled_from(["/a", "", "/a?token={}", "/a?x=1;sig={}", "/a#token={}", "?password={}"]),
    st.sampled_from(["", "zip://x::", "simplecache::"]),
)
def test_no_label_holds_what_a_url_hides(scheme: str, user: str, host: str, path: str, chain: str) -> None:
    if not scheme.startswith("http"):
        path = path.partition("#")[0]  # to an object store, it is part of the name
    url = f"{chain}{scheme}://{user.format(SECRET)}{host}{path.format(SECRET)}"
    assert SECRET not in urls.label(url)
    assert SECRET not in urls.scrubbed(f"cannot open {url}: 403", url)


@pytest.mark.row(1)
@pytest.mark.row(5)
@given(st.lists(words("a", "b", "/", "..", ".", "\0", "x" * 256, "\ud800", "\udcff", "\\", "\n"), max_size=5))
def test_names_of_a_listing_stay_below_the_folder(listed: list[str]) -> None:
    known = urls.Names("https://host")
    taken: set[str] = set()
    for name in listed:
        with within(), suppress(DataInvalid):
            path = known.file(name)
            assert path not in taken
            taken.add(path)
            assert not PurePosixPath(path).is_absolute()
            assert ".." not in PurePosixPath(path).parts
            os.fsencode(path)
    assert not taken & set(known.folders)
