"""Runs one input and judges it: what is raised, how long it takes, how much memory it makes the process grow.

Time is the processor's: what else the machine has to do does not count.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from pybpfload.errors import ObjectError
from tracer.wire.reader import WireError

FOUND = Path(__file__).resolve().parent / "found"
SLOW_S = 1.0
STOP_S = 10.0
GROWTH_KB = 256 << 10


def limit_memory(size: int) -> None:
    """Address space for this process beyond what it has: who asks for more gets a MemoryError, a finding."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size, resource.RLIM_INFINITY))


class Endless(BaseException):
    """An execution was stopped."""


def _stop(*_: object) -> None:
    raise Endless


def peak_kb() -> int:
    """The most memory that this process had since `forget_peak`."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))


def forget_peak() -> None:
    """Let the peak be what is in use now: one that is long past would hide a new one. See proc(5), clear_refs."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


class Harness:
    """Calls a target with inputs, and collects what was found.

    Args:
        slow_s, stop_s: from when on an execution is a finding, and when it is ended.
        confirm: measures an input that seems to be slow, where the code is slowed down by being watched.

    Attributes:
        findings: by kind and place; each only once, with the first input that showed it.
        slowest: seconds, and the input.
    """

    def __init__(
        self,
        name: str,
        target: Callable[[bytes], None],
        *,
        save: bool = True,
        confirm: Callable[[bytes], float] | None = None,
        slow_s: float = SLOW_S,
        stop_s: float = STOP_S,
    ) -> None:
        self.name = name
        self.executions = 0
        self.read = 0  # without an error
        self.findings: dict[str, bytes] = {}
        self.slowest: tuple[float, bytes] = (0.0, b"")
        self._target = target
        self._save = save
        self._confirm = confirm
        self._slow_s, self._stop_s = slow_s, stop_s
        signal.signal(signal.SIGPROF, _stop)

    def run(self, data: bytes) -> None:
        """One execution."""
        self.executions += 1
        forget_peak()
        before = peak_kb()
        took, problem = self._timed(data)
        if took > self._slow_s and (not problem or problem.startswith("slow")):
            took = self._confirm(data) if self._confirm else took
            problem = f"slow: {took:.1f} s" if took > self._slow_s else ""
        if took > self.slowest[0]:
            self.slowest = (took, data)
        growth = peak_kb() - before
        if growth > GROWTH_KB and not problem:
            problem = f"memory: {growth >> 10} MiB more"
        if problem:
            self._note(problem, data)

    def _timed(self, data: bytes) -> tuple[float, str]:
        problem = ""
        start = time.thread_time()
        signal.setitimer(signal.ITIMER_PROF, self._stop_s)
        try:
            self._target(data)
            self.read += 1
        except Endless:
            problem = "slow: stopped"
        except (ObjectError, WireError) as error:
            str(error)
        except (Exception, RecursionError, MemoryError) as error:  # noqa: BLE001 - that is what is looked for
            place = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in place if "/tests/" not in frame.filename] or place
            problem = f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}: {error}"[:300]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return time.thread_time() - start, problem

    def _note(self, problem: str, data: bytes) -> None:
        key = ":".join(problem.split(":", 2)[: 2 if " at " in problem else 1])
        if key in self.findings and len(self.findings[key]) <= len(data):
            return
        is_new = key not in self.findings
        self.findings[key] = data
        if is_new:
            print(f"finding in {self.name}: {problem}", flush=True)
        self._write(key, data)

    def _write(self, label: str, data: bytes) -> None:
        if self._save:
            FOUND.mkdir(exist_ok=True)
            label = "".join(c if c.isalnum() else "-" for c in label)
            (FOUND / f"{self.name}-{label}.bin").write_bytes(data)

    def report(self) -> str:
        """One line; the slowest input is saved."""
        self._write("slowest", self.slowest[1])
        digest = hashlib.sha256(self.slowest[1]).hexdigest()[:12]
        return (
            f"target {self.name}: {self.executions} executions, {self.read} read without an error, "
            f"{len(self.findings)} findings, slowest {self.slowest[0]:.3f} s "
            f"({len(self.slowest[1])} bytes, sha256 {digest}), peak memory {peak_kb() >> 10} MiB"
        )
