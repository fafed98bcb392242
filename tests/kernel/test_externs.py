"""Externs: what a program asks of the kernel, and what it gets."""

from __future__ import annotations

import gzip
import os
import re

import pytest

import pybpfload
from pybpfload.errors import ObjectError, UnsupportedError
from pybpfload.features import has
from tests.support.needs import needs
from tests.support.objects import read

pytestmark = pytest.mark.kernel


def config() -> dict[str, str]:
    """The running kernel's configuration, read by the test's own eyes."""
    try:
        with open(f"/boot/config-{os.uname().release}") as file:
            text = file.read()
    except FileNotFoundError:
        with gzip.open("/proc/config.gz", "rt") as file:
            text = file.read()
    return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE))


def externs():
    """externs.bpf.c, also for kernels that do not have its kernel function."""
    spec = read("externs")
    spec.externs["bpf_task_acquire"] = spec.externs["bpf_task_acquire"]._replace(weak=True)
    return spec


def values(spec) -> dict[str, object]:
    """The variables after the program ran once."""
    with pybpfload.load(spec) as obj, obj.attach_all():
        os.getpid()
        return dict(obj.variables)


def test_externs_have_the_kernels_values():
    """Options of each type, the version, a symbol's address, a kfunc, and nothing for what is weak and missing."""
    found, options = values(externs()), config()
    # Debian's releases are named 6.1.0-50, and say elsewhere what they are.
    debian = re.search(r"Debian (\d+\.\d+\.\d+)", os.uname().version)
    release = debian[1] if debian else os.uname().release
    numbers = [int(n) for n in re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release).groups("0")]
    with open("/proc/kallsyms") as file:
        address = next(int(line.split()[0], 16) for line in file if line.split()[2] == "schedule")
    assert found["version"] == numbers[0] << 16 | numbers[1] << 8 | min(numbers[2], 255)
    assert found["hz"] == int(options["CONFIG_HZ"])
    assert found["syscall"] == 1
    assert found["tristate"] == 1
    assert found["character"] == ord("y")
    assert chr(found["hostname"]) == options["CONFIG_DEFAULT_HOSTNAME"][1]
    assert found["function_address"] == address
    assert bool(found["kfunc_there"]) == has("kfunc:bpf_task_acquire")
    assert [found[n] for n in ("missing_option", "missing_address", "missing_there")] == [0, 0, 0]


def test_kconfig_text_wins_over_the_kernels():
    """The caller may say what an option is."""
    spec = externs()
    spec.kconfig = 'CONFIG_HZ=1234\nCONFIG_DEFAULT_HOSTNAME="zebra"\nCONFIG_NO_SUCH_OPTION=0x10\n'
    found = values(spec)
    assert (found["hz"], chr(found["hostname"]), found["missing_option"]) == (1234, "z", 16)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CONFIG_HZ=y", "extern `CONFIG_HZ`: value `y` does not fit int"),
        ("CONFIG_HZ=99999999999", "does not fit 32 bits"),
        ("CONFIG_HZ=ten", "is no number"),
        ("CONFIG_BPF_SYSCALL=m", "value `m` does not fit"),
        ('CONFIG_HZ="x"', "does not fit int"),
    ],
)
def test_kconfig_value_that_does_not_fit_is_refused(line, message):
    """The option and its value are named."""
    spec = read("externs")
    spec.kconfig = line
    with pytest.raises(ObjectError, match=message):
        pybpfload.load(spec)


def test_kconfig_missing_option_is_refused_unless_weak():
    """A strong option that the kernel does not set."""
    spec = read("externs")
    extern = spec.externs["CONFIG_NO_SUCH_OPTION"]
    spec.externs["CONFIG_NO_SUCH_OPTION"] = extern._replace(weak=False)
    with pytest.raises(ObjectError, match="`CONFIG_NO_SUCH_OPTION`: is not set"):
        pybpfload.load(spec)


@pytest.mark.parametrize(("name", "what"), [("no_such_symbol", "symbol"), ("bpf_no_such_function", "kernel function")])
def test_missing_symbol_is_refused_unless_weak(name, what):
    """A strong symbol that the kernel lacks is named, with what it is."""
    spec = externs()
    spec.externs[name] = spec.externs[name]._replace(weak=False)
    with pytest.raises(UnsupportedError, match=f"this kernel has no {what} `{name}`"):
        pybpfload.load(spec)


@needs("kfunc", "kfunc:bpf_task_acquire")
def test_kfunc_is_called():
    """A program that acquires and releases a task passes the verifier."""
    spec = read("externs")
    spec.programs["calls_kfunc"].autoload = True
    with pybpfload.load(spec) as obj:
        assert "calls_kfunc" in obj.programs


def test_legacy_maps_load_and_fields_of_iproute2_are_refused():
    """Struct bpf_map_def works without BTF types; what stands behind it only when it is zero."""
    with pybpfload.load(read("legacy")) as obj:
        obj.maps["first"][bytes(4)] = b"12345678"
        assert obj.maps["first"][bytes(4)] == b"12345678"
    spec = read("legacy")
    spec.maps["first"].extra = b"\1\0\0\0"
    with pytest.raises(ObjectError, match="map `first`: has fields that only iproute2 understands: 01000000"):
        pybpfload.load(spec)


def test_old_kernels_btf_is_sanitised_until_it_loads(monkeypatch):
    """With every feature said to be missing, what is left still loads, and programs with it."""
    from pybpfload._sys import bpf, progs

    asked = []

    def lacks(name):
        asked.append(name)
        return name == "btf"

    real, blobs = progs.load_btf, []

    def refuses_first(data, name):
        blobs.append(data)
        if len(blobs) == 1:
            raise bpf.error_of(22, "BPF_BTF_LOAD")
        return real(data, name)

    monkeypatch.setattr("pybpfload.loader.has", lacks)
    monkeypatch.setattr("pybpfload._sys.progs.load_btf", refuses_first)
    # Functions are typedefs now: the programs have to do without func_info.
    with pybpfload.load(read("tracepoint")) as obj:
        assert set(obj.programs) == {"on_enter_getpgid", "on_raw_enter", "on_btf_enter"}
    assert {"btf_func", "btf_datasec", "btf_func_global"} <= set(asked)
    assert len(blobs) == 2
