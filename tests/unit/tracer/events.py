"""Events for tests, with every field that the pipeline and the sinks look at."""

from __future__ import annotations

from tracer.model import KIND_BY_NAME, Event, complete

COMMON = {
    "time": 1_000_000_000,
    "wall_ns": 1_767_323_045_678_901_999,
    "start_time": 500_000_000,
    "cgroup": 4242,
    "pid": 4711,
    "tid": 4711,
    "ppid": 1,
    "uid": 1000,
    "gid": 1000,
    "comm": "cat",
    "host_pid": 4711,
    # by enrich
    "pod": None,
    "pod_name": None,
    "container_name": None,
}


FILE = {"inode": 7, "device": "254:1", "mode": 0o100640}


def file_open(path="/etc/ssl/certs/x.pem", **fields):
    """As decode makes it from a record."""
    own = {"path": path, "flags": "O_RDONLY|O_CLOEXEC", "result": 0, **FILE}
    own["file_path"] = path
    return Event(KIND_BY_NAME["file_open"], {**COMMON, **own, **fields})


def process_exec(*argv, **fields):
    """As decode makes it from a record."""
    own = {"path": "/usr/bin/cat", "argv": argv or ("cat", "x"), "argv_size": 6, "argv_cut": False}
    return Event(KIND_BY_NAME["process_exec"], {**COMMON, **own, **fields})


def process_exit(**fields):
    """As decode makes it from a record."""
    own = {"exit_code": 0, "signal": 0, "core_dumped": 0}
    return Event(KIND_BY_NAME["process_exit"], {**COMMON, **own, **fields})


def process_fork(**fields):
    """As decode makes it from a record."""
    own = {"child": 4712, "child_start_time": 600_000_000}
    return Event(KIND_BY_NAME["process_fork"], {**COMMON, **own, **fields})


def lib_load(path="/usr/lib/libssl.so.3", **fields):
    """As decode makes it from a record."""
    return Event(KIND_BY_NAME["lib_load"], {**COMMON, **FILE, "path": path, "deleted": 0, "address": 4096, **fields})


def lib_present(path="/usr/lib/libssl.so.3", **fields):
    """As /proc tells of it."""
    return Event(KIND_BY_NAME["lib_present"], {**lib_load(path).fields, **fields})


def lib_open(path="libssl.so.3", **fields):
    """As decode makes it from a record."""
    return Event(KIND_BY_NAME["lib_open"], {**COMMON, "path": path, "failed": 0, **fields})


LIBRARY = {"function_name": "SSL_connect", "library": "/usr/lib/libssl.so.3", "function": 2}


def api_call(text="HIGH", **fields):
    """As decode makes it from a record, and the probe adds to it."""
    own = {"text": text, "number": 0, "caller": "/usr/bin/cat", "internal": 0, **LIBRARY}
    return Event(KIND_BY_NAME["api_call"], {**COMMON, **own, **fields})


def api_count(**fields):
    """As decode makes it from a record, and the probe adds to it."""
    own = {"function_name": "EVP_CipherInit_ex", "library": "/usr/lib/libcrypto.so.3", "function": 1, "number": 901,
           "name": "", "algorithm": "AES-256-GCM", "count": 7, "caller": "/usr/bin/cat", "internal": 0,
           "origin": "application"}  # fmt: skip
    return Event(KIND_BY_NAME["api_count"], {**COMMON, **own, **fields})


def tls_handshake(**fields):
    """As decode makes it from a record, and the probe adds to it."""
    own = {"role": "client", "success": True, "returned": 1, "calls": 2, "peer_address": "::1", "peer_port": 443,
           "local_port": 40000, "certificate": "", "cipher_list": "HIGH", "ciphersuites": "", **LIBRARY}  # fmt: skip
    own.update(source="library", evidence="initialised")
    return handshake("tls_handshake", own, fields)


def tls_on_the_wire(**fields):
    """As the probe makes it of what was sent."""
    own = {"role": "client", "peer_address": "::1", "peer_port": 443, "local_port": 40000, "source": "wire",
           "version": "TLS 1.3", "suite": "TLS_AES_256_GCM_SHA384", "group": "X25519MLKEM768", "sni": "example.org",
           "offered_versions": ("TLS 1.3", "TLS 1.2"), "offered_groups": ("X25519MLKEM768", "x25519"),
           "offered_alpn": ("h2", "h\u00fc\n"), "resumed": False, "post_quantum": "hybrid", "grade": "hybrid",
           "grade_reason": "key exchange X25519MLKEM768", "evidence": "negotiated", "truncated": False}  # fmt: skip
    return handshake("tls_handshake", own, fields)


def ssh_handshake(**fields):
    """As the probe makes it of what was sent."""
    own = {"role": "client", "peer_address": "::1", "peer_port": 22, "local_port": 40000, "version": "SSH 2.0",
           "kex": "curve25519-sha256", "host_key": "ssh-ed25519", "server_banner": "SSH-2.0-x", "truncated": False,
           "grade": "quantum-vulnerable", "grade_reason": "key exchange curve25519-sha256",
           "evidence": "negotiated"}  # fmt: skip
    return handshake("ssh_handshake", own, fields)


def handshake(kind, own, fields):
    """With None where nothing is known."""
    found = {**COMMON, **own, **fields}
    complete(kind, found)
    return Event(KIND_BY_NAME[kind], found)


def wire_data(**fields):
    """As decode makes it from a record."""
    return Event(KIND_BY_NAME["wire_data"], {**COMMON, **fields})


def kernel_crypto(**fields):
    """As decode makes it from a record, and the probe adds to it."""
    own = {"interface": "AF_ALG", "algorithm": "cbc(aes)", "type": "skcipher", "version": None, "result": 0}
    return Event(KIND_BY_NAME["kernel_crypto"], {**COMMON, **own, **fields})
