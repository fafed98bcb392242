"""Events as they come out of the pipeline, with all that a table may ask of them."""

from __future__ import annotations

from typing import Any

from tests.unit.tracer import events as raw
from tracer.model import COMMON, KIND_BY_NAME, KINDS, Event, EventKind

SECOND = 1_000_000_000
ADDED = {"exe": "/usr/bin/cat", "container": None, "file_type": "certificate"}
LIBRARY = {"library_name": "libssl", "family": "OpenSSL", "version": "3.0.22", "build_id": "c0ffee"}

SSH = KIND_BY_NAME.get("ssh_handshake") or EventKind("ssh_handshake", "One of SSH.", COMMON)
MAKERS = {
    "file_open": raw.file_open,
    "process_exec": raw.process_exec,
    "process_exit": raw.process_exit,
    "process_fork": raw.process_fork,
    "lib_load": raw.lib_load,
    "lib_present": raw.lib_present,
    "lib_open": raw.lib_open,
    "api_call": raw.api_call,
    "tls_handshake": raw.tls_handshake,
}


def event(name: str, *, at_s: float = 0.0, **fields: Any) -> Event:
    """One of a kind, so long after the first."""
    kind = SSH if name == "ssh_handshake" else KIND_BY_NAME[name]
    made = MAKERS[name]() if name in MAKERS else Event(kind, dict(raw.COMMON))
    found = {**made.fields, **ADDED, **(LIBRARY if name.startswith("lib_") else {}), **fields}
    for column in kind.columns:
        found.setdefault(column.field, None)
    found["wall_ns"] += int(at_s * SECOND)
    return Event(kind, found)


def one_of_each() -> list[Event]:
    """Of all kinds that there are."""
    return [event(kind.name) for kind in KINDS if kind.name in MAKERS]


def tls(grade: str, *, at_s: float = 0.0, source: str = "wire", **fields: Any) -> Event:
    """A handshake as the wire shows it."""
    quantum = {"hybrid": "hybrid", "pq-safe": "pure"}.get(grade, "classical")
    own = {"source": source, "version": "TLS 1.3", "suite": "TLS_AES_256_GCM_SHA384", "group": "X25519MLKEM768",
           "grade": grade, "post_quantum": quantum, "sni": "example.org"}  # fmt: skip
    return event("tls_handshake", at_s=at_s, **{**own, **fields})


def some() -> list[Event]:
    """Some minutes of a host: each view has rows."""
    yields = [
        event("process_exec", pid=100, comm="nginx", argv=("nginx", "-g", "daemon off;"), exe="/usr/sbin/nginx"),
        event("lib_load", at_s=0.1, pid=100, comm="nginx"),
        event("file_open", at_s=0.2, pid=100, comm="nginx", path="/etc/ssl/private/site.key",
              file_path="/etc/ssl/private/site.key", file_type="private_key"),
        event("file_open", at_s=0.3, pid=100, comm="nginx"),
        event("file_open", at_s=0.4, pid=200, comm="cat", path="site.key", file_type="private_key",
              file_path="/etc/ssl/private/site.key", result=13),
        event("api_call", at_s=1.1, pid=100, comm="nginx"),
        event("process_exit", at_s=1.2, pid=200, comm="cat", exit_code=1),
    ]  # fmt: skip
    grades = ("broken", "weak", "quantum-vulnerable", "hybrid", "pq-safe")
    for number, grade in enumerate(grades):
        yields.append(
            tls(grade, at_s=3 + number / 10, pid=300 + number, comm=f"client{number}", local_port=50_000 + number)
        )
    return yields


def hostile(text: str) -> list[Event]:
    """The same text in each place where others say what stands there."""
    names = {"comm": text, "exe": text, "container": text}
    return [
        event("file_open", path=text, file_path=text, file_type="private_key", **names),
        event("process_exec", argv=(text, text), **names),
        event("lib_load", path=text, library_name=text, version=text, family=text, build_id=text, **names),
        event("lib_open", path=text, **names),
        event("api_call", function_name=text, library=text, text=text, **names),
        tls("weak", version=text, suite=text, group=text, sni=text, peer_address=text, role=text, **names),
        event("ssh_handshake", version=text, cipher_client=text, kex=text, peer_address=text, peer_port=22, **names),
    ]
