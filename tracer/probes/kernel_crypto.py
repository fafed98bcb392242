# SPDX-License-Identifier: MIT
"""Cryptography that the kernel does for a process: AF_ALG and kTLS. See bpf/kernel_crypto_trace.bpf.c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.catalog.ktls import ktls_cipher
from tracer.catalog.versions import version_name
from tracer.probes.base import Probe

if TYPE_CHECKING:
    from tracer.model import Event
    from tracer.probes.base import Context

# enum ct_crypto_use
INTERFACES = {0: "AF_ALG", 1: "kTLS send", 2: "kTLS receive"}
AF_ALG = 0


def _text(raw: bytes) -> str:
    return bytes(raw).split(b"\0")[0].decode("utf-8", "surrogateescape")


def on_event(context: Context, event: Event) -> None:  # noqa: ARG001  as the others
    """Give an event of its own the values that users see."""
    fields = event.fields
    use = fields["use"]
    fields["interface"] = INTERFACES.get(use, str(use))
    if use == AF_ALG:
        fields["algorithm"], fields["type"] = _text(fields["alg_name"]), _text(fields["alg_type"])
        fields["version"] = None
    else:
        fields["algorithm"], fields["type"] = ktls_cipher(fields["tls_cipher"]), None
        fields["version"] = version_name(fields["tls_version"])


KERNEL_CRYPTO = Probe("kernel_crypto", wants=("kernel_crypto",), on_event=on_event)
