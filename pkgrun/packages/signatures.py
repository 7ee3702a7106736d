"""Whether a function can be called the way a pipeline will call it, judged from its definition.

Owns the arithmetic of parameters. It never resolves names: a decorator that it does not know may change the
signature, and is given the benefit of the doubt.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef

_UNBOUND = "staticmethod"
_TRANSPARENT = frozenset({_UNBOUND, "classmethod", "abstractmethod", "override", "final"})


def complaint(function: Function, given: int) -> str | None:
    """Why a call of the method with `given` positional arguments besides `self` cannot work; None if it can."""
    decorators = {_name(decorator) for decorator in function.decorator_list}
    if not decorators <= _TRANSPARENT:
        return None
    if isinstance(function, ast.AsyncFunctionDef):
        return "is async, and nothing would await it"
    if _is_generator(function):
        return "is a generator: calling it runs nothing of it"
    return _arity(function.args, given, bound=0 if _UNBOUND in decorators else 1)


def _arity(parameters: ast.arguments, given: int, *, bound: int) -> str | None:
    positional = [parameter.arg for parameter in (*parameters.posonlyargs, *parameters.args)]
    passed = given + bound
    if parameters.vararg is None and len(positional) < passed:
        if len(positional) < bound:
            return "has no parameter self"
        return f"accepts {len(positional) - bound} arguments besides self and would get {given}"
    required = positional[passed : len(positional) - len(parameters.defaults)]
    required += [
        parameter.arg
        for parameter, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
        if default is None
    ]
    return f"requires {', '.join(required)}, which it would not get" if required else None


def _name(decorator: ast.expr) -> str:
    match decorator:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _is_generator(function: Function) -> bool:
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(function))


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of the function's body, without those of functions and classes defined in it."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))
