"""Images and pods, without a registry and without an engine: podman in a directory, which `container-box` makes.

The tool lies beside the repository. It takes a minute the first time, and seconds from then on: what it made is kept
below the cache of the tests. Everything runs without a network.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support import gates
from tests.support.builds import copy_tree, run
from tests.support.debian import cache
from tests.support.sources import ROOT
from tests.support.workloads import wait_until

TOOL = next((path for each in ROOT.parents if (path := each / "shared" / "tools" / "container-box").exists()), None)
BUILD = ("build", "--quiet", "--isolation", "chroot", "--pull=never", "--network", "host", "--timestamp", "1700000000")

# A web server and a client, on what the tool has as base.
WEB = """\
FROM python:3.13-slim
RUN apt-get update -qq && apt-get install -qq --no-install-recommends nginx-light openssl >/dev/null
"""


class Box:
    """The toolbox.

    Args:
        folder: what the tool and the images are kept in; containers see nothing else of this host.
    """

    def __init__(self, folder: Path) -> None:
        assert TOOL is not None
        self.folder = folder
        self.context = folder / "context"
        self._enter = str(folder / "in")

    def podman(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run podman; it has to succeed unless `check` is off."""
        done = subprocess.run(
            [self._enter, "podman", *arguments], capture_output=True, text=True, check=False, timeout=300, input=stdin
        )
        assert done.returncode == 0 or not check, f"podman {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def prepare(self) -> None:
        """Make the toolbox, and the image `crypto-tracer:slim` of this checkout."""
        shutil.rmtree(self.context, ignore_errors=True)
        copy_tree(self.context)
        wheels = self.context / "build" / "wheelhouse"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
        run([*command, "-r", str(ROOT / "requirements-zipapp.txt")])
        run([str(TOOL), str(self.context), "crypto-tracer:slim", str(self.folder)])

    def build(self, tag: str, *arguments: str) -> str:
        """Build another image of the checkout; returns its id."""
        return self.podman(*BUILD, *arguments, "--tag", tag, str(self.context)).stdout.split()[-1]

    def image_id(self, tag: str) -> str:
        """The id of an image."""
        return self.inspect(tag)["Id"]

    def inspect(self, name: str) -> dict[str, Any]:
        """What podman knows of an image or a container."""
        (found,) = json.loads(self.podman("inspect", name).stdout)
        return dict(found)

    def need_web(self) -> None:
        """Make the image `web`, unless it is there."""
        if self.podman("image", "exists", "localhost/web", check=False).returncode:
            folder = self.folder / "web"
            folder.mkdir(exist_ok=True)
            (folder / "Dockerfile").write_text(WEB)
            self.podman(*BUILD, "--tag", "localhost/web", str(folder))

    @contextlib.contextmanager
    def playing(self, name: str, documents: Sequence[dict[str, Any]]) -> Iterator[None]:
        """Inside, what a manifest describes runs; afterwards nothing of it is left."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        self.podman("kube", "down", "--force", str(path), check=False)
        try:
            self.podman("kube", "play", "--network", "none", str(path))
            yield
        finally:
            self.podman("kube", "down", "--force", str(path), check=False)

    def logs(self, container: str) -> tuple[list[dict[str, Any]], list[str]]:
        """What a tracer has written: its events, and its words."""
        done = self.podman("logs", container)
        assert all(line.startswith("{") for line in done.stdout.splitlines()), done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.splitlines()

    def wait_ready(self, container: str) -> None:
        """Wait until a tracer says so."""
        wait_until(
            lambda: any(line.startswith("crypto-tracer: ready (") for line in self.logs(container)[1]),
            f"{container} is ready",
        )

    def is_named(self, tracer: str, container: str, name: str) -> bool:
        """Make a container do something, and see whether the tracer knows what its pod is called."""
        self.podman("exec", container, "openssl", "version")
        return any(event["pod_name"] == name for event in self.logs(tracer)[0])

    def stop(self, container: str) -> tuple[list[dict[str, Any]], list[str]]:
        """End a tracer as Kubernetes does, see that the kernel has nothing left of it, and give what it wrote."""
        pid = int(self.inspect(container)["State"]["Pid"])
        held = {one for fd in Path(f"/proc/{pid}/fdinfo").iterdir() for one in bpf_ids(fd)}
        assert held, "a tracer that runs holds programs and maps"
        self.podman("stop", "--time", "20", container)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the tracer is gone")
        wait_until(lambda: not [one for one in held if gates.bpf_object_exists(*one)], "its programs are gone")
        return self.logs(container)


def bpf_ids(fdinfo: Path) -> set[tuple[str, int]]:
    """Kind and number of the BPF object behind a file descriptor."""
    try:
        pairs = [line.split(":\t") for line in fdinfo.read_text().splitlines() if ":\t" in line]
    except OSError:
        return set()
    return {
        (name[:-3], int(value)) for name, value in pairs if name in {"prog_id", "map_id", "link_id"} and value != "0"
    }


@contextlib.contextmanager
def open_box() -> Iterator[Box]:
    """The toolbox with the image of this checkout; one test run at a time has it."""
    if TOOL is None:
        gates.skip_or_fail("no container-box beside the repository")
    gates.require_tool("mmdebstrap")
    folder = cache() / "containers"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        box = Box(folder)
        box.prepare()
        yield box


def manifest(name: str) -> dict[str, Any]:
    """The one document of a file below deploy/kubernetes."""
    (document,) = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / name).read_text())
    return dict(document)


def without_probes(container: dict[str, Any]) -> dict[str, Any]:
    """A container whose health nobody asks for: podman leaves that to systemd."""
    return {key: value for key, value in container.items() if not key.endswith("Probe")}


def remove_cgroups(name: str) -> None:
    """Remove a control group and all below it, in each hierarchy, once what ran in them has ended."""
    mount = Path("/sys/fs/cgroup")
    for root in (mount, *mount.glob("*")):
        top = root / name

        def gone(top: Path = top) -> bool:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            return not top.exists()

        wait_until(gone, f"{top} is gone")
