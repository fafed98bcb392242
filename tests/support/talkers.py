"""Real programs that speak TLS and SSH, and what they themselves say of a connection.

A client is a function from host and port to `Said`: the facts that the program prints, under the names that ours have.
What it does not print is not in it.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

from tests.support.ports import free_port
from tests.support.workloads import DEADLINE_S, wait_until

Said = dict[str, Any]
Client = Callable[[str, int], Said]

VERSIONS = {"TLSv1.3": "TLS 1.3", "TLSv1.2": "TLS 1.2", "TLSv1.1": "TLS 1.1", "TLSv1": "TLS 1.0", "TLSv1.0": "TLS 1.0"}
# Programs have names of their own for some groups.
ALIASES = {"prime256v1": "secp256r1", "p-256": "secp256r1", "p-384": "secp384r1", "p-521": "secp521r1",
           "curvep256": "secp256r1", "curvep384": "secp384r1", "curvep521": "secp521r1"}  # fmt: skip


def group(name: str) -> str:
    """A group's name as one can compare it."""
    return ALIASES.get(name.lower(), name.lower())


def has(*programs: str) -> bool:
    """Whether all of them are there; ``python:x`` is a module."""
    modules = [each[len("python:") :] for each in programs if each.startswith("python:")]
    others = [each for each in programs if not each.startswith("python:")]
    return all(map(find_spec, modules)) and all(map(find, others))


@cache
def find(program: str) -> str | None:
    """Where a program is."""
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


@cache
def iana(name: str) -> str:
    """IANA's name of a suite that OpenSSL calls so."""
    done = subprocess.run(["openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], capture_output=True,
                          text=True, check=True)  # fmt: skip
    names = dict(reversed(line.split()[:3:2]) for line in done.stdout.splitlines())
    return names.get(name, name)


def run(command: list[str], stdin: str = "", **environment: str) -> str:
    """All that a program prints. Whether it likes the certificate does not matter."""
    done = subprocess.run(
        [find(command[0]) or command[0], *command[1:]],
        input=stdin.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, "LC_ALL": "C", **environment},
    )
    return done.stdout.decode(errors="replace")


def where(host: str, port: int) -> str:
    """Both as programs take them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


GET = "GET / HTTP/1.0\r\n\r\n"


def openssl(*options: str) -> Client:
    """`openssl s_client`."""

    def client(host: str, port: int) -> Said:
        text = run(["openssl", "s_client", "-connect", where(host, port), "-ign_eof", *options], GET)
        found = re.findall(r"^(New|Reused), (\S+), Cipher is (\S+)", text, re.MULTILINE)
        if not found:
            return {"failed": text}
        said: Said = {"resumed": found[0][0] == "Reused", "suite": iana(found[0][2])}
        # For TLS 1.2 the second word of the line is the version that the suite came with.
        version = re.search(r"^    Protocol  : (\S+)", text, re.MULTILINE)
        said["version"] = VERSIONS[version.group(1) if version else found[0][1]]
        key = re.search(r"^(?:Server|Peer) Temp Key: (\w+), (\S+?),? ", text, re.MULTILINE)
        if key:
            said["group"] = f"dh {key.group(2)}" if key.group(1) == "DH" else group(
                key.group(2) if key.group(1) == "ECDH" else key.group(1)
            )  # fmt: skip
            if said["group"].startswith("dh") and said["version"] == "TLS 1.3":
                del said["group"]
        protocol = re.search(r"^ALPN protocol: (\S+)", text, re.MULTILINE)
        said["alpn"] = protocol.group(1) if protocol else None
        return said

    return client


def gnutls(*options: str, priority: str = "NORMAL") -> Client:
    """`gnutls-cli`, whose names are put together in a way of its own."""
    command = ["gnutls-cli", "--insecure", "--priority", priority, *options]

    def client(host: str, port: int) -> Said:
        text = run([*command, "--port", str(port), host])
        found = re.search(r"^- Description: \(TLS([\d.]+)(?:-\S*?)?\)-\((.+?)\)-.*\((.+?)\)", text, re.MULTILINE)
        if not found:
            return {"failed": text}
        said: Said = {"version": f"TLS {found.group(1)}"}
        exchange = found.group(2)
        if exchange.startswith(("ECDHE", "DHE")):
            said["group"] = group(exchange.rpartition("-")[2])
        said["resumed"] = "This is a resumed session" in text if "--resume" in options else "PSK" in exchange
        return said

    return client


def curl(*options: str) -> Client:
    """`curl -v`."""

    def client(host: str, port: int) -> Said:
        text = run(["curl", "-v", "-s", "-k", "--noproxy", "*", *options, f"https://{where(host, port)}/"])
        found = re.search(r"SSL connection using (\S+) / (\S+)", text)
        if not found:
            return {"failed": text}
        protocol = re.search(r"ALPN: server accepted (\S+)", text)
        return {
            "version": VERSIONS[found.group(1)],
            "suite": iana(found.group(2)),
            "alpn": protocol.group(1) if protocol else None,
        }

    return client


PYTHON = """
import json, socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(["http/1.1"])
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as raw:
    with context.wrap_socket(raw, server_hostname=sys.argv[3]) as s:
        print(json.dumps([s.version(), s.cipher()[0], s.selected_alpn_protocol()]))
