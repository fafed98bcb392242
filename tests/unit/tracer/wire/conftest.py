"""What several of these tests need."""

from __future__ import annotations

import ssl
import subprocess

import pytest

from tests.support.pieces import END


@pytest.fixture(scope="session")
def said(tmp_path_factory):
    """What the client says first, and the server's answer: a handshake of TLS 1.2, certificate and all."""
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "3",
         "-subj", "/CN=flows.test"],
        check=True, capture_output=True,
    )  # fmt: skip
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.load_cert_chain(certificate, key)
    to_client, from_client, to_server, from_server = (ssl.MemoryBIO() for _ in range(4))
    with pytest.raises(ssl.SSLWantReadError):
        client.wrap_bio(to_client, from_client, server_hostname="flows.test").do_handshake()
    hello = from_client.read()
    to_server.write(hello)
    with pytest.raises(ssl.SSLWantReadError):
        server.wrap_bio(to_server, from_server, server_side=True).do_handshake()
    return hello + END, from_server.read()
