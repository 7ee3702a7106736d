"""OpenStack Swift with its S3 face. Release 2.32 honestly lacks conditional writes: it answers 501 to them. Release
2.38 answers 412 when the key is there, but looks first and writes then: of 16 at once, up to 14 were told that they
had created it. So only a race tells what it is worth.

Three storage servers and a proxy, all from PyPI, each one process. They are told of a memcached that is not there: the older
release insists on one, and needs it for nothing that is done here.
"""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.servers import Server
from tests.servers.installed import programs
from tests.servers.process import answers, free_ports, listens, ready, running

HONEST = "2.32.0"
RACY = "2.38.3"
STORAGE = ("account", "container", "object")
ACCOUNT, USER, KEY = "test", "tester", "testing"

MAIN = """
import sys
from swift.common import utils
kind, folder = sys.argv[1:]
utils.SWIFT_CONF_FILE = folder + "/swift.conf"  # a constant, /etc/swift/swift.conf, in the older releases
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi(folder + "/" + kind + ".conf", kind + "-server", verbose=True))
"""
RINGS = """
import sys
from swift.common.ring import RingBuilder
for kind, port in zip(sys.argv[1::2], sys.argv[2::2]):
    builder = RingBuilder(4, 1, 1)
    device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1.0}
    builder.add_dev(device | {"replication_ip": "127.0.0.1", "replication_port": int(port), "id": 0, "meta": ""})
    builder.rebalance()
    builder.get_ring().save(kind + ".ring.gz")
"""
SWIFT = """
[swift-hash]
swift_hash_path_suffix = tests
swift_hash_path_prefix = tests
"""
SERVER = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
workers = 0
log_address = {folder}/log
[pipeline:main]
pipeline = {pipeline}
"""
STORING = """
[app:{kind}-server]
use = egg:swift#{kind}
"""
PROXY = """
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {key} .admin
[filter:slo]
use = egg:swift#slo
"""


@contextmanager
def serving(folder: Path, release: str) -> Iterator[Server]:
    """A server of that release that keeps everything below `folder`, whose file system must know extended attributes."""
    scripts = programs("swift", [f"swift=={release}"])
    *storage, port = free_ports(4)
    _configure(folder, scripts, dict(zip(STORAGE, storage, strict=True)), port)
    server = Server(f"swift {release}", f"http://127.0.0.1:{port}", "pkgrun-tests", f"{ACCOUNT}:{USER}", KEY)
    with ExitStack() as stack:
        for kind in (*STORAGE, "proxy"):
            log = folder / f"{kind}.log"
            command: list[str | Path] = [scripts / "python", "-c", MAIN, kind, folder]
            process = stack.enter_context(running(command, log=log))
            if kind == "proxy":
                ready(lambda: answers(server.endpoint), process, log=log)
        for one in storage:
            ready(partial(listens, one), process, log=log)
        yield server.with_own_bucket()


def _configure(folder: Path, scripts: Path, storage: dict[str, int], port: int) -> None:
    """Rings of one device, and a file for each process."""
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(SWIFT)
    common = {"folder": folder, "user": getpass.getuser()}
    devices = [word for kind, one in storage.items() for word in (kind, str(one))]
    command: list[str | Path] = [scripts / "python", "-c", RINGS, *devices]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    for kind, one in storage.items():
        text = SERVER.format(port=one, pipeline=f"{kind}-server", **common) + STORING.format(kind=kind)
        (folder / f"{kind}.conf").write_text(text)
    pipeline = "catch_errors cache listing_formats s3api tempauth slo proxy-server"
    text = SERVER.format(port=port, pipeline=pipeline, **common)
    (folder / "proxy.conf").write_text(text + PROXY.format(account=ACCOUNT, user=USER, key=KEY))
