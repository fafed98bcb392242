"""Network interfaces and sockets, in a network namespace of the test's own."""

from __future__ import annotations

import errno
import os
import socket
import subprocess

import pytest

import pybpfload
from pybpfload._sys.netlink import EGRESS, INGRESS, Route
from pybpfload.errors import AttachError, BpfError
from tests.support.needs import need, needs, uses
from tests.support.objects import only
from tests.support.sandbox import ip, netns

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _own_network():
    """All here happens where nobody else is; afterwards the loopback device is as new."""
    with netns():
        yield
        route = Route()
        try:
            assert route.xdp_id(1) == 0
            assert route.filters(1, INGRESS) + route.filters(1, EGRESS) == 0
            assert route.add_clsact(1), "clsact is still there"
        finally:
            route.close()


def send(count=1, port=9, host="127.0.0.1"):
    """Datagrams over the loopback device, to nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(b"x", (host, port))


WAYS = [pytest.param("xdp_link", marks=uses("link:xdp")), "netlink"]


@pytest.mark.parametrize("kind", WAYS)
@uses("prog:xdp")
def test_xdp_sees_packets_until_it_is_closed(kind):
    """By a link or by netlink, which the link says."""
    with only("net", "on_xdp") as obj:
        with pybpfload.attach_xdp(obj.programs["on_xdp"], "lo", kind=kind) as link:
            assert link.kind == kind
            send(7)
            hits = obj.variables["hits"]
        send()
        assert hits >= 7
        assert obj.variables["hits"] == hits


@pytest.mark.parametrize("kind", WAYS)
def test_xdp_interface_in_use_is_refused(kind):
    """A second program does not push the first one out."""
    with only("net", "on_xdp", "other_xdp") as obj:
        with pybpfload.attach_xdp(obj.programs["on_xdp"], 1, mode="skb", kind=kind):
            with pytest.raises(AttachError, match=r"cannot attach to xdp of lo: .*(EBUSY|EEXIST)"):
                pybpfload.attach_xdp(obj.programs["other_xdp"], "lo", kind=kind)
            send()
        assert obj.variables["hits"] >= 1


def test_xdp_takes_the_best_way():
    """The link where there is one."""
    with only("net", "on_xdp") as obj, pybpfload.attach_xdp(obj.programs["on_xdp"], "lo") as link:
        from pybpfload.features import has

        assert link.kind == ("xdp_link" if has("link:xdp") else "netlink")
        with pytest.raises(AttachError, match="nosuch0"):
            pybpfload.attach_xdp(obj.programs["on_xdp"], "nosuch0")
        with pytest.raises(AttachError, match="mode `fast`: expected skb, drv or hw"):
            pybpfload.attach_xdp(obj.programs["on_xdp"], "lo", mode="fast")


@needs("link:xdp")
def test_xdp_link_is_updated_without_a_gap():
    """Another program in the same link; only if the expected one is there."""
    with only("net", "on_xdp", "other_xdp") as obj:
        one, other = obj.programs["on_xdp"], obj.programs["other_xdp"]
        with pybpfload.attach_xdp(one, "lo", kind="xdp_link") as link:
            with pytest.raises(OSError, match="EPERM"):
                link.update(other, expected=other)
            link.update(other, expected=one)
            assert link.program_name == "other_xdp"
            assert link.info().prog_id == other.id
            send()
        assert obj.variables["others"] >= 1
        assert obj.variables["hits"] == 0


def test_xdp_by_netlink_has_no_link_to_pin_or_update():
    """It says which way it was attached."""
    with only("net", "on_xdp") as obj, pybpfload.attach_xdp(obj.programs["on_xdp"], "lo", kind="netlink") as link:
        for action in (
            lambda: link.pin("/sys/fs/bpf/x"), link.detach, link.info, lambda: link.update(obj.programs["on_xdp"])
        ):  # fmt: skip
            with pytest.raises(BpfError, match="takes one BPF link; this is attached by netlink"):
                action()
        with pytest.raises(ValueError, match="netlink has no file descriptor"):
            link.fileno()


def test_xdp_by_netlink_is_removed_in_its_own_namespace():
    """Wherever the thread is by then; and not if another program has taken its place."""
    with only("net", "on_xdp", "other_xdp") as obj:
        link = pybpfload.attach_xdp(obj.programs["on_xdp"], "lo", kind="netlink")
        with netns():
            link.close()
        route = Route()
        try:
            assert route.xdp_id(1) == 0
            link = pybpfload.attach_xdp(obj.programs["on_xdp"], "lo", kind="netlink")
            route.set_xdp(1, obj.programs["other_xdp"].fileno(), 0, None, "take over")
            link.close()
            assert route.xdp_id(1) == obj.programs["other_xdp"].id
            route.set_xdp(1, -1, 0, None, "clean up")
        finally:
            route.close()


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize("kind", [pytest.param("tcx_link", marks=uses("link:tcx")), "netlink"])
@uses("prog:sched_cls")
def test_tc_sees_packets_until_it_is_closed(kind, direction):
    """By a tcx link, or by a filter of clsact, which goes with its last filter."""
    with only("net", "on_packet") as obj:
        with pybpfload.attach_tc(obj.programs["on_packet"], "lo", direction, kind=kind) as link:
            assert link.kind == kind
            send(7)
            hits = obj.variables["hits"]
        send()
        assert hits >= 7
        assert obj.variables["hits"] == hits


def test_tc_several_filters_share_clsact():
    """Closed in any order, the last one takes clsact away; one that was there before stays."""
    with only("net", "on_packet", "other_packet") as obj:
        for order in (1, -1):
            links = [
                pybpfload.attach_tc(obj.programs["on_packet"], "lo", "ingress", kind="netlink"),
                pybpfload.attach_tc(obj.programs["on_packet"], "lo", "ingress", kind="netlink"),
                pybpfload.attach_tc(obj.programs["other_packet"], "lo", kind="netlink", priority=5),
            ]
            shown = subprocess.run(["tc", "filter", "show", "dev", "lo", "ingress"], capture_output=True, check=True)
            assert shown.stdout.count(b"direct-action") == 2
            for link in links[::order]:
                link.close()
        route = Route()
        try:
            assert route.add_clsact(1)
            pybpfload.attach_tc(obj.programs["on_packet"], "lo", "ingress", kind="netlink").close()
            assert not route.add_clsact(1)
            route.del_clsact(1)
        finally:
            route.close()


@needs("tcx")
def test_tcx_programs_stand_in_order():
    """The other program counts what nobody saw before it: the first packet, or none."""
    for place, expected in (("after", 0), ("before", 1), ("before program", 1), ("first", 1)):
        with only("net", "on_packet", "other_packet") as obj:
            one, other = obj.programs["on_packet"], obj.programs["other_packet"]
            with pybpfload.attach_tc(one, "lo", "egress") as link:
                where = {
                    "after": {"after": link},
                    "before": {"before": link},
                    "before program": {"before": one},
                    "first": {"first": True},
                }[place]
                with pybpfload.attach_tc(other, "lo", **where) as second:
                    assert second.info().details["ifindex"] == 1
                    send()
            assert obj.variables["hits"] >= 1
            assert obj.variables["others"] == expected, place


def test_tc_messages_name_what_is_missing():
    """The direction, the interface; order needs tcx."""
    with only("net", "on_packet") as obj:
        program = obj.programs["on_packet"]
        with pytest.raises(AttachError, match="expected the direction ingress or egress"):
            pybpfload.attach_tc(program, "lo")
        with pytest.raises(AttachError, match="nosuch0"):
            pybpfload.attach_tc(program, "nosuch0", "ingress")
        with pytest.raises(AttachError, match="order among programs of tc"):
            pybpfload.attach_tc(program, "lo", "ingress", first=True, kind="netlink")
        with pytest.raises(AttachError, match=r"expected attach_tc\(program, DEVICE, DIRECTION\)"):
            pybpfload.attach(program)


@needs("netkit")
@uses("link:netkit")
def test_netkit_sees_what_its_devices_send():
    """A pair of devices, both ends here."""
    done = subprocess.run(["ip", "link", "add", "left0", "type", "netkit"], capture_output=True, text=True, check=False)
    if done.returncode:
        # This ip may be older than netkit: the message by hand.
        create_netkit("left0")
    with only("net", "on_netkit") as obj:
        with pybpfload.attach_netkit(obj.programs["on_netkit"], "left0") as link:
            assert link.kind == "netkit_link"
            ip("addr", "add", "10.9.8.1/24", "dev", "left0")
            ip("link", "set", "left0", "up")
            ip("neigh", "replace", "10.9.8.2", "lladdr", "02:00:00:00:00:02", "dev", "left0")
            peer = next(name for _, name in socket.if_nameindex() if name not in {"lo", "left0"})
            ip("link", "set", peer, "up")
            send(3, host="10.9.8.2")
        assert obj.variables["hits"] >= 3
    ip("link", "del", "left0")


def create_netkit(name):
    """RTM_NEWLINK of kind netkit, as the newest ip sends it."""
    from pybpfload._sys import netlink as n

    info = n._attr(1, b"netkit\0") + n._attr(2, b"")
    body = n.LINK.pack(0, 0, 0, 0, 0) + n._attr(3, name.encode() + b"\0") + n._attr(18, info)
    route = Route()
    try:
        route._ask(16, n.ACK | n.CREATE | n.EXCL, body, "RTM_NEWLINK netkit")
    finally:
        route.close()


@needs("netfilter")
@uses("prog:netfilter", "link:netfilter")
def test_netfilter_hook_sees_packets():
    """In this thread's network namespace."""
    with only("net", "on_netfilter") as obj:
        program = obj.programs["on_netfilter"]
        with pybpfload.attach_netfilter(program, "ipv4", "local_in", priority=-10) as link:
            assert link.kind == "netfilter_link"
            assert link.info().details["priority"] == -10
            send(7)
            hits = obj.variables["hits"]
        send()
        assert hits >= 7
        assert obj.variables["hits"] == hits
        with pytest.raises(AttachError, match="expected ipv4 or ipv6, and one of prerouting"):
            pybpfload.attach_netfilter(program, "ipv4", "input", priority=1)


