"""`python -m tests.data store-N` makes a store to be kept, as root on Linux: in namespaces of its own, so that no name
of this machine, of its users or of its folders is in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.data import FOLDER
from tests.data.making import PLACE, make

_APART = """
set -e
hostname example
mount -t tmpfs none {place}
echo 00000000-0000-4000-8000-000000000000 > {place}/boot
mount --bind {place}/boot /proc/sys/kernel/random/boot_id
"""


def main(name: str) -> None:
    """Make it and what was seen in it, in the place of an older one."""
    target = FOLDER / name
    if target.exists():
        shutil.rmtree(target)
    script = _APART.format(place=PLACE) + 'exec "$0" -m tests.data --make "$1"'
    command = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "LANG")}
    env = kept | {"HOME": f"{PLACE}/home", "LOGNAME": "somebody", "TZ": "UTC"}
    subprocess.run([*command, sys.executable, str(target)], env=env, cwd=FOLDER.parent.parent, check=True)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size} bytes")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]))
    else:
        main(sys.argv[1])
