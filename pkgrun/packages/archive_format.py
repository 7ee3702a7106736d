"""The structure of a zip, read by its letter: what its directory lists is exactly what lies in it, byte for byte.

It owns the layout of the format. A zip in which readers could find different things (members that overlap or have gaps
between them, headers that say one thing in the directory and another in place, bytes before the first or behind the
last) is refused and never repaired. It unpacks nothing, and looks at no name.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from pkgrun.errors import PackageInvalid

MEMBERS = 100_000
"""Files and folders that a zip may have."""

DIRECTORY_BYTES = 64 << 20
STORED, DEFLATED = 0, 8

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT = (1 << 16) - 1
_FULL, _FULL_64 = (1 << 16) - 1, (1 << 32) - 1
"""What stands where a number has no room and is in an extra field."""

_ENCRYPTED, _DESCRIBED, _PATCHED, _STRONG, _UTF_8, _MASKED = 0x1, 0x8, 0x20, 0x40, 0x800, 0x2000
_NEWEST = 63
_UNIX, _ZIP64, _UNICODE_PATH = 3, 0x0001, 0x7075
_CHUNK = 1 << 18

NO_ZIP = "a package is a folder with a train.py, or a zip that holds one"
AGAIN = "pack it anew, such as with `python -m zipfile -c NAME.zip FOLDER`"


class Member(NamedTuple):
    """One thing in a zip: `name` as it stands there; `mode` as Unix knows it, 0 if that is not told."""

    name: str
    mode: int
    method: int
    crc: int
    packed: int
    size: int
    start: int


class Zip(NamedTuple):
    """An open zip: `label` is for errors."""

    descriptor: int
    size: int
    label: str

    def refused(self, what: str, hint: str = AGAIN) -> PackageInvalid:
        """The error that says so of this zip."""
        return PackageInvalid(f"{self.label}: {what}", hint=hint)

    def read(self, at: int, size: int) -> bytes:
        """Bytes of it, all of them.

        Raises:
            PackageInvalid: they are not there.
        """
        if at < 0 or size < 0 or at + size > self.size:
            raise self.refused("the zip is damaged: it points to what is not in it")
        data = os.pread(self.descriptor, size, at)
        while len(data) < size and (more := os.pread(self.descriptor, size - len(data), at + len(data))):
            data += more
        if len(data) < size:
            raise self.refused("the zip became shorter while it was read", "add it again")
        return data


class _Directory(NamedTuple):
    at: int
    size: int
    entries: int


class _Listed(NamedTuple):
    """A line of the directory."""

    raw: bytes
    flags: int
    offset: int
    member: Member


def members(file: Zip) -> list[Member]:
    """What is in a zip, in the order of its bytes.

    Raises:
        PackageInvalid: it is no zip, is cut off, is encrypted, has too many members or a structure that is not sound.
    """
    directory = _directory(file)
    if directory.entries > MEMBERS or directory.size > DIRECTORY_BYTES:
        raise file.refused(
            f"the zip lists {directory.entries:,} files and folders, and {MEMBERS:,} are the most that is taken",
            "unpack it yourself and add the folder",
        )
    listed = sorted(_listed(file, directory), key=lambda line: line.offset)
    ends = [*(line.offset for line in listed), directory.at]
    if ends[0] != 0:
        raise file.refused("something stands before the first file in the zip")
    return [_placed(file, line, end) for line, end in zip(listed, ends[1:], strict=True)]


def content(file: Zip, member: Member) -> Iterator[bytes]:
    """The bytes of a member, in pieces, never more than it is said to have; after the last they have proven right.

    Raises:
        PackageInvalid: they are not what the zip says.
    """
    crc = size = 0
    for piece in _stored(file, member) if member.method == STORED else _inflated(file, member):
        size += len(piece)
        crc = zlib.crc32(piece, crc)
        if size > member.size:
            raise file.refused(f"{member.name!r} is larger than the zip says")
        yield piece
    if (size, crc) != (member.size, member.crc):
        raise file.refused(f"{member.name!r} is damaged: its content is not what its checksum says")


# ------------------------------------------------------------------------------------ the directory


def _directory(file: Zip) -> _Directory:
    """Where the directory is, as the zip's end says."""
    tail_at = max(0, file.size - _END.size - _COMMENT)
    tail = file.read(tail_at, file.size - tail_at)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        if file.size >= 4 and file.read(0, 4) in (b"PK\3\4", b"PK\5\6"):
            raise file.refused("the zip is cut off: its end is missing", "fetch or copy it again")
        raise file.refused("this is no folder and no zip", NO_ZIP)
    _, disk, first_disk, here, count, size, at, comment = _END.unpack_from(tail, found)
    end = tail_at + found
    if end + _END.size + comment != file.size:
        raise file.refused("something stands behind the zip's end, or the zip is cut off")
    if disk not in (0, _FULL) or first_disk not in (0, _FULL):
        raise file.refused("the zip is one part of several")
    told, end = _wide(file, end, _Directory(at, size, count))
    if here != count or told.at + told.size != end:
        raise file.refused("the zip's directory is not where its end says")
    return told