"""


def python(name: str = "python.example", executable: str = sys.executable, module: str = "ssl") -> Client:
    """Python with a module that is like `ssl`."""

    def client(host: str, port: int) -> Said:
        code = PYTHON.replace("ssl, sys", f"sys, {module} as ssl")
        text = run([executable, "-c", code, host, str(port), name])
        try:
            version, suite, protocol = json.loads(text.splitlines()[-1])
        except (ValueError, IndexError):
            return {"failed": text}
        return {"version": VERSIONS[version], "suite": iana(suite), "alpn": protocol, "sni": name}

    return client


NODE = """
const tls = require('tls');
const options = {host: process.argv[1], port: +process.argv[2], servername: 'node.example', rejectUnauthorized: false,
                 ALPNProtocols: ['http/1.1'], ...JSON.parse(process.argv[3])};
const s = tls.connect(options, () => {
  console.log(JSON.stringify([s.getProtocol(), s.getCipher().standardName, s.getEphemeralKeyInfo(), s.alpnProtocol]));
  s.end();
});
"""


def node(executable: str = "node", **options: str) -> Client:
    """`node`, which has an OpenSSL of its own."""

    def client(host: str, port: int) -> Said:
        text = run([executable, "-e", NODE, host, str(port), json.dumps(options)])
        try:
            version, suite, key, protocol = json.loads(text.splitlines()[-1])
        except (ValueError, IndexError):
            return {"failed": text}
        said = {"version": VERSIONS[version], "suite": suite, "alpn": protocol or None, "sni": "node.example"}
        if key.get("name"):
            said["group"] = group(key["name"])
        return said

    return client


def java(*options: str) -> Client:
    """`keytool`, the one client that a Java runtime brings, with the log of its TLS."""
    command = ["keytool", "-J-Djavax.net.debug=ssl:handshake", *options, "-printcert", "-sslserver"]

    def client(host: str, port: int) -> Said:
        text = run([*command, where(host, port)])
        answer = text[text.find("Consuming ServerHello") :]
        suite = re.search(r'"cipher suite" +: "(\w+)\(', answer)
        version = re.search(r"Negotiated protocol version: (\S+)", answer)
        if not suite or not version:
            return {"failed": text}
        said: Said = {"version": VERSIONS[version.group(1)], "suite": suite.group(1)}
        share = re.search(r'"named group": (\w+)', answer[: answer.find("Negotiated protocol")])
        if share and said["version"] == "TLS 1.3":
            said["group"] = group(share.group(1))
        return said

    return client


def nss(*options: str) -> Client:
    """`tstclnt` of the NSS tools."""

    def client(host: str, port: int) -> Said:
        text = run(["tstclnt", "-h", host, "-p", str(port), "-o", "-v", "-D", "-Q", *options])
        found = re.search(r"SSL version 3\.(\d) using", text)
        if not found:
            return {"failed": text}
        said: Said = {"version": f"TLS 1.{int(found.group(1)) - 1}"}
        scheme = re.search(r"Signature Scheme: (\w+)", text)
        if scheme and said["version"] == "TLS 1.2":
            said["signature_scheme"] = scheme.group(1)
        return said

    return client


@cache
def go_program() -> str:
    """The program of talker.go, built once."""
    folder = tempfile.mkdtemp(prefix="talker-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["go", "build", "-o", f"{folder}/talker", str(Path(__file__).with_name("talker.go"))], check=True,
                   capture_output=True, env={"HOME": folder, **os.environ, "GO111MODULE": "off"})  # fmt: skip
    return f"{folder}/talker"


def go(newest: int = 0) -> Client:
    """A program in Go."""

    def client(host: str, port: int) -> Said:
        text = run([go_program(), "client", where(host, port), str(newest)])
        try:
            version, suite, protocol = json.loads(text.splitlines()[-1])
        except (ValueError, IndexError):
            return {"failed": text}
        said = {"version": f"TLS 1.{version - 0x0301}", "suite": suite, "alpn": protocol or None, "sni": "go.example"}
        return {**said, "resumed": False}

    return client


# The servers.


@contextmanager
def go_server(folder: Path) -> Iterator[int]:
    """The same as a server."""
    port = free_port()
    command = [go_program(), "server", f"127.0.0.1:{port}", f"{folder}/rsa.pem", f"{folder}/rsa.key"]
    with serving(command, "127.0.0.1", port):
        yield port


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there, by the kernel's tables: a connection would be one that the test did not mean."""
    end = f":{port:04X}"
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local.endswith(end) and state == "0A":
                return True
    return False


