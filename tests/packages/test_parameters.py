"""Parameters: what a package can declare, and what values are held against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import UsageError
from pkgrun.packages.inspection import check
from pkgrun.packages.parameters import FILE, Parameter, declared, meaning, read, used

SOUND = b"""
[parameters.epochs]
type = "int"
default = 10
minimum = 1
maximum = 100
description = "passes over the data"

[parameters.rate]
type = "float"
default = 1
minimum = 0.0

[parameters.mode]
type = "choice"
choices = ["fast", "exact", 3]
required = true

[parameters.verbose]
type = "bool"
default = false

[parameters.title]
type = "str"
"""


def test_what_is_declared() -> None:
    assert declared(SOUND).problems == ()
    assert declared(SOUND).parameters == {
        "epochs": Parameter("int", "10", "passes over the data", 1, 100),
        "rate": Parameter("float", "1", minimum=0.0),
        "mode": Parameter("choice", choices=("fast", "exact", "3"), required=True),
        "verbose": Parameter("bool", "false"),
        "title": Parameter("str"),
    }


def test_a_package_without_the_file_declares_nothing(tmp_path: Path) -> None:
    assert read(tmp_path).parameters == {}
    (tmp_path / FILE).write_text('store = "s3://bucket/x"\n')
    assert read(tmp_path) == declared(b"")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[[", "not TOML"),
        ("\xff", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("parameters = 1", "parameters is no table"),
        ("[parameter.x]\ntype='int'", r"\[parameter\] is called \[parameters.NAME\]"),
        ("[parameters]\nx = 1", r"\[parameters.x\] is no table"),
        ("[parameters.x]", r"\[parameters.x\] has no type"),
        ("[parameters.x]\ntype='number'", r"\[parameters.x\]: type is 'number'"),
        ("[parameters.x]\ntype=['int']", r"\[parameters.x\]: type is"),
        ("[parameters.x]\ntype='int'\ndefualt=1", r"\[parameters.x\]: defualt is no key"),
        ("[parameters.x]\ntype='int'\ndefault='1'", r"\[parameters.x\]: default is '1', which is no int"),
        ("[parameters.x]\ntype='int'\ndefault=true", r"\[parameters.x\]: default is True, which is no int"),
        ("[parameters.x]\ntype='int'\ndefault=1.5", r"\[parameters.x\]: default is 1.5, which is no int"),
        ("[parameters.x]\ntype='int'\ndefault=0\nminimum=1", r"\[parameters.x\]: default is '0', and .* at least 1"),
        ("[parameters.x]\ntype='int'\nminimum=1.5", r"\[parameters.x\]: minimum is 1.5"),
        ("[parameters.x]\ntype='int'\nminimum=2\nmaximum=1", r"\[parameters.x\]: minimum is larger"),
        ("[parameters.x]\ntype='float'\nmaximum=nan", r"\[parameters.x\]: maximum is nan"),
        ("[parameters.x]\ntype='float'\ndefault=inf", r"\[parameters.x\]: default is 'inf'"),
        ("[parameters.x]\ntype='str'\nminimum=1", r"\[parameters.x\]: minimum means nothing for str"),
        ("[parameters.x]\ntype='str'\ndefault=\"a\\u0000b\"", r"\[parameters.x\]: default is no text"),
        ("[parameters.x]\ntype='str'\ndescription=1", r"\[parameters.x\]: description"),
        ("[parameters.x]\ntype='choice'", r"\[parameters.x\]: choices"),
        ("[parameters.x]\ntype='choice'\nchoices='ab'", r"\[parameters.x\]: choices is no array"),
        ("[parameters.x]\ntype='choice'\nchoices=[{}]", r"\[parameters.x\]: choices"),
        ("[parameters.x]\ntype='choice'\nchoices=['a']\ndefault='b'", r"\[parameters.x\]: default is 'b'"),
        ("[parameters.x]\ntype='int'\nchoices=[1]", r"\[parameters.x\]: choices"),
        ("[parameters.x]\ntype='int'\nrequired='yes'", r"\[parameters.x\]: required"),
        ("[parameters.x]\ntype='int'\nrequired=true\ndefault=1", r"\[parameters.x\]: what has a default"),
        ("[parameters.'a b']\ntype='int'", r"\[parameters.a b\]: that cannot be a variable"),
        ("[parameters.data_directory]\ntype='str'", r"\[parameters.data_directory\]: .* pipelines' own"),
        ("\n".join(f"[parameters.x{number}]\ntype='int'" for number in range(201)), "201 parameters"),
        ("#" * 300_000, "larger than 256 KiB"),
    ],
)  # fmt: skip
def test_what_cannot_be_declared_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    (tmp_path / "train.py").write_text("class Main:\n    def train(self, d): ...\n    def save(self): ...\n")
    report = check(tmp_path)
    assert report.pipelines == ()
    found = [problem for problem in report.problems if problem.file == FILE]
    assert len(found) == 1
    with pytest.raises(UsageError, match=said):
        raise UsageError(str(found[0]))


def test_a_link_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(SOUND)
    (tmp_path / FILE).symlink_to("elsewhere")
    assert read(tmp_path).parameters == {}
    assert read(tmp_path).problems


def test_defaults_fill_what_is_not_given() -> None:
    found = used(declared(SOUND).parameters, {"mode": "fast", "rate": "1e-3", "free": "x"}, {})
    assert found.values == {"mode": "fast", "rate": "1e-3", "free": "x", "epochs": "10", "verbose": "false"}
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("epochs", value) for value in ("0", "101", "ten", "1.5", "", " 5", "5 ", "1_0", "٣", "9" * 5000, "0x1")),
        *(("rate", value) for value in ("-1", "nan", "inf", "1e999", "", "1,5", "1_0.0", "fast")),
        *(("mode", value) for value in ("slow", "", "FAST", "fast ", "4")),
        *(("verbose", value) for value in ("1", "yes", "", "on")),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"parameter {name} is ") as refused:
        used(declared(SOUND).parameters, {"mode": "fast", name: value}, {})
    assert name in str(refused.value.hint)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", "+5"), ("epochs", "007"), ("rate", ".5"), ("rate", "2."), ("verbose", "TRUE"), ("mode", "3"), ("title", "")],
)  # fmt: skip
def test_a_value_is_passed_on_as_it_was_written(name: str, value: str) -> None:
    assert used(declared(SOUND).parameters, {"mode": "fast", name: value}, {}).values[name] == value


def test_what_is_required_has_to_be_given() -> None:
    with pytest.raises(UsageError, match="requires the parameter mode"):
        used(declared(SOUND).parameters, {}, {})
    assert "mode" not in used(declared(SOUND).parameters, {}, {"mode": "canary"}).values


def test_a_default_does_not_cover_a_secret() -> None:
    assert "epochs" not in used(declared(SOUND).parameters, {"mode": "fast"}, {"epochs": "canary"}).values


@pytest.mark.parametrize("name", ["epoch", "EPOCHS", "epohcs", "Epochs_"])
def test_what_is_nearly_a_name_is_told(name: str) -> None:
    found = used(declared(SOUND).parameters, {"mode": "fast", name: "1"}, {})
    assert found.remarks == (f"the package declares no parameter {name}; did you mean epochs?",)
    assert found.values[name] == "1"


def test_variables_of_the_pipelines_are_no_mistakes() -> None:
    near = {"artifact_directory": Parameter("str")}
    assert used(near, {"artifacts_directory": "out"}, {}).remarks == ()


def test_what_a_declaration_means() -> None:
    assert [meaning(one) for one in declared(SOUND).parameters.values()] == [
        "int = 10, 1 to 100: passes over the data",
        "float = 1, at least 0.0",
        "one of fast, exact, 3 (required)",
        "bool = false",
        "str",
    ]


@given(st.binary(max_size=200) | st.text(alphabet="[]parmets.=xy'\"\n1{}, ", max_size=80).map(str.encode))
def test_whatever_the_file_holds_it_is_told(data: bytes) -> None:
    for start in (b"", b"[parameters.x]\ntype = 'int'\n"):
        found = declared(start + data)
        assert found.problems or all(isinstance(one, Parameter) for one in found.parameters.values())
