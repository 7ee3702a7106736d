"""What only Debian packages have, for the slow lane. `python -m tests.servers.debian` installs it; nobody else does.

The tests that need it are skipped on other machines, but never where `CI=true` says that all must run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PACKAGES = {
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "monmaptool": "ceph-base",
    "ceph-authtool": "ceph-common",
}
"""The programs, and which package each is in."""

SECONDS = 600
APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")


def required() -> bool:
    """Whether a test may not be skipped."""
    return os.environ.get("CI") == "true"


def missing() -> list[str]:
    """The packages that are not here, by what they are needed for."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=path)})


def why_not() -> str | None:
    """Why nothing can be installed here, or None if it can."""
    if shutil.which("apt-get") is None or not os.path.exists("/etc/debian_version"):
        return "this is no Debian"
    if os.geteuid() != 0:
        return "only root installs packages"
    return None


def main() -> int:
    """Install what is missing; quiet unless it fails."""
    packages = missing()
    if not packages:
        return 0
    if reason := why_not():
        print(f"not installed: {', '.join(packages)} ({reason}); the tests that need them are skipped")
        return int(required())
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Lists that are a day old name files that are gone, so they are fetched anew.
    for command in ([*APT, "update"], [*APT, "install", "-y", "--no-install-recommends", *packages]):
        try:
            done = subprocess.run(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"{' '.join(command)}: not done after {SECONDS} s")
            return 1
        if done.returncode:
            print(
                f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
