"""Row 7: canaries as secrets, wherever code can put them; afterwards the whole store, cache and output are searched."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import urllib.parse
from typing import Any

import pytest

from pkgrun.errors import UsageError
from tests.datasets.remote.web_server import File, web_server
from tests.hostile.scene import Scene, holders

pytestmark = pytest.mark.row(7)


def forms(value: str) -> list[bytes]:
    """The secret as it may be found."""
    raw = value.encode()
    return [
        raw,
        urllib.parse.quote(value, safe="").encode(),
        urllib.parse.quote_plus(value).encode(),
        base64.b64encode(raw).rstrip(b"="),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        json.dumps(value)[1:-1].encode(),
    ]


def nowhere(scene: Scene, value: str, *texts: str) -> None:
    """Neither in the store nor in the cache nor in what was said."""
    found = [*holders(scene.store, forms(value)), *holders(scene.cache, forms(value))]
    assert found == []
    for text in texts:
        assert not any(form in text.encode() for form in forms(value)), text


TOLD = {
    "a line": "print(T)",
    "both streams": "print(T); print(T, file=sys.stderr)",
    "one by one": "for c in T: os.write(1, c.encode()); time.sleep(0.001)",
    "in two parts": "os.write(1, T[:9].encode()); time.sleep(0.3); os.write(1, T[9:].encode())",
    "base64": "import base64; print(base64.b64encode(b'user:' + T.encode()).decode())",
    "quoted": "import urllib.parse; print(urllib.parse.quote(T, safe=''))",
    "a repr": "print(repr({'token': T}))",
    "json": "import json; print(json.dumps(T))",
    "an exception": "raise ValueError(f'bad token {T}')",
    "a note": "e = ValueError('x'); e.__notes__ = [T]; raise e",
    "a cause": "raise ValueError('x') from KeyError(T)",
    "a class": "raise type('E' + T, (Exception,), {})('x')",
    "a group": "raise BaseException(T, [T])",
    "sys.exit": "sys.exit(T)",
    "a warning": "import warnings; warnings.warn(T)",
    "source in a traceback": "exec(compile('1/0  # ' + T, T, 'exec'))",
    "os.environ": "print(dict(os.environ)); print(subprocess.run(['env'], capture_output=True, text=True).stdout)",
    "a URL": "print(f'https://user:{T}@host/x?token={T}')",
    "a metric": "import json; json.dump({T: 1}, open('artifacts/metrics.json', 'w'))",
    "an artifact": "open('artifacts/f', 'w').write('x' * 1_048_570 + T)",
    "a large artifact": "open('artifacts/f', 'w').write('x' * 3_145_720 + T + 'y' * 3_000_000)",
    "a file of the package": "open('config.json', 'w').write('{\"token\": \"' + T + '\"}')",
    "a file's name": "import urllib.parse; mark('artifacts/' + urllib.parse.quote(T, safe=''))",
    "a folder's name": "os.makedirs('artifacts/' + T)",
    "an empty folder of the package": "os.makedirs('x/' + T)",
    "a link": "os.symlink(T, 'artifacts/l')",
    "a link of the package": "os.symlink(T, 'l')",
}


@pytest.mark.parametrize("how", TOLD)
def test_row_7_what_the_code_does_with_a_secret(scene: Scene, canary: str, how: str) -> None:
    package = scene.package(f"T = os.environ['TOKEN']\n{TOLD[how]}")
    words = ["train", str(package), "--environment", "current", "--secret", "TOKEN"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKEN", canary)
        said = scene.call(*words)
    failing = [
        w for w in ("raise", "exit", "exec", "artifacts/", "config", "x/", "'l'", "class") if w in TOLD[how]
    ]
    assert said.code == (1 if failing else 0), said
    more = [scene.call("run", "list", "--json")]
    run = more[0].document["runs"][0]["run_id"]
    for page in (["run", "show"], ["run", "logs"], ["run", "results"], ["run", "artifacts"]):
        more += [scene.call(*page, run), scene.call(*page, run, "--json")]
    nowhere(scene, canary, said.out, said.err, *(text for one in more for text in (one.out, one.err)))
    assert scene.left() == []


@pytest.mark.parametrize("way", ["env", "file", "stdin"])
def test_row_7_every_way_in(scene: Scene, way: str) -> None:
    value = "-----BEGIN KEY-----\nfirst-line-of-it\nsecond-line-of-it\n-----END KEY-----"
    digest = hashlib.sha256(value.encode()).hexdigest()
    scene.added(
        f"import hashlib\nassert hashlib.sha256(os.environ['K'].encode()).hexdigest() == '{digest}'\nprint(os.environ['K'])"
    )
    (scene.root / "key").write_text(value + "\n")
    spec = {"env": "K", "file": f"K=@{scene.root}/key", "stdin": "K=-"}[way]
    said = scene.call(
        "train", "pack", "--environment", "current", "--secret", spec, "--keep-workdir",
        env={"K": value if way == "env" else None}, stdin=value.encode() if way == "stdin" else b"",
    )  # fmt: skip
    assert said.code == 0, said.err
    for part in ("first-line-of-it", "second-line-of-it"):
        assert part not in said.out + said.err
        assert [*holders(scene.store, [part.encode()]), *holders(scene.cache, [part.encode()])] == []


@pytest.mark.parametrize(
    "value", ["2026", "sha256", "COMMIT", "training", "user", "pack", "true", "failed", "code"]
)
def test_row_7_a_secret_that_is_a_common_word_spoils_no_record(scene: Scene, value: str) -> None:
    scene.added("pass", save="open('m', 'wb').write(b'0')")
    ended = scene.train(secrets={"S": value})
    assert ended.error is None or ended.error.kind == "secret-found", ended.error
    scene.workspace.add(scene.package("raise ValueError(os.environ['S'])", save="pass"))
    ended = scene.train("pack@2", secrets={"S": value})
    assert ended.error is not None
    assert ended.error.kind == "user-code-failed"
    assert ended.record.status == "failed"


@pytest.mark.parametrize("where", ["description", "tag value", "tag name", "env"])
def test_row_7_a_secret_among_what_is_recorded_is_refused(scene: Scene, canary: str, where: str) -> None:
    scene.added()
    places: dict[str, dict[str, Any]] = {
        "description": {"description": f"with {canary}"},
        "tag value": {"tags": {"a": canary}},
        "tag name": {"tags": {canary: "a"}},
        "env": {"env": {"A": canary}},
    }
    with pytest.raises(UsageError) as caught:
        scene.train(secrets={"S": canary}, **places[where])
    nowhere(scene, canary, str(caught.value))


def test_row_7_it_is_in_no_command_line_and_no_repr(scene: Scene, canary: str) -> None:
    scene.added("print(open('/proc/self/cmdline').read(), open(f'/proc/{os.getppid()}/cmdline').read())")
    ended = scene.train(secrets={"S": canary})
    assert ended.error is None
    nowhere(scene, canary, repr(ended), *scene.lines(ended.record.run))
    assert "***" not in "".join(scene.lines(ended.record.run))


def test_row_7_credentials_of_a_git_remote(scene: Scene, canary: str) -> None:
    folder = scene.package()
    url = f"https://user:{canary.replace('/', '')}@host/x.git?token={canary}"
    for words in (["init", "-q"], ["remote", "add", "origin", url]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    said = scene.call("package", "add", folder)
    assert said.code == 0
    page = scene.call("package", "show", "pack@1.0", "--json")
    nowhere(scene, canary.replace("/", ""), said.out, said.err, page.out)
    nowhere(scene, canary, said.out, said.err, page.out)


@pytest.mark.parametrize("how", ["requirements", "PIP_INDEX_URL", "UV_INDEX", "a direct URL", "pip.conf"])
def test_row_7_credentials_of_an_index(scene: Scene, canary: str, how: str) -> None:
    value = canary.split("/")[1].rstrip("+=")
    folder = scene.package()
    url = f"http://user:{value}@127.0.0.1:9/simple"
    line, env = "nosuch-package\n", {"UV_HTTP_TIMEOUT": "2", "UV_HTTP_RETRIES": "0", "UV_NO_CACHE": "1"}
    if how == "requirements":
        line = "--index-url http://user:${INDEX_TOKEN}@127.0.0.1:9/simple\n" + line
        env["INDEX_TOKEN"] = value
    elif how == "a direct URL":
        line = "nosuch @ http://user:${INDEX_TOKEN}@127.0.0.1:9/nosuch-1-py3-none-any.whl\n"
        env["INDEX_TOKEN"] = value
    elif how == "pip.conf":
        (scene.root / "pip.conf").write_text(f"[global]\nindex-url = {url}\n")
        env["PIP_CONFIG_FILE"] = str(scene.root / "pip.conf")
    else:
        env[how] = url
    (folder / "requirements.txt").write_text(line)
    said = scene.call("train", folder, "-v", env=env)
    assert said.code in (4, 75), said
    assert "nosuch" in said.err
    run = scene.call("run", "list", "--json")
    page = scene.call("run", "show", run.document["runs"][0]["run_id"])
    nowhere(scene, value, said.out, said.err, run.out, page.out)
    assert scene.left() == []


def test_row_7_credentials_in_what_is_asked(scene: Scene, canary: str) -> None:
    scene.added()
    value = canary.split("/")[1]
    for words in (
        ["--store", f"s3://key:{value}@host/x", "run", "list"],
        ["train", "pack", "--data", f"s3://key:{value}@host/x"],
        ["train", "pack", "--secret", f"TOKEN={value}"],
        ["train", "pack", "--secret", f"{value}=@/x"],
    ):
        said = scene.call(*words)
        assert said.code == 2, said
        assert value not in said.out + said.err or words[-1].endswith("=@/x")
    assert os.listdir(scene.store / "runs") != []


@pytest.mark.parametrize("fails", [False, True])
def test_row_7_afterwards_it_is_nowhere(scene: Scene, canary: str, *, fails: bool) -> None:
    """In every place at once: a secret, a URL's user, password and token, an exception, the host's own environment."""
    password, token, host = (hashlib.sha256(f"{canary}{n}".encode()).hexdigest()[:30] for n in range(3))
    scene.added(
        "S = os.environ['S']\nprint(S, dict(os.environ), file=sys.stderr)\n"
        "assert 'HOST_TOKEN' not in os.environ\n"
        + ("raise ValueError(S) from KeyError(S)" if fails else "mark('artifacts/a')")
    )
    with web_server() as web:
        web.files["/d.csv"] = web.files[f"/d.csv?token={token}"] = File(b"a,b\n")
        url = web.url.replace("://", f"://user:{password}@") + f"/d.csv?token={token}"
        said = scene.call(
            "train", "pack", "--environment", "current", "--data", url, "--secret", "S", "-v", "--save-training-data",
            "--json", env={"S": canary, "HOST_TOKEN": host},
        )  # fmt: skip
        assert any(asked.authorization for asked in web.asked), "the server was not given the password"
    assert said.code == (1 if fails else 0), said
    run = said.document["run_id"]
    calls = [
        ["run", "show", run], ["run", "logs", run], ["run", "logs", run, "-v"], ["run", "results", run], ["run", "list", "--all"],
        ["run", "artifacts", run, "--out", scene.root / "out1"],
        ["store", "copy", scene.store, scene.root / "copied"],
    ]  # fmt: skip
    if not fails:
        calls += [
            ["run", "artifacts", run, "--snapshot", "--out", scene.root / "out2"],
            ["package", "files", "pack@1.1", "--out", scene.root / "out3"],
            ["package", "show", "pack@1.1", "--json"],
        ]
    pages = [scene.call(*words) for words in calls]
    assert {page.code for page in pages} == {0}
    assert (scene.store / "runs" / run / "_results.json").is_file()
    for value in (canary, password, token, host):
        nowhere(scene, value, said.out, said.err, *(text for page in pages for text in (page.out, page.err)))
        for place in ("copied", "out1", "out2", "out3", "home", "pack"):
            assert [*holders(scene.root / place, forms(value))] == []


def test_row_7_a_url_that_cannot_be_read_hides_it_too(scene: Scene, canary: str) -> None:
    """Whatever the host looks like, and whoever says what is wrong with it."""
    scene.added()
    value = canary.split("/")[1].rstrip("+=")
    for host in ("127.0.0.1:9", "[::1]:9", "no-such-host.invalid", "[::1", "a b", "", "[::1]"):
        for url in (
            f"http://user:{value}@{host}/a",
            f"http://{host}/a?token={value}",
            f"s3://{value}:{value}@{host}/a",
        ):
            said = scene.call(
                "train",
                "pack",
                "--environment",
                "current",
                "--data",
                url,
                env={"AWS_EC2_METADATA_DISABLED": "1"},
                timeout=60,
            )
            assert said.code in (2, 6, 9, 75), (url, said)
            assert value not in said.out + said.err, url
            assert "Traceback" not in said.err
    nowhere(scene, value)
