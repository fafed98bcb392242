"""The table of functions."""

from __future__ import annotations

import pytest

from tracer.catalog.functions import FUNCTIONS, MARKERS, argument, functions_of

MEANINGS = {
    "object", "from", "made", "certificate", "cipher_list", "ciphersuites", "text", "fd", "role", "number",
    "at_long", "-",
}  # fmt: skip


def by_name(symbol):
    return next(row for row in FUNCTIONS if row.symbol == symbol)


def test_functions_rows_are_well_formed():
    """Known meanings, none twice, at most one string and one number, and room in the kernel's table."""
    assert len(FUNCTIONS) <= 256
    assert len({(row.family, row.symbol) for row in FUNCTIONS}) == len(FUNCTIONS)
    for row in FUNCTIONS:
        told = [meaning for meaning in row.arguments if meaning != "-"]
        assert set(told) <= MEANINGS, row
        assert len(set(told)) == len(told) <= 6, row
        assert len({"certificate", "cipher_list", "ciphersuites", "text"} & set(told)) <= 1, row
        assert len({"fd", "role", "number", "at_long"} & set(told)) <= 1, row
        assert len(row.again) <= 4, row
        assert row.action not in {"shake", "set", "free", "transfer"} or "object" in told, row


@pytest.mark.parametrize(
    ("symbol", "position"),
    [("gcry_kdf_derive", 0), ("gcry_kdf_derive", 1), ("SSL_read", 1), ("SSL_write", 1)],
)
def test_functions_keys_passwords_and_buffers_have_no_meaning(symbol, position):
    """What has none is never read."""
    arguments = by_name(symbol).arguments
    assert len(arguments) <= position or arguments[position] == "-"


def test_functions_of_a_library_are_those_of_its_project():
    """Those for executables in executables only."""
    openssl = functions_of("OpenSSL")
    assert FUNCTIONS[openssl["SSL_connect"]].role == 1
    assert "gnutls_handshake" not in openssl
    assert "SSL_read" not in openssl
    assert {"SSL_read", "SSL_do_handshake"} <= set(functions_of("OpenSSL", within=True))
    assert all(marker in functions_of(family) for marker, family in MARKERS.items())
    assert "C_SignInit" in functions_of("SoftHSM", "token")
    assert not functions_of("zlib")


def test_argument_is_text_or_the_name_of_a_number():
    """A number without a name is shown as it is."""
    assert argument(by_name("SSL_CTX_set_cipher_list"), 0, "HIGH") == "HIGH"
    assert argument(by_name("SSL_new"), 0, "") is None
    assert argument(by_name("gcry_cipher_open"), 9, "") == "AES256"
    assert argument(by_name("gcry_cipher_open"), 4711, "") == "4711"
