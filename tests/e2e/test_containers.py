"""The image, and the two ways to run it in Kubernetes: from our own manifests, on a real runtime.

All tests share one toolbox, see tests/support/containers.py. Pods have no network, but their own loopback.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest
import yaml

from tests.support import gates
from tests.support.containers import manifest, open_box, remove_cgroups, without_probes
from tests.support.workloads import of_kind, of_pids, wait_until

pytestmark = pytest.mark.containers

CAPABILITIES = ("--cap-drop=ALL", "--cap-add=BPF,PERFMON,SYS_PTRACE,NET_ADMIN")
CGROUPS = "--volume=/sys/fs/cgroup:/host/cgroup:ro"
TIGHT = ("--rm", "--network=none", "--read-only", "--security-opt=no-new-privileges")
IMAGE = "localhost/crypto-tracer:slim"
NOTHING_LOST = ", 0 lost"
POD_UID = "12345678-1234-1234-1234-123456789abc"

# What a startup probe does in Kubernetes: the program starts when the tracer is ready.
START_WEB = """\
until python3 -c 'import urllib.request as r; r.urlopen("http://127.0.0.1:9477/readyz", timeout=5)' 2>/dev/null
do sleep 0.1; done
exec nginx -g 'daemon off; error_log stderr;'
"""
SIDECAR = Path(__file__).parents[2] / "deploy" / "kubernetes" / "overlays" / "sidecar"


@pytest.fixture(scope="module")
def box():
    reason = gates.why_no_kernel_tests()
    if reason:
        gates.skip_or_fail(reason)
    with open_box() as found:
        yield found


def test_image_is_the_same_when_it_is_built_again(box):
    """Nothing of the time or the machine is in it, in none of its kinds."""
    assert box.build("again", "--no-cache") == box.image_id(IMAGE).removeprefix("sha256:")
    first, second = (box.build(f"minimal-{n}", "--no-cache", "--target", "minimal") for n in "ab")
    assert first == second


@pytest.mark.parametrize("target", ["slim", "minimal"])
def test_image_traces_with_few_capabilities(box, target):
    """Read-only, without new privileges, under the runtime's own seccomp profile: all probes are on."""
    tag = box.build(f"ct-{target}", "--target", target) and f"ct-{target}"
    done = box.podman("run", *TIGHT, "--pid=host", *CAPABILITIES, CGROUPS, tag, "doctor", "-f", "json-stream")
    found = json.loads(done.stdout)
    assert found["ready"]
    assert all("perf" not in way for probe in found["probes"] for way in probe["ways"])


def test_image_says_what_a_container_without_capabilities_lacks(box):
    """Exit code 3, and the option that helps."""
    done = box.podman("run", *TIGHT, "--pid=host", "--cap-drop=ALL", IMAGE, check=False)
    assert done.returncode == 3
    assert "--cap-add BPF,PERFMON,SYS_PTRACE,DAC_READ_SEARCH" in done.stderr


def test_minimal_image_has_no_shell(box):
    """Python, and what it needs: nothing to go on with for who gets in."""
    box.build("ct-minimal", "--target", "minimal")
    code = "import os; print(*(n for d in ('/bin', '/usr/bin', '/usr/local/bin') if os.path.isdir(d)"
    code += " for n in os.listdir(d)))"
    done = box.podman("run", *TIGHT, "--entrypoint", "python3", "ct-minimal", "-I", "-c", code)
    names = set(done.stdout.split())
    assert names
    assert all(name.startswith("python3") for name in names)


def test_nonroot_image_runs_as_nobody_in_particular(box):
    """With the capabilities that the runtime passes on as ambient ones."""
    box.build("ct-nonroot", "--target", "minimal-nonroot")
    done = box.podman("run", *TIGHT, "--pid=host", *CAPABILITIES, CGROUPS, "ct-nonroot", "doctor", "-f", "json-stream")
    assert json.loads(done.stdout)["ready"]
    code = "import os; print(os.getuid(), os.getgid())"
    done = box.podman("run", *TIGHT, "--entrypoint", "python3", "ct-nonroot", "-I", "-c", code)
    assert done.stdout.split() == ["65532", "65532"]


