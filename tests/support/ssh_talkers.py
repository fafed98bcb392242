"""Real programs that speak SSH, and what they themselves say of a connection."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.talkers import Client, Said, run, serving

SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
UsePAM no
LogLevel DEBUG
"""
# What both ends of OpenSSH print; the client's direction is "client->server".
_KEX = re.compile(r"kex: algorithm: (\S+)")
_HOST_KEY = re.compile(r"kex: host key algorithm: (\S+)")
_CIPHER = r"kex: {}->{} cipher: (\S+) MAC: (\S+) compression: (\S+)"


def read_ssh(text: str) -> Said:
    """What OpenSSH prints of a connection."""
    kex, host_key = _KEX.findall(text), _HOST_KEY.findall(text)
    if not kex:
        return {"failed": text}
    said: Said = {"kex": kex[-1], "host_key": host_key[-1]}
    for ours, (one, other) in (("client", ("client", "server")), ("server", ("server", "client"))):
        cipher, mac, compression = re.findall(_CIPHER.format(one, other), text)[-1]
        said[f"cipher_{ours}"] = cipher
        said[f"mac_{ours}"] = None if mac == "<implicit>" else mac
        said["compression"] = compression
    banner = re.search(r"Remote protocol version (\S+), remote software version ([^\r\n]+)", text)
    if banner:
        said["their_banner"] = f"SSH-{banner.group(1)}-{banner.group(2)}"
    return said


def ssh(*options: str) -> Client:
    """`ssh -v`, which gets to know the algorithms and no more."""
    own = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "PreferredAuthentications=none")
    command = ["ssh", "-F", "none", "-v", *(part for each in own for part in ("-o", each)), *options]

    def client(host: str, port: int) -> Said:
        return read_ssh(run([*command, "-p", str(port), host, "true"]))

    return client


def dropbear_client(host: str, port: int) -> Said:
    """`dbclient`, which prints nothing of it: the server does."""
    run(["dbclient", "-y", "-y", "-p", str(port), f"nobody@{host}", "true"])
    return {}


@contextmanager
def ssh_server(folder: Path, options: str = "") -> Iterator[int]:
    """`sshd`."""
    port = free_port()
    if not (folder / "host").exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host")])
    os.makedirs("/run/sshd", exist_ok=True)
    config = folder / f"sshd-{port}"
    config.write_text(SSHD.format(port=port, folder=folder) + options)
    with serving(["sshd", "-D", "-f", str(config), "-E", str(config) + ".log"], "127.0.0.1", port):
        yield port


@contextmanager
def dropbear_server(folder: Path) -> Iterator[int]:
    """`dropbear`."""
    port = free_port()
    key = folder / "dropbear"
    if not key.exists():
        run(["dropbearkey", "-t", "ed25519", "-f", str(key)])
    with serving(["dropbear", "-F", "-E", "-p", f"127.0.0.1:{port}", "-r", str(key)], "127.0.0.1", port):
        yield port
