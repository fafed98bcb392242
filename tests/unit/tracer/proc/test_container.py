"""Containers by the names of their control groups, as the runtimes make them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.proc.container import Container, ContainerTable, parse_file, parse_path, read_container

ID = "4f2b9c0d" * 8
OTHER = "0a1b2c3d" * 8
UID = "12345678-9abc-def0-1234-56789abcdef0"
UNDER = UID.replace("-", "_")
SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDER}.slice"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/docker/{ID}", Container(ID, "docker")),
        (f"/system.slice/docker-{ID}.scope", Container(ID, "docker")),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", Container(ID, "docker")),
        (f"/docker/{OTHER}/docker/{ID}", Container(ID, "docker")),
        (f"/docker/{ID}/system.slice/ssh.service", Container(ID, "docker")),
        ("/docker/buildkit/abcdefghij0123456789abcde", Container("abcdefghij0123456789abcde", "buildkit")),
        (f"/kubepods/burstable/pod{UID}/{ID}", Container(ID, "containerd", UID)),
        (f"/kubepods/pod{UID}/{ID}", Container(ID, "containerd", UID)),
        (f"{SLICE}/cri-containerd-{ID}.scope", Container(ID, "containerd", UID)),
        (f"{SLICE}/docker-{ID}.scope", Container(ID, "docker", UID)),
        (f"{SLICE}/crio-{ID}.scope", Container(ID, "cri-o", UID)),
        (f"{SLICE}/crio-{ID}.scope/container", Container(ID, "cri-o", UID)),
        (
            f"/system.slice/containerd.service/kubepods-besteffort-pod{UNDER}.slice:cri-containerd:{ID}",
            Container(ID, "containerd", UID),
        ),
        (
            f"/kubelet.slice/kubelet-kubepods.slice{SLICE[len('/kubepods.slice') :]}/cri-containerd-{ID}.scope",
            Container(ID, "containerd", UID),
        ),
        (f"/kubepods/besteffort/pod{'ab' * 16}/{ID}", Container(ID, "containerd", "ab" * 16)),
        (f"/kubepods/burstable/pod{UID}/crio-{ID}", Container(ID, "cri-o", UID)),
        (f"/system.slice/nerdctl-{ID}.scope", Container(ID, "containerd")),
        (f"/default/{ID}", Container(ID, "")),
        (f"/machine.slice/libpod-{ID}.scope", Container(ID, "podman")),
        (f"/machine.slice/libpod-{ID}.scope/container", Container(ID, "podman")),
        (f"/libpod_parent/libpod-{ID}", Container(ID, "podman")),
        (f"/user.slice/user-0.slice/user@0.service/user.slice/libpod-{ID}.scope", Container(ID, "podman")),
        (f"/ecs/{'c' * 32}/{ID}", Container(ID, "ecs")),
        (f"/ecs/{'c' * 32}/{'c' * 32}-1234567", Container(f"{'c' * 32}-1234567", "ecs")),
        ("/lxc.payload.web1", Container("web1", "lxc")),
        ("/lxc/web1", Container("web1", "lxc")),
        (r"/machine.slice/machine-my\x2dbox.scope", Container("my-box", "nspawn")),
        ("/machine.slice/machine-mybox.scope/payload", Container("mybox", "nspawn")),
        ("/machine.slice/systemd-nspawn@mybox.service", Container("mybox", "nspawn")),
    ],
)
def test_parse_path_of_a_container(path, expected):
    """Docker, containerd, CRI-O, podman, Kubernetes by either driver, and others."""
    assert parse_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/init.scope",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/user.slice/user-1000.slice/session-2.scope",
        f"/machine.slice/libpod-conmon-{ID}.scope",
        f"{SLICE}/crio-conmon-{ID}.scope",
        SLICE,
        f"/kubepods/burstable/pod{UID}",
        f"/docker/{ID[:-1]}",
        f"/docker/{ID.upper()}",
        "/kubepods",
    ],
)
def test_parse_path_of_no_container_is_none(path):
    """Services, sessions, pods as such, and the helpers of runtimes."""
    assert parse_path(path) is None


def test_parse_file_takes_version_2_first():
    """A host may have both."""
    assert parse_file(f"0::/docker/{ID}\n").id == ID
    assert parse_file(f"4:cpu,cpuacct:/docker/{OTHER}\n0::/docker/{ID}\n").id == ID
    assert parse_file(f"4:cpu,cpuacct:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n").id == ID
    assert parse_file("4:cpu:/user.slice\n0::/\n") is None
    assert parse_file(f"0::/docker/{ID} (deleted)\n").id == ID
    assert parse_file("no such form\n::\n") is None


@given(st.text(max_size=300))
def test_parse_any_text_is_a_container_or_none(text):
    """Somebody who may make control groups may name them as they like."""
    assert parse_path(text) is None or parse_path(text).id
    parse_file(text)


def test_parse_of_a_long_path_is_quick():
    """Only its end counts."""
    assert parse_path("/" + "/".join(["pod" * 80] * 100000)) is None


def test_read_container_of_this_process_is_what_its_file_says():
    """The same answer from the file, read here."""
    with open("/proc/self/cgroup") as file:
        assert read_container(os.getpid()) == parse_file(file.read())


def test_container_table_child_is_where_its_parent_was():
    """Children are known before anybody can ask, and gone ones forgotten."""
    table = ContainerTable(capacity=2)
    table._remember((7, 50, 99), Container(ID, "docker"))
    table.forked((7, 500_000_000), (8, 600_000_000), 99)
    assert table.find(8, 600_000_000, 99) == Container(ID, "docker")
    assert table.find(8, 600_000_000, 98) is None
    table.ended(8, 600_000_000, 99)
    assert (8, 60, 99) not in table._known


def test_container_table_does_not_take_another_process_of_the_same_id():
    """This process did not start at boot."""
    table = ContainerTable()
    assert table.find(os.getpid(), 10, 1) is None
    assert len(table._known) == 0
