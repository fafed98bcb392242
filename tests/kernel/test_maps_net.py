"""Maps that lead packets to devices, CPUs and sockets: programs redirect by them."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest

from pybpfload.errors import RecordError, SyscallError
from pybpfload.uapi import AttachType
from tests.support.maps import attached, load_part, run
from tests.support.needs import uses

pytestmark = pytest.mark.kernel

XDP_ABORTED, XDP_REDIRECT = 0, 4
LOOPBACK = 1
SO_COOKIE, SO_ATTACH_REUSEPORT_EBPF = 57, 52
AF_XDP, SOL_XDP, XDP_RX_RING = 44, 283, 2


def cookie_of(one: socket.socket) -> int:
    """The number by which the kernel speaks of a socket."""
    return struct.unpack("=Q", one.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]


@pytest.fixture
def tcp_pairs():
    """Makes connected TCP sockets."""
    with contextlib.ExitStack() as stack:

        def make() -> tuple[socket.socket, socket.socket]:
            with socket.create_server(("127.0.0.1", 0)) as server:
                client = stack.enter_context(socket.create_connection(server.getsockname(), timeout=10))
                accepted = stack.enter_context(server.accept()[0])
                accepted.settimeout(10)
                return client, accepted

        yield make


@pytest.mark.parametrize(
    "name",
    [pytest.param("devices", marks=uses("map:devmap")), pytest.param("device_hash", marks=uses("map:devmap_hash"))],
)
def test_device_map_holds_interface_numbers(name):
    """A program redirects where there is an entry; the key of a hash is any number."""
    with load_part("map_net", name, f"redirects_{name}") as obj:
        m, program = obj.maps[name], obj.programs[f"redirects_{name}"]
        assert run(program) == XDP_ABORTED
        m[1] = LOOPBACK
        assert run(program) == XDP_REDIRECT
        assert dict(m.items()) == {1: LOOPBACK}
        assert (m[1], 0 in m, len(m), list(m)) == (LOOPBACK, False, 1, [1])
        with pytest.raises(SyscallError, match="EINVAL"):
            m[2] = 0x7FFFFFFF
        del m[1]
        assert run(program) == XDP_ABORTED
        assert m.get(1) is None
        with pytest.raises(KeyError):
            m[1]
        m[1] = LOOPBACK
        m.clear()
        assert dict(m.items()) == {}


def test_device_map_with_programs_takes_bytes_or_a_number():
    """A struct of interface and program: without BTF it is read as bytes, and a number means no program."""
    with load_part("map_net", "device_values", "redirects_device_values") as obj:
        m = obj.maps["device_values"]
        m[1] = LOOPBACK
        assert struct.unpack("=II", m[1]) == (LOOPBACK, 0)
        m[2] = struct.pack("=Ii", LOOPBACK, -1)
        assert m[2] == m[1]
        assert run(obj.programs["redirects_device_values"]) == XDP_REDIRECT


@uses("map:cpumap")
def test_cpu_map_holds_queue_sizes():
    """An entry makes a kernel thread with a queue."""
    with load_part("map_net", "cpus", "redirects_cpus") as obj:
        m = obj.maps["cpus"]
        assert run(obj.programs["redirects_cpus"]) == XDP_ABORTED
        m[1] = 192
        assert run(obj.programs["redirects_cpus"]) == XDP_REDIRECT
        assert dict(m) == {1: 192}
        m.clear()
        assert not m


@uses("map:xskmap")
def test_xsk_map_takes_af_xdp_sockets():
    """They can be set and taken out; the kernel does not say what is in it."""
    with load_part("map_net", "xsks", "redirects_xsks") as obj, socket.socket(AF_XDP, socket.SOCK_RAW) as xsk:
        xsk.setsockopt(SOL_XDP, XDP_RX_RING, 64)  # newer kernels want to know where to put packets
        m = obj.maps["xsks"]
        assert run(obj.programs["redirects_xsks"]) == XDP_ABORTED
        m[1] = xsk
        assert run(obj.programs["redirects_xsks"]) == XDP_REDIRECT
        with pytest.raises(SyscallError, match=r"BPF_MAP_LOOKUP_ELEM xsks: .*maps of this type cannot do that"):
            m[1]
        with socket.socket() as plain, pytest.raises(SyscallError, match="not supported"):
            m[1] = plain
        del m[1]
        assert run(obj.programs["redirects_xsks"]) == XDP_ABORTED


@uses("map:sockmap")
def test_socket_map_redirects_between_sockets(tcp_pairs):
    """What goes into one socket comes out of another; the map leaves with the socket."""
    (one, _one_end), (two, _two_end) = tcp_pairs(), tcp_pairs()
    with load_part("map_net", "sockets", "sends_to_slot") as obj:
        m = obj.maps["sockets"]
        with attached(obj.programs["sends_to_slot"], m.fileno(), AttachType.SK_MSG_VERDICT):
            m.update({0: one, 1: two})
            one.sendall(b"by the map")
            assert two.recv(100) == b"by the map"
            assert m[0] == cookie_of(one)
            assert dict(m.items()) == {0: cookie_of(one), 1: cookie_of(two)}
            two.close()
            assert 1 not in m
        with pytest.raises(IndexError):
            m[9] = one
        assert m.get(9) is None
        with pytest.raises(RecordError, match="value -1"):
            m[0] = -1


@uses("map:sockhash")
def test_socket_hash_redirects_by_key(tcp_pairs):
    """The same with keys of any kind; they are bytes, as nothing types them."""
    (one, _one_end), (two, _two_end) = tcp_pairs(), tcp_pairs()
    key = struct.pack("=H", 500)
    with load_part("map_net", "socket_hash", "sends_to_key") as obj:
        m = obj.maps["socket_hash"]
        with attached(obj.programs["sends_to_key"], m.fileno(), AttachType.SK_MSG_VERDICT):
            m[b"\0\0"] = one.fileno()
            m[key] = two
            one.sendall(b"by the hash")
            assert two.recv(100) == b"by the hash"
            assert dict(m.items()) == {b"\0\0": cookie_of(one), key: cookie_of(two)}
            assert sorted(m) == sorted([b"\0\0", key])
            m.clear()
            assert len(m) == 0


@uses("map:reuseport_sockarray")
def test_reuseport_array_selects_the_socket():
    """Of three sockets on one port, the program picks the one in slot 1."""
    with load_part("map_net", "group", "selects") as obj, contextlib.ExitStack() as stack:
        m, port, sockets = obj.maps["group"], 0, []
        for index in range(3):
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind(("127.0.0.1", port))
            made.settimeout(10)
            port = made.getsockname()[1]
            m[index] = made
            sockets.append(made)
        sockets[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, obj.programs["selects"].fileno())
        for number in range(10):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(bytes([number]), ("127.0.0.1", port))
        assert [sockets[1].recv(10) for _ in range(10)] == [bytes([n]) for n in range(10)]
        assert dict(m) == {i: cookie_of(sockets[i]) for i in range(3)}
        sockets[2].close()
        assert sorted(m) == [0, 1]
