"""The environment variables of a run: what the package's code gets to see, and which of the host's pass.

It owns the allow-list. It never changes this process's own environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pkgrun.errors import PermissionDenied, UsageError
from pkgrun.worker.accelerators import HIDDEN
from pkgrun.worker.secrets import Masker

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LARGEST_SEED = 4294967295

PASSED = frozenset(
    """PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TEMP TMP
    SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
    OMP_NUM_THREADS OMP_THREAD_LIMIT OMP_PROC_BIND OMP_PLACES OMP_DYNAMIC OMP_SCHEDULE OMP_STACKSIZE
    OPENBLAS_NUM_THREADS GOTO_NUM_THREADS MKL_NUM_THREADS MKL_DYNAMIC BLIS_NUM_THREADS NUMEXPR_NUM_THREADS
    NUMEXPR_MAX_THREADS VECLIB_MAXIMUM_THREADS RAYON_NUM_THREADS NUMBA_NUM_THREADS KMP_AFFINITY GOMP_CPU_AFFINITY
    LD_LIBRARY_PATH""".split()  # noqa: SIM905
)
PASSED_PREFIXES = ("LC_", "XDG_", "DYLD_")
PASSED_PREFIXES_GPU = (
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "HIP_",
    "ROCR_",
    "ROCM_",
    "HSA_",
    "PYTORCH_CUDA_",
    "PYTORCH_MPS_",
)


def child_environment(
    host: Mapping[str, str],
    parameters: Mapping[str, str],
    defaults: Mapping[str, str],
    secrets: Mapping[str, str],
    gpu: bool,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The child's whole environment, and the sorted names of the host's variables that are in it with their values.

    Parameters win over defaults, and both over the host. Raises UsageError for a parameter that cannot be a
    variable, holds a secret's value, or has a secret's name.
    """
    _check_parameters(parameters, secrets)
    devices = {} if gpu else HIDDEN
    given = {"PYTHONHASHSEED": "0", **devices, **defaults, **parameters, **secrets}
    _check_seed(given["PYTHONHASHSEED"])
    passed = {name: value for name, value in host.items() if _passes(name, gpu=gpu) and name not in given}
    return {**passed, **given}, tuple(sorted(passed))


def _passes(name: str, *, gpu: bool) -> bool:
    return name in PASSED or name.startswith(PASSED_PREFIXES + (PASSED_PREFIXES_GPU if gpu else ()))


def _check_parameters(parameters: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    mask = Masker(secrets.values())
    for name, value in parameters.items():
        if not _NAME.match(name):
            raise UsageError(f"parameter {name!r} cannot be a variable", hint="letters, digits and _ only")
        if name in secrets:
            raise UsageError(f"{name} is both a parameter and a secret", hint="give it once")
        if "\0" in value:
            raise UsageError(f"parameter {name} holds a NUL, which no variable can", hint="encode it")
        if mask.found_in(value.encode("utf-8", "surrogateescape")):
            raise UsageError(
                f"parameter {name} holds the value of a secret, and parameters are recorded",
                hint=f"give it as a secret: --secret {name}",
            )


def _check_seed(seed: str) -> None:
    if seed != "random" and not (re.fullmatch(r"[0-9]{1,10}", seed) and int(seed) <= _LARGEST_SEED):
        raise UsageError(
            "parameter PYTHONHASHSEED is no seed that Python takes",
            hint=f"a whole number from 0 to {_LARGEST_SEED}, or random",
        )


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file in Docker's format: `NAME=VALUE` lines, values as they are, `#` lines are comments.

    The last of several lines for a name counts. Raises UsageError naming file and line, never a value.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from None
    except PermissionError as error:
        raise PermissionDenied(f"{path} cannot be read", hint="look at its permissions") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a file") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.removesuffix("\r").lstrip()
        if content and not content.startswith("#"):
            name, value = _assignment(content, f"{path}:{number}")
            found[name] = value
    return found


def _assignment(line: str, place: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals:
        raise UsageError(f"{place} has no =", hint="write NAME=VALUE")
    if not _NAME.match(name):
        raise UsageError(
            f"{place}: what stands before = cannot be a variable's name", hint="letters, digits and _ only"
        )
    if "\0" in value:
        raise UsageError(f"{place}: the value of {name} holds a NUL, which no variable can", hint="encode it")
    return name, value
