# SPDX-License-Identifier: MIT
"""What two sides agree on in the plain part of a connection: TLS, DTLS, QUIC and SSH. Bytes in, facts out."""