def _wide(file: Zip, end: int, told: _Directory) -> tuple[_Directory, int]:
    """The same from the record for large zips, if there is one; and where what ends the zip begins."""
    if end < _LOCATOR.size or (locator := file.read(end - _LOCATOR.size, _LOCATOR.size))[:4] != b"PK\6\7":
        return told, end
    _, disk, at, _ = _LOCATOR.unpack(locator)
    record = file.read(at, _END_64.size)
    magic, length, _, _, number, first, here, count, size, directory = _END_64.unpack(record)
    if magic != b"PK\6\6" or at + 12 + length != end - _LOCATOR.size or disk or number or first:
        raise file.refused("the zip's end is damaged")
    found = _Directory(directory, size, count)
    for narrow, wide, full in zip(told, found, (_FULL_64, _FULL_64, _FULL), strict=True):
        if narrow not in (wide, full):
            raise file.refused("the zip has two ends that say different things")
    if here != count:
        raise file.refused("the zip is one part of several")
    return found, at


def _listed(file: Zip, directory: _Directory) -> list[_Listed]:
    data = file.read(directory.at, directory.size)
    found: list[_Listed] = []
    at = 0
    while at < len(data) and len(found) <= directory.entries:
        line, at = _line(file, data, at)
        found.append(line)
    if at != len(data) or len(found) != directory.entries:
        raise file.refused(
            f"the zip's end counts {directory.entries:,} files and folders, its directory others"
        )
    return found


def _line(file: Zip, data: bytes, at: int) -> tuple[_Listed, int]:
    """One line of the directory, and where the next begins."""
    if len(data) - at < _CENTRAL.size or data[at : at + 4] != b"PK\1\2":
        raise file.refused("the zip's directory is damaged")
    fields = _CENTRAL.unpack_from(data, at)
    _, made_by, needs, flags, method, _, _, crc, packed, size, *lengths, disk, _, attributes, offset = fields
    ends = [at + _CENTRAL.size + sum(lengths[:number]) for number in range(4)]
    raw, extra = data[ends[0] : ends[1]], data[ends[1] : ends[2]]
    if ends[3] > len(data) or not raw:
        raise file.refused("the zip's directory is damaged")
    name = _name(file, raw, flags)
    _check_kind(file, name, flags, method, needs & 0xFF)
    size, packed, offset, disk = _widened(file, name, extra, (size, packed, offset), disk)
    if disk:
        raise file.refused("the zip is one part of several")
    mode = attributes >> 16 if made_by >> 8 == _UNIX else 0
    return _Listed(raw, flags, offset, Member(name, mode, method, crc, packed, size, 0)), ends[3]


def _name(file: Zip, raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF_8 else "ascii")
    except UnicodeDecodeError as error:
        said = raw.decode("ascii", "backslashreplace")
        raise file.refused(f"it is not told in which alphabet the name {said!r} is written") from error


def _check_kind(file: Zip, name: str, flags: int, method: int, needs: int) -> None:
    if flags & (_ENCRYPTED | _STRONG | _MASKED):
        raise file.refused(f"{name!r} is encrypted", "pack it anew without a password")
    if flags & _PATCHED or method not in (STORED, DEFLATED):
        raise file.refused(f"{name!r} is packed by method {method}, which not every reader knows")
    if needs > _NEWEST:
        raise file.refused(
            f"{name!r} says that it needs version {needs / 10} of the format, and there is none"
        )


