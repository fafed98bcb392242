"""Names by numbers, beside what other programs call them."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.gates import require_tool
from tracer.catalog import grades, groups, signatures, suites


def run(*command):
    require_tool(command[0])
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_suites_are_those_of_openssl():
    """All that it knows, with IANA's names."""
    text = run("openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    found = {int(one + other, 16): name for one, other, name in re.findall(r"0x(..),0x(..) - (\S+)", text)}
    assert len(found) > 100
    assert {number: suites.suite_name(number) for number in found} == found


def test_suites_and_groups_are_those_of_wireshark():
    """It knows those of others as well; of ours, it lacks only the newest. Drafts of others have no names here."""
    rows = [line.split("\t") for line in run("tshark", "-G", "values").splitlines()]

    def of(field):
        return {int(row[2], 0): row[3] for row in rows if row[:2] == ["V", field]}

    theirs = of("tls.handshake.ciphersuite")
    assert {number for number in suites.SUITES if number not in theirs} == {0x1306, 0x1307}
    assert {n: name for n, name in suites.SUITES.items() if n in theirs} == {
        n: name for n, name in theirs.items() if n in suites.SUITES
    }
    theirs = of("tls.handshake.extensions_supported_group")
    common = {number for number in groups.GROUPS if number in theirs and not 0x0200 <= number < 0x0300}
    assert len(common) > 30
    assert {number: groups.GROUPS[number] for number in common} == {number: theirs[number] for number in common}
    theirs = of("tls.handshake.sig_hash_alg")
    common = signatures.SCHEMES.keys() & theirs
    assert {n: signatures.SCHEMES[n] for n in common} == {n: theirs[n] for n in common}


@pytest.mark.parametrize("size", [2048, 3072, 4096, 6144, 8192])
def test_finite_fields_are_those_of_openssl(size):
    """The primes that are made here are the ones that it has."""
    text = run(
        "openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", f"group:ffdhe{size}", "-outform", "PEM"
    )
    shown = subprocess.run(["openssl", "asn1parse"], input=text, capture_output=True, text=True, check=True).stdout
    primes = [int(value, 16) for value in re.findall(r"INTEGER +:([0-9A-F]{100,})", shown)]
    if not primes:
        pytest.skip("this OpenSSL writes the name of the group alone")
    assert groups.group_name(groups.finite_fields()[primes[0]]) == f"ffdhe{size}"


def test_unknown_numbers_are_shown_as_numbers():
    """Never guessed."""
    assert suites.suite_name(0xFAFB) == "0xFAFB"
    assert groups.group_name(0x2F99) == "0x2F99"
    assert signatures.scheme_name(0x0999) == "0x0999"
    assert grades.exchange_kind(0x2F99) is None


def test_every_suite_has_a_grade_that_fits_its_name():
    """No suite with a broken part is graded better than broken."""
    for number, name in suites.SUITES.items():
        if name.endswith("_SCSV"):
            continue
        found, reason = grades.grade_tls(grades.Negotiated(0x0303, name, 29, exchange="classical"))
        if re.search(r"NULL|anon|EXPORT|_RC4_|_RC2_|_DES_|DES40|_MD5$|SHA256_SHA256|SHA384_SHA384", name):
            assert found == "broken", name
        elif "CBC" in name or "3DES" in name or re.match(r"TLS_(RSA|PSK_(?!DHE)|DH_|ECDH_)", name):
            assert found == "weak", name
        elif number < 0xC100 or number > 0xC1FF:
            assert found == "quantum-vulnerable", (name, reason)