@contextmanager
def serving(command: list[str], host: str, port: int, **environment: str) -> Iterator[None]:
    """A server that runs meanwhile."""
    process = subprocess.Popen(
        [find(command[0]) or command[0], *command[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    try:
        wait_until(lambda: accepts(host, port) or process.poll() is not None, f"{command[0]} on port {port}")
        if process.poll() is not None:
            assert process.stdout is not None
            raise AssertionError(process.stdout.read().decode(errors="replace"))
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)


@contextmanager
def openssl_server(folder: Path, *options: str, host: str = "127.0.0.1", cert: str = "rsa") -> Iterator[int]:
    """`openssl s_server`, which answers with a page and closes."""
    port = free_port(host)
    own = () if "-nocert" in options else ("-cert", f"{folder}/{cert}.pem", "-key", f"{folder}/{cert}.key")
    with serving(["openssl", "s_server", "-accept", where(host, port), "-www", *own, *options], host, port):
        yield port


@contextmanager
def gnutls_server(folder: Path, *options: str, priority: str = "NORMAL") -> Iterator[int]:
    """`gnutls-serv`."""
    port = free_port()
    own = ("--x509certfile", f"{folder}/rsa.pem", "--x509keyfile", f"{folder}/rsa.key")
    with serving(["gnutls-serv", "--http", "--port", str(port), *own, "--priority", priority, *options],
                 "127.0.0.1", port):  # fmt: skip
        yield port


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl http2; ssl_certificate {folder}/rsa.pem; ssl_certificate_key {folder}/rsa.key;
    {options}
    return 200 "$ssl_protocol $ssl_cipher $ssl_curve $ssl_session_reused $ssl_server_name $ssl_alpn_protocol";
  }}
}}
"""


@contextmanager
def nginx_server(folder: Path, options: str = "") -> Iterator[int]:
    """`nginx`."""
    port = free_port()
    config = folder / f"nginx-{port}.conf"
    config.write_text(NGINX.format(folder=folder, port=port, options=options))
    with serving(["nginx", "-e", "stderr", "-c", str(config)], "127.0.0.1", port):
        yield port


NODE_SERVER = """
const fs = require('fs'), [port, folder] = process.argv.slice(1);
require('https').createServer({key: fs.readFileSync(folder + '/rsa.key'), cert: fs.readFileSync(folder + '/rsa.pem')},
                              (_, answer) => answer.end('')).listen(+port, '127.0.0.1');
"""


@contextmanager
def node_server(folder: Path, executable: str) -> Iterator[int]:
    """`node`."""
    port = free_port()
    with serving([executable, "-e", NODE_SERVER, str(port), str(folder)], "127.0.0.1", port):
        yield port


def make_certificates(folder: Path) -> Path:
    """``rsa.pem``, ``ec.pem``, ``ed.pem`` and their keys."""
    for name, key in (
        ("rsa", ["rsa:2048"]),
        ("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("ed", ["ed25519"]),
    ):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-keyout", f"{folder}/{name}.key", "-out",
             f"{folder}/{name}.pem", "-days", "2", "-subj", "/O=Wire, Inc./CN=localhost"],
            check=True, capture_output=True,
        )  # fmt: skip
    return folder