@uses("prog:socket_filter")
def test_socket_filter_decides_what_a_socket_gets():
    """This one lets nothing through, until it is closed."""
    with only("net", "on_socket") as obj, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        port = sock.getsockname()[1]
        with pybpfload.attach_socket(obj.programs["on_socket"], sock) as link:
            assert link.kind == "setsockopt"
            send(3, port)
            with pytest.raises(BlockingIOError):
                sock.recv(9)
        send(1, port)
        assert sock.recv(9) == b"x"
        assert obj.variables["hits"] == 3


@needs("prog:sk_reuseport")
@uses("prog:sk_reuseport")
def test_reuseport_program_chooses_among_sockets():
    """Attached to one socket of the group, it is asked for each packet of all."""
    with only("net", "on_reuseport") as obj, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        with pybpfload.attach_socket(obj.programs["on_reuseport"], sock):
            send(3, sock.getsockname()[1])
            assert obj.variables["hits"] == 3
        send(1, sock.getsockname()[1])
        assert obj.variables["hits"] == 3


@needs("link:netns", "prog:sk_lookup")
@uses("prog:sk_lookup", "link:netns")
def test_sk_lookup_sends_connections_to_another_port():
    """SEC(sk_lookup) means this thread's network namespace."""
    with only("net", "on_lookup") as obj, socket.create_server(("127.0.0.1", 0)) as server:
        key, value = (0).to_bytes(4, "little"), server.fileno().to_bytes(8, "little")
        obj.maps["listeners"][key] = value
        with pybpfload.attach(obj.programs["on_lookup"]) as link:
            assert link.kind == "netns_link"
            with socket.create_connection(("127.0.0.1", 7777), timeout=30):
                server.accept()[0].close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 7777), timeout=30)
        assert obj.variables["hits"] >= 1


