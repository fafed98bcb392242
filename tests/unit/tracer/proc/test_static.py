"""Cryptography inside executables: real programs, and some made for the purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.gates import require_tool
from tests.support.workloads import wait_until
from tracer.proc import static
from tracer.proc.executables import Executables
from tracer.proc.libfile import LibraryFiles
from tracer.proc.maps import executable_mappings
from tracer.proc.static import StaticCrypto, find_static


def found_in(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return find_static(fd)[0]
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles a program whose read-only data holds these texts."""
    compiler = require_tool("gcc")
    folder = tmp_path_factory.mktemp("programs")

    def make(name, *texts, flags=(), sections=()):
        source, path = folder / f"{name}.c", folder / name
        lines = [f"const char text_{n}[] = {json.dumps(text)};" for n, text in enumerate(texts)]
        source.write_text("\n".join([*lines, "int main(void) { return 0; }"]))
        subprocess.run([compiler, "-o", path, source, *flags], check=True)
        for section, content in sections:
            (folder / "content").write_bytes(content)
            subprocess.run(
                [require_tool("objcopy"), "--add-section", f"{section}={folder / 'content'}", path], check=True
            )
        return path

    return make


def test_go_program_has_its_version_and_packages():
    """Age, as Debian has it: stripped, and without a list of modules."""
    (row,) = found_in(require_tool("age"))
    text = subprocess.run(["strings", shutil.which("age")], capture_output=True, text=True, check=True).stdout
    assert row.name == "Go"
    assert f"go{row.version}" in text
    assert {"crypto/x509", "golang.org/x/crypto", "golang.org/x/crypto/ssh"} <= set(row.details)


def test_go_program_without_names_of_sections_is_found_by_its_data(tmp_path):
    """The table of sections may be gone; Go itself finds its build info without."""
    path = tmp_path / "age"
    raw = bytearray(Path(require_tool("age")).read_bytes())
    raw[40:48] = bytes(8)  # e_shoff
    raw[60:62] = bytes(2)  # e_shnum
    path.write_bytes(raw)
    (row,) = found_in(path)
    assert row.version == found_in(require_tool("age"))[0].version
    assert "crypto/x509" in row.details


def build_info(version, modules):
    def text(value):
        size, raw = len(value), b""
        while size > 127:
            raw += bytes([size & 127 | 128])
            size >>= 7
        return raw + bytes([size]) + value

    return static.GO_MAGIC + bytes([8, static.GO_INLINE]) + bytes(16) + text(version) + text(modules)


def test_go_build_info_gives_modules_and_settings(build):
    """What the defaults of TLS are, no symbol tells."""
    guard = b"0w\xaf\x0c\x92t\x08\x02A\xe1\xc1\x07\xe6\xd6\x18\xe6"
    modules = (
        b"path\texample.org/x\nmod\texample.org/x\t(devel)\t\n"
        b"dep\tgolang.org/x/crypto\tv0.31.0\th1:x=\ndep\tgolang.org/x/text\tv0.1.0\th1:y=\n"
        b"build\tDefaultGODEBUG=tls10server=1,tlsmlkem=0\nbuild\tCGO_ENABLED=0\n"
    )
    path = build(
        "go",
        sections=[
            (".go.buildinfo", build_info(b"go1.24.3 X:boringcrypto", guard + modules + guard)),
            (".gopclntab", b"main.main\0crypto/tls.(*Conn).Read\0_goboringcrypto_AES\0"),
        ],
    )
    details = ("boringcrypto", "crypto/tls", "golang.org/x/crypto v0.31.0", "DefaultGODEBUG=tls10server=1,tlsmlkem=0")
    assert found_in(path) == [StaticCrypto("Go", "1.24.3", details)]


def test_go_program_without_cryptography_has_none(build):
    """A language is no algorithm."""
    sections = [(".go.buildinfo", build_info(b"go1.24.3", b"")), (".gopclntab", b"main.main\0fmt.Println\0")]
    assert found_in(build("plain-go", sections=sections)) == []


def test_openssl_inside_node_has_its_version():
    """As node itself says it."""
    node = os.path.realpath(require_tool("node"))
    code = "console.log(process.versions.openssl.replace(/\\+.*/, ''))"
    version = subprocess.run([node, "-e", code], capture_output=True, text=True, check=True).stdout.strip()
    if b"libcrypto.so" in subprocess.run(["readelf", "-d", node], capture_output=True, check=True).stdout:
        assert found_in(node) == []  # of the distribution: it has libraries
    else:
        assert [(row.name, row.version) for row in found_in(node)] == [("OpenSSL", version)]


@pytest.mark.parametrize("program", ["openssl", "curl", "ssh", "bash"])
def test_program_that_loads_libraries_has_nothing_inside(program):
    """Some have the banner of the headers that they were compiled with."""
    assert found_in(require_tool(program)) == []


