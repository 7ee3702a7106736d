"""How a directory is written down: what its node holds. For readers and the schema; `store/trees.py` writes them."""

from typing import Annotated, Literal

from pydantic import Field

from pkgrun.records.record import Count, Digest, Record

EntryName = Annotated[
    str,
    Field(
        pattern=r"^[^/\x00]+$",
        description="UTF-8 as it is; every other byte, and `%`, as `%XX`.",
        json_schema_extra={"not": {"enum": [".", ".."]}},
    ),
]


class FileEntry(Record):
    """A file in a directory."""

    name: EntryName
    kind: Literal["file"]
    digest: Digest
    size: Count
    executable: Annotated[Literal[True] | None, Field(description="Left out if it is not.")] = None


class FolderEntry(Record):
    """A directory in a directory: the digest of its node; how many files are below, and their bytes."""

    name: EntryName
    kind: Literal["dir"]
    digest: Digest
    files: Count
    bytes: Count


class LinkEntry(Record):
    """A symbolic link in a directory; its target never leads out of the tree, and is written as names are."""

    name: EntryName
    kind: Literal["symlink"]
    target: Annotated[str, Field(min_length=1)]


TreeEntry = Annotated[FileEntry | FolderEntry | LinkEntry, Field(discriminator="kind")]


class TreePart(Record):
    """A stretch of the names of a large directory; a directory node of its own."""

    first: EntryName
    digest: Digest
    files: Count
    bytes: Count


class TreeNode(Record):
    """A directory: its entries in order of their raw bytes, or the parts that hold them."""

    entries: tuple[TreeEntry, ...] | None = None
    parts: tuple[TreePart, ...] | None = None
