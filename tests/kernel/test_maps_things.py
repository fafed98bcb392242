"""Maps of things of the kernel: stacks, cgroups, perf events; and values that belong to tasks, files, sockets."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct

import pytest

import pybpfload
from pybpfload.errors import RecordError, SyscallError
from pybpfload.maps import possible_cpus
from pybpfload.maps.stacks import BuildIdFrame
from pybpfload.uapi import AttachType
from tests.support.maps import attached, load_part, open_output_event, own_cgroup, run
from tests.support.needs import needs, uses

pytestmark = pytest.mark.kernel


@uses("map:stack_trace")
def test_stack_trace_map_lists_addresses_of_the_kernel():
    """A stack that a program took when this process made a system call: the entry is its root."""
    with load_part("map_things", "stacks", "takes_stack", targ_tgid=os.getpid()) as obj:
        with pybpfload.attach(obj.programs["takes_stack"]):
            os.getppid()
        number = obj.variables["stack_id"]
        assert number >= 0
        addresses = obj.maps["stacks"][number]
        assert addresses
        assert all(address >> 63 for address in addresses)
        assert dict(obj.maps["stacks"].items())[number] == addresses
        assert number in list(obj.maps["stacks"])
        del obj.maps["stacks"][number]
        assert number not in obj.maps["stacks"]
        obj.maps["stacks"].clear()
        assert list(obj.maps["stacks"]) == []


def test_stack_trace_map_with_build_ids_names_files():
    """User stacks as build id and offset; where there is none, an address."""
    with load_part("map_things", "build_ids", "takes_build_ids", targ_tgid=os.getpid()) as obj:
        with pybpfload.attach(obj.programs["takes_build_ids"]):
            os.getppid()
        frames = obj.maps["build_ids"][obj.variables["stack_id"]]
        assert frames
        assert all(isinstance(frame, BuildIdFrame) for frame in frames)
        assert {len(frame.build_id) for frame in frames} <= {0, 20}


@uses("map:cgroup_array")
def test_cgroup_array_knows_who_is_in_a_cgroup():
    """1 inside, 0 outside; a slot that was never set is an error for the program."""
    with load_part("map_things", "cgroups", "asks_cgroup", targ_tgid=os.getpid()) as obj:
        with pybpfload.attach(obj.programs["asks_cgroup"]):
            os.getppid()
            assert obj.variables["under"] not in (0, 1)
            with own_cgroup("cgroup-array") as fd:
                obj.maps["cgroups"][1] = fd
                os.getppid()
                inside = obj.variables["under"]
            os.getppid()
            assert (inside, obj.variables["under"]) == (1, 0)
        del obj.maps["cgroups"][1]
        with pytest.raises(SyscallError, match=r"BPF_MAP_LOOKUP_ELEM cgroups: .*maps of this type cannot do that"):
            obj.maps["cgroups"][1]


@uses("map:perf_event_array")
def test_perf_event_array_leads_to_buffers():
    """Without max_entries it has a slot for each CPU; a program's output arrives in the buffer of its CPU."""
    with contextlib.ExitStack() as stack:
        obj = stack.enter_context(load_part("map_things", "events", "emits"))
        events = obj.maps["events"]
        assert events.max_entries == possible_cpus()
        assert run(obj.programs["emits"]) < 0
        buffers = []
        for cpu in range(possible_cpus()):
            event = stack.enter_context(open_output_event(cpu))
            buffers.append(stack.enter_context(mmap.mmap(event.fileno(), 2 * mmap.PAGESIZE)))
            events[cpu] = event
        assert run(obj.programs["emits"]) == 0
        found = [buffer for buffer in buffers if struct.pack("<Q", 0x1122334455667788) in buffer[mmap.PAGESIZE :]]
        assert len(found) == 1
        del events[0]


@needs("storage_values", "map:task_storage")
@uses("map:task_storage")
def test_task_storage_belongs_to_a_process():
    """Set by pidfd, seen by a program that runs in the task."""
    with load_part("map_things", "of_task", "reads_task", targ_tgid=os.getpid()) as obj:
        m = obj.maps["of_task"]
        with open(os.pidfd_open(os.getpid())) as me:  # an object with a fileno() does, too
            assert m.get(me) is None
            m[me] = 99
            assert m[me.fileno()] == 99
            with pybpfload.attach(obj.programs["reads_task"]):
                os.getppid()
            assert obj.variables["found"] == 99
            m.put(me, 100)
            assert me in m
            assert m.pop(me) == 100
            with pytest.raises(KeyError):
                del m[me]
        with pytest.raises(SyscallError, match="EBADF"):
            m[-1] = 1
        with pytest.raises(RecordError, match="key 'me' is no file descriptor"):
            m["me"] = 1
        with pytest.raises(TypeError, match="keeps no list of the owners"):
            list(m)


