"""Accelerators, found in folders that look like a machine's; and what is refused where there are none.

With a GPU at hand: `python -m pytest tests/worker/test_accelerators.py -k real`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pkgrun.errors import PermissionDenied, UsageError
from pkgrun.worker.accelerators import HIDDEN, Accelerator, check_hidden, chosen, look, require

GPUS = tuple(Accelerator("nvidia", f"GPU-{letter * 8}-1111", "H200") for letter in "abc")


class Machine:
    """The root of one, without devices."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "dev").mkdir()

    def write(self, path: str, text: str = "", *, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def nvidia(self, count: int, smi: str | None = None) -> None:
        self.write("dev/nvidiactl")
        for number in range(count):
            self.write(f"dev/nvidia{number}")
        if smi is not None:
            self.write("bin/nvidia-smi", f"#!/bin/sh\n{smi}\n", mode=0o755)

    def amd(self, *unique: int) -> None:
        self.write("dev/kfd")
        nodes = "sys/class/kfd/kfd/topology/nodes"
        self.write(f"{nodes}/0/properties", "cpu_cores_count 16\nsimd_count 0\n")
        self.write("sys/module/amdgpu/version", "6.7.0\n")
        for number, one in enumerate(unique, start=1):
            self.write(f"{nodes}/{number}/name", "gfx942\n")
            minor = 127 + number
            self.write(
                f"{nodes}/{number}/properties",
                f"simd_count 304\nunique_id {one}\ndrm_render_minor {minor}\n",
            )
            self.write(
                f"{nodes}/{number}/mem_banks/0/properties", f"heap_type 1\nsize_in_bytes {192 << 30}\n"
            )
            self.write(f"dev/dri/renderD{minor}")

    def ids(self, variables: Mapping[str, str]) -> list[str]:
        found = look({"PATH": str(self.root / "bin"), **variables}, self.root)
        return [one.id for one in found.shown]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


SMI = """case "$*" in
*--list-gpus*) echo 'GPU 0: NVIDIA H200 (UUID: GPU-aaaa)'; echo '  MIG 1g.18gb     Device  0: (UUID: MIG-cccc)';;
*) echo 'GPU-aaaa, NVIDIA H200, 143771, 550.54.15'; echo 'GPU-bbbb, NVIDIA, [N/A], 550.54.15';;
esac"""


def test_a_machine_without_any(machine: Machine) -> None:
    machine.write("dev/null")
    machine.write("dev/nvidia-uvm")
    assert look({}, machine.root).shown == ()


def test_what_nvidia_smi_says(machine: Machine) -> None:
    machine.nvidia(2, SMI)
    found = look({"PATH": str(machine.root / "bin")}, machine.root)
    assert found.shown == (
        Accelerator("nvidia", "GPU-aaaa", "NVIDIA H200", 143771 << 20, "550.54.15"),
        Accelerator("nvidia", "GPU-bbbb", "NVIDIA", None, "550.54.15"),
    )


def test_without_nvidia_smi_the_kernel_is_read(machine: Machine) -> None:
    machine.nvidia(2)
    machine.write(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\nGCC 12.2",
    )
    for minor in range(3):  # of the last one there is no file: it is somebody else's
        machine.write(
            f"proc/driver/nvidia/gpus/0000:0{minor}:00.0/information",
            f"Model: \t\t NVIDIA H200\nGPU UUID: \t GPU-{minor}\nDevice Minor: \t {minor}\n",
        )
    assert look({}, machine.root).shown == tuple(
        Accelerator("nvidia", f"GPU-{minor}", "NVIDIA H200", None, "550.54.15") for minor in range(2)
    )


def test_files_alone_are_devices_without_names(machine: Machine) -> None:
    machine.nvidia(11)
    assert machine.ids({}) == [f"nvidia{number}" for number in range(11)]


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        ({}, ["GPU-aaaa", "GPU-bbbb"]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["GPU-bbbb"]),
        ({"CUDA_VISIBLE_DEVICES": "1,0"}, ["GPU-bbbb", "GPU-aaaa"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-b"}, ["GPU-bbbb"]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-cccc"}, ["MIG-cccc"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "0,7,1"}, ["GPU-aaaa"]),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, ["GPU-aaaa", "GPU-bbbb"]),
        ({"NVIDIA_VISIBLE_DEVICES": "5"}, ["GPU-aaaa", "GPU-bbbb"]),
        ({"NVIDIA_VISIBLE_DEVICES": "GPU-bbbb"}, ["GPU-bbbb"]),
        ({"NVIDIA_VISIBLE_DEVICES": "none"}, []),
        (HIDDEN, []),
    ],
)
def test_what_the_host_chose_is_shown(machine: Machine, variables: dict[str, str], ids: list[str]) -> None:
    machine.nvidia(2, SMI)
    assert machine.ids(variables) == ids


