"""The objects of a whole tool collection, each program alone: what libbpf loads here we load, and refuse alike.

The tools carry their objects in their data. Their maps and options are as compiled: what a tool would set
before it loads is missing to both loaders.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

import pybpfload
from pybpfload.errors import BpfError
from tests.support import libbpf_each
from tests.support.embedded import extract
from tests.support.gates import skip_or_fail
from tests.support.sources import ROOT

pytestmark = pytest.mark.kernel

TOOLS = Path("/usr/sbin")
MIN_OBJECTS, MIN_PROGRAMS = 40, 200


class Verdict(NamedTuple):
    """How one program fared.

    Attributes:
        errno: 0 when it was loaded; None when no system call refused it.
        message: what was said.
    """

    errno: int | None
    message: str = ""


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """The objects inside the tools."""
    sources = [path for path in sorted(TOOLS.iterdir()) if path.is_file() and not path.is_symlink()]
    found = list(extract([p for p in sources if p.stat().st_size < 16 << 20], tmp_path_factory.mktemp("tools")))
    if len(found) < MIN_OBJECTS:
        skip_or_fail(f"the package libbpf-tools is not installed ({len(found)} BPF objects in {TOOLS})")
    return found


@pytest.fixture(scope="module")
def theirs(objects):
    """What libbpf says of each program."""
    command = [sys.executable, "-m", libbpf_each.__name__, *map(str, objects)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if "cannot open shared object file" in done.stderr:
        skip_or_fail(f"{libbpf_each.LIBRARY} is not installed")
    assert done.returncode == 0, done.stderr
    return {Path(row["path"]): row["programs"] for row in map(json.loads, done.stdout.splitlines())}


def our_verdict(path: Path, name: str) -> Verdict:
    """The same through our loader."""
    try:
        spec = pybpfload.read_object(path)
        for program in spec.programs.values():
            program.autoload = program.name == name
        with pybpfload.load(spec) as obj:
            assert list(obj.programs) == [name]
    except OSError as error:
        return Verdict(error.errno, str(error))
    except BpfError as error:
        return Verdict(None, str(error))
    return Verdict(0)


# libbpf gives up by itself, with an errno of its choice, when the kernel's BTF has no such function or type. We say
# that in words.
BY_ITSELF = {errno.ESRCH}


@pytest.mark.slow
def test_each_program_fares_as_with_libbpf(objects, theirs, record_property, capsys):
    """Loaded by both, or refused by both with the same errno; the counts are told."""
    counts: Counter[str] = Counter()
    differences, ours_loaded = [], 0
    for path in objects:
        for name, their in theirs[path].items():
            ours = our_verdict(path, name)
            what = f"{path.name} {name}: "
            said = errno.errorcode.get(their, their)
            if not their and ours.errno != 0:
                differences.append(f"{what}only libbpf loads it; we say {ours.message}")
            elif their and ours.errno == 0:
                differences.append(f"{what}only we load it; libbpf says {said}")
            elif their and ours.errno != (None if their in BY_ITSELF else their):
                differences.append(f"{what}libbpf says {said}, we {ours.message}")
            who = "by libbpf itself" if ours.errno is None else "by the kernel"
            verdict = f"refused {who}: {said}" if their else "loaded by libbpf"
            counts[verdict] += 1
            ours_loaded += ours.errno == 0
    with capsys.disabled():
        print(f"\n{len(objects)} objects, {sum(counts.values())} programs: {dict(counts)}")
    record_property("libbpf_tools", {**counts, "loaded by us": ours_loaded})
    assert differences == []
    assert sum(counts.values()) >= MIN_PROGRAMS
    assert counts["loaded by libbpf"] > 0
