"""A short run of the fuzzer, the same each time; hostile shapes; and whatever was found before.

What counts is the processor's time, and only a multiple of what is needed ends a test: see harness.py.
"""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from pybpfload.errors import BpfError
from tests.fuzz.fuzz import make
from tests.fuzz.harness import Harness, limit_memory
from tests.fuzz.hostile import SHAPES
from tests.fuzz.targets import TARGETS


@pytest.fixture(autouse=True)
def _memory():
    """What asks for gigabytes gets a MemoryError, and the machine is none the worse for it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit_memory(2 << 30)
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.bin"))
SEED = 20_240_229
# How often each target is called: about two seconds for each.
RUNS = {"object": 700, "btf": 500, "ext": 4000, "target": 500, "record": 10_000, "symbols": 3000, "dump": 400,
        "talk": 3000, "tls": 3000, "ssh": 3000, "dtls": 3000, "quic": 500, "certificate": 5000}  # fmt: skip
ENOUGH_S = 5


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_answered(name):
    """Whatever is changed in a good input: a result or an ObjectError, in time."""
    function, seeds = TARGETS[name]
    harness = Harness(name, function, save=False)
    inputs = sorted(seeds(tools=False), key=len)
    for number in range(RUNS[name]):
        harness.run(make(inputs, SEED, number))
    assert harness.findings == {}
    assert harness.executions == RUNS[name]


def test_changed_inputs_get_deep():
    """Many of the changed objects are read: else the run above would only test the first checks."""
    function, seeds = TARGETS["object"]
    harness = Harness("object", function, save=False)
    inputs = sorted(seeds(tools=False), key=len)
    for number in range(200):
        harness.run(make(inputs, SEED + 1, number))
    assert 40 < harness.read < 200


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name):
    """What fuzzing begins with is well-formed."""
    function, seeds = TARGETS[name]
    for data in seeds(tools=False):
        function(data)


@pytest.mark.parametrize(("name", "shape", "scale"), SHAPES, ids=lambda x: getattr(x, "__name__", str(x)))
def test_hostile_shape_is_answered(name, shape, scale):
    """What is small and asks for much gets its answer, or an ObjectError, before long."""
    harness = Harness(name, TARGETS[name][0], save=False, slow_s=ENOUGH_S)
    harness.run(shape(scale))
    assert harness.findings == {}


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_was_found_is_answered(path):
    """Inputs that once ended in something else than an answer; their names begin with the target's."""
    name = path.stem.partition("-")[0]
    harness = Harness(name, TARGETS[name][0], save=False)
    harness.run(path.read_bytes())
    assert harness.findings == {}


def spin(data: bytes) -> None:
    """Never returns."""
    while True:
        pass


@pytest.mark.parametrize(
    ("target", "finding"),
    [
        (lambda data: data.undefined, "AttributeError at"),
        (spin, "slow"),
        (lambda data: bytearray(b"x") * (400 << 20), "memory"),
    ],
    ids=["error", "time", "memory"],
)
def test_harness_notices(target, finding):
    """The judge itself: errors, endless loops, and memory."""
    harness = Harness("test", target, save=False, **({"stop_s": 0.2, "slow_s": 0.1} if finding == "slow" else {}))
    harness.run(b"")
    assert [key for key in harness.findings if key.startswith(finding)]


def test_harness_takes_object_errors_for_answers():
    """Only errors of the file are: a RecordError or another of ours is not."""
    from pybpfload.errors import CoreError

    def fail(data: bytes) -> None:
        raise CoreError("no") if data else BpfError("yes")

    harness = Harness("test", fail, save=False)
    harness.run(b"x")
    assert not harness.findings
    harness.run(b"")
    assert harness.findings
