"""The table of functions that are counted."""

from __future__ import annotations

import pytest

from tracer.catalog.counted import COUNTED, COUNTED_MARKERS, JUMPS, algorithm, counted_of
from tracer.catalog.functions import FUNCTIONS


def by_name(symbol):
    return next(row for row in COUNTED if row.symbol == symbol)


def test_counted_rows_are_well_formed():
    """None twice, none that is an event as well, and room in the kernel's table."""
    assert len(COUNTED) <= 256
    assert len({(row.family, row.symbol) for row in COUNTED}) == len(COUNTED)
    assert not {row.symbol for row in COUNTED} & {row.symbol for row in FUNCTIONS}
    for row in COUNTED:
        assert bool(row.algorithm) == (row.as_ == "none") == (row.argument == 0), row
        assert row.argument <= 8, row
    assert {row.symbol for row in COUNTED} >= JUMPS


def test_counted_of_a_library_are_those_of_its_project():
    """A fetch is no use."""
    assert all(marker in counted_of(family) for marker, family in COUNTED_MARKERS.items())
    assert not [row for row in COUNTED if "fetch" in row.symbol]
    assert counted_of("BoringSSL") == counted_of("OpenSSL")
    assert not counted_of("zlib")


@pytest.mark.parametrize(
    ("symbol", "number", "name", "text"),
    [
        ("EVP_CipherInit_ex", 901, "", "AES-256-GCM"),
        ("EVP_CipherInit_ex", 0, "AES-128-CBC-CTS", "AES-128-CBC-CTS"),
        ("EVP_CipherInit_ex", 99999, "", "number 99999"),
        ("EVP_CipherInit_ex", 0, "", None),
        ("EVP_CipherInit_ex", 0, "\udcff\x01", None),
        ("EVP_PKEY_sign", 0, "RSA", "RSA"),
        ("EVP_DigestSignInit", -1, "", None),
        ("MD5_Init", 0, "", "MD5"),
    ],
)
def test_algorithm_is_the_name_that_is_known(symbol, number, name, text):
    """What cannot be told is None; no guess, and no bytes of a stranger."""
    assert algorithm(by_name(symbol), number, name) == text
