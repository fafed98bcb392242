"""Feature rows, beside what bpftool finds out on the same kernel."""

from __future__ import annotations

import pytest

from pybpfload import features, kernel_btf
from pybpfload.helper_ids import HELPERS
from tests.support.needs import missing, needs

pytestmark = pytest.mark.kernel


def test_features_answer_for_this_kernel():
    """Each row gives an answer, and a kernel with cookies on links has the helper that reads them."""
    answers = {name: features.has(name) for name in features.FEATURES}
    assert answers["perf_link"] == answers["bpf_cookie"]
    assert answers["btf"]
    assert answers["map:hash"]
    assert answers["prog:socket_filter"]


@needs("helper:tracing:d_path", "map:ringbuf")
def test_needs_known_features_lets_the_test_run(request):
    """The mark that a test carries is looked at."""
    assert missing(request.node) is None


def test_needs_unknown_feature_is_an_error():
    """A typing error must not skip a test for ever."""
    with pytest.raises(KeyError):
        needs("map:no_such_type")
    with pytest.raises(KeyError):
        needs("helper:xdp:no_such_helper")


def test_helper_numbers_are_the_kernels():
    """The place of a name in our list is its number in the kernel's enum; a newer kernel may have more."""
    theirs = kernel_btf().enum_values("bpf_func_id")
    ours = {f"BPF_FUNC_{name}": number for number, name in enumerate(HELPERS)}
    known = {name: number for name, number in theirs.items() if name in ours}
    assert known == {name: ours[name] for name in known}
    assert len(known) > 150
