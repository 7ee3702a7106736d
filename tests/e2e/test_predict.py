"""What a person sees who tries what was trained: the version's own answer, and no trace of the question."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import textwrap
from pathlib import Path

import pytest

import pkgrun
from pkgrun import Event, Log
from pkgrun.errors import NotFound, PackageInvalid, TimedOut, UsageError, UserCodeFailed

from .lab import EXAMPLES, SCRIPT, Lab, until
from .test_display import final_screen, terminal
from .test_install import wheel_of

FLOWER = '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'

TELLER = """
import os, sys
from pathlib import Path

class Main:
    def __init__(self):
        print("loading")

    def predict(self, mlskill_input):
        print("asked")
        print("on stderr", file=sys.stderr)
        return repr(mlskill_input)
"""


def predicting(body: str, before: str = "") -> str:
    """A main.py whose `predict` does this."""
    inside = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 8)
    head = "import json, os, sys, time\n" + before
    return f"{head}\nclass Main:\n    def predict(self, mlskill_input):\n{inside}\n"


def added(lab: Lab, main: str, name: str = "p", **files: str) -> str:
    """Import a package of this main.py; the name of the version."""
    folder = lab.package(name, files={"main.py": main, **files})
    record = lab.workspace().add(folder).record
    return f"{name}@{record.version}"


def held(store: Path) -> dict[str, str]:
    """Every file of a store by its digest."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


# ---------------------------------------------------------------- what the code is given


def test_a_text_is_a_str_and_only_the_answer_is_on_standard_output(lab: Lab) -> None:
    ended = lab.pkgrun("predict", added(lab, TELLER), "--text", '{"a": "ü"}')

    assert ended.out == repr('{"a": "ü"}')
    said = [line for line in ended.err.splitlines() if not line.startswith("note:")]
    assert sorted(said) == ["asked", "loading", "on stderr"]


def test_a_file_is_its_bytes(lab: Lab) -> None:
    name = added(lab, TELLER)
    file = lab.folder / "scan.pdf"
    file.write_bytes(bytes(range(256)))

    assert lab.pkgrun("predict", name, "--file", file).out == repr(bytes(range(256)))


def test_files_are_a_list_of_bytes_in_their_order(lab: Lab) -> None:
    name = added(lab, TELLER)
    for word in ("one", "two", "three"):
        (lab.folder / word).write_text(word)

    assert lab.pkgrun("predict", name, "--files", "two", "one", "--files", "three", "-q").out == repr(
        [b"two", b"one", b"three"]
    )
    assert lab.pkgrun("predict", "--files", "two", "one", "--environment", "isolated", name).out == repr(
        [b"two", b"one"]
    )


@pytest.mark.parametrize(("option", "given"), [("--text", repr("{1}\n")), ("--file", repr(b"{1}\n"))])
def test_a_dash_reads_standard_input(lab: Lab, option: str, given: str) -> None:
    process = lab.start("predict", added(lab, TELLER), option, "-", "-q", stdin=subprocess.PIPE)

    assert process.communicate("{1}\n", timeout=60)[0] == given


def test_a_pipe_can_be_named_as_a_file(lab: Lab) -> None:
    name = added(lab, TELLER)
    command = f"{SCRIPT} predict {name} -q --files <(printf a) <(printf b)"
    ended = subprocess.run(
        ["bash", "-c", command],
        cwd=lab.folder,
        env=lab.variables(),
        capture_output=True,
        check=True,
        text=True,
    )

    assert ended.stdout == repr([b"a", b"b"])


def test_large_inputs_and_answers_go_through_whole(lab: Lab) -> None:
    name = added(lab, predicting("return mlskill_input.decode('latin-1') * 2"))
    data = os.urandom(8 << 20)

    assert lab.workspace().predict(name, file=data).prediction == data.decode("latin-1") * 2


def test_the_library_takes_bytes_and_paths_alike(lab: Lab) -> None:
    name, ws = added(lab, TELLER), lab.workspace()
    (lab.folder / "one").write_bytes(b"1")

    assert ws.predict(name, files=[b"0", "one", Path("one")]).prediction == repr([b"0", b"1", b"1"])
    assert ws.predict(name, files=[]).prediction == "[]"
    assert ws.predict(name, text="").prediction == "''"


@pytest.mark.parametrize(
    "given", [{}, {"text": "a", "file": b""}, {"text": 1}, {"text": "\udc80"}, {"text": "a", "timeout": -1}]
)
def test_what_means_nothing_is_refused(lab: Lab, given: dict[str, object]) -> None:
    name = added(lab, TELLER)
    with pytest.raises(UsageError):
        lab.workspace().predict(name, **given)  # type: ignore[arg-type]


def test_what_is_not_there_is_said(lab: Lab) -> None:
    name = added(lab, TELLER)

    assert (
        lab.document("predict", name, "--file", "nowhere", code=6)["error"]["message"]
        == "there is no file nowhere"
    )
    assert "is a folder" in lab.pkgrun("predict", name, "--file", lab.folder, code=2).err
    assert "give one of --text" in lab.pkgrun("predict", name, code=2).err
    assert "give one of --text" in lab.pkgrun("predict", name, "--text", "a", "--files", "b", code=2).err
    with pytest.raises(NotFound):
        lab.workspace().predict("p@1.7", text="a")


