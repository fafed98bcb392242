"""What real programs say to each other is read as they themselves print it."""

from __future__ import annotations

import pytest

from tests.support import pairs, talkers
from tests.support import ssh_talkers as ssh
from tests.support.pairs import PAIRS
from tests.support.recorder import Recorder
from tracer.wire.talk import read_talk


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates."""
    found = talkers.make_certificates(tmp_path_factory.mktemp("certificates"))
    pairs.FOLDER[0] = found
    return found


def comparable(fields):
    """Names of groups differ in case."""
    return {name: talkers.group(value) if name == "group" and value else value for name, value in fields.items()}


def expected_of(pair, said):
    """What has to come out of a pair."""
    assert "failed" not in said, said["failed"]
    hidden = {"alpn"} if said.get("version") == "TLS 1.3" else set()  # it is encrypted
    return {**{name: value for name, value in said.items() if name not in hidden}, **pair.known}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name.replace(" ", "-"))
def test_handshake_is_read_as_the_program_prints_it(pair, folder):
    """Both sides give the same, and it is what the client says, and what is known of the pair."""
    if not talkers.has(*pair.needs):
        pytest.skip(f"needs {', '.join(pair.needs)}")
    with pair.server(folder) as port, Recorder(port) as recorder:
        said = pair.client("127.0.0.1", recorder.port)
        up, down = recorder.talks(pair.connections)[pair.connections - 1]
    expected = expected_of(pair, said)
    seen = [read_talk(up, down), read_talk(down, up)]
    assert [talk.role for talk in seen] == ["client", "server"]
    for talk in seen:
        assert talk.complete
        assert talk.fields["truncated"] is False
        fields = comparable(talk.fields)
        assert {name: fields[name] for name in expected} == expected


SSH = (
    ("ssh sshd", ssh.ssh_server, ssh.ssh(), {"post_quantum": "hybrid", "grade": "hybrid", "strict_kex": True}),
    ("ssh sshd classical", ssh.ssh_server, ssh.ssh("-o", "KexAlgorithms=curve25519-sha256"),
     {"post_quantum_reason": "client did not offer", "grade": "quantum-vulnerable"}),
    ("ssh sshd, server without", lambda folder: ssh.ssh_server(folder, "KexAlgorithms ecdh-sha2-nistp384\n"),
     ssh.ssh(), {"kex": "ecdh-sha2-nistp384", "post_quantum_reason": "server did not offer"}),
    ("ssh sshd gcm", ssh.ssh_server, ssh.ssh("-c", "aes256-gcm@openssh.com"),
     {"mac_client": None, "mac_server": None}),
    ("ssh sshd ctr", ssh.ssh_server, ssh.ssh("-c", "aes128-ctr", "-m", "hmac-sha2-512", "-C"),
     {"mac_client": "hmac-sha2-512", "cipher_server": "aes128-ctr"}),
    ("ssh dropbear", ssh.dropbear_server, ssh.ssh(), {"post_quantum": "classical"}),
    ("ssh dropbear old", ssh.dropbear_server,
     ssh.ssh("-oKexAlgorithms=diffie-hellman-group14-sha1", "-oHostKeyAlgorithms=ssh-ed25519", "-m", "hmac-sha1",
                 "-c", "aes128-ctr"), {"grade": "weak"}),
    ("dbclient sshd", ssh.ssh_server, ssh.dropbear_client, {"post_quantum": "classical"}),
)  # fmt: skip


def expected_of_ssh(said, folder, port, known):
    """The client's word, or the server's log where the client says nothing."""
    theirs = "server_banner"
    if not said:
        said, theirs = ssh.read_ssh((folder / f"sshd-{port}.log").read_text()), "client_banner"
    assert "failed" not in said, said["failed"]
    names = {"their_banner": theirs}
    return {**{names.get(name, name): value for name, value in said.items()}, **known}


@pytest.mark.parametrize(("name", "server", "client", "known"), SSH, ids=[row[0].replace(" ", "-") for row in SSH])
def test_ssh_is_read_as_the_program_prints_it(name, server, client, known, folder):
    """The client's word, or the server's log where the client says nothing."""
    if not talkers.has(*name.replace(",", "").split()[:2]):
        pytest.skip(f"needs {name}")
    with server(folder) as port, Recorder(port) as recorder:
        said = client("127.0.0.1", recorder.port)
        up, down = recorder.talks()[0]
    expected = expected_of_ssh(said, folder, port, known)
    seen = [read_talk(up, down), read_talk(down, up)]
    assert [talk.role for talk in seen] == ["client", "server"]
    for talk in seen:
        assert (talk.kind, talk.complete, talk.fields["truncated"]) == ("ssh_handshake", True, False)
        assert {key: talk.fields[key] for key in expected} == expected
