"""What a class of a package looks like, read from its source: where it is defined and which methods it has.

Owns the static reading of names, imports, assignments and inheritance across the files of a package. It never
imports anything; where the answer lies outside the package it says so instead of guessing.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pkgrun.packages.modules import (
    Binding,
    Compiled,
    Module,
    Namespace,
    Sources,
    Unreadable,
    bindings,
    executed,
    is_standard,
)
from pkgrun.packages.signatures import Function, own_nodes

MAX_STEPS = 500
"""How many names one search may look up: cycles and hostile import graphs end here."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class statement and the module that it stands in; `order` is its place among the module's statements."""

    module: Module
    node: ast.ClassDef
    order: int


@dataclass(frozen=True, slots=True)
class Outside:
    """Something that the package imports from elsewhere."""

    name: str

    @property
    def reason(self) -> str:
        return f"{self.name} is not part of the package"


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something whose value only running the code would tell."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoClass:
    """A value that is certainly not a class."""

    file: str
    line: int


Found = Class | Outside | Opaque | NoClass | Module | Namespace | Unreadable | None


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a method comes from; `function` is None when it was assigned, so that its signature is unknown."""

    file: str
    line: int
    function: Function | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """A class: its place, its methods, why it may have more of them, and which files of it cannot be read."""

    file: str
    line: int
    methods: Mapping[str, Definition]
    unknown: tuple[str, ...] = ()
    broken: tuple[Unreadable, ...] = ()


def outline(sources: Sources, module: Module, name: str) -> Outline | Opaque | NoClass | Unreadable | None:
    """The class that `name` means at the end of `module`; None when nothing of that name is there."""
    reader = _Reader(sources)
    found = reader.lookup(module, name)
    match found:
        case Class():
            return reader.outline(found)
        case Outside():
            return Opaque(found.reason)
        case Module() | Namespace():
            return NoClass(module.file, module.bindings[name][-1].statement.lineno)
        case _:
            return found


@dataclass(slots=True)
class _Reader:
    sources: Sources
    steps: int = 0
    active: set[tuple[str, str, int | None]] = field(default_factory=set)

    def lookup(self, module: Module, name: str, before: int | None = None) -> Found:
        """What `name` means in `module` just before statement `before`; at its end when that is None."""
        key = (module.file, name, before)
        self.steps += 1
        if self.steps > MAX_STEPS:
            return Opaque("its definition is too far away")
        if key in self.active:
            return None
        self.active.add(key)
        try:
            return self._bound_here(module, name, before) or self._bound_elsewhere(module, name, before)
        finally:
            self.active.remove(key)

    def _bound_here(self, module: Module, name: str, before: int | None) -> Found:
        """The last binding that is a class; an unconditional one hides those above it."""
        fallback: Found = None
        for binding in _latest(module, name, before):
            found = self._bound(module, binding, name)
            if isinstance(found, Class):
                return found
            fallback = fallback or found
            if not binding.conditional:
                break
        return fallback

    def _bound_elsewhere(self, module: Module, name: str, before: int | None) -> Found:
        fallback: Found = None
        stars = [binding.statement for binding in _latest(module, "*", before)]
        for star in (one for one in stars if isinstance(one, ast.ImportFrom)):
            found = self._member(self._origin(module, star), name)
            if isinstance(found, Outside) and is_standard(found.name):
                continue
            if isinstance(found, Class):
                return found
            fallback = fallback or found
        if fallback is None and "__getattr__" in module.bindings:
            return Opaque(f"{module.file} computes its names when they are asked for")
        if fallback is None and hasattr(builtins, name):
            return Outside(f"builtins.{name}")
        return fallback

    def _bound(self, module: Module, binding: Binding, name: str) -> Found:
        match binding.statement:
            case ast.ClassDef() as node:
                return Class(module, node, binding.order)
            case ast.Import(names=aliases):
                return self._imported(aliases, name)
            case ast.ImportFrom(names=aliases) as statement:
                origin = self._origin(module, statement)
                original = next(alias.name for alias in aliases if (alias.asname or alias.name) == name)
                return self._member(origin, original)
            case ast.Assign(value=value, targets=targets) if any(isinstance(t, ast.Name) for t in targets):
                return self._value(module, value, binding.order)
            case ast.AnnAssign(value=ast.expr() as value):
                return self._value(module, value, binding.order)
            case statement:
                return Opaque(f"{module.file}:{statement.lineno} computes it")

    def _imported(self, aliases: list[ast.alias], name: str) -> Found:
        for alias in aliases:
            if alias.asname == name:
                return self._place(alias.name)
        return self._place(name)

    def _origin(self, module: Module, statement: ast.ImportFrom) -> Found:
        if not statement.level:
            return self._place(statement.module or "")
        above = module.package
        # In a module at the root even `from .x` fails; that is reported by its line, and x is what was meant.
        meant = statement.module and not above and statement.level == 1
        if statement.level > len(above) and not meant:
            return Opaque(f"{module.file}:{statement.lineno} imports from above the package")
        base = above[: len(above) - statement.level + 1]
        return self._place(".".join([*base, *([statement.module] if statement.module else [])]))

    def _place(self, name: str) -> Found:
        place = self.sources.find(name)
        if isinstance(place, Compiled):
            return Opaque(f"{name} is compiled")
        return Outside(name) if place is None else place

    def _member(self, owner: Found, name: str) -> Found:
        match owner:
            case Module():
                found = self.lookup(owner, name)
                if found is None or found == Outside(f"builtins.{name}"):
                    found = self._submodule(owner.name, name) if owner.file.endswith("__init__.py") else None
                return found
            case Namespace():
                return self._submodule(owner.name, name)
            case Outside():
                return Outside(f"{owner.name}.{name}")
            case Class():
                return Opaque(f"{name} is an attribute of class {owner.node.name}")
            case _:
                return owner

    def _submodule(self, package: str, name: str) -> Found:
        place = self._place(f"{package}.{name}")
        return None if isinstance(place, Outside) else place

    def _value(self, module: Module, value: ast.expr, before: int) -> Found:
        attributes: list[str] = []
        while isinstance(value, ast.Attribute | ast.Subscript):
            if isinstance(value, ast.Attribute):
                attributes.append(value.attr)
            value = value.value
        if isinstance(value, ast.Constant | ast.Dict | ast.List | ast.Tuple | ast.Set | ast.JoinedStr):
            return NoClass(module.file, value.lineno)
        if not isinstance(value, ast.Name):
            return Opaque(f"{module.file}:{value.lineno} computes it")
        found = self.lookup(module, value.id, before)
        for attribute in reversed(attributes):
            found = self._member(found, attribute)
        return found

    def outline(self, found: Class) -> Outline:
        """The class with all that it inherits inside the package."""
        unknown: dict[str, None] = {}
        broken: dict[Unreadable, None] = {}
        line: list[Class] = []
        stack: list[Class] = [found]
        while stack and self.steps <= MAX_STEPS:
            current = stack.pop()
            # The last occurrence counts, as in Python's own order for the usual diamond.
            line = [one for one in line if one.node is not current.node] + [current]
            parents: list[Class] = []
            for base in current.node.bases:
                parent = self._value(current.module, base, current.order)
                if isinstance(parent, Class) and parent.node is not current.node:
                    parents.append(parent)
                elif isinstance(parent, Unreadable):
                    broken[parent] = None
                elif not (isinstance(parent, Outside) and is_standard(parent.name)):
                    unknown[_why(parent)] = None
            stack.extend(reversed(parents))
        if stack:
            unknown["its ancestors are too many"] = None
        methods = {name: method for one in reversed(line) for name, method in _members(one)}
        present = {name: method for name, method in methods.items() if method is not None}
        return Outline(found.module.file, found.node.lineno, present, tuple(unknown), tuple(broken))


def _latest(module: Module, name: str, before: int | None) -> Iterator[Binding]:
    for binding in reversed(module.bindings.get(name, [])):
        if before is None or binding.order < before:
            yield binding


def _why(parent: Found) -> str:
    return parent.reason if isinstance(parent, Outside | Opaque) else "one of its base classes was not found"


def _members(owner: Class) -> Iterator[tuple[str, Definition | None]]:
    """What instances of the class have by its own doing; None for a name that it sets to a constant."""
    file = owner.module.file
    constructor: Function | None = None
    for name, bound in bindings(owner.node.body).items():
        member = _last(file, bound)
        if name == "__init__" and member is not None:
            constructor = member.function
        yield name, member
    inside = [node for node in own_nodes(constructor) if isinstance(node, ast.stmt)] if constructor else []
    for statement in inside:
        yield from _assigned(file, statement, "self")
    for statement, _ in executed(owner.module.tree.body):
        yield from _assigned(file, statement, owner.node.name)


def _last(file: str, bound: list[Binding]) -> Definition | None:
    """The last definition that may be in force: a conditional `name = None` leaves the one above it possible."""
    for binding in reversed(bound):
        found = _definition(file, binding.statement)
        if found is not None or not binding.conditional:
            return found
    return None


def _definition(file: str, statement: ast.stmt) -> Definition | None:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return Definition(file, statement.lineno, statement)
        case ast.Assign(value=ast.Constant()) | ast.AnnAssign(value=ast.Constant()):
            return None
        case _:
            return Definition(file, statement.lineno)


def _assigned(file: str, statement: ast.stmt, owner: str) -> Iterator[tuple[str, Definition]]:
    """`owner.name = anything but a constant`."""
    match statement:
        case ast.Assign(value=ast.Constant()):
            return
        case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=holder), attr=name)]) if holder == owner:
            yield name, Definition(file, statement.lineno)
        case _:
            return
