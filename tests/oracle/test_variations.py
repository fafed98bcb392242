"""CO-RE against kernels that never were: libbpf and we decide alike, whatever became of the types.

tests/data/relos.bpf.c has relocations of all kinds; its types are varied at random, by a seed. For more of them:
`python -m tests.oracle --variations FIRST LAST`.
"""

from __future__ import annotations

import pytest

from tests.oracle.variations import differing_programs
from tests.support import libbpf
from tests.support.debian import libbpf as libbpf_of

SEEDS = range(10)


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """The driver, with a newer libbpf."""
    return libbpf.build_driver(libbpf_of("trixie"), tmp_path_factory.mktemp("driver") / "libbpf_driver")


@pytest.mark.parametrize("seed", SEEDS)
def test_relocation_against_varied_types_is_libbpfs(driver, tmp_path, seed):
    """The same instructions, or both refuse."""
    result = differing_programs(driver, tmp_path, seed)
    assert not result.differences, "\n".join(result.differences)
    assert result.equal > 50
