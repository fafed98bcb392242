"""Feature rows, beside what bpftool finds out on the same kernel."""

from __future__ import annotations

import json
import subprocess

import pytest

from pybpfload import features, kernel_btf
from pybpfload.helper_ids import HELPERS
from tests.support.gates import require_tool
from tests.support.needs import missing, need, needs

pytestmark = pytest.mark.kernel

# Not tried by bpftool as we do, or not at all: it attaches to fentry, and some kernels forbid that alone.
OTHER_WAYS = {"tracing", "ext", "lsm", "struct_ops"}


@pytest.fixture(scope="module")
def theirs():
    """What bpftool makes of this kernel."""
    tool = require_tool("bpftool")
    done = subprocess.run([tool, "feature", "probe", "kernel", "full", "-j"], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_features_answer_for_this_kernel():
    """Each row gives an answer, and a kernel with cookies on links has the helper that reads them."""
    answers = {name: features.has(name) for name in features.FEATURES}
    assert answers["perf_link"] == answers["bpf_cookie"]
    assert answers["btf"]
    assert answers["map:hash"]
    assert answers["prog:socket_filter"]


def test_features_say_why_not():
    """A no comes with what the kernel said, where it said anything."""
    name = next(name for name in features.FEATURES if name.startswith("prog:") and not features.has(name))
    assert features.ask(name).reason.startswith("BPF_PROG_LOAD ")
    assert features.ask("prog:socket_filter") == (True, "")


def test_program_types_are_those_of_bpftool(theirs):
    """Every type that both know; an LSM or tracing program needs a place to go to, which we know how to find."""
    found = {key[len("have_") : -len("_prog_type")]: value for key, value in theirs["program_types"].items()}
    assert len(found) > 30
    ours = {name: features.has(f"prog:{name}") for name in found}
    assert {n: v for n, v in ours.items() if n not in OTHER_WAYS} == {
        n: v for n, v in found.items() if n not in OTHER_WAYS
    }
    # What bpftool got to load, we do too.
    assert {n for n in OTHER_WAYS if found[n]} <= {n for n in OTHER_WAYS if ours[n]}


def test_map_types_are_those_of_bpftool(theirs):
    """Every type that both know."""
    found = {key[len("have_") : -len("_map_type")]: value for key, value in theirs["map_types"].items()}
    assert len(found) > 30
    assert {name: features.has(f"map:{name}") for name in found} == found


def test_helpers_are_those_of_bpftool(theirs):
    """Every pair of a program type and a helper: thousands.

    Kernels from 6.11 on call helpers of other program types by another sentence, which older bpftools take for a
    yes: then ours can only be compared with the helpers that they know.
    """
    found = {
        key[: -len("_available_helpers")]: {helper[len("bpf_") :] for helper in helpers}
        for key, helpers in theirs["helpers"].items()
        if isinstance(helpers, list) and helpers
    }
    assert len(found) > 20
    misled = "bind" in found["socket_filter"]
    known = set().union(*found.values())
    differences, pairs = [], 0
    for type_name, helpers in found.items():
        ours = {name for name in HELPERS[1:] if features.has(f"helper:{type_name}:{name}")}
        pairs += len(ours)
        extra = (ours & known) - helpers
        lacking = set() if misled else helpers - ours
        differences += [f"{type_name}: only we: {sorted(extra)}; only bpftool: {sorted(lacking)}"] * bool(
            extra or lacking
        )
    assert differences == []
    assert pairs > 1000


def test_helper_numbers_are_the_kernels():
    """The place of a name in our list is its number in the kernel's enum; a newer kernel may have more."""
    theirs = kernel_btf().enum_values("bpf_func_id")
    ours = {f"BPF_FUNC_{name}": number for number, name in enumerate(HELPERS)}
    known = {name: number for name, number in theirs.items() if name in ours}
    assert known == {name: ours[name] for name in known}
    assert len(known) > 150


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("kprobe_session", "kprobe_multi"),
        ("uprobe_session", "uprobe_multi"),
        ("uprobe_multi", "perf_link"),
        ("map:arena", "map:user_ringbuf"),
        ("map:user_ringbuf", "map:ringbuf"),
        ("cpu_v4", "atomics"),
        ("may_goto", "bounded_loops"),
        ("fd_array_cnt", "fd_array"),
        ("prog_run_syscall", "prog_run_raw_tp"),
        ("token", "memcg"),
        ("btf_question_mark", "btf_enum64"),
        ("btf_enum64", "btf_type_tag"),
        ("link_detach", "link_update"),
    ],
)
def test_features_come_in_the_order_of_history(newer, older):
    """No kernel has the newer one without the older."""
    assert features.has(older) or not features.has(newer)


def test_kernel_functions_are_found_by_name():
    """A row for any function of the kernel's BTF."""
    assert features.has("kfunc:bpf_prog_put")
    assert not features.has("kfunc:no_such_function")


@needs("helper:tracing:d_path", "map:ringbuf")
def test_needs_known_features_lets_the_test_run(request):
    """The mark that a test carries is looked at."""
    assert missing(request.node) is None


def test_needs_missing_feature_skips():
    """The reason names the feature."""
    with pytest.raises(pytest.skip.Exception, match="feature kfunc:no_such_function"):
        need("kfunc:no_such_function")


def test_needs_unknown_feature_is_an_error():
    """A typing error must not skip a test for ever."""
    with pytest.raises(KeyError):
        needs("map:no_such_type")
    with pytest.raises(KeyError):
        needs("helper:xdp:no_such_helper")
