"""What a package declares of its parameters, in the `[parameters.NAME]` tables of its `pkgrun.toml`; and values checked by it.

Pure but for the reading of that one file. A parameter is an environment variable, so that every value is text; what nobody
declared stays free.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pkgrun.errors import DataInvalid, NotFound, PkgrunError, UsageError
from pkgrun.packages.contract import PIPELINES
from pkgrun.store.files import open_regular

FILE = "pkgrun.toml"
TABLE = "parameters"
LIMIT = 200
"""More parameters than that are declared by no package."""

Type = Literal["int", "float", "bool", "str", "choice"]

_FILE_LIMIT = 1 << 18
_TEXT_LIMIT = 2000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOL = re.compile(r"true|false", re.IGNORECASE)
_KEYS = ("type", "default", "description", "minimum", "maximum", "choices", "required")
_OF_PIPELINES = {name for pipeline in PIPELINES.values() for name in pipeline.variables}
_LIKE = 0.75
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a package says of one: `default` and `choices` as the text that its code would read; bounds are inclusive."""

    type: Type
    default: str | None = None
    description: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """All that a package declares, and what is wrong with how it does."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Used:
    """What a run gets: what was given, with the defaults of what was not; and what a person should know of it."""

    values: dict[str, str]
    remarks: tuple[str, ...] = ()


class _Wrong(Exception):
    """What a table says cannot be; with the table and the key."""


def read(root: Path) -> Declared:
    """What the package in a folder declares; nothing where it has no such file."""
    try:
        with open(open_regular(str(root / FILE)), "rb") as file:
            data = file.read(_FILE_LIMIT + 1)
    except NotFound:
        return Declared()
    except DataInvalid:
        return Declared(problems=("it is no regular file",))
    except (PkgrunError, OSError) as error:
        return Declared(problems=(f"it cannot be read: {error}",))
    return declared(data)


def declared(data: bytes) -> Declared:
    """What the content of a `pkgrun.toml` declares. Tables other than `parameters` are not its business."""
    import tomllib

    if len(data) > _FILE_LIMIT:
        return Declared(problems=(f"it is larger than {_FILE_LIMIT >> 10} KiB",))
    try:
        tables = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        return Declared(problems=(f"it is not TOML: {error}",))
    problems = [f"[{name}] is called [{TABLE}.NAME]" for name in tables if name in ("parameter", "params")]
    found = tables.get(TABLE, {})
    if not isinstance(found, dict):
        return Declared(problems=(*problems, f"{TABLE} is no table; write [{TABLE}.NAME]"))
    if len(found) > LIMIT:
        return Declared(problems=(*problems, f"it declares {len(found)} parameters; {LIMIT} is the limit"))
    parameters: dict[str, Parameter] = {}
    for name, table in found.items():
        try:
            parameters[name] = _parameter(name, table)
        except _Wrong as wrong:
            problems.append(str(wrong))
    return Declared(parameters, tuple(problems))


def used(parameters: Mapping[str, Parameter], given: Mapping[str, str], secrets: Mapping[str, str]) -> Used:
    """The values of a run: checked, and with the defaults. What is given as a secret is given, and not looked at.

    Raises:
        UsageError: a value is not what the package declares, or a required one is missing.
    """
    for name, parameter in parameters.items():
        if name in given and (complaint := _complaint(parameter, given[name])):
            raise UsageError(
                f"parameter {name} is {_short(given[name])}, and {complaint}",
                hint=f"the package declares {name}: {meaning(parameter)}",
            )
    missing = [
        name for name, one in parameters.items() if one.required and name not in given and name not in secrets
    ]
    if missing:
        raise UsageError(
            f"the package requires the parameter {', '.join(missing)}",
            hint=f"--env {missing[0]}=VALUE, {meaning(parameters[missing[0]])}",
        )
    defaults = {
        name: one.default
        for name, one in parameters.items()
        if one.default is not None and name not in secrets
    }
    return Used({**defaults, **given}, tuple(_remarks(parameters, given)))


def meaning(parameter: Parameter) -> str:
    """A declaration in words: `int = 10, 1 to 100: how often`."""
    words: str = parameter.type
    if parameter.choices:
        words = f"one of {', '.join(parameter.choices)}"
    if parameter.default is not None:
        words += f" = {_short(parameter.default)}" if parameter.type == "str" else f" = {parameter.default}"
    if parameter.minimum is not None or parameter.maximum is not None:
        words += ", " + _bounds(parameter)
    if parameter.required:
        words += " (required)"
    return f"{words}: {parameter.description}" if parameter.description else words


def _remarks(parameters: Mapping[str, Parameter], given: Mapping[str, str]) -> Iterator[str]:
    if not parameters:
        return
    from difflib import get_close_matches

    free = {name.lower(): name for name in parameters if name not in given}
    for name in given:
        if name in parameters or name in _OF_PIPELINES:
            continue
        if near := get_close_matches(name.lower(), free, n=1, cutoff=_LIKE):
            yield f"the package declares no parameter {name}; did you mean {free[near[0]]}?"


def _parameter(name: str, table: object) -> Parameter:
    place = f"[{TABLE}.{name}]"
    if not _NAME.fullmatch(name):
        raise _Wrong(f"{place}: that cannot be a variable's name: letters, digits and _ only")
    if name in _OF_PIPELINES:
        raise _Wrong(f"{place}: that is a variable of the pipelines' own")
    if not isinstance(table, dict):
        raise _Wrong(f"{place} is no table")
    if unknown := [key for key in table if key not in _KEYS]:
        raise _Wrong(f"{place}: {unknown[0]} is no key; there are {', '.join(_KEYS)}")
    kind = _kind(place, table)
    made = Parameter(
        type=kind,
        default=_value(place, "default", kind, table["default"]) if "default" in table else None,
        description=_description(place, table.get("description")),
        minimum=_bound(place, "minimum", kind, table),
        maximum=_bound(place, "maximum", kind, table),
        choices=_choices(place, kind, table),
        required=_required(place, table),
    )
    if made.minimum is not None and made.maximum is not None and made.minimum > made.maximum:
        raise _Wrong(f"{place}: minimum is larger than maximum")
    if made.default is not None and (complaint := _complaint(made, made.default)):
        raise _Wrong(f"{place}: default is {_short(made.default)}, and {complaint}")
    return made


def _kind(place: str, table: Mapping[str, Any]) -> Type:
    kind: Type
    for kind in get_args(Type):
        if table.get("type") == kind:
            return kind
    said = f": type is {_short(table['type'])}" if "type" in table else " has no type"
    raise _Wrong(f"{place}{said}; there are {', '.join(get_args(Type))}")


def _value(place: str, key: str, kind: Type, value: object) -> str:
    """A value of TOML as the text of a variable."""
    fits: dict[Type, tuple[type, ...]] = {
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "str": (str,),
        "choice": (str, int, float),
    }
    if not isinstance(value, fits[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise _Wrong(f"{place}: {key} is {_short(value)}, which is no {kind}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\0" in text or len(text) > _TEXT_LIMIT or not _encodes(text):
        raise _Wrong(f"{place}: {key} is no text that a variable can hold")
    return text


def _encodes(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _description(place: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
        raise _Wrong(f"{place}: description is no text of at most {_TEXT_LIMIT} characters")
    return value


def _bound(place: str, key: str, kind: Type, table: Mapping[str, Any]) -> int | float | None:
    if key not in table:
        return None
    value = table[key]
    if kind not in ("int", "float"):
        raise _Wrong(f"{place}: {key} means nothing for {kind}")
    if isinstance(value, bool) or not isinstance(value, int if kind == "int" else (int, float)):
        raise _Wrong(f"{place}: {key} is {_short(value)}, which is no {kind}")
    if not math.isfinite(value) or abs(value) >= 1e18:
        raise _Wrong(f"{place}: {key} is {_short(value)}, which bounds nothing")
    found: int | float = value
    return found


def _choices(place: str, kind: Type, table: Mapping[str, Any]) -> tuple[str, ...]:
    value = table.get("choices", [])
    if (kind == "choice") != bool(value):
        raise _Wrong(f'{place}: choices and type = "choice" belong together')
    if not isinstance(value, list):
        raise _Wrong(f"{place}: choices is no array")
    if len(value) > LIMIT:
        raise _Wrong(f"{place}: choices has {len(value)} of them; {LIMIT} is the limit")
    return tuple(_value(place, "choices", kind, one) for one in value)


def _required(place: str, table: Mapping[str, Any]) -> bool:
    value = table.get("required", False)
    if not isinstance(value, bool):
        raise _Wrong(f"{place}: required is {_short(value)}, neither true nor false")
    if value and "default" in table:
        raise _Wrong(f"{place}: what has a default is not required")
    return value


def _complaint(parameter: Parameter, value: str) -> str | None:
    """What is wrong with a value, if anything is."""
    match parameter.type:
        case "int":
            return _outside(parameter, int(value)) if _INT.fullmatch(value) else "it has to be a whole number"
        case "float":
            finite = _FLOAT.fullmatch(value) and math.isfinite(float(value))
            return _outside(parameter, float(value)) if finite else "it has to be a number"
        case "bool":
            return None if _BOOL.fullmatch(value) else "it has to be true or false"
        case "choice":
            chosen = value in parameter.choices
            return None if chosen else f"it has to be one of {', '.join(parameter.choices)}"
        case "str":
            return None


def _outside(parameter: Parameter, value: int | float) -> str | None:
    low = parameter.minimum is not None and value < parameter.minimum
    high = parameter.maximum is not None and value > parameter.maximum
    return f"it has to be {_bounds(parameter)}" if low or high else None


def _bounds(parameter: Parameter) -> str:
    if parameter.minimum is None:
        return f"at most {parameter.maximum}"
    return (
        f"at least {parameter.minimum}"
        if parameter.maximum is None
        else f"{parameter.minimum} to {parameter.maximum}"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
