"""What a command loads: nothing that only other commands need, since loading is most of what a short one takes."""

from __future__ import annotations

import pytest

from .lab import Lab

LOADS = """
    import sys
    from pkgrun.cli.main import main

    out, *sys.argv[1:] = sys.argv[1:]
    try:
        main()
    finally:
        with open(out, "w") as file:
            print(*sys.modules, file=file)
"""

NETWORKS = ("asyncio", "aiohttp", "botocore", "fsspec", "http", "obstore", "s3fs", "ssl")
PAGES = ("git", "markdown_it", "pygments", "rich")
RUNNING = ("pkgrun.runs.engine", "pkgrun.runs.launch", "pkgrun.worker", "subprocess")
# The database of `store/index.py` is for stores of many packs.
DATASETS = ("pkgrun.datasets", "pkgrun.runs.dataset", "pkgrun.store.bulk", "sqlite3")
FAR_DATASETS = ("pkgrun.datasets.arrival", "pkgrun.datasets.cache", "pkgrun.datasets.remote")
SCHEMAS = ("pkgrun.records.nodes", "pkgrun.records.schemas")


def loaded(lab: Lab, *arguments: str) -> set[str]:
    """What a command has loaded when it ends: every module, and every package that a module is in."""
    process = lab.python(LOADS, lab.mark("modules"), *arguments)
    process.communicate(timeout=60)
    assert process.returncode == 0
    names = lab.mark("modules").read_text().split()
    return {name.rsplit(".", above)[0] for name in names for above in range(name.count(".") + 1)}


@pytest.fixture
def prepared(lab: Lab) -> Lab:
    """A lab with a package and a dataset in a folder."""
    lab.workspace().add(lab.package("p"))
    (lab.folder / "data").mkdir()
    (lab.folder / "data" / "rows.csv").write_text("a,b\n")
    return lab


def test_the_version_is_told_without_the_library(lab: Lab) -> None:
    there = loaded(lab, "--version")
    assert not there & {"orjson", "pydantic", "pkgrun.records", "pkgrun.store", "pkgrun.runs", *PAGES}


def test_a_list_loads_nothing_that_runs(prepared: Lab) -> None:
    for words in (("run", "list"), ("package", "list")):
        there = loaded(prepared, *words, "--json")
        assert not there & {*RUNNING, *DATASETS, *NETWORKS, *PAGES, *SCHEMAS}, words


def test_a_training_without_a_dataset_loads_nothing_of_datasets(prepared: Lab) -> None:
    there = loaded(prepared, "-q", "train", "p@1.0")
    assert not there & {*DATASETS, *NETWORKS, *PAGES, *SCHEMAS}
    assert "pkgrun.runs.engine" in there


def test_a_training_on_a_folder_loads_nothing_that_fetches(prepared: Lab) -> None:
    there = loaded(prepared, "-q", "train", "p@1.0", "--data", "data")
    assert not there & {*FAR_DATASETS, *NETWORKS, *PAGES, *SCHEMAS}
    assert "pkgrun.runs.dataset" in there
