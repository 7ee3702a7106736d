"""What importing a module of a package does: which modules it needs, and whether it starts a training.

Owns the reading of import statements and of calls that run on import. It never imports anything.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pkgrun.packages.modules import Module, Sources, executed, is_standard
from pkgrun.packages.signatures import Function

TRAINING_CALLS = frozenset({"train", "fit", "fit_generator"})
"""Methods whose call at the top level of a module means a training."""


def imported(module: Module) -> Iterator[tuple[str, int]]:
    """Every absolute dotted name that the module imports, anywhere in it, with its line, in source order."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found.extend((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, node.lineno))
    yield from sorted(found, key=lambda pair: pair[1])


def foreign(sources: Sources, module: Module) -> dict[str, int]:
    """The modules that an installation must provide, by first name, each with the line of its first import."""
    found: dict[str, int] = {}
    for name, line in imported(module):
        first = name.partition(".")[0]
        if first not in found and not is_standard(first) and not sources.has(name):
            found[first] = line
    return found


def relative(module: Module) -> Iterator[int]:
    """The lines of relative imports that run unconditionally when the module is imported."""
    for statement, conditional in executed(module.tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.level and not conditional:
            yield statement.lineno


def trainings(module: Module) -> Iterator[tuple[int, str]]:
    """Line and text of each call on import that trains, directly or inside a function of the same module."""
    trains = {
        statement.name
        for statement, _ in executed(module.tree.body)
        if isinstance(statement, Function) and any(_trains(node) for node in ast.walk(statement))
    }
    for statement, _ in executed(module.tree.body):
        calls = [node for node in _expressions(statement) if isinstance(node, ast.Call)]
        for call in calls:
            if _trains(call) or _name(call.func) in trains:
                yield call.lineno, f"{_name(call.func)}(…)"
                break


def _trains(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in TRAINING_CALLS
    )


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return f"….{name}"
        case _:
            return "…"


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of the statement itself: not of its blocks, nor of what it only defines."""
    if isinstance(statement, Function | ast.ClassDef):
        return
    children = ast.iter_child_nodes(statement)
    todo: list[ast.AST] = [child for child in children if isinstance(child, ast.expr | ast.withitem)]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
