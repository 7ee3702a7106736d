"""Row 1 through every command that there is, found in the command line itself: no word that is given for a name, an id, a
version or a path means anything but itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pkgrun.cli.main import cli
from pkgrun.errors import PkgrunError
from pkgrun.workspace.stores import copy_store
from tests.hostile.scene import Scene

pytestmark = pytest.mark.row(1)

WORDS = [
    "..", "/etc/passwd", "../../x", "%2e%2e", "%252e", "..;/", "a\\b", "a//b", "a#b", "a?b", "a\nb", "-rf", "$(touch pwned)",
    ";touch pwned", "`touch pwned`", "pack@../1.0", "pack@1.0/..", "rows@1/../..", "rows/../../x", "@", "", "\udcff",
]  # fmt: skip

MEANT = {
    "package add": ("..", "/etc/passwd", "../../x"),
    "package check": ("..", "/etc/passwd", "../../x"),
    "dataset add": ("/etc/passwd", ".."),
}
"""What some commands may take as the path that it is."""

READ = {"diff": ("..", "/etc/passwd"), "data used-by": ("..", "/etc/passwd"), "erase": ("/etc/passwd",)}
"""The same, of commands that only look there: nothing comes of it."""


PATHS = {("store", "copy"), ("dataset", "export"), ("package", "export")}
"""Commands whose last argument is a folder to be made, wherever the caller likes."""


def commands(group: click.Command, *above: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that takes an argument."""
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            below = group.get_command(context, name)
            assert below is not None
            yield from commands(below, *above, name)
    elif any(isinstance(one, click.Argument) for one in group.params):
        yield above


def arguments(words: tuple[str, ...]) -> int:
    """How many arguments a command takes."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return sum(isinstance(one, click.Argument) for one in command.params)


def given(scene: Scene, words: tuple[str, ...], word: str) -> list[list[str]]:
    """The calls in which a bad word stands for the first argument, and those in which it stands for a later one."""
    count = arguments(words)
    first = {"dataset": "rows", "run": "0000", "store": str(scene.store)}.get(words[0], "pack")
    calls = [[*words, "--", word, *["other"] * (count - 1)]]
    if count > 1 and words not in PATHS:
        calls.append([*words, "--", first, word])
    return calls


@pytest.mark.parametrize("words", [pytest.param(one, id=" ".join(one)) for one in commands(cli)])
def test_row_1_no_command_takes_a_bad_word_for_more_than_it_is(scene: Scene, words: tuple[str, ...]) -> None:
    scene.added()
    (scene.root / "rows").mkdir()
    (scene.root / "rows" / "a").write_text("x")
    scene.workspace.datasets.add("rows", scene.root / "rows")
    before = scene.outside()
    records = _records(scene)
    for word in WORDS:
        if word in MEANT.get(" ".join(words), ()):
            continue
        for call in given(scene, words, word):
            said = scene.call(*call)
            assert "Traceback" not in said.err
            assert "pwned" not in os.listdir(scene.root / "home")
            looked = word in READ.get(" ".join(words), ())
            assert said.code in ((0,) if looked else ()) + (2, 4, 6, 7, 9), (call, said)
            assert scene.outside() == before, call
    assert _records(scene) == records


def _records(scene: Scene) -> set[str]:
    """The records of the store, but for what tells of the attempts themselves."""
    kept = (path.relative_to(scene.store) for path in scene.store.rglob("*.json"))
    return {str(path) for path in kept if path.parts[0] in ("packages", "datasets", "keys")}


@pytest.mark.parametrize(
    "option", ["--package", "--name", "--secret", "--env", "--tag", "--python", "--env-file"]
)
def test_row_1_nor_does_an_option(scene: Scene, option: str) -> None:
    package = scene.package()
    scene.added()
    before = scene.outside()
    call = {
        "--package": ["store", "copy", str(scene.store), str(scene.root / "copy")],
        "--name": ["package", "add", str(package)],
    }.get(option, ["train", "pack@1.0"])
    for word in filter(None, WORDS):
        said = scene.call(*call, f"{option}={word}")
        assert said.code in (2, 4, 6, 7), (word, said)
        assert "Traceback" not in said.err
        # A target is made before it is known whether the source has what is wanted.
        assert {path for path in scene.outside() if path.partition("/")[0] != "copy"} == set(before)


BAD = [word for word in WORDS if word] + ["a\0b", "", ".", "a" * 129]


@pytest.mark.parametrize("name", BAD)
def test_row_1_no_dataset_has_a_bad_name(scene: Scene, name: str) -> None:
    scene.added()
    (scene.root / "rows").mkdir()
    (scene.root / "rows" / "a").write_text("x")
    datasets = scene.workspace.datasets
    datasets.add("rows", scene.root / "rows")
    before = scene.outside()
    for look in (
        lambda: datasets.add(name, scene.root / "rows"),
        lambda: datasets.get(name),
        lambda: datasets.get(f"rows@{name}"),
        lambda: datasets.numbers(name),
        lambda: list(datasets.files(name)),
        lambda: datasets.diff("rows@1", name),
        lambda: datasets.export(name, scene.root / "home" / "out"),
        lambda: scene.workspace.train("pack", environment="current", data=f"rows@{name}"),
        lambda: scene.workspace.train("pack", environment="current", data=f"rows@1/{name}/x"),
        lambda: scene.workspace.run("0000").export_artifacts(name),
        lambda: copy_store(scene.store, scene.root / "copy", package=name),
    ):
        with pytest.raises(PkgrunError) as caught:
            look()
        assert caught.value.exit_code in (2, 6), caught.value
    assert {path for path in scene.outside() if path.partition("/")[0] != "copy"} == set(before)
    assert [one.label for one in datasets.all()] == ["rows@1"]
    assert not Path(scene.root, "home", "out").exists()
