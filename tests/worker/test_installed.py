"""What of an environment is not as it was installed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from pkgrun.worker.installed import altered


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where two packages are installed."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("one", "two"):
        info = site / f"{name}-1.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(name)
        digest = base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()).rstrip(b"=").decode()
        (info / "RECORD").write_text(f"{name}.py,sha256={digest},3\n__pycache__/{name}.pyc,,\n")
    (tmp_path / "lib64").symlink_to("lib")
    return site


@pytest.fixture
def python(site: Path) -> Path:
    return site.parents[2] / "bin" / "python"


def test_what_is_as_it_was_is_not_told(python: Path) -> None:
    assert altered(python) == []


def test_a_file_that_changed_or_is_gone_is_told(site: Path, python: Path) -> None:
    (site / "one.py").write_text("eno")
    (site / "two.py").unlink()
    assert altered(python) == ["one.py", "two.py"]


@pytest.mark.parametrize("text", [None, b"\xff\xfe", b'"' + b"x" * (1 << 18)])
def test_a_list_that_cannot_be_read_is_told(site: Path, python: Path, text: bytes | None) -> None:
    record = site / "one-1.dist-info" / "RECORD"
    record.unlink() if text is None else record.write_bytes(text)
    assert altered(python) == ["one-1.dist-info/RECORD"]


def test_a_name_that_is_none_is_told(site: Path, python: Path) -> None:
    (site / "one-1.dist-info" / "RECORD").write_text("a\0b,sha256=x,1\n")
    assert altered(python) in (["a\0b"], ["one-1.dist-info/RECORD"])
