"""The child's environment: what passes, who wins, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import PermissionDenied, UsageError
from pkgrun.worker.variables import child_environment, read_env_file

HOST = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C.UTF-8",
    "https_proxy": "http://proxy",
    "OMP_NUM_THREADS": "2",
    "LD_LIBRARY_PATH": "/lib",
    "CUDA_HOME": "/cuda",
    "CUDA_VISIBLE_DEVICES": "1",
    "PYTHONPATH": "/mine",
    "PYTHONHASHSEED": "7",
    "AWS_SECRET_ACCESS_KEY": "canary1234",
    "PKGRUN_STORE": "/store",
    "VIRTUAL_ENV": "/venv",
}


def test_the_host_passes_by_an_allow_list() -> None:
    env, passed = child_environment(HOST, {}, {}, {}, False)
    assert passed == ("HOME", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PATH", "https_proxy")
    assert env == {
        **{name: HOST[name] for name in passed},
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "HIP_VISIBLE_DEVICES": "-1",
        "ROCR_VISIBLE_DEVICES": "",
    }


def test_with_gpu_its_variables_pass_and_nothing_is_hidden() -> None:
    env, passed = child_environment(HOST, {}, {}, {}, True)
    assert (env["CUDA_HOME"], env["CUDA_VISIBLE_DEVICES"]) == ("/cuda", "1")
    assert {"CUDA_HOME", "CUDA_VISIBLE_DEVICES"} <= set(passed)
    assert "HIP_VISIBLE_DEVICES" not in env


def test_parameters_win_over_defaults_and_host() -> None:
    parameters = {
        "data_directory": "mine",
        "PATH": "/other",
        "PYTHONPATH": "lib",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    defaults = {"data_directory": "data", "artifacts_directory": "artifacts", "HOME": "/default"}
    env, passed = child_environment(HOST, parameters, defaults, {"TOKEN": "canary1234"}, False)
    assert (
        env.items()
        >= {
            **parameters,
            "artifacts_directory": "artifacts",
            "HOME": "/default",
            "TOKEN": "canary1234",
        }.items()
    )
    assert not {"PATH", "HOME", "TOKEN"} & set(passed)


@pytest.mark.parametrize("seed", ["0", "42", "4294967295", "random"])
def test_a_seed_of_the_user_is_taken(seed: str) -> None:
    assert child_environment({}, {"PYTHONHASHSEED": seed}, {}, {}, False)[0]["PYTHONHASHSEED"] == seed


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"PYTHONHASHSEED": "-1"}, "PYTHONHASHSEED is no seed"),
        ({"PYTHONHASHSEED": "4294967296"}, "PYTHONHASHSEED is no seed"),
        ({"PYTHONHASHSEED": ""}, "PYTHONHASHSEED is no seed"),
        ({"a=b": "x"}, "parameter 'a=b' cannot be a variable"),
        ({"": "x"}, "parameter '' cannot be a variable"),
        ({"a\n": "x"}, "cannot be a variable"),
        ({"1a": "x"}, "cannot be a variable"),
        ({"a": "x\0y"}, "parameter a holds a NUL"),
        ({"url": "https://u:canary1234@host"}, "parameter url holds the value of a secret"),
        ({"TOKEN": "x"}, "TOKEN is both a parameter and a secret"),
    ],
)
def test_what_cannot_be_a_parameter_is_refused(parameters: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        child_environment({}, parameters, {}, {"TOKEN": "canary1234"}, False)
    assert caught.value.hint
    assert "canary1234" not in f"{caught.value} {caught.value.hint}"


def test_an_env_file_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "run.env"
    file.write_bytes(
        b"\xef\xbb\xbf# comment\n\n  \nA=1\r\nB='quoted' # kept\n  C = \nD=\nA=2=3\nE=\xc3\xa9".replace(
            b"C =", b"C="
        )
    )
    assert read_env_file(file) == {"A": "2=3", "B": "'quoted' # kept", "C": " ", "D": "", "E": "é"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nB\n", "run.env:2 has no ="),
        (b"A=1\n\n# x\n=canary\n", "run.env:4: what stands before ="),
        (b"export A=canary\n", "run.env:1: what stands before ="),
        (b"A=canary\0\n", "run.env:1: the value of A holds a NUL"),
        (b"\xff\n", "run.env is not UTF-8 text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "run.env"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_env_file(file)
    assert "canary" not in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_env_file(tmp_path / "none.env")
    with pytest.raises((UsageError, PermissionDenied)):
        read_env_file(tmp_path)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(max_size=20)))
def test_only_what_is_listed_or_given_gets_in(host: dict[str, str]) -> None:
    env, passed = child_environment(host, {}, {}, {}, False)
    assert set(passed) <= set(host)
    assert not {name for name in passed if name.startswith("PYTHON")}
    assert set(env) == {
        *passed,
        "PYTHONHASHSEED",
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
    }