@pytest.mark.parametrize("kind", [pytest.param("netns_link", marks=needs("link:netns")), "prog_attach"])
@uses("prog:flow_dissector")
def test_flow_dissector_is_attached_to_the_namespace(kind):
    """By a link, or as of old; the kernel's own list of attached programs shows it."""
    from pybpfload._sys import links as sys_links

    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        with only("net", "on_flow") as obj:
            with pybpfload.attach_netns(obj.programs["on_flow"], kind=kind) as link:
                assert link.kind == kind
                assert sys_links.prog_query(fd, 17) == [obj.programs["on_flow"].id]
            assert sys_links.prog_query(fd, 17) == []
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", [pytest.param("sockmap_link", marks=uses("link:sockmap")), "prog_attach"])
@pytest.mark.parametrize(
    "program",
    [pytest.param("on_message", marks=uses("prog:sk_msg")), pytest.param("on_stream", marks=uses("prog:sk_skb"))],
)
def test_sockmap_program_sees_messages_of_its_sockets(kind, program):
    """What is sent (sk_msg) or received (sk_skb) by a socket in the map."""
    need("map:sockmap")
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    with only("net", program) as obj, client, peer:
        sockets = obj.maps["sockets"]
        with pybpfload.attach_sockmap(obj.programs[program], sockets, kind=kind) as link:
            assert link.kind == kind
            watched = client if program == "on_message" else peer
            sockets[bytes(4)] = watched.fileno().to_bytes(4, "little")
            client.sendall(b"hello")
            peer.settimeout(30)
            assert peer.recv(9) == b"hello"
            assert obj.variables["hits"] == 1
            del sockets[bytes(4)]


def test_forced_detach_cuts_the_link_of_others():
    """The descriptor stays, the program does not."""
    need("link:xdp", "link_detach")
    with only("net", "on_xdp") as obj, pybpfload.attach_xdp(obj.programs["on_xdp"], "lo", kind="xdp_link") as link:
        link.detach()
        send()
        assert obj.variables["hits"] == 0
        assert link.info().details["ifindex"] == 0
        with pytest.raises(OSError, match="ENOLINK") as caught:
            link.update(obj.programs["on_xdp"])
        assert caught.value.errno == errno.ENOLINK
