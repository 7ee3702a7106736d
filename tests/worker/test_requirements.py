"""What is read from requirements files, and what is refused with the line that says why."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pkgrun.errors import PackageInvalid
from pkgrun.worker.requirements import NOTHING, Requirements, masked, read


def _package(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def _read(root: Path, text: str, **others: str) -> Requirements:
    return read(_package(root, {"requirements.txt": text, **others}))


def _digest(root: Path, text: str) -> str:
    return _read(root, text).digest


def test_a_package_without_a_file_requires_nothing(tmp_path: Path) -> None:
    assert read(tmp_path) == Requirements(None, "", "", NOTHING)
    assert "sha256:" + hashlib.sha256(b"").hexdigest() == NOTHING


def test_train_requirements_come_first(tmp_path: Path) -> None:
    _package(tmp_path, {"requirements.txt": "six\n", "train_requirements.txt": "idna\n"})
    found = read(tmp_path)
    assert (found.file, found.text) == ("train_requirements.txt", "idna\n")


def test_serving_reads_its_own_file_and_never_the_training_one(tmp_path: Path) -> None:
    _package(tmp_path, {"train_requirements.txt": "idna\n"})
    assert read(tmp_path, serving=True) == Requirements(None, "", "", NOTHING)
    _package(tmp_path, {"requirements.txt": "six\n"})
    found = read(tmp_path, serving=True)
    assert (found.file, found.text) == ("requirements.txt", "six\n")
    assert (read(tmp_path).file, read(tmp_path).text) == ("train_requirements.txt", "idna\n")


def test_comments_blank_lines_and_line_ends_do_not_count(tmp_path: Path) -> None:
    plain = _digest(tmp_path, "six==1.16\nidna>=2,<4\n")
    assert _digest(tmp_path, "# all\r\n\r\n  six==1.16   # why\r\nidna>=2,\\\r\n<4") == plain
    assert _digest(tmp_path, "# nothing at all\n\n") == NOTHING
    assert _digest(tmp_path, "six==1.17\nidna>=2,<4\n") != plain
    assert _digest(tmp_path, "idna>=2,<4\nsix==1.16\n") != plain  # order may matter to a resolver


def test_a_fragment_is_no_comment_and_hashes_stay(tmp_path: Path) -> None:
    text = "six==1.0 \\\n  --hash=sha256:aa \\\n  --hash=sha256:bb\nx @ git+https://example.org/x.git@main#egg=x # here\n"
    assert _read(tmp_path, text).text == (
        "six==1.0 --hash=sha256:aa --hash=sha256:bb\nx @ git+https://example.org/x.git@main#egg=x\n"
    )


def test_includes_are_taken_in_and_constraints_kept_apart(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r deps/base.txt\n--constraint=pins.txt\nrich\n",
        "deps/base.txt": "-rmore.txt\nsix\n-c ../pins.txt\n",
        "deps/more.txt": "idna\n",
        "pins.txt": "-r deps/pins2.txt\nsix<2\n",
        "deps/pins2.txt": "idna<4\n",
    }
    found = read(_package(tmp_path, files))
    assert found.text == "idna\nsix\nrich\n"
    assert found.constraints == "idna<4\nsix<2\n"
    assert found.digest != _digest(tmp_path, "idna\nsix\nrich\n")


def test_one_file_included_twice_counts_once(tmp_path: Path) -> None:
    assert _read(tmp_path, "-r a.txt\n-r a.txt\n", **{"a.txt": "six\n"}).text == "six\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-r ../other.txt", "outside the package folder"),
        ("-c /etc/hostname", "outside the package folder"),
        ("-r gone.txt", "gone.txt, which does not exist"),
        ("-r https://me:secret@example.org/r.txt", "example.org/r.txt, which is not a file of the package"),
        ("-r requirements.txt", "in a circle"),
        ("-r folder", "not a file"),
        ("./gone.whl", "gone.whl, which does not exist"),
        ("-e ../lib", "outside the package folder"),
        ("lib @ file:///opt/lib-1.0-py3-none-any.whl", "outside the package folder"),
        ("--find-links ../wheels", "outside the package folder"),
    ],
)
def test_a_bad_reference_names_its_line_and_the_way_out(tmp_path: Path, line: str, says: str) -> None:
    root = tmp_path / "package"
    (root / "folder").mkdir(parents=True)
    with pytest.raises(PackageInvalid) as caught:
        _read(root, f"six\n\n{line}\n")
    assert caught.value.message.startswith("requirements.txt:3: ")
    assert says in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.hint


def test_a_circle_over_two_files_names_the_line_that_closes_it(tmp_path: Path) -> None:
    with pytest.raises(PackageInvalid, match=r"^b\.txt:2: .*requirements\.txt → a\.txt → b\.txt → a\.txt"):
        _read(tmp_path, "-r a.txt\n", **{"a.txt": "-r b.txt\n", "b.txt": "six\n-r a.txt\n"})


def test_a_link_out_of_the_package_is_outside(tmp_path: Path) -> None:
    root = tmp_path / "package"
    root.mkdir()
    (tmp_path / "real.txt").write_text("six\n")
    (root / "requirements.txt").symlink_to("../real.txt")
    with pytest.raises(PackageInvalid, match="outside the package folder"):
        read(root)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"six\n\xff\xfa")
    with pytest.raises(PackageInvalid, match="not a text in UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "requirements.txt").write_bytes("six\r\n".encode(encoding))
    assert read(tmp_path).text == "six\n"


@pytest.mark.parametrize(
    ("line", "canonical", "local"),
    [
        ("./lib", "./lib", "lib"),
        ("-e ./lib", "./lib", "lib"),
        ("--editable=lib/", "./lib", "lib"),
        ("-e .[extra]", ".[extra]", "."),
        ("./lib[a,b]; python_version > '3'", "./lib[a,b] ; python_version > '3'", "lib"),
        ("thing @ ./lib", "thing @ ./lib", "lib"),
        ("file:lib#egg=thing", "./lib#egg=thing", "lib"),
        ("w/x-1.0-py3-none-any.whl", "./w/x-1.0-py3-none-any.whl", "w/x-1.0-py3-none-any.whl"),
        ("-e lib", "./lib", "lib"),
        ("-f w", "--find-links ./w", "w"),
        ("-f ./w", "--find-links ./w", "w"),
        ("--find-links=https://example.org/w", "--find-links https://example.org/w", None),
        ("-e git+https://example.org/x.git#egg=x", "git+https://example.org/x.git#egg=x", None),
        ("x @ file://${HERE}/lib", "x @ file://${HERE}/lib", None),
        (
            "--extra-index-url https://example.org/simple",
            "--extra-index-url https://example.org/simple",
            None,
        ),
        ("six[a] >= 1 ; sys_platform == 'linux'", "six[a] >= 1 ; sys_platform == 'linux'", None),
    ],
)
def test_local_paths_become_relative_to_the_package(
    tmp_path: Path, line: str, canonical: str, local: str | None
) -> None:
    _package(tmp_path, {"lib/pyproject.toml": "", "w/x-1.0-py3-none-any.whl": "wheel"})
    found = _read(tmp_path, line + "\n")
    assert found.text == canonical + "\n"
    assert found.local == (() if local is None else (Path(local),))


def test_paths_of_an_included_file_are_found_beside_it(tmp_path: Path) -> None:
    _package(tmp_path, {"deps/lib/pyproject.toml": "", "deps/base.txt": "./lib\n"})
    assert _read(tmp_path, "-r deps/base.txt\n").local == (Path("deps/lib"),)


def test_the_content_of_local_paths_counts_and_bytecode_does_not(tmp_path: Path) -> None:
    _package(tmp_path, {"lib/a.py": "1", "lib/deep/b.py": "2", "x.whl": "wheel"})
    text = "./lib\n./x.whl\n"
    first = _digest(tmp_path, text)
    _package(tmp_path, {"lib/__pycache__/a.pyc": "x", "lib/.git/HEAD": "x", "other.py": "x"})
    assert _digest(tmp_path, text) == first
    (tmp_path / "lib/deep/b.py").write_text("3")
    second = _digest(tmp_path, text)
    (tmp_path / "x.whl").write_text("other wheel")
    assert len({first, second, _digest(tmp_path, text)}) == 3


def test_a_digest_is_the_same_wherever_the_package_lies(tmp_path: Path) -> None:
    files = {"requirements.txt": "./lib\n", "lib/a.py": "1"}
    assert read(_package(tmp_path / "one", files)).digest == read(_package(tmp_path / "two", files)).digest


def test_a_pipe_in_a_local_folder_is_refused_not_read(tmp_path: Path) -> None:
    _package(tmp_path, {"lib/a.py": "1"})
    os.mkfifo(tmp_path / "lib/pipe")
    with pytest.raises(PackageInvalid, match="neither a file nor a folder"):
        _read(tmp_path, "./lib\n")


def test_no_credentials_are_shown(tmp_path: Path) -> None:
    found = _read(tmp_path, "--index-url https://me:secret@example.org/simple\nsix\n")
    assert "secret" in found.text
    assert "secret" not in repr(found)
    assert masked("see https://me:se@cret@example.org/x and git+ssh://git@host/y") == (
        "see https://example.org/x and git+ssh://host/y"
    )
