"""What is given to a public method has the type that it declares, or the error names the argument and what it must be."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getmembers, isfunction, signature
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import UsageError
from pkgrun.runs.arguments import checked
from pkgrun.runs.handle import LiveRun, Run
from pkgrun.workspace import doctor, stores
from pkgrun.workspace.datasets import Datasets
from pkgrun.workspace.retention import Retention


@pytest.fixture
def workspace(tmp_path: Path) -> pkgrun.Workspace:
    return pkgrun.open(tmp_path / "store")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"package": 5}, "package must be a text or a path, not int"),
        ({"package": b"p"}, "package must be a text or a path, not bytes"),
        ({"version": 1.1}, "version must be a text or None, not float"),
        ({"data": ["a"]}, "data must be a text, a path or None, not list"),
        ({"env": [("a", "b")]}, "env must be a mapping of texts or None, not list"),
        ({"secrets": "hush"}, "secrets must be a mapping of texts or None, not str"),
        ({"save_training_data": "no"}, "save_training_data must be True or False, not str"),
        ({"gpu": 0}, "gpu must be True or False, not int"),
        ({"timeout": True}, "timeout must be a number or None, not bool"),
        ({"timeout": "60"}, "timeout must be a number or None, not str"),
        ({"python": 3.12}, "python must be a text or None, not float"),
        ({"environment": None}, "environment must be isolated or current, not None"),
        ({"environment": "mine"}, "'mine' is no environment"),
        ({"mount": "bind"}, "'bind' is no mount"),
        ({"sandbox": "jail"}, "'jail' is no sandbox"),
        ({"memory": 1.5e9}, "memory must be a whole number, a text or None, not float"),
        ({"cpus": "2"}, "cpus must be a number or None, not str"),
        ({"idempotency_key": 5}, "idempotency_key must be a text or None, not int"),
        ({"keep_workdir": None}, "keep_workdir must be True or False, not None"),
        ({"observer": None}, "observer must be a function that takes an event, not None"),
        ({"tags": {"a"}}, "tags must be a mapping of texts or None, not set"),
    ],
)
def test_a_training_is_not_begun_with_what_is_of_another_type(
    workspace: pkgrun.Workspace, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        workspace.train(**{"package": "p"} | given)
    assert caught.value.message == said
    assert list(workspace.runs(everything=True)) == []


Wrong = Callable[[pkgrun.Workspace, Any], object]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda ws, odd: pkgrun.open(odd), "store"),
        (lambda ws, odd: pkgrun.open(ws.url, create=odd), "create"),
        (lambda ws, odd: ws.add(odd), "package"),
        (lambda ws, odd: ws.remove("p@1.0", force=odd), "force"),
        (lambda ws, odd: ws.remove("p@1.0", reason=odd), "reason"),
        (lambda ws, odd: ws.recover(silent_for=odd), "silent_for"),
        (lambda ws, odd: ws.runs(limit=odd), "limit"),
        (lambda ws, odd: ws.files(odd), "name"),
        (lambda ws, odd: ws.datasets.add("d", odd), "source"),
        (lambda ws, odd: ws.datasets.get(odd), "name"),
        (lambda ws, odd: ws.retention.plan(keep_last=odd), "keep_last"),
        (lambda ws, odd: ws.run(odd), "run"),
        (lambda ws, odd: stores.gc(ws.url, grace=odd), "grace"),
        (lambda ws, odd: stores.fsck(ws.url, sample=odd), "sample"),
        (lambda ws, odd: stores.repair(ws.url, execute=odd), "execute"),
    ],
)
def test_every_public_method_names_the_argument(workspace: pkgrun.Workspace, call: Wrong, name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} must be .*, not list$"):
        call(workspace, [])


def test_a_run_is_waited_for_by_a_number_of_seconds(workspace: pkgrun.Workspace) -> None:
    odd: Any = "5"
    with pytest.raises(UsageError, match=r"^timeout must be a number or None, not str$"):
        Run(workspace._store, "0123").wait(odd)


def test_a_choice_that_is_none_is_told_with_those_that_are(workspace: pkgrun.Workspace) -> None:
    odd: Any = "mine"
    with pytest.raises(UsageError) as caught:
        workspace.train("p", environment=odd)
    assert caught.value.hint == "isolated, current"


def test_a_value_is_never_told(workspace: pkgrun.Workspace) -> None:
    odd: Any = ["hush-hush"]
    with pytest.raises(UsageError) as caught:
        workspace.train("p", secrets=odd)
    assert "hush" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("home", [pkgrun.Workspace, Datasets, Retention, Run, LiveRun, stores, doctor])
def test_no_public_method_takes_arguments_unchecked(home: Any) -> None:
    public = [
        one
        for name, one in getmembers(home, isfunction)
        if not name.startswith("_") and one.__module__.startswith("pkgrun.") and _is_home(one, home)
    ]
    open_ended = [one for one in public if set(signature(one).parameters) - {"self"}]
    assert open_ended
    assert [one.__qualname__ for one in open_ended if not hasattr(one, "__wrapped__")] == []


def _is_home(function: Any, home: Any) -> bool:
    """Not what a module has imported, nor what only pkgrun itself calls."""
    here = isinstance(home, type) or function.__module__ == home.__name__
    return bool(here) and function.__qualname__ != "LiveRun.opened"


def test_a_signature_whose_words_mean_nothing_is_found_when_it_is_loaded() -> None:
    def odd(name: complex) -> None: ...

    with pytest.raises(TypeError, match="name: complex"):
        checked(odd)


def test_what_is_too_much_is_told_as_python_tells_it(workspace: pkgrun.Workspace) -> None:
    version: Any = workspace.version
    with pytest.raises(TypeError, match="positional argument"):
        version("p", True)
    with pytest.raises(TypeError, match="unexpected keyword"):
        version("p", forse=True)