@pytest.mark.parametrize("smi", ["echo 'NVIDIA-SMI has failed'; exit 9", "kill -SEGV $$"])
def test_a_driver_that_does_not_answer_is_told(machine: Machine, smi: str) -> None:
    machine.nvidia(1, smi)
    found = look({"PATH": str(machine.root / "bin")}, machine.root)
    assert found.shown == ()
    assert isinstance(found.refused, UsageError)
    assert "driver does not answer" in found.refused.message


def test_amd_is_read_from_the_kernel(machine: Machine) -> None:
    machine.amd(0xABCDEF, 0)
    assert look({}, machine.root).shown == (
        Accelerator("amd", "GPU-0000000000abcdef", "gfx942", 192 << 30, "6.7.0"),
        Accelerator("amd", "kfd2", "gfx942", 192 << 30, "6.7.0"),
    )


@pytest.mark.parametrize(
    ("variables", "ids"),
    [
        ({"ROCR_VISIBLE_DEVICES": "1,2"}, ["kfd2", "kfd3"]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, ["kfd3"]),
        ({"HIP_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "2"}, ["kfd3"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, ["kfd1", "kfd2", "kfd3"]),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        (HIDDEN, []),
    ],
)
def test_the_choices_of_amd_follow_each_other(
    machine: Machine, variables: dict[str, str], ids: list[str]
) -> None:
    machine.amd(0, 0, 0)
    assert machine.ids(variables) == ids


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every file")
@pytest.mark.parametrize("file", ["nvidia0", "kfd"])
def test_a_device_of_others_is_told(machine: Machine, file: str) -> None:
    machine.write(f"dev/{file}", mode=0o400)
    refused = look({}, machine.root).refused
    assert isinstance(refused, PermissionDenied)
    assert file in refused.message


@pytest.mark.parametrize("words", ["0,0", "0,-1,1", "0,GPU-", "0,x", "0,,1", "0,99999999999999"])
def test_a_choice_ends_where_it_means_nothing(words: str) -> None:
    assert list(chosen(GPUS, words)) == [GPUS[0]]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_parameter_shows_nothing_that_is_hidden(name: str) -> None:
    check_hidden({name: ""})
    check_hidden({name: "-1"})
    with pytest.raises(UsageError, match=name):
        check_hidden({name: "0"})


@pytest.mark.skipif(bool(look({}).shown or look({}).refused), reason="there is a GPU")
def test_where_there_is_none_it_is_refused() -> None:
    with pytest.raises(UsageError, match="this machine has none"):
        require({})


@pytest.mark.skipif(not look(os.environ).shown, reason="needs a GPU")
def test_a_real_one_is_shown_only_if_it_is_asked_for(tmp_path: Path) -> None:
    """What CUDA's own library counts, in the package's process."""
    import pkgrun

    package = tmp_path / "counter"
    package.mkdir()
    (package / "train.py").write_text(COUNTER)
    workspace = pkgrun.open(tmp_path / "store", create=True)
    shown = look(os.environ).shown
    counted = {}
    for gpu in (True, False):
        result = workspace.train(str(package), gpu=gpu, environment="current", timeout=120).wait()
        facts = workspace.run(result.run_id).record().facts
        assert facts is not None
        counted[gpu] = (facts.metrics or {})["devices"]
        assert [device.id for device in facts.devices] == ([one.id for one in shown] if gpu else [])
    if shown[0].vendor == "nvidia":
        assert counted == {True: len(shown), False: 0}
        assert shown[0].name
        assert shown[0].memory
        assert shown[0].driver


COUNTER = """
import ctypes, json
class Main:
    def train(self, folder):
        count = ctypes.c_int()
        try:
            cuda = ctypes.CDLL("libcuda.so.1")
        except OSError:
            cuda = None
        if cuda is None or cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
            count.value = 0
        with open("artifacts/metrics.json", "w") as file:
            json.dump({"devices": count.value}, file)
    def save(self):
        open("model.txt", "a").write("x")
"""
