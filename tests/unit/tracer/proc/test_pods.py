"""Names of pods, from files as the kubelet makes them."""

from __future__ import annotations

import pytest

from tracer.proc.pods import PodNames, PodTable

ID, OTHER = "a" * 64, "b" * 64
UID = "12345678-1234-1234-1234-123456789abc"


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "containers").mkdir()
    (tmp_path / "pods" / f"shop_cart-5d9f_{UID}" / "web").mkdir(parents=True)
    return tmp_path


def test_link_of_a_container_tells_all(logs):
    """As the kubelet links it."""
    (logs / "containers" / f"cart-5d9f_shop_web-{ID}.log").symlink_to("/nowhere")
    assert PodTable(str(logs)).find(ID, UID) == PodNames("shop/cart-5d9f", "web")


def test_directory_of_a_pod_tells_the_pod(logs):
    """For a container without a link yet."""
    assert PodTable(str(logs)).find(ID, UID) == PodNames("shop/cart-5d9f", "")


def test_new_container_is_found(logs, monkeypatch):
    """What is not there is looked for again, but not at once."""
    table = PodTable(str(logs))
    assert table.find(OTHER, "") == PodNames()
    (logs / "containers" / f"cart_shop_web-{OTHER}.log").touch()
    assert table.find(OTHER, "") == PodNames()
    monkeypatch.setattr("tracer.proc.pods.time.monotonic", lambda: 1e9)
    assert table.find(OTHER, "") == PodNames("shop/cart", "web")


HOSTILE = ("x", f"a_b-{ID}.log", f"A_b_c-{ID}.log", f"a_b_c-{ID[1:]}.log", f"a_b_\x1bc-{ID}.log", f"a_b_c-{ID}.log\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_other_names_are_left_out(logs, name):
    """Whatever lies there."""
    (logs / "containers" / name).touch()
    assert PodTable(str(logs)).find(ID, "") == PodNames()


def test_no_directory_is_no_error(tmp_path):
    """Most hosts are no node."""
    assert PodTable(str(tmp_path / "nowhere")).find(ID, UID) == PodNames()