@needs("storage_values", "map:inode_storage")
@uses("map:inode_storage")
def test_inode_storage_belongs_to_a_file(tmp_path):
    """All who open the file get at the same value."""
    (tmp_path / "one").touch()
    (tmp_path / "two").touch()
    with (
        load_part("map_things", "of_inode") as obj,
        (tmp_path / "one").open() as first,
        (tmp_path / "one").open() as again,
    ):
        obj.maps["of_inode"][first] = 7
        assert obj.maps["of_inode"][again] == 7
        with (tmp_path / "two").open() as other:
            assert other not in obj.maps["of_inode"]


@needs("storage_values", "map:inode_storage", "lsm", "bpf_lsm")
def test_inode_storage_is_seen_by_lsm_programs(tmp_path):
    """A program that runs when the file is opened reads what we stored with it."""
    (tmp_path / "one").touch()
    with load_part("map_things", "of_inode", "reads_inode", targ_tgid=os.getpid()) as obj:
        with (tmp_path / "one").open() as file:
            obj.maps["of_inode"][file] = 77
            with pybpfload.attach(obj.programs["reads_inode"]), (tmp_path / "one").open():
                pass
        assert obj.variables["found"] == 77


@needs("storage_values", "map:cgrp_storage")
@uses("map:cgrp_storage")
def test_cgroup_storage_of_programs_belongs_to_a_directory():
    """Set by the cgroup's descriptor, seen by a program that runs in a task of it."""
    with load_part("map_things", "of_cgroup", "reads_cgroup", targ_tgid=os.getpid()) as obj:
        with own_cgroup("cgrp-storage") as fd:
            obj.maps["of_cgroup"][fd] = 55
            with pybpfload.attach(obj.programs["reads_cgroup"]):
                os.getppid()
            assert obj.maps["of_cgroup"][fd] == 55
        assert obj.variables["found"] == 55


def send_packet() -> socket.socket:
    """A socket that has sent one packet to itself."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.sendto(b"packet", made.getsockname())
    return made


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("local", marks=uses("map:cgroup_storage")),
        pytest.param("local_cpu", marks=uses("map:percpu_cgroup_storage")),
    ],
)
def test_cgroup_local_storage_counts_for_an_attached_program(name):
    """Attaching makes the entry; it can be read, written and listed, and not be made from here."""
    with load_part("map_things", "local local_cpu", "counts_egress") as obj, own_cgroup("local-storage") as fd:
        m = obj.maps[name]
        assert list(m) == []
        with attached(obj.programs["counts_egress"], fd, AttachType.CGROUP_INET_EGRESS):
            send_packet().close()
            ((key, value),) = m.items()
            assert key.attach_type == AttachType.CGROUP_INET_EGRESS
            assert key.cgroup_inode_id == os.fstat(fd).st_ino
            assert (value.sum() if name == "local_cpu" else value) == 1
            m[key] = [10] * possible_cpus() if name == "local_cpu" else 10
            send_packet().close()
            assert (m[key].sum() - 10 * possible_cpus() if name == "local_cpu" else m[key] - 10) == 1
            with pytest.raises(SyscallError):
                m[{"cgroup_inode_id": 1}] = m[key]


@needs("storage_values")
@uses("map:sk_storage")
def test_socket_storage_belongs_to_a_socket():
    """Set by the socket's descriptor, seen by a program that looks at its packets."""
    with load_part("map_things", "of_socket", "reads_socket") as obj, own_cgroup("sk-storage") as fd:
        m = obj.maps["of_socket"]
        with attached(obj.programs["reads_socket"], fd, AttachType.CGROUP_INET_EGRESS), send_packet() as one:
            assert obj.variables["found"] == 0
            m[one] = 3
            one.sendto(b"packet", one.getsockname())
            assert obj.variables["found"] == 3
            assert m[one.fileno()] == 3
            del m[one]
            assert m.get(one, "none") == "none"
