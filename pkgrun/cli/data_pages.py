"""Who saw a content, and what test data has in common with training, laid out for reading and as JSON.

Either may have as many rows as there are runs: rows are cut unless all are wanted, and JSON is written row by row.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from pkgrun.cli import pages, text

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from pkgrun.lineage.overlap import Overlap
    from pkgrun.lineage.relations import Named
    from pkgrun.lineage.uses import Heir, Use, Uses

_ROWS = 1_000
_NAMED = 5
_INHERITS = "inherits"
_WHOLE = "(all of it)"
_REMARKS = {"failed": "failed", "killed": "killed", "timed-out": "timed out", "lost": "lost"}


# ---------------------------------------------------------------------- who saw it


def uses_document(found: Uses) -> None:
    """Print the answer as JSON: one document, row by row."""
    told: dict[str, Any] = {
        "content": {
            "digest": found.content.digest,
            "kind": found.content.kind,
            "label": found.content.label,
            "files": found.content.files,
            "bytes": found.content.bytes,
        },
        "held": found.held,
        "erased": pages.dump(found.erased) if found.erased else None,
        "verified": found.verified,
        "trained": [str(one) for one in found.trained],
        "evaluated": [str(one) for one in found.evaluated],
    }
    _stream(
        told,
        {
            "uses": map(_use, found.uses),
            "descendants": map(_heir, found.heirs),
            "unlisted": found.unlisted,
            "foreign": map(str, found.foreign),
        },
    )


def _stream(told: Mapping[str, Any], lists: Mapping[str, Iterable[Any]]) -> None:
    """One JSON document whose lists need not be in memory."""
    import orjson

    def written() -> Iterator[bytes]:
        yield b"{"
        for name, value in told.items():
            yield b'\n  "%s": %s,' % (name.encode(), orjson.dumps(value))
        for number, (name, items) in enumerate(lists.items()):
            yield b'%s\n  "%s": [' % (b"," if number else b"", name.encode())
            first = True
            for item in items:
                yield b"%s\n    %s" % (
                    b"" if first else b",",
                    orjson.dumps(item, default=str, option=orjson.OPT_UTC_Z),
                )
                first = False
            yield b"]" if first else b"\n  ]"
        yield b"\n}\n"

    with suppress(BrokenPipeError):  # nobody reads
        sys.stdout.flush()
        for piece in written():
            sys.stdout.buffer.write(piece)


def _use(use: Use) -> dict[str, Any]:
    told = use._asdict()
    run = told.pop("run")
    versions = {name: str(of) if of else None for name, of in (("version", use.version), ("base", use.base))}
    paths = {"path": text.shown(use.path), "source": text.shown(use.source)}
    return told | versions | paths | {"run_id": run}


def _heir(heir: Heir) -> dict[str, Any]:
    return {
        "package": heir.package,
        "version": str(heir.version),
        "through": str(heir.through),
        "removed": heir.removed,
        "when": heir.when,
        "run_id": heir.run,
    }


def uses(found: Uses, *, everything: bool, quiet: bool) -> int:
    """A row for each use, below it what inherits it, and in a sentence what that comes to. How many rows were left out."""
    out = pages.console()
    _head(out, found)
    shown = list(islice(_rows(found), None if everything else _ROWS))
    if shown:
        out.print()
        _table(out, shown)
        out.print()
    if not quiet:
        for line in _sentences(found):
            out.print(line, soft_wrap=True)
    return len(found.uses) + len(found.heirs) - len(shown)


def _table(out: Console, rows: list[tuple[str, ...]]) -> None:
    """What counts stands first: where the terminal is narrow, lines are cut at their ends."""
    heads: tuple[str, ...] = ("version", "role", "when", "remarks", "path", "dataset")
    if not any(row[3] for row in rows):
        heads, rows = heads[:3] + heads[4:], [row[:3] + row[4:] for row in rows]
    inherits = ["dim" if row[1] == _INHERITS else "" for row in rows]
    pages.columns(
        out, heads, rows, styles=dict.fromkeys(heads, inherits) | {"remarks": ["yellow"] * len(rows)}
    )


def _head(out: Console, found: Uses) -> None:
    content = found.content
    if content.kind != "digest":
        size = f", {text.size(content.bytes)}" if content.bytes is not None else ""
        many = f", {text.plural(content.files or 0, 'file')}" if content.kind == "directory" else ""
        out.print(f"{text.line(content.label)}{many}{size}", style="bold", soft_wrap=True)
    out.print(content.digest, style="dim" if content.kind != "digest" else "bold", soft_wrap=True)


def _rows(found: Uses) -> Iterator[tuple[str, ...]]:
    heirs: dict[Named, list[Heir]] = defaultdict(list)
    for heir in found.heirs:
        heirs[heir.through].append(heir)
    last = {(use.package, use.version): number for number, use in enumerate(found.uses) if use.learnt}
    for number, use in enumerate(found.uses):
        yield (
            _subject(use),
            use.role,
            _when(use.when),
            ", ".join(_remarks(use)),
            _place(use),
            text.line(text.shown(use.source)),
        )
        if use.package and use.version and last.get((use.package, use.version)) == number:
            for heir in heirs.pop(_named(use), ()):
                gone = "removed" if heir.removed else ""
                yield f"  {heir.package}@{heir.version}", _INHERITS, _when(heir.when), gone, "", ""


def _when(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _named(use: Use) -> Any:
    return (use.package, use.version)


def _subject(use: Use) -> str:
    if use.dataset:
        return use.dataset
    version = use.version or (use.base if use.role == "evaluated" else None)
    return f"{use.package}@{version}" if version else f"run {use.run[:13]}"


def _place(use: Use) -> str:
    path = "/".join(part for part in (use.folder, text.shown(use.path)) if part)
    more = f" and {use.paths - 1:,} more" if use.paths > 1 else ""
    return text.line(path or _WHOLE) + more


def _remarks(use: Use) -> Iterator[str]:
    if use.status in _REMARKS:
        yield _REMARKS[use.status]
    if not use.attested:
        yield "not attested"
    if use.removed:
        yield "removed"


def _sentences(found: Uses) -> Iterator[str]:
    trained, evaluated = len(found.trained), len(found.evaluated)
    datasets = sum(use.role == "dataset" for use in found.uses)
    said = [f"{_were(trained, 'version')} trained on it" if trained else "no version was trained on it"]
    if found.heirs:
        said.append(f"{len(found.heirs):,} inherit{'s' if len(found.heirs) == 1 else ''} it")
    if evaluated:
        said.append(f"{_were(evaluated, '')} evaluated on it")
    if datasets:
        holds = "holds" if datasets == 1 else "hold"
        said.append(f"{text.plural(datasets, 'registered dataset')} {holds} it")
    yield ", ".join(said)
    if found.erased:
        receipt = found.erased
        yield f"it was erased on {receipt.created:%Y-%m-%d} by {text.line(receipt.by.user)}: {text.line(receipt.reason)}"
    elif found.uses and not found.held:
        yield "its bytes are not in the store"
    if found.unlisted:
        runs = text.plural(len(found.unlisted), "run")
        yield f"of {runs} it cannot be said: what their data held is not in the store; --json names them"
    if found.foreign:
        imports = ", ".join(map(str, found.foreign[:_NAMED]))
        more = f" and {len(found.foreign) - _NAMED:,} more" if len(found.foreign) > _NAMED else ""
        what = "it comes" if len(found.foreign) == 1 else "they come"
        yield f"of {imports}{more} it cannot be said: what {what} from is in another store"
    if found.verified:
        yield "every record and every directory was read and verified for this"


def _were(count: int, word: str) -> str:
    named = text.plural(count, word) if word else f"{count:,}"
    return f"{named} {'was' if count == 1 else 'were'}"


# ---------------------------------------------------------------------- overlap


def overlap_document(found: Overlap) -> dict[str, Any]:
    """The answer as JSON."""
    return {
        "train": str(found.train),
        "test": {"label": found.test.label, "digest": found.test.digest},
        "files": found.files,
        "empty": found.empty,
        "shared": len(found.shared),
        "share": found.share,
        "clean": found.clean,
        "versions": [str(one) for one in found.versions],
        "overlap": [
            {
                "path": text.shown(one.path),
                "digest": one.digest,
                "bytes": one.bytes,
                "version": str(one.version),
                "role": one.role,
                "run_id": one.run,
                "train_path": text.shown(one.train_path),
            }
            for one in found.shared
        ],
        "unproven": [{"version": one.version, "why": one.why} for one in found.unproven],
    }


def overlap(found: Overlap, *, everything: bool, quiet: bool) -> int:
    """A row for each file that is shared, and in a sentence what that comes to. How many rows were left out."""
    out = pages.console()
    shown = found.shared if everything else found.shared[:_ROWS]
    rows = [
        (
            text.line(text.shown(one.path)),
            text.size(one.bytes),
            str(one.version),
            one.role,
            text.line(text.shown(one.train_path)),
        )
        for one in shown
    ]
    if rows:
        pages.columns(out, ("test file", "size", "seen by", "as", "there called"), rows, right={"size"})
        out.print()
    if not quiet:
        for line in _verdict(found):
            out.print(line, soft_wrap=True)
    return len(found.shared) - len(shown)


def _verdict(found: Overlap) -> Iterator[str]:
    line = f"{found.train}" if len(found.versions) == 1 else f"{found.train} and what it comes from"
    many = text.plural(found.files, "file")
    if found.shared:
        was = "was" if len(found.shared) == 1 else "were"
        yield f"{len(found.shared):,} of {many} ({100 * found.share:.3g} %) {was} seen in the making of {line}"
    else:
        yield f"no file of {found.files:,} was seen in the making of {line}" + (
            ", as far as is known" if found.unproven else ""
        )
    if found.empty:
        yield f"{text.plural(found.empty, 'empty file')} left out: without content nobody can tell where it is from"
    for one in found.unproven[:10]:
        yield f"not proven of {text.line(one.version)}: {one.why}"
    if len(found.unproven) > 10:
        yield f"and not of {len(found.unproven) - 10:,} more; --json has them all"
