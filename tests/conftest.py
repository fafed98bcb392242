"""Gates for tests marked `kernel`, and artefacts that several tests look at. See docs/testing.md."""

from __future__ import annotations

import gc
import signal

import pytest

from tests.support import gates, needs, support_log
from tests.support.builds import build_zipapp


def pytest_addoption(parser):
    """--support-log."""
    support_log.add_option(parser)


def pytest_configure(config):
    """Whoever runs tests in the background may have them ignore signals, and children would inherit that."""
    support_log.register(config)
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_finish():
    """The gate collects garbage after each test: thousands of tests that wait for their turn are none."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _kernel_gate(request):
    """Lets a kernel test run where it can, and fails it for whatever it leaves behind."""
    if request.node.get_closest_marker("kernel") is None:
        yield
        return
    reason = gates.why_no_kernel_tests()
    if reason:
        gates.skip_or_fail(reason)
    missing = needs.missing(request.node)
    if missing:
        pytest.skip(missing)
    leaks = gates.Leaks()
    with gates.watched_door(leaks):
        yield
    left = leaks.check()
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def zipapp(tmp_path_factory):
    """The single file, built from this tree for this interpreter."""
    return build_zipapp(tmp_path_factory.mktemp("zipapp") / "crypto-tracer.pyz")