def test_image_has_labels_and_asks_itself(box):
    """HEALTHCHECK is the tool's own command; it is in images of Docker's format only."""
    box.build("ct-docker", "--format", "docker", "--target", "minimal")
    found = box.inspect("ct-docker")
    assert found["Labels"]["org.opencontainers.image.title"] == "crypto-tracer"
    assert found["Labels"]["org.opencontainers.image.licenses"]
    assert found["Healthcheck"]["Test"] == ["CMD", "python3", "-I", "/crypto-tracer.pyz", "health"]
    box.podman("run", "--detach", "--name=asked", *TIGHT, "--pid=host", *CAPABILITIES, "ct-docker")
    try:
        box.wait_ready("asked")
        assert box.podman("healthcheck", "run", "asked").returncode == 0
    finally:
        box.podman("rm", "--force", "--time=5", "asked")


# The scenes.


def sidecar_manifests():
    """The example with its patch and its configuration, as kustomize would make them; podman has no native sidecars."""
    deployment = manifest("overlays/sidecar/deployment.yaml")
    patch = manifest("overlays/sidecar/sidecar.yaml")["spec"]["template"]["spec"]
    spec = deployment["spec"]["template"]["spec"]
    (sidecar,) = copy.deepcopy(patch["initContainers"])
    assert sidecar.pop("restartPolicy") == "Always"
    spec["shareProcessNamespace"] = patch["shareProcessNamespace"]
    (web,), (certificate,) = spec["containers"], spec["initContainers"]
    sidecar["image"] = IMAGE
    certificate["image"] = "localhost/web"
    web.update(image="localhost/web", command=["sh", "-c", START_WEB])
    spec["containers"] = [without_probes(sidecar), web]
    (made,) = manifest("overlays/sidecar/kustomization.yaml")["configMapGenerator"]
    data = {name: (SIDECAR / name).read_text() for name in made["files"]}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data}, deployment]


def test_sidecar_sees_its_pod_with_the_ids_of_the_pod(box):
    """Nginx with a certificate, and a client: files, libraries and handshakes, by the ids that the pod has."""
    box.need_web()
    with box.playing("sidecar", sidecar_manifests()):
        tracer, web = "web-pod-crypto-tracer", "web-pod-nginx"
        box.wait_ready(tracer)
        talk = "echo | openssl s_client -connect 127.0.0.1:8443 -tls1_3"
        wait_until(lambda: "TLSv1.3" in box.podman("exec", web, "sh", "-c", talk, check=False).stdout, "a handshake")
        assert "ready: " in box.podman("exec", tracer, "python3", "-I", "/crypto-tracer.pyz", "health").stdout
        inside = int(box.podman("exec", web, "cat", "/run/nginx.pid").stdout)
        state = box.inspect(web)
        events, words = box.stop(tracer)
    host = state["State"]["Pid"]
    assert NOTHING_LOST in words[-1]
    nginx = of_pids(events, [inside])
    assert {event["host_pid"] for event in nginx} == {host}
    opened = {(event["file_path"], event["file_type"], event["result"]) for event in of_kind(nginx, "file_open")}
    assert ("/etc/nginx/tls/tls.key", "private_key", 0) in opened
    assert ("/etc/nginx/tls/tls.crt", "certificate", 0) in opened
    assert {event["exe"] for event in nginx if event["process"] == "nginx"} == {"/usr/sbin/nginx"}
    assert {event["container"] for event in nginx} == {state["Id"]}
    assert "libssl" in {event["library_name"] for event in of_kind(nginx, "lib_load")}
    shaken = [event for event in of_kind(events, "tls_handshake") if event["success"]]
    assert {(event["process"], event["role"]) for event in shaken} >= {("nginx", "server"), ("openssl", "client")}
    assert all(event["pid"] != event["host_pid"] for event in events)


@pytest.fixture
def kubelet(box):
    """A directory as the kubelet keeps it, and a function that enters a container."""
    folder = box.folder / "varlog"
    (folder / "containers").mkdir(parents=True, exist_ok=True)

    def enter(identity: str, pod: str, container: str) -> None:
        (folder / "containers" / f"{pod}_shop_{container}-{identity}.log").touch()

    yield folder, enter
    for each in (folder / "containers").iterdir():
        each.unlink()


