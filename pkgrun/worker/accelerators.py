"""The accelerators of this machine: which there are, which of them code would be shown, and how they are hidden from it.

It looks at device files, the kernel's tables and, for NVIDIA, at what nvidia-smi says; it loads no driver and uses no device.
Variables choose among them as the vendors' libraries read these: by number (in the order of the bus) or by the beginning
of an id, up to the first that means none.
"""

from __future__ import annotations

import csv
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pkgrun.errors import PermissionDenied, PkgrunError, UsageError

CUDA, NVIDIA, HIP, ROCR = (
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)
# For HIP an empty one is none at all, and it would read CUDA's instead.
HIDDEN = {CUDA: "", HIP: "-1", ROCR: ""}
"""What hides all devices."""

_SMI_SECONDS = 20.0
_SMI_FIELDS = "uuid,name,memory.total,driver_version"
_SMI_PLACES = "/usr/bin:/usr/local/bin:/usr/lib/wsl/lib"
_MIG = re.compile(r"MIG (?P<name>\S+)\s+Device\s+\d+: \(UUID: (?P<id>MIG-[^)\s]+)\)")
_DRIVER = re.compile(r"\b\d{3,}\.\d+(?:\.\d+)?\b")


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device. `id` is the vendor's, else the name of its file; `memory` in bytes; None is what nobody says."""

    vendor: Literal["nvidia", "amd", "apple"]
    id: str
    name: str | None = None
    memory: int | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The devices that code is shown, how many there are that it is not, and why some cannot be used at all."""

    shown: tuple[Accelerator, ...] = ()
    hidden: int = 0
    refused: PkgrunError | None = None


def look(variables: Mapping[str, str], machine: Path = Path("/")) -> Found:
    """What code with these variables would find on this machine (its root is given in tests)."""
    refusals: list[PkgrunError] = []
    nvidia, amd, apple = _nvidia(variables, machine, refusals), _amd(machine, refusals), _apple(machine)
    shown = (*_shown_nvidia(nvidia, variables), *_shown_amd(amd, variables), *apple)
    there = len({one.id for one in (*nvidia, *amd, *apple)})
    hidden = max(0, there - len(shown))
    return Found(shown, hidden, refusals[0] if refusals else None)


def require(variables: Mapping[str, str]) -> tuple[Accelerator, ...]:
    """The accelerators that code with these variables is shown, at least one.

    Raises:
        UsageError: it is shown none.
        PermissionDenied: there is one, and this user may not use it.
    """
    found = look(variables)
    if found.shown:
        return found.shown
    if found.refused:
        raise found.refused
    if found.hidden:
        given = ", ".join(name for name in (CUDA, NVIDIA, HIP, ROCR) if name in variables)
        raise UsageError(
            f"a GPU is asked for, and {given} hides all that this machine has ({found.hidden})",
            hint="set it to those that are meant, or unset it",
        )
    raise UsageError(
        "a GPU is asked for, and this machine has none that can be seen (no /dev/nvidia0, no /dev/kfd)",
        hint="leave --gpu out; a container has to be given its devices",
    )


def check_hidden(parameters: Mapping[str, str]) -> None:
    """That no parameter shows what is hidden where no GPU is asked for.

    Raises:
        UsageError: one does.
    """
    for name in HIDDEN:
        if parameters.get(name, "") not in {"", "-1"}:
            raise UsageError(f"parameter {name} chooses a GPU, and none is asked for", hint="add --gpu")


def chosen(devices: Sequence[Accelerator], value: str) -> Iterator[Accelerator]:
    """Those that a variable's value chooses, in its order, up to the first word that means none or one again."""
    seen: set[str] = set()
    for word in (part.strip() for part in value.split(",")):
        if re.fullmatch("[0-9]{1,4}", word):
            found = list(devices[int(word) : int(word) + 1])
        else:
            found = [one for one in devices if word and one.id.startswith(word)]
        if len(found) != 1 or found[0].id in seen:
            return
        seen.add(found[0].id)
        yield found[0]


def _shown_nvidia(devices: Sequence[Accelerator], variables: Mapping[str, str]) -> Iterator[Accelerator]:
    # Numbers in this one are the host's; in a container, devices are numbered anew.
    assigned = variables.get(NVIDIA, "all")
    if assigned in {"none", "void"}:
        return
    words = assigned.split(",")
    if all(word.startswith(("GPU-", "MIG-")) for word in words):
        devices = [one for one in devices if any(one.id.startswith(word) for word in words)]
    whole = [one for one in devices if not one.id.startswith("MIG-")] or devices
    value = variables.get(CUDA)
    if value is None:
        yield from whole
    else:
        yield from chosen(devices if "MIG-" in value else whole, value)


def _shown_amd(devices: Sequence[Accelerator], variables: Mapping[str, str]) -> Iterator[Accelerator]:
    if (first := variables.get(ROCR)) is not None:
        devices = list(chosen(devices, first))
    then = variables.get(HIP) or variables.get(CUDA)
    yield from chosen(devices, then) if then else devices


