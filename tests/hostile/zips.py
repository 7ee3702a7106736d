"""Zips written by hand, so that each byte can be wrong: a list of members, and a hook for each part of the format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.packages.folders import MAIN, TRAIN

FILE, PROGRAM, FOLDER, LINK, DEVICE, PIPE = (0o100644, 0o100755, 0o040755, 0o120777, 0o020666, 0o010644)


@dataclass(frozen=True)
class Part:
    """One member; `local` and `central` replace what the two headers would say."""

    name: str | bytes
    data: bytes = b""
    mode: int = FILE
    flags: int = 0
    method: int = 0
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    behind: bytes = b""

    @property
    def raw(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    @property
    def packed(self) -> bytes:
        if self.method != 8:
            return self.data
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return engine.compress(self.data) + engine.flush()

    def values(self) -> dict[str, Any]:
        flags = self.flags | (0 if self.raw.isascii() else 0x800)
        return {
            "flags": flags,
            "method": self.method,
            "crc": zlib.crc32(self.data),
            "packed": len(self.packed),
            "size": len(self.data),
            "name": self.raw,
            "extra": b"",
        }


def local(part: Part) -> bytes:
    v = part.values() | part.local
    head: bytes = struct.pack(
        "<4s5H3L2H", b"PK\3\4", 20, v["flags"], v["method"], 0, 33, v["crc"], v["packed"], v["size"],
        len(v["name"]), len(v["extra"]),
    )  # fmt: skip
    return b"".join([head, v["name"], v["extra"], part.packed, part.behind])


def central(part: Part, offset: int) -> bytes:
    v = part.values() | {"offset": offset, "system": 3, "mode": part.mode} | part.central
    head: bytes = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", v["system"] << 8 | 20, 20, v["flags"], v["method"], 0, 33, v["crc"], v["packed"],
        v["size"], len(v["name"]), len(v["extra"]), 0, 0, 0, v["mode"] << 16, v["offset"],
    )  # fmt: skip
    return b"".join([head, v["name"], v["extra"]])


def written(parts: Sequence[Part], *, before: bytes = b"", between: bytes = b"", **end: Any) -> bytes:
    """A zip of these members; `end` replaces what its end would say."""
    data, directory = before, b""
    for part in parts:
        directory += central(part, len(data))
        data += local(part)
    data += between
    v: dict[str, Any] = {
        "disk": 0,
        "here": len(parts),
        "count": len(parts),
        "size": len(directory),
        "at": len(data),
        "comment": b"",
    }
    v |= end
    ending = struct.pack(
        "<4s4H2LH",
        b"PK\5\6",
        v["disk"],
        v["disk"],
        v["here"],
        v["count"],
        v["size"],
        v["at"],
        len(v["comment"]),
    )
    return b"".join([data, directory, ending, v["comment"]])


def sound(root: str = "pack") -> list[Part]:
    """The members of a package that is in order."""
    return [
        Part(f"{root}/", mode=FOLDER),
        Part(f"{root}/train.py", TRAIN.encode(), method=8),
        Part(f"{root}/main.py", MAIN.encode()),
        Part(f"{root}/requirements.txt"),
    ]