# ---------------------------------------------------------------- what comes of it


def test_a_version_answers_otherwise_after_a_training(lab: Lab) -> None:
    lab.pkgrun("train", EXAMPLES / "iris", "--data", EXAMPLES / "data/iris", "-q")

    before = lab.pkgrun("predict", "iris@1.0", "--text", FLOWER, code=1)
    assert before.out == ""
    assert 'File "main.py", line 17, in predict' in before.err
    assert (
        "error: iris@1.0: predict() raised RuntimeError: this version has not been trained yet" in before.err
    )

    after = lab.document("predict", "iris@1.1", "--text", FLOWER)
    assert json.loads(after["prediction"])["species"] == "setosa"
    assert (after["package"], after["version"]) == ("iris", "1.1")
    assert after["run_id"] == lab.document("package", "show", "iris@1.1")["run"]
    assert [phase["name"] for phase in after["phases"]] == [
        "stage",
        "environment",
        "start",
        "init",
        "predict",
    ]


def test_nothing_of_it_is_kept(lab: Lab) -> None:
    body = (
        "open('model.txt', 'w').write('spoilt'); os.remove('train.py'); os.mkdir('more'); return os.getcwd()"
    )
    name = added(lab, predicting(body), **{"model.txt": "a model"})
    before, files = held(lab.store), lab.version_files(name)

    workdir = Path(lab.workspace().predict(name, text="").prediction)

    assert held(lab.store) == before
    assert lab.version_files(name) == files
    assert not workdir.exists()
    assert lab.leftovers() == []
    assert lab.document("run", "list")["runs"] == []


def test_the_model_is_found_beside_the_code_and_in_the_current_folder(lab: Lab) -> None:
    body = "return json.dumps([open('model/a.txt').read(), (Path(__file__).parent / 'model' / 'a.txt').read_text(), sys.path[0] == os.getcwd()])"
    name = added(
        lab,
        predicting(body, "from pathlib import Path\nimport near\n"),
        **{"model/a.txt": "M", "near.py": ""},
    )

    assert json.loads(lab.workspace().predict(name, text="").prediction) == ["M", "M", True]


def test_it_sees_folders_of_its_own_that_a_training_would_hide(lab: Lab) -> None:
    name = added(lab, predicting("return open('data/words.txt').read()"), **{"data/words.txt": "mine"})

    assert lab.workspace().predict(name, text="").prediction == "mine"


def test_serving_requirements_are_those_of_serving(lab: Lab) -> None:
    body = "from importlib.metadata import distributions\nreturn ' '.join(sorted(d.name for d in distributions()))"
    name = added(lab, predicting(body), **{"train_requirements.txt": "no-such-package-anywhere==1\n"})

    assert lab.workspace().predict(name, text="").prediction == ""


def test_its_environment_has_what_serving_requires_and_keeps_the_lock_that_it_was_trained_with(
    lab: Lab,
) -> None:
    wheels = lab.folder / "wheels"
    wheels.mkdir()
    wheel_of(wheels, "1.0")
    main = predicting("import dep; return dep.version")
    lab.package("p", files={"main.py": main, "requirements.txt": "dep>=1\n"})
    lab.env.update(UV_FIND_LINKS=str(wheels), UV_NO_INDEX="1")
    lab.pkgrun("train", "packages/p", "-q")
    wheel_of(wheels, "1.1")

    assert lab.pkgrun("predict", "p@1.1", "--text", "").out == "1.0"
    assert lab.pkgrun("predict", "p@1.1", "--text", "", "--upgrade").out == "1.1"
    (lab.folder / "instead.txt").write_text("dep==1.1\n")
    instead = lab.pkgrun("predict", "p@1.1", "--text", "", "--override-requirements", "instead.txt")
    assert instead.out == "1.1"


def test_variables_and_secrets_reach_it_and_secrets_are_masked(lab: Lab) -> None:
    name = added(lab, predicting("print(os.environ['KEY']); return os.environ['a'] + os.environ['KEY']"))
    ended = lab.pkgrun("predict", name, "--text", "", "-e", "a=b", "--secret", "KEY", KEY="correct-horse")

    assert ended.out == "bcorrect-horse"
    assert "correct-horse" not in ended.err
    assert "***" in ended.err


