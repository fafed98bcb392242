"""Filters in the kernel and their reference in user space: two managers watch the same, and have to agree.

One has the kernel filter. The other sees everything, and the stages of tracer/pipeline/filters.py choose. What the
host does meanwhile could fill the ring, so the workload has a cgroup of its own, and everything is what happens there.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.support.workloads import DEADLINE_S, Workload
from tracer.errors import TracerError
from tracer.log import NOTES, Log
from tracer.manager import EbpfManager
from tracer.pipeline.filters import filters
from tracer.probes import PROBES
from tracer.settings import Settings

pytestmark = pytest.mark.kernel

# A process, a child of another user and name in another cgroup, a grandchild that runs another program, and a thread.
FAMILY = """
import threading

def use(count):
    for n in range(count):
        try:
            os.open(f"{sys.argv[1]}/{os.getpid()}-{n}.pem", os.O_RDONLY)
        except OSError:
            pass

def rename(name):
    with open("/proc/thread-self/comm", "w") as comm:
        comm.write(name)

def renamed():
    rename("A-Renamed-One")
    use(5)

use(3)
thread = threading.Thread(target=renamed)
thread.start()
thread.join()
child = os.fork()
if not child:
    rename("sOmE-rEnAmEd")
    if sys.argv[2]:
        with open(sys.argv[2] + "/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
    use(7)
    os.setresuid(65534, 65534, 65534)
    use(11)
    grandchild = os.fork()
    if not grandchild:
        use(13)
        os.execv("/bin/cat", ["cat", sys.argv[1] + "/cat.pem"])
    os.waitpid(grandchild, 0)
    print(grandchild, flush=True)
    os._exit(3)
os.waitpid(child, 0)
use(17)
print(child)
"""


@pytest.fixture(scope="module")
def cgroup():
    """A cgroup v2 between two others, or "" where there are none: everything runs in the outermost."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    root = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if root is None:
        yield ""
        return
    outermost = root / f"crypto-tracer-{os.getpid()}"
    outer = outermost / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    yield str(outer)
    inner.rmdir()
    outer.rmdir()
    outermost.rmdir()


def started(settings):
    manager = EbpfManager.create(PROBES, settings, Log(NOTES, io.StringIO()))
    manager.load_programs()
    manager.attach_programs()
    assert not manager.skipped
    return manager


def drained(manager):
    """All its events, once no more come."""
    manager.detach_programs()
    events = []
    while batch := manager.poll_events():
        events += batch
    assert not manager.get_stats().missing
    return sorted(events, key=lambda event: event.fields["time"])


def shown(events, pids):
    """What both have to agree on. Their programs ran one after the other, so times differ."""
    return sorted((e.kind.name, e.fields["pid"], e.fields["tid"], e.fields["comm"], str(e.fields.get("path", "")))
                  for e in events if e.fields["pid"] in pids)  # fmt: skip


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(lambda root, _: {"pid": root}, id="pid"),
        pytest.param(lambda root, _: {"tree": (root,)}, id="tree"),
        pytest.param(lambda _, __: {"name": "reNAMed"}, id="name"),
        pytest.param(lambda _, __: {"name": "A-Renamed-One-and-more"}, id="name that is too long"),
        pytest.param(lambda _, __: {"name": "cat"}, id="name of a program"),
        pytest.param(lambda _, __: {"uid": 65534}, id="uid"),
        pytest.param(lambda _, __: {"uid": 0}, id="root"),
        pytest.param(lambda _, cgroup: {"cgroup": cgroup}, id="cgroup"),
        pytest.param(lambda root, _: {"tree": (root,), "uid": 65534, "name": "some"}, id="three"),
    ],
)
def test_kernel_and_user_space_agree(tmp_path, cgroup, wanted):
    """The same events, whoever chooses; and that it is a choice: neither all nor, for most, none."""
    os.chmod(tmp_path, 0o755)
    with Workload(FAMILY, str(tmp_path), f"{cgroup}/inner" if cgroup else "") as family:
        settings = Settings(own_pid=os.getpid(), **wanted(family.pid, cgroup))
        if settings == Settings(own_pid=os.getpid()):
            pytest.skip("no cgroup v2 here")
        everywhere = Settings(own_pid=os.getpid())
        if cgroup:
            outermost = Path(cgroup).parent
            (outermost / "cgroup.procs").write_text(str(family.pid))
            everywhere = everywhere._replace(cgroup=str(outermost))
        pushed = settings if settings.cgroup else settings._replace(cgroup=everywhere.cgroup)
        with started(pushed) as chooses, started(everywhere) as sees_all:
            output = family.go().split()
            chosen, everything = drained(chooses), drained(sees_all)
    pids = {family.pid, *map(int, output)}
    assert len(pids) == 3
    # A name that is longer than names can be is cut for the kernel; user space has the last word.
    last = filters(settings._replace(tree=(), cgroup=""))
    chosen = [event for event in chosen if all(stage(event) for stage in last)]
    stages = filters(settings, tree=settings.tree)
    reference = [event for event in everything if all(stage(event) for stage in stages)]
    assert shown(chosen, pids) == shown(reference, pids)
    assert len(shown(reference, pids)) < len(shown(everything, pids)) or settings.tree == (family.pid,)
    assert bool(shown(reference, pids)) == (len(settings.name) < 16)


def test_tree_has_those_that_were_there_before(tmp_path):
    """Children that run already belong to it."""
    code = """
import time
child = os.fork()
if child:
    print(child, flush=True)
while not os.path.exists(sys.argv[1] + "/go"):
    time.sleep(0.005)
try:
    os.open(sys.argv[1] + "/x.pem", os.O_RDONLY)
except OSError:
    pass
if child:
    os.waitpid(child, 0)
"""
    with Workload(code, str(tmp_path)) as parent:
        parent.start()
        assert parent._process.stdout is not None
        child = int(parent._process.stdout.readline())
        with started(Settings(own_pid=os.getpid(), tree=(parent.pid,))) as manager:
            (tmp_path / "go").touch()
            parent._process.wait(DEADLINE_S)
            events = drained(manager)
    opens = {event.fields["pid"] for event in events if event.kind.name == "file_open"}
    assert opens == {parent.pid, child}
    assert {event.fields["pid"] for event in events} == {parent.pid, child}


def test_cgroup_that_is_none_is_an_error(tmp_path):
    """A directory elsewhere, and one that is not there."""
    for directory in (tmp_path, tmp_path / "gone"):
        with (
            EbpfManager.create(
                PROBES, Settings(own_pid=0, cgroup=str(directory)), Log(NOTES, io.StringIO())
            ) as manager,
            pytest.raises(TracerError, match="cgroup") as caught,
        ):
            manager.load_programs()
        assert "cgroup2" in caught.value.hint
