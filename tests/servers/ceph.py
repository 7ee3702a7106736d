"""Ceph's object gateway: a genuine server, for the slow lane. It checks signatures and survives `kill -9`.

It ignores the condition when a multipart upload completes, and refuses quoted ETags in `If-Match`. One monitor, one
disk in a file, one gateway, each a process in the foreground. From Debian packages (`tests/servers/debian.py`).
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import Server
from tests.servers.process import answers, free_ports, listens, ready, running

CONFIGURATION = """
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
osd crush chooseleaf type = 0
osd objectstore = bluestore
bluestore block size = 8589934592
osd memory target = 1073741824
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/$name.log
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable apis = s3
"""
KEYS = (
    ("mon.", "mon", "allow *"),
    ("client.admin", "mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    ("client.rgw", "mon", "allow rw", "osd", "allow rwx"),
    ("osd.0", "mon", "allow profile osd", "osd", "allow *"),
)
ACCESS, SECRET = "AKTEST", "SKTESTSECRET"


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A cluster's folder, and its programs run with its configuration."""

    folder: Path
    fsid: str

    @property
    def env(self) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return {**os.environ, "CEPH_CONF": str(self.folder / "ceph.conf"), "PATH": path}

    def run(self, *command: str, seconds: float = 60) -> str:
        done = subprocess.run(
            command,
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
        return done.stdout


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server that keeps everything below `folder`."""
    v2, v1, port = free_ports(3)
    cluster = _Cluster(folder, str(uuid.uuid4()))
    _configure(cluster, v2=v2, v1=v1, port=port)
    server = Server("ceph", f"http://127.0.0.1:{port}", "pkgrun-tests", ACCESS, SECRET, "default")
    with ExitStack() as stack:
        log = folder / "output.log"

        def start(*command: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(running(command, log=log, env=cluster.env))

        monitor = start("ceph-mon", "-f", "-i", "a")
        ready(lambda: listens(v1), monitor, log=log)
        disk = str(uuid.uuid4())
        cluster.run("ceph", "osd", "new", disk)
        cluster.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        osd = start("ceph-osd", "-f", "-i", "0")
        ready(lambda: "1 up" in cluster.run("ceph", "osd", "stat"), osd, log=log)
        gateway = start("radosgw", "-f", "-n", "client.rgw", "--keyring", str(folder / "keyring"))
        ready(lambda: answers(server.endpoint), gateway, log=log, seconds=90)
        user = (
            "user",
            "create",
            "--uid=t",
            "--display-name=t",
            f"--access-key={ACCESS}",
            f"--secret={SECRET}",
        )
        cluster.run("radosgw-admin", "-n", "client.rgw", "--keyring", str(folder / "keyring"), *user)
        yield server.with_own_bucket()


def _configure(cluster: _Cluster, **ports: int) -> None:
    folder = cluster.folder
    for name in ("mon", "osd", "run", "rgw"):
        (folder / name).mkdir()
    text = CONFIGURATION.format(folder=folder, fsid=cluster.fsid, **ports)
    (folder / "ceph.conf").write_text(text)
    keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
    cluster.run("ceph-authtool", "--create-keyring", keyring)
    for name, *capabilities in KEYS:
        pairs = zip(capabilities[::2], capabilities[1::2], strict=True)
        told = [word for whom, what in pairs for word in ("--cap", whom, what)]
        cluster.run("ceph-authtool", keyring, "--gen-key", "-n", name, *told)
    address = f"[v2:127.0.0.1:{ports['v2']},v1:127.0.0.1:{ports['v1']}]"
    cluster.run("monmaptool", "--create", "--addv", "a", address, "--fsid", cluster.fsid, monmap, "--clobber")
    cluster.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
