"""libbpf and we ask the same of a kernel: for every object of Debian that is to be had, and any kernel's types.

What libbpf asks is seen by a driver (see tests/oracle/driver), what we ask by a fake kernel. Both take
everything, so that it does not matter whether a kernel would.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import pybpfload
from pybpfload.errors import ObjectError
from tests.oracle.explained import EXPLAINED, explanation
from tests.support import libbpf, ours
from tests.support.debian import PACKAGES, package_objects
from tests.support.debian import libbpf as libbpf_of
from tests.support.differences import differences
from tests.support.kernels import RUNNING, SERIES, Target, kernel_target, own_types
from tests.support.objects import DATA
from tests.support.sources import ROOT

SUITES = ("bookworm", "trixie")
NEWEST = SUITES[-1]
WITHOUT_BTF = ("ir-keytable", "opensnitch-ebpf-modules", "suricata")  # or that neither loader takes
OWN = sorted([*DATA.glob("*.bpf.o"), *(ROOT / "bpf" / "objects" / "x86_64").glob("*.bpf.o")])
DECISIONS = ROOT / "docs" / "decisions" / "2026-11-22-libbpf-differences.md"


@pytest.fixture(scope="session")
def driver_of(tmp_path_factory):
    """The driver, built with the libbpf of a release."""
    built: dict[str, Path] = {}

    def find(suite: str) -> Path:
        if suite not in built:
            output = tmp_path_factory.mktemp("driver") / "libbpf_driver"
            built[suite] = libbpf.build_driver(libbpf_of(suite), output)
        return built[suite]

    return find


@pytest.fixture(scope="session")
def target_of(tmp_path_factory):
    """A kernel by name."""
    made: dict[str, Target] = {}

    def find(name: str) -> Target:
        if name not in made:
            made[name] = kernel_target(name, tmp_path_factory.mktemp("kernel") / "target")
        return made[name]

    return find


def unexplained(driver: Path, objects: list[Path], target: Target) -> list[str]:
    """The differences that nothing explains, object by object."""
    out = []
    for path in objects:
        found = differences(ours.loads_of(path, target), libbpf.loads_of(driver, path, target))
        out += [f"{path.name}: {text}" for text in found if not explanation(text)]
    return out


@pytest.mark.parametrize("target", [RUNNING, *SERIES])
@pytest.mark.parametrize(("suite", "package"), [(suite, name) for suite in SUITES for name in PACKAGES[suite]])
def test_load_asks_what_libbpf_asks(driver_of, target_of, suite, package, target):
    """The objects of one package and the libbpf of its release, with the types of one kernel."""
    found = unexplained(driver_of(suite), package_objects(suite, package), target_of(target))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("target", [RUNNING, *SERIES])
def test_load_of_our_own_objects_asks_what_libbpf_asks(driver_of, target_of, target):
    """The small objects of the tests, and those of the product."""
    found = unexplained(driver_of(NEWEST), OWN, target_of(target))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("package", [name for name in PACKAGES[NEWEST] if name not in WITHOUT_BTF])
def test_load_for_a_kernel_that_has_everything_asks_what_libbpf_asks(driver_of, tmp_path, package):
    """Objects meet their own types: also kernel functions and structs of functions are found, that kernels lack."""
    found, compared = [], 0
    for i, path in enumerate(package_objects(NEWEST, package)):
        try:
            spec = pybpfload.read_object(path)
        except ObjectError:
            continue
        if spec.btf is not None and not spec.big_endian:
            compared += 1
            found += unexplained(driver_of(NEWEST), [path], own_types(spec, tmp_path / str(i)))
    assert not found, "\n".join(found)
    assert compared


@pytest.mark.parametrize("name", EXPLAINED)
def test_explained_differences_are_in_the_decisions(name):
    """Whoever meets one can read why."""
    assert f"## {name}\n" in DECISIONS.read_text()
