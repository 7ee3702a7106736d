"""Records drawn by Hypothesis: any value that a field's type allows."""

from __future__ import annotations

import types
import typing
from datetime import UTC
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from pkgrun.identity import Version
from pkgrun.records import Record

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    bool: st.booleans(),
    int: st.integers(-(1 << 63), (1 << 63) - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
    Version: st.builds(Version, st.integers(1, 99_999_999), st.integers(0, 99_999_999)),
    AwareDatetime: st.datetimes(timezones=st.just(UTC)),
}


def records(kind: type[Record]) -> st.SearchStrategy[Any]:
    """Records of a kind."""
    fields = {name: _of(field.annotation, field.metadata) for name, field in kind.model_fields.items()}
    # Through JSON's names, as what is read has them.
    aliases = {name: field.alias or name for name, field in kind.model_fields.items()}
    return st.fixed_dictionaries({aliases[name]: drawn for name, drawn in fields.items()}).map(
        kind.model_validate
    )


def _of(hint: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    pattern = _pattern(metadata)
    if pattern is not None:
        return _optional(hint, st.from_regex(pattern.removeprefix("^").removesuffix("$"), fullmatch=True))
    bounds: dict[str, Any] = {kind: value for one in metadata for kind, value in _bound(one)}
    if "ge" in bounds:
        return st.integers(bounds["ge"], bounds.get("lt", 1 << 63) - 1)
    if any(isinstance(one, annotated_types.MinLen) for one in metadata):
        return _TEXT.filter(bool)
    return _hint(hint)


def _bound(one: Any) -> list[tuple[str, Any]]:
    if isinstance(one, annotated_types.Ge):
        return [("ge", one.ge)]
    return [("lt", one.lt)] if isinstance(one, annotated_types.Lt) else []


def _optional(hint: Any, drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | drawn if type(None) in get_args(hint) else drawn


def _pattern(metadata: list[Any]) -> str | None:
    flat = [inner for one in metadata for inner in (one.metadata if isinstance(one, FieldInfo) else [one])]
    return next((one.pattern for one in flat if getattr(one, "pattern", None)), None)


def _hint(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        inner, *metadata = arguments
        flat = [
            one for part in metadata for one in (part.metadata if isinstance(part, FieldInfo) else [part])
        ]
        return _of(inner, flat)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(_hint, arguments))
    if origin is tuple:
        return st.lists(_hint(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(_hint(arguments[0]), _hint(arguments[1]), max_size=2)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, Record):
        return st.deferred(lambda: records(hint))
    raise TypeError(f"no strategy for {hint!r}")