BANNER = "OpenSSL 3.5.4 30 Sep 2025"


def test_banner_counts_only_without_the_library(build):
    """The same text in two programs, one of which is linked with the library."""
    assert found_in(build("inside", BANNER)) == [StaticCrypto("OpenSSL", "3.5.4")]
    library = build("libcrypto.so.3", flags=("-shared", "-fPIC", "-Wl,-soname,libcrypto.so.3"))
    linked = build("linked", BANNER, flags=("-Wl,--no-as-needed", library, "-Wl,--allow-shlib-undefined"))
    assert found_in(linked) == []


@pytest.mark.parametrize(
    ("text", "name", "version"),
    [
        ("OpenSSL 1.1.1 (compatible; AWS-LC 1.69.0)", "AWS-LC", "1.69.0"),
        ("OpenSSL 1.1.1 (compatible; BoringSSL)", "BoringSSL", ""),
        ("LibreSSL 3.9.2", "LibreSSL", "3.9.2"),
    ],
)
def test_forks_have_banners_of_their_own(build, text, name, version):
    """They are none of OpenSSL."""
    assert found_in(build(name, text)) == [StaticCrypto(name, version)]


def test_crates_of_rust_are_found_by_the_paths_of_their_sources(build):
    """Also across the border of two pieces that are read, and those of no cryptography are left out."""
    path = "/root/.cargo/registry/src/index.crates.io-6f17d22bba15001f/{}/src/lib.rs"
    texts = [path.format(crate) for crate in ("rustls-0.23.37", "serde-1.0.200", "aes-gcm-0.10.3")]
    far = "x" * (static.CHUNK - 4096 - 20) + texts[2]
    assert found_in(build("crates", texts[0], texts[1], far)) == [
        StaticCrypto("aes-gcm", "0.10.3"),
        StaticCrypto("rustls", "0.23.37"),
    ]


def test_list_of_cargo_auditable_is_preferred(build):
    """It has them all, with their versions."""
    packages = [{"name": "ring", "version": "0.17.8"}, {"name": "serde", "version": "1.0.0"}]
    content = zlib.compress(json.dumps({"packages": packages}).encode())
    assert found_in(build("listed", BANNER, sections=[(".dep-v0", content)])) == [StaticCrypto("ring", "0.17.8")]
    assert found_in(build("broken", BANNER, sections=[(".dep-v0", b"no zlib")])) == [StaticCrypto("OpenSSL", "3.5.4")]


_built = {}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_hostile_file_gives_an_answer(build, data):
    """Whatever the numbers in its tables say."""
    content = build_info(b"go1.24.3", b"") + bytes(64)
    sections = [(".go.buildinfo", content), (".gopclntab", b"crypto/tls.x")]
    path = _built.get("hostile") or _built.setdefault("hostile", build("hostile", sections=sections))
    raw = bytearray(path.read_bytes())
    tables = st.one_of(st.integers(0, 1023), st.integers(len(raw) - 2048, len(raw) - 8))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(tables)
        raw[at : at + 8] = data.draw(st.one_of(st.binary(min_size=8, max_size=8), st.just(b"\xff" * 8)))
    changed = path.with_name("changed")
    changed.write_bytes(raw)
    assert all(row.name == "Go" for row in found_in(changed))


def test_executable_of_a_process_is_searched_once_and_within_the_budget():
    """One that was left out is counted."""
    pid, exe = os.getpid(), os.readlink("/proc/self/exe")
    mappings = executable_mappings(pid)
    rich, poor = Executables(LibraryFiles()), Executables(LibraryFiles(), budget=0)
    assert rich.inside(pid, exe, mappings) == rich.inside(pid, exe, mappings) == found_in(exe)
    assert poor.inside(pid, exe, mappings) == poor.inside(pid, exe, mappings) == []
    assert (rich.skipped, poor.skipped) == (0, 1)
    assert rich.inside(pid, "/no/such/program", mappings) == []


def test_executable_in_memory_is_searched():
    """It is on no file system that anybody has mounted."""
    fd = os.memfd_create("ct-age")
    os.write(fd, Path(require_tool("age")).read_bytes())
    with subprocess.Popen([f"/proc/self/fd/{fd}", "--decrypt"], stdin=subprocess.PIPE, pass_fds=[fd]) as process:
        os.close(fd)
        # exec() is over for Popen before all is mapped.
        mappings = wait_until(lambda: executable_mappings(process.pid), "the program")
        exe = os.readlink(f"/proc/{process.pid}/exe").removesuffix(" (deleted)")
        found = Executables(LibraryFiles()).inside(process.pid, exe, mappings)
        process.kill()
    assert exe.startswith("/memfd:ct-age")
    assert [row.name for row in found] == ["Go"]
