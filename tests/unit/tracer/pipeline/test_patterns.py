"""What names and patterns match: the table of the module, and more."""

from __future__ import annotations

import os

import pytest

from tracer.pipeline import patterns


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.pem", "/etc/ssl/x.pem", True),
        ("*.pem", "x.pem", True),
        ("*.pem", "/etc/x.pem/y.key", False),
        ("*.pem", "/etc/ssl/x.pem\n", False),
        ("*.pem", "/etc/ssl/new\nline.pem", True),
        ("*.pem", os.fsdecode(b"/tmp/\xff.pem"), True),
        ("server.pem", "/a/b/server.pem", True),
        ("server.pem", "/a/b/my-server.pem", False),
        ("/etc/ssl/*.pem", "/etc/ssl/certs/x.pem", True),
        ("/etc/ssl/*.pem", "/etc/ssl2/x.pem", False),
        ("/etc/ssl", "/etc/ssl", True),
        ("/etc/ssl", "/etc/ssl/private/x", True),
        ("/etc/ssl/", "/etc/ssl/private/x", True),
        ("/etc/ssl", "/etc/ssl2", False),
        ("ssl/*.pem", "/etc/ssl/x.pem", True),
        ("ssl/*.pem", "ssl/x.pem", True),
        ("ssl/*.pem", "/etc/myssl/x.pem", False),
        ("ssl/private", "/etc/ssl/private/x.key", True),
        ("[ab].key", "/b.key", True),
        ("?.key", "/ab.key", False),
    ],
)
def test_match_file(pattern, path, expected):
    """As people expect."""
    assert patterns.match_file(pattern)(path) is expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [("NGINX", "nginx: worker", True), ("ngin?", "nginx", True), ("gin*", "nginx", False), ("x", "", False)],
)
def test_match_name(pattern, name, expected):
    """Part of it, or a pattern for the whole; the case does not matter."""
    assert patterns.match_name(pattern)(name) is expected


@pytest.mark.parametrize(
    ("pattern", "path", "short", "expected"),
    [
        ("ssl", "/usr/lib/libssl.so.3", "libssl", True),
        ("/usr/lib", "/usr/lib/libssl.so.3", "libssl", True),
        ("libssl*", "/usr/lib/libssl.so.3", "libssl", True),
        ("libssl", "/opt/app/libcrypto.so", "libcrypto", False),
        ("ssl*", "/usr/lib/libssl.so.3", "libssl", False),
        ("/opt/*", "/opt/a/libssl.so", "libssl", True),
    ],
)
def test_match_library(pattern, path, short, expected):
    """By path, file name and short name."""
    assert patterns.match_library(pattern)(path, short) is expected


def test_match_container():
    """Its beginning, as docker ps shows it; or any."""
    name = "3f2a" + "0" * 60
    assert patterns.match_container("3f2a")(name)
    assert patterns.match_container("*")(name)
    assert not patterns.match_container("2a")(name)


@pytest.mark.parametrize(
    "pattern",
    [
        "*.pem",
        "*",
        "*.p*",
        "id_*",
        "server.key",
        "/tmp/*.pem",
        "/etc/ssl",
        "/etc/ssl/*.txt",
        "/opt/app",
        "*key",
        "[ik]d_rsa",
    ],
)
def test_file_pattern_that_can_match_is_not_doubted(pattern):
    """No false alarm."""
    assert patterns.why_no_file(pattern) == ""


@pytest.mark.parametrize("pattern", ["*.log", "/var/log/*.log", "/etc/passwd.bak", "notes.odt"])
def test_file_pattern_that_cannot_match_says_why(pattern):
    """Only files of cryptography are reported."""
    assert "can match nothing" in patterns.why_no_file(pattern)
