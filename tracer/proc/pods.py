# SPDX-License-Identifier: MIT
"""Names of pods and their containers, from files that the kubelet keeps on each node. No API server is asked.

    /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log      a link for each container
    /var/log/pods/NAMESPACE_POD_UID/CONTAINER/              a directory for each pod

Names of Kubernetes have no underscore, so these can be taken apart. Whoever may write there is root on the node; what
does not look like such a name is left out all the same, and there is a bound on how much is read.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

LOGS = "/var/log"
MAX_ENTRIES = 20000

# What is not there is looked for again after so long: the file of a new container comes a moment after it has begun.
AGAIN_S = 2.0

_NAME = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_CONTAINER = re.compile(rf"({_NAME})_({_NAME})_({_NAME})-([0-9a-f]{{64}})\.log")
_POD = re.compile(rf"({_NAME})_({_NAME})_([0-9a-f-]{{32,36}})")


class PodNames(NamedTuple):
    """What people call a pod and its container; "" where nobody knows.

    Attributes:
        pod: with its namespace: ``shop/cart-5d9f``.
        container: within the pod.
    """

    pod: str = ""
    container: str = ""


class PodTable:
    """Names by container id and pod uid.

    Args:
        logs: the directory that has `containers` and `pods` in it.
    """

    def __init__(self, logs: str = LOGS) -> None:
        self._logs = logs
        self._containers: dict[str, PodNames] = {}
        self._pods: dict[str, str] = {}
        self._next_look = 0.0

    def find(self, container: str, pod: str) -> PodNames:
        """The names of a container.

        Args:
            container: its id.
            pod: uid of its pod, or "".
        """
        found = self._containers.get(container)
        if found is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + AGAIN_S
            self._look()
            found = self._containers.get(container)
        return found or PodNames(self._pods.get(pod, ""))

    def _look(self) -> None:
        containers, pods = {}, {}
        for name in _names(f"{self._logs}/containers"):
            match = _CONTAINER.fullmatch(name)
            if match:
                containers[match[4]] = PodNames(f"{match[2]}/{match[1]}", match[3])
        for name in _names(f"{self._logs}/pods"):
            match = _POD.fullmatch(name)
            if match:
                pods[match[3]] = f"{match[1]}/{match[2]}"
        self._containers, self._pods = containers, pods


def _names(folder: str) -> list[str]:
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) >= MAX_ENTRIES:
                    break
    except OSError:
        return []
    return names
