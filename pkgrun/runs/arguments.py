"""A caller's arguments, held to the types that the public methods declare. What they mean is looked at elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

from pkgrun.errors import UsageError
from pkgrun.records import Listing

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an argument may be: in words, and whether one is."""

    words: str
    holds: Callable[[Any], bool]


_KINDS = {
    "str": _Kind("a text", lambda given: isinstance(given, str)),
    "os.PathLike[str]": _Kind("a path", lambda given: isinstance(given, os.PathLike)),
    "bool": _Kind("True or False", lambda given: isinstance(given, bool)),
    "int": _Kind("a whole number", lambda given: isinstance(given, int) and not isinstance(given, bool)),
    "float": _Kind("a number", lambda given: isinstance(given, int | float) and not isinstance(given, bool)),
    "None": _Kind("None", lambda given: given is None),
    "Mapping[str, str]": _Kind("a mapping of texts", lambda given: isinstance(given, Mapping)),
    "Listing": _Kind("a Listing", lambda given: isinstance(given, Listing)),
    "Content": _Kind("a path or bytes", lambda given: isinstance(given, str | bytes | os.PathLike)),
    "Sequence[Content]": _Kind("a list of paths or bytes", lambda given: isinstance(given, list | tuple)),
    "Role": _Kind("input, trained or evaluated", lambda given: given in ("input", "trained", "evaluated")),
    "Observer": _Kind("a function that takes an event", callable),
}
"""By how they are written in a signature. A boolean is no number here: whoever gives one has mixed up two arguments."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Make a public function refuse what is not of the type that it declares, before it does anything.

    Signatures are read as the text that they are: nothing is imported for it, and one that has words without a meaning
    here is a TypeError when its module is loaded.

    Raises (whoever calls the function):
        UsageError: an argument is something else; its name and what it must be are told, never its value, which may be
            a secret. Of a choice, that it is none; what a word means otherwise is not looked at.
    """
    code = cast(FunctionType, function).__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    declared = {name: text for name, text in function.__annotations__.items() if name in names}
    kinds = {name: _kinds(name, text) for name, text in declared.items()}

    @wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> R:
        # What is too much, or unknown, is told by the call itself.
        for name, value in (*zip(names, args, strict=False), *given.items()):
            if name in kinds and not any(kind.holds(value) for kind in kinds[name]):
                raise _wrong(name, value, kinds[name], declared[name])
        return function(*args, **given)

    return call


def _kinds(name: str, text: str) -> list[_Kind]:
    try:
        return [_KINDS.get(word) or _choice(word) for word in text.split(" | ")]
    except KeyError:
        raise TypeError(f"{name}: {text} is no type that a caller's argument is held to") from None


def _choice(word: str) -> _Kind:
    """`Literal["a", "b"]`."""
    if not word.startswith("Literal["):
        raise KeyError(word)
    words = _words(word)
    return _Kind(_listed(words), lambda given: isinstance(given, str) and given in words)


def _words(text: str) -> list[str]:
    """The words that a choice has; Python writes signatures down with its own quotes."""
    return [word.strip("\"'") for word in text.partition("Literal[")[2].partition("]")[0].split(", ")]


def _wrong(name: str, value: object, kinds: Iterable[_Kind], declared: str) -> UsageError:
    if isinstance(value, str) and "Literal[" in declared:
        return UsageError(f"{value!r} is no {name}", hint=", ".join(_words(declared)))
    wanted = _listed([kind.words for kind in kinds])
    return UsageError(f"{name} must be {wanted}, not {'None' if value is None else type(value).__name__}")


def _listed(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
