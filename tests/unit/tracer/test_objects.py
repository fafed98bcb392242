"""Where the BPF objects are read from."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from tests.support.sources import ROOT
from tracer import objects
from tracer.errors import KernelError, TracerError
from tracer.probes import PROBES


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_read_finds_the_object_of_each_probe(probe, machine):
    """All objects are there for all machines, and are ELF files."""
    assert objects.read(probe.object_name, machine=machine)[:4] == b"\x7fELF"


def test_read_unknown_machine_says_which_there_are():
    """A machine that we have no objects for is the kernel's side of things: exit code 4."""
    with pytest.raises(KernelError, match="`riscv64`: expected x86_64, arm64") as caught:
        objects.read("file_open_trace", machine="riscv64")
    assert caught.value.exit_code == 4


def test_read_missing_object_names_it():
    """A broken installation says what is missing."""
    with pytest.raises(TracerError, match=r"no_such_trace\.bpf\.o: not found"):
        objects.read("no_such_trace", machine="x86_64")


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "zip"])
def test_read_finds_installed_objects(tmp_path, zipped):
    """In an installed package and in a zip the objects lie in the package."""
    place = tmp_path / "place"
    if zipped:
        with zipfile.ZipFile(place, "w") as archive:
            for name in ("__init__", "objects", "errors"):
                archive.write(ROOT / "tracer" / f"{name}.py", f"tracer/{name}.py")
            archive.writestr("tracer/_objects/x86_64/probe.bpf.o", b"installed")
    else:
        target = place / "tracer" / "_objects" / "x86_64"
        target.mkdir(parents=True)
        (target / "probe.bpf.o").write_bytes(b"installed")
        for name in ("__init__", "objects", "errors"):
            (place / "tracer" / f"{name}.py").write_bytes((ROOT / "tracer" / f"{name}.py").read_bytes())
    code = (
        f"import sys; sys.path.insert(0, {str(place)!r}); import tracer.objects as o;"
        "print(o.read('probe', machine='x86_64').decode(), o.__file__)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "installed"
    assert done.stdout.split()[1].startswith(str(place))
