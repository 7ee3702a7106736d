"""The list of hostile inputs, and that each row of it is tried: by the tests that carry `@pytest.mark.row(n)`.

`python -m pytest tests/hostile/test_rows.py -s` prints the table; `-m row` runs all of them.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROWS = {
    1: "paths, escapes and shell words in every name and id",
    2: "a record, tree or index that points to something else than a digest",
    3: "zips of every malice",
    4: "git sources that would run something or tell something",
    5: "datasets that hold more than files, or change while they are read",
    6: "every end that the package's code can make, and fail to make",
    7: "secrets in every place, searched for in every other afterwards",
    8: "SIGKILL of the supervisor in every phase",
    9: "every call of the backend fails, before and after it has taken effect",
    10: "one byte flipped in every kind of stored file",
    11: "temporary folders that others can read",
    12: "markup and terminal escapes in all that is shown",
    13: "what runs code when it is unpickled",
    14: "garbage collection while others publish, and after a crash",
    15: "routes of a server, from strangers",
}
"""What each row tries."""

LATER = {15}
"""Rows about what does not exist yet: the server."""

_NAMED = re.compile(r"test_row_(\d+)_.*")

TESTS = Path(__file__).parent.parent


def rows_of(node: ast.AST) -> set[int]:
    """The rows that decorators, or a module's `pytestmark`, name."""
    return {
        call.args[0].value
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "pytest.mark.row"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, int)
    }


def marked_in(file: Path) -> Iterator[tuple[int, str]]:
    """Each row with the name of each test that tries it."""
    tree = ast.parse(file.read_bytes())
    everywhere: set[int] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            everywhere |= rows_of(node.value)
    for test in ast.walk(tree):
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            for row in everywhere.union(*map(rows_of, test.decorator_list)):
                yield row, f"{file.relative_to(TESTS)}::{test.name}"


def table() -> dict[int, list[str]]:
    """The tests of each row."""
    found: dict[int, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        for row, test in marked_in(file):
            found[row].append(test)
    return dict(sorted(found.items()))


def test_every_row_is_tried() -> None:
    found = table()
    print()
    for row, what in ROWS.items():
        files = sorted({test.partition("::")[0] for test in found.get(row, [])})
        print(f"{row:3}  {len(found.get(row, [])):4} tests  {what}  ({', '.join(files) or 'later'})")
    assert found.keys() <= ROWS.keys()
    assert ROWS.keys() - found.keys() <= LATER


def test_a_test_that_names_a_row_carries_it() -> None:
    for file in (TESTS / "hostile").glob("test_*.py"):
        carried = set(marked_in(file))
        for node in ast.walk(ast.parse(file.read_bytes())):
            named = _NAMED.match(node.name) if isinstance(node, ast.FunctionDef) else None
            assert named is None or (int(named[1]), f"hostile/{file.name}::{named[0]}") in carried, named