def daemon_set(logs: Path):
    """Ours, with a directory of its own for logs."""
    found = manifest("overlays/daemonset/daemonset.yaml")
    spec = found["spec"]["template"]["spec"]
    spec["volumes"][0]["hostPath"]["path"] = str(logs)
    spec["containers"] = [{**without_probes(spec["containers"][0]), "image": IMAGE}]
    return found


def test_daemonset_tells_pods_apart(box, kubelet):
    """Two pods open a key of the same name: container, pod and names are those of each, the ids those of the host."""
    logs, enter = kubelet
    box.need_web()
    parent = f"kubepods-test-{os.getpid()}"
    with box.playing("daemonset", [daemon_set(logs)]):
        tracer = "crypto-tracer-pod-crypto-tracer"
        box.wait_ready(tracer)
        pods = {}
        try:
            for number in (1, 2):
                uid = POD_UID[:-1] + str(number)
                box.podman(
                    *("run", "--detach", f"--name=app{number}", "--network=none"),
                    *(f"--cgroup-parent=/{parent}/pod{uid}", "localhost/web", "sleep", "1000"),
                )
                pods[number] = (uid, box.inspect(f"app{number}"))
                enter(pods[number][1]["Id"], f"app{number}", "main")
            for number in pods:
                wait_until(lambda n=number: box.is_named(tracer, f"app{n}", f"shop/app{n}"), "the names are known")
                box.podman("exec", f"app{number}", "sh", "-c", "echo x > /tmp/own.key; cat /tmp/own.key")
            events, words = box.stop(tracer)
        finally:
            for number in (1, 2):
                box.podman("rm", "--force", "--time=0", f"app{number}", check=False)
            remove_cgroups(parent)
    assert NOTHING_LOST in words[-1]
    for number, (uid, state) in pods.items():
        own = [event for event in events if event["container"] == state["Id"]]
        assert {event["pod"] for event in own} == {uid}
        assert all(event["pid"] == event["host_pid"] for event in own)
        (read,) = [event for event in of_kind(own, "file_open") if event["process"] == "cat"]
        assert (read["file_path"], read["result"]) == ("/tmp/own.key", 0)
        assert (read["pod_name"], read["container_name"]) == (f"shop/app{number}", "main")
        assert "libcrypto" in {event["library_name"] for event in of_kind(own, "lib_load")}


# The manifests.


@pytest.mark.parametrize(
    "path", ["base/namespace", "base/serviceaccount", "overlays/daemonset/daemonset", "overlays/sidecar/deployment"]
)
def test_manifest_is_valid(path):
    """By the schemas of Kubernetes itself, the oldest and the newest that the validator has and we care for."""
    import kubernetes_validate

    for version in ("1.29", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(manifest(f"{path}.yaml"), version, strict=True)


def test_patched_deployment_is_valid():
    """The sidecar, in the place where the patch puts it."""
    import kubernetes_validate

    deployment = manifest("overlays/sidecar/deployment.yaml")
    patch = manifest("overlays/sidecar/sidecar.yaml")
    assert patch["metadata"] == {key: deployment["metadata"][key] for key in ("name", "namespace")}
    added, spec = patch["spec"]["template"]["spec"], deployment["spec"]["template"]["spec"]
    spec.update({**added, "initContainers": added["initContainers"] + spec["initContainers"]})
    kubernetes_validate.validate(deployment, "1.29", strict=True)


def test_kustomizations_name_files_that_are_there():
    """And every file is named by one."""
    root = Path(__file__).parents[2] / "deploy" / "kubernetes"
    named = set()
    for path in root.rglob("kustomization.yaml"):
        found = yaml.safe_load(path.read_text())
        made = [name for each in found.get("configMapGenerator", []) for name in each["files"]]
        for name in [*found["resources"], *made, *(patch["path"] for patch in found.get("patches", []))]:
            target = (path.parent / name).resolve()
            named.add(target / "kustomization.yaml" if target.is_dir() else target)
    assert all(path.exists() for path in named)
    files = {path for path in root.rglob("*") if path.is_file()}
    assert files - named == set(root.glob("overlays/*/kustomization.yaml"))