def _nvidia(variables: Mapping[str, str], machine: Path, refusals: list[PkgrunError]) -> list[Accelerator]:
    dev = machine / "dev"
    files = sorted(dev.glob("nvidia[0-9]*"), key=lambda file: (len(file.name), file.name))
    if not files and not any((dev / name).exists() for name in ("dxg", "nvgpu", "nvhost-gpu")):
        return []
    wanted = [*files, dev / "nvidiactl"] if files else []
    if closed := [file for file in wanted if file.exists() and not os.access(file, os.R_OK | os.W_OK)]:
        refusals.append(_closed(closed[0]))
        return []
    smi = shutil.which("nvidia-smi", path=f"{variables.get('PATH', '')}:{_SMI_PLACES}")
    if smi is None or (machine != Path("/") and not smi.startswith(str(machine))):
        return _of_kernel(files, machine)
    try:
        rows = list(csv.reader(_smi(smi, f"--query-gpu={_SMI_FIELDS}", "--format=csv,noheader,nounits")))
        found = [_of_row([word.strip() for word in row]) for row in rows if len(row) == 4]
        return [*found, *_parts(smi, found)] if found else _of_kernel(files, machine)
    except (OSError, subprocess.SubprocessError) as error:
        refusals.append(
            UsageError(
                f"NVIDIA's driver does not answer: {_words(error)}",
                hint="nvidia-smi has to work first",
            )
        )
        return []


def _smi(program: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SMI_SECONDS,
        check=True,
    )
    return done.stdout.decode(errors="replace").splitlines()


def _words(error: Exception) -> str:
    """What a failed nvidia-smi said: on standard output, for the most part."""
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stdout or b"") + (error.stderr or b"")
        return " ".join(said.decode(errors="replace").split())[:300] or f"it ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"nvidia-smi took longer than {_SMI_SECONDS:g} s"
    return str(error)


def _of_row(row: Sequence[str]) -> Accelerator:
    uuid, name, mebibytes, driver = row
    memory = int(mebibytes) << 20 if mebibytes.isdecimal() else None
    return Accelerator("nvidia", uuid, name, memory, driver)


def _parts(smi: str, whole: Sequence[Accelerator]) -> Iterator[Accelerator]:
    """The instances that devices are divided into, which are listed apart."""
    for line in _smi(smi, "--list-gpus"):
        if part := _MIG.search(line):
            yield Accelerator("nvidia", part["id"], f"MIG {part['name']}", None, whole[0].driver)


def _of_kernel(files: Sequence[Path], machine: Path) -> list[Accelerator]:
    """Without nvidia-smi, as in slim containers: what the driver's own tables say of the devices whose files are here."""
    tables = machine / "proc" / "driver" / "nvidia"
    version = _DRIVER.search(_text(tables / "version"))
    driver = version[0] if version else None
    told = {}
    for table in sorted((tables / "gpus").glob("*/information")):
        pairs = (line.partition(":")[::2] for line in _text(table).splitlines())
        fields = {key.strip(): value.strip() for key, value in pairs}
        told[f"nvidia{fields.get('Device Minor')}"] = fields
    fields_of = {file.name: told.get(file.name, {}) for file in files}
    return [
        Accelerator("nvidia", fields.get("GPU UUID") or name, fields.get("Model"), None, driver)
        for name, fields in fields_of.items()
    ]


def _amd(machine: Path, refusals: list[PkgrunError]) -> list[Accelerator]:
    door = machine / "dev" / "kfd"
    if not door.exists():
        return []
    if not os.access(door, os.R_OK | os.W_OK):
        refusals.append(_closed(door))
        return []
    nodes = (machine / "sys" / "class" / "kfd" / "kfd" / "topology" / "nodes").glob("[0-9]*")
    found = [_of_node(node, machine) for node in sorted(nodes, key=lambda node: int(node.name))]
    return [one for one in found if one is not None]


def _of_node(node: Path, machine: Path) -> Accelerator | None:
    """A node of the kernel's compute topology, unless it is a processor or its file is not here."""
    about = _pairs(node / "properties")
    minor = about.get("drm_render_minor", 0)
    if not about.get("simd_count") or (minor and not (machine / "dev" / "dri" / f"renderD{minor}").exists()):
        return None
    banks = (_pairs(bank) for bank in (node / "mem_banks").glob("*/properties"))
    # Memory of its own: the heaps that are public or private to the device.
    memory = sum(bank.get("size_in_bytes", 0) for bank in banks if bank.get("heap_type") in {1, 2})
    drm = machine / "sys" / "class" / "drm" / f"renderD{minor}" / "device" / "product_name"
    name = _text(drm).strip() or _text(node / "name").strip() or None
    unique = about.get("unique_id", 0)
    driver = _text(machine / "sys" / "module" / "amdgpu" / "version").strip() or None
    return Accelerator(
        "amd", f"GPU-{unique:016x}" if unique else f"kfd{node.name}", name, memory or None, driver
    )


def _apple(machine: Path) -> list[Accelerator]:
    own = machine == Path("/") and sys.platform == "darwin" and platform.machine() == "arm64"
    return [Accelerator("apple", "mps")] if own else []


def _pairs(file: Path) -> dict[str, int]:
    words = (line.split() for line in _text(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in words if len(pair) == 2 and pair[1].isdecimal()}


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_bytes().decode(errors="replace")
    return ""


def _closed(file: Path) -> PermissionDenied:
    return PermissionDenied(
        f"this user may not use the GPU at {file}",
        hint="join the group that it belongs to (video or render, for the most part)",
    )
