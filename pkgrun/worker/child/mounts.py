"""The worker's own view of the system: an overlay where the data goes, folders that cannot be written to, no network.

It owns the namespaces, the mounts in them and the way back to a process without powers. It is imported only by a run
that asks for one of these, after the fork and before user code, so that all of the run sees them and the guard,
outside, sees all of the run. Nothing is ever unmounted: the mounts end with the last process that sees them. The host
tries by the same code, as a script, whether all this is allowed: `mounts.py LOWER UPPER WORK TARGET`, `mounts.py user`,
`mounts.py network`.
"""

from __future__ import annotations

import os
import sys

import _ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NEW_MOUNTS = 0x00020000  # linux/sched.h
NEW_USER = 0x10000000
NEW_NETWORK = 0x40000000
SET_FLAGS, UP = 0x8914, 1  # linux/sockios.h, linux/if.h
BIND, RECURSIVE, SLAVE = 0x1000, 0x4000, 0x80000  # linux/mount.h
SET_ATTRIBUTES = 442  # mount_setattr, Linux 5.12, the same number on every architecture but alpha
AT_RECURSIVE = 0x8000
READ_ONLY = 1
CAPABILITIES = (0x20080522).to_bytes(4, sys.byteorder) + bytes(
    4
)  # linux/capability.h: version 3, this process
NONE = bytes(24)
DROP_FROM_BOUND = 24  # linux/prctl.h

# The layers die with the run: nothing need be synced (an unmount would sync the whole disk) or found again later.
SCRATCH = "volatile,index=off,metacopy=off"


class Refused(Exception):
    """The system does not allow one of the steps: which, and why."""


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]  # noqa: SLF001
    _type_ = "i"


class _Function(_ctypes.CFuncPtr):
    """A function of the C library. `ctypes` does the same, and costs 2 ms."""

    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


def _system(step: str, name: str, *arguments: Any) -> None:
    try:
        failed = _Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))(*arguments)  # type: ignore[arg-type]
    except OSError as error:
        raise Refused("%s: %s" % (step, error)) from error
    if failed:
        raise Refused("%s: %s" % (step, os.strerror(_ctypes.get_errno())))


def enter(overlay: dict[str, str] | None, readonly: list[str], *, network: bool = False) -> None:
    """Go where the overlay lies over its target, and its lower folder and `readonly` cannot be written to.

    With `network` also where there is no network but one's own, with nothing in it.

    Paths are bytes, spelt as latin-1: how this process would decode them depends on its locale. Root keeps its
    powers, which include undoing this; anybody else has no more than before.
    """
    ordinary = os.geteuid() != 0
    if ordinary:
        _be_in_charge()
    if network:
        _system("a network namespace", "unshare", NEW_NETWORK)
        _raise_loopback()
    if overlay is not None or readonly:
        _mount(overlay, readonly)
    if ordinary:
        _drop_capabilities()


def _mount(overlay: dict[str, str] | None, readonly: list[str]) -> None:
    _system("a mount namespace", "unshare", NEW_MOUNTS)
    # What the host mounts meanwhile (autofs, say) comes in; nothing goes out.
    _system("mounts of its own", "mount", None, b"/", None, RECURSIVE | SLAVE, None)
    closed = [path.encode("latin-1") for path in readonly]
    if overlay is not None:
        layers = {name: path.encode("latin-1") for name, path in overlay.items()}
        _lay(layers)
        closed.append(layers["lower"])
    for path in closed:
        _close(path)


def _be_in_charge() -> None:
    """A user namespace: in it an ordinary user may make the others."""
    user, group = os.geteuid(), os.getegid()
    _system("a user namespace", "unshare", NEW_USER)
    for name, text in (
        ("setgroups", "deny"),
        ("gid_map", "%d %d 1" % (group, group)),
        ("uid_map", "%d %d 1" % (user, user)),
    ):
        try:
            with open("/proc/self/" + name, "w") as file:
                file.write(text)
        except OSError as error:
            raise Refused("a user namespace: %s: %s" % (name, error.strerror)) from error


def _raise_loopback() -> None:
    """So that processes of the run can talk to each other; a kernel that cannot do it is no reason against a run."""
    try:
        import _socket
        from fcntl import ioctl

        asker = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        ioctl(asker.fileno(), SET_FLAGS, b"lo".ljust(16, b"\0") + UP.to_bytes(2, sys.byteorder) + bytes(22))
        asker.close()
    except (ImportError, OSError):
        return


def _lay(layers: dict[str, bytes]) -> None:
    """Mount the overlay. Its options name open folders, so no path is too long or has to be escaped."""
    opened = {}
    try:
        for name in ("lower", "upper", "work"):
            opened[name] = os.open(layers[name], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        folders = ["%sdir=/proc/self/fd/%d" % item for item in opened.items()]
        options = ",".join([*folders, _marks(layers["work"]), SCRATCH]).encode("ascii")
        _system("an overlay", "mount", b"overlay", layers["target"], b"overlay", 0, options)
    except OSError as error:
        raise Refused("an overlay: %s" % error) from error
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _marks(work: bytes) -> str:
    """Where the kernel can keep its notes. Only where users cannot forge them does it rename lower folders."""
    for kind, option in ((b"trusted", "redirect_dir=on"), (b"user", "userxattr")):
        try:
            os.setxattr(work, kind + b".pkgrun", b"")
        except OSError:
            continue
        return option
    raise Refused("an overlay: the file system of its upper layer keeps no extended attributes")


def _close(path: bytes) -> None:
    """Lay a folder over itself, read-only, with all that is mounted below it; what was locked stays locked."""
    _system("a read-only folder", "mount", path, path, None, BIND | RECURSIVE, None)
    attributes = READ_ONLY.to_bytes(8, sys.byteorder) + bytes(24)
    _system(
        "a read-only folder", "syscall", SET_ATTRIBUTES, -100, path, AT_RECURSIVE, attributes, len(attributes)
    )


def _drop_capabilities() -> None:
    """Give back all that the user namespace gave, for whatever is executed too.

    `no_new_privs` is not needed: a set-uid program has no effect where only its caller's user exists, and one with
    capabilities of its own gets none beyond the bound.
    """
    for capability in range(64):
        try:
            _system("no more powers", "prctl", DROP_FROM_BOUND, capability, 0, 0, 0)
        except Refused:
            if capability == 0:
                raise
            break  # there are no more of them
    _system("no more powers", "capset", CAPABILITIES, NONE)


def _tried(lower: str, upper: str, work: str, target: str) -> str:
    """Why a file cannot be written over a folder; "" if it can, and lands in the upper one."""
    paths = {"lower": lower, "upper": upper, "work": work, "target": target}
    try:
        enter({name: os.fsencode(path).decode("latin-1") for name, path in paths.items()}, [])
        name = "pkgrun-%d" % os.getpid()
        with open(os.path.join(target, name), "x") as file:
            file.write("x")
        os.rename(os.path.join(target, name), os.path.join(target, name + "-moved"))
        landed = os.path.exists(os.path.join(upper, name + "-moved"))
        os.unlink(os.path.join(target, name + "-moved"))
    except (Refused, OSError) as error:
        return str(error)
    return "" if landed else "what is written does not land in the upper layer"


def _apart(*, network: bool) -> str:
    """Why a process cannot have a user namespace, or be without the network; "" if it can."""
    try:
        if network:
            enter(None, [], network=True)
        else:
            _be_in_charge()
    except (Refused, OSError) as error:
        return str(error)
    return ""


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.stdout.write(_apart(network=sys.argv[1] == "network"))
    else:
        sys.stdout.write(_tried(*sys.argv[1:]))