# ---------------------------------------------------------------- when it fails


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", "predict() returned None, and not a string"),
        ("return b'bytes'", "predict() returned bytes, and not a string"),
        ("return 7", "predict() returned int, and not a string"),
        ("return {'a': 1}", "predict() returned dict, and not a string"),
        ("return '\\udc80'", "predict() returned a text that is not Unicode"),
        ("sys.exit(3)", "predict() called sys.exit(3)"),
        ("os._exit(0)", "predict() ended the process with exit code 0"),
        ("raise KeyError('x')", "predict() raised KeyError: 'x'"),
        ("raise ValueError(mlskill_input)", "predict() raised ValueError: {}"),
        ("import nowhere_to_be_found", "predict() raised ModuleNotFoundError"),
    ],
)
def test_no_answer_is_an_error_that_says_what_came_instead(lab: Lab, body: str, said: str) -> None:
    name = added(lab, predicting(body))
    with pytest.raises(UserCodeFailed) as caught:
        lab.workspace().predict(name, text="{}")

    assert f"p@1.0: {said}" in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 1


def test_the_traceback_is_the_packages_own(lab: Lab) -> None:
    name = added(lab, predicting("raise ValueError('odd')"))
    with pytest.raises(UserCodeFailed) as caught:
        lab.workspace().predict(name, file=b"1")

    assert caught.value.traceback is not None
    assert caught.value.traceback.splitlines()[1] == '  File "main.py", line 5, in predict'
    assert caught.value.__notes__ == [caught.value.traceback]
    assert caught.value.hint == "it was given bytes (--file); --text gives a str, --files a list of bytes"
    assert lab.document("predict", name, "--text", "", code=1)["error"]["traceback"] == caught.value.traceback


def test_a_main_that_cannot_be_loaded_is_named(lab: Lab) -> None:
    name = added(lab, predicting("return ''", "raise RuntimeError('on import')"))
    with pytest.raises(UserCodeFailed, match=r"loading main\.py raised RuntimeError: on import"):
        lab.workspace().predict(name, text="")


@pytest.mark.parametrize(
    "main", [None, "class Main:\n    pass\n", "class Main:\n    def predict(self): pass\n"]
)
def test_a_version_that_cannot_serve_says_what_it_lacks(lab: Lab, main: str | None) -> None:
    folder = lab.package("p", files={"main.py": main or ""})
    if main is None:
        (folder / "main.py").unlink()
    lab.workspace().add(folder)

    ended = lab.pkgrun("predict", "p", "--text", "", code=4)
    assert "error: p@1.0 cannot serve: it has no main.py with a class Main" in ended.err
    assert "hint: `pkgrun package check FOLDER` says what is missing where" in ended.err
    with pytest.raises(PackageInvalid):
        lab.workspace().predict("p", text="")


def test_a_code_that_hangs_is_ended_in_time(lab: Lab) -> None:
    name = added(lab, predicting("time.sleep(600)"))
    with pytest.raises(TimedOut, match=r"p@1.0: predict\(\) did not end within 0.5 s"):
        lab.workspace().predict(name, text="", timeout=0.5)

    assert "did not end" in lab.pkgrun("predict", name, "--text", "", "--timeout", "0.5", code=5).err
    assert lab.leftovers() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_all_that_it_started(lab: Lab, number: int, code: int) -> None:
    mark = lab.mark("hangs")
    body = "import subprocess; subprocess.Popen(['sleep', '600']); open(os.environ['MARK'], 'w').close(); time.sleep(600)"
    name = added(lab, predicting(body))
    process = lab.start("predict", name, "--text", "", "-e", f"MARK={mark}")
    until(mark.exists, what="predict")

    process.send_signal(number)
    out, _ = process.communicate(timeout=60)

    assert (process.returncode, out) == (code, "")
    until(lambda: not lab.processes(), what="the end of all processes")
    assert lab.leftovers() == []


def test_a_copy_of_the_process_that_answers_too_does_not_count(lab: Lab) -> None:
    name = added(
        lab,
        predicting("pid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nreturn 'parent' if pid else 'child'"),
    )

    assert lab.workspace().predict(name, text="").prediction == "parent"


def test_limits_hold_it_as_they_hold_a_training(lab: Lab) -> None:
    name = added(lab, predicting("open('large', 'wb').write(bytes(1 << 22)); return ''"))
    with pytest.raises(UserCodeFailed, match="wrote more than the limit of 1 MB"):
        lab.workspace().predict(name, text="", storage="1MB")


def test_what_it_prints_is_told_as_it_happens(lab: Lab) -> None:
    events: list[Event] = []
    found = lab.workspace().predict(added(lab, TELLER), text="a", observer=events.append)

    assert found.prediction == "'a'"
    assert {event.text for event in events if isinstance(event, Log)} == {"loading", "asked", "on stderr"}


def test_a_terminal_is_shown_the_answer_as_a_line_and_obeys_nothing_in_it(lab: Lab) -> None:
    name = added(lab, predicting(r"print('a line of the log'); return 'red \x1b[31m and ' + mlskill_input"))
    with terminal(lab, "predict", name, "--text", "more") as screen:
        seen = screen.read_all()

    assert final_screen(seen) == ["a line of the log", r"red \x1b[31m and more"]
    assert seen.endswith("more\r\n")


def test_it_is_public(lab: Lab) -> None:
    assert isinstance(lab.workspace().predict(added(lab, TELLER), text="a"), pkgrun.Prediction)