def _extras(file: Zip, name: str, extra: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        kind, length = struct.unpack_from("<2H", extra, at) if len(extra) - at >= 4 else (0, len(extra))
        if at + 4 + length > len(extra) or (kind in found and kind in (_ZIP64, _UNICODE_PATH)):
            raise file.refused(f"what is told of {name!r} is damaged")
        found[kind] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    other = found.get(_UNICODE_PATH)
    if other is not None and other[5:] != name.encode():
        raise file.refused(f"{name!r} has a second name in the zip")
    return found


def _widened(
    file: Zip, name: str, extra: bytes, numbers: tuple[int, ...], disk: int
) -> tuple[int, int, int, int]:
    """Size, packed size, offset and disk, each from the extra field if it has no room where it belongs."""
    wide = _extras(file, name, extra).get(_ZIP64, b"")
    found: list[int] = []
    at = 0
    for number in numbers:
        if number == _FULL_64 and wide:
            if len(wide) - at < 8:
                raise file.refused(f"what is told of {name!r} is damaged")
            number = int.from_bytes(wide[at : at + 8], "little")  # noqa: PLW2901
            at += 8
        found.append(number)
    if disk == _FULL:
        disk = int.from_bytes(wide[at : at + 4], "little")
    size, packed, *offset = found
    return size, packed, offset[0] if offset else 0, disk


# ------------------------------------------------------------------------------------ in place


def _placed(file: Zip, line: _Listed, end: int) -> Member:
    """A member where it lies, if what stands there is what the directory says, and ends where the next begins."""
    member = line.member
    if line.offset + _LOCAL.size > end:
        raise file.refused(f"{member.name!r} and another file of the zip overlap")
    head = file.read(line.offset, _LOCAL.size)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(head)
    rest = file.read(line.offset + _LOCAL.size, name_length + extra_length)
    size, packed, _, _ = _widened(file, member.name, rest[name_length:], (size, packed), 0)
    told = (rest[:name_length], method, flags & (_ENCRYPTED | _DESCRIBED | _UTF_8))
    listed = (line.raw, member.method, line.flags & (_ENCRYPTED | _DESCRIBED | _UTF_8))
    pairs = zip((crc, packed, size), (member.crc, member.packed, member.size), strict=True)
    later = bool(flags & _DESCRIBED)
    if magic != b"PK\3\4" or told != listed or any(a != b and not (later and a == 0) for a, b in pairs):
        raise file.refused(f"{member.name!r} is described differently in the zip's directory and in place")
    member = member._replace(start=line.offset + _LOCAL.size + len(rest))
    if member.method == STORED and member.packed != member.size:
        raise file.refused(f"{member.name!r} is stored as it is, with another size")
    _check_end(file, member, end, later)
    return member


def _check_end(file: Zip, member: Member, end: int, later: bool) -> None:
    """That a member ends where the next begins, but for what describes it behind its content."""
    stop = member.start + member.packed
    if stop > end:
        raise file.refused(f"{member.name!r} and another file of the zip overlap")
    if not later:
        if stop != end:
            raise file.refused(f"something that is in no list lies behind {member.name!r}")
        return
    words = file.read(stop, end - stop) if end - stop <= 24 else b""
    numbers = [
        struct.pack(form, member.crc, member.packed, member.size)
        for form in ("<3L", "<L2Q")
        if _fits(form, member)
    ]
    if words not in [magic + one for one in numbers for magic in (b"", b"PK\7\x08")]:
        raise file.refused(f"{member.name!r} is described differently in the zip's directory and behind it")


def _fits(form: str, member: Member) -> bool:
    return form == "<L2Q" or max(member.packed, member.size) <= _FULL_64


def _stored(file: Zip, member: Member) -> Iterator[bytes]:
    for at in range(0, member.packed, _CHUNK):
        yield file.read(member.start + at, min(_CHUNK, member.packed - at))


def _inflated(file: Zip, member: Member) -> Iterator[bytes]:
    """Unpacked piece by piece: however well it is packed, a piece is small."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for given in _stored(file, member):
            while True:
                piece = engine.decompress(given, _CHUNK)
                if piece:
                    yield piece
                given = engine.unconsumed_tail  # noqa: PLW2901
                if engine.eof or (not given and len(piece) < _CHUNK):
                    break
            if engine.eof:
                break
    except zlib.error as error:
        raise file.refused(f"{member.name!r} is damaged: it cannot be unpacked") from error
    if not engine.eof or engine.unused_data:
        raise file.refused(f"{member.name!r} is damaged: its content does not end where the zip says")
