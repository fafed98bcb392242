"""Fuzzing by hand or in CI: `python -m tests.fuzz.fuzz --target object --runs 100000 --seed 1 --max-seconds 600`.

Two engines make the inputs. `atheris` follows the coverage of pybpfload and elftools, and keeps what reaches new code
(in `--corpus`, if given); `plain` changes seeds at random and runs on any Python. Both change inputs by their
structure (mutate.py). An execution of the plain engine depends on seed and number only: `--only N` repeats one.

Inputs that are findings are saved in tests/fuzz/found. The exit status is 1 when there were any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from random import Random

MEMORY = 2 << 30


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--target",
        default="all",
        help="object, btf, ext, target, record, symbols, dump, talk, tls, ssh, dtls, quic, certificate or all",
    )
    parser.add_argument("--runs", type=int, default=10_000, help="executions of each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--engine", choices=("auto", "atheris", "plain"), default="auto")
    parser.add_argument("--corpus", type=Path, help="a folder of inputs, one below it for each target")
    parser.add_argument("--only", type=int, help="repeat this one execution of the plain engine")
    parser.add_argument("--replay", type=Path, help="run one input from a file, and print how long it took")
    parser.add_argument("--log", type=Path, help="a file that the result is appended to")
    return parser.parse_args(arguments)


def main(options: argparse.Namespace) -> int:
    """Run the chosen targets, one after the other."""
    engine = options.engine
    if engine != "plain":
        try:
            import atheris  # noqa: F401
        except ImportError:
            if engine == "atheris":
                print("fuzz: atheris is not installed: python -m pip install atheris", file=sys.stderr)
                return 2
            engine = "plain"
        else:
            engine = "atheris"
    if options.replay is not None:
        return _replay(options)
    if options.target == "all":
        return _all(options)
    return _atheris(options) if engine == "atheris" else _plain(options)


def _all(options: argparse.Namespace) -> int:
    """Each in a process of its own: libFuzzer ends its process when it is done."""
    import subprocess

    from tests.fuzz.targets import TARGETS

    status = 0
    for name in TARGETS:
        arguments = [
            f"--{k.replace('_', '-')}={v}" for k, v in vars(options).items() if v is not None and k != "target"
        ]
        command = [sys.executable, "-m", "tests.fuzz.fuzz", f"--target={name}", *arguments]
        status = max(status, subprocess.run(command, check=False).returncode)
    return status


def corpus(options: argparse.Namespace, seeds: tuple[bytes, ...]) -> list[bytes]:
    """The seeds, and what earlier runs found worth keeping."""
    found = list(seeds)
    if options.corpus is not None:
        folder = options.corpus / options.target
        found += [path.read_bytes() for path in sorted(folder.glob("*")) if path.is_file()]
    return sorted(found, key=len)


def make(inputs: list[bytes], seed: int, number: int) -> bytes:
    """Input `number` of a seed."""
    from tests.fuzz.mutate import mutate

    rng = Random(seed << 40 | number)
    data = inputs[int(len(inputs) * rng.random() ** 2)]  # small ones more often: they are faster
    for _ in range(rng.choice((1, 1, 1, 2))):
        data = mutate(data, rng)
    return data


def finish(options: argparse.Namespace, harness, engine: str, started: float) -> int:
    """Print what happened; the exit status."""
    text = f"{harness.report()}, seed {options.seed}, engine {engine}, {time.monotonic() - started:.0f} s"
    lines = [text, *(f"  finding: {key}" for key in harness.findings)]
    print("\n".join(lines), flush=True)
    if options.log is not None:
        with options.log.open("a") as file:
            file.write("\n".join(lines) + "\n")
    return 1 if harness.findings else 0


def _replay(options: argparse.Namespace) -> int:
    from tests.fuzz.harness import STOP_S, Harness
    from tests.fuzz.targets import TARGETS

    harness = Harness(options.target, TARGETS[options.target][0], save=False)
    harness.run(options.replay.read_bytes())
    print(STOP_S if "slow" in harness.findings else harness.slowest[0])
    return 1 if harness.findings else 0


def _confirm(options: argparse.Namespace, data: bytes) -> float:
    """Seconds that an input takes in a process where nothing follows the coverage."""
    import subprocess
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = [sys.executable, "-m", "tests.fuzz.fuzz", f"--target={options.target}", f"--replay={file.name}"]
        printed = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(printed[-1]) if printed else 0.0


def _plain(options: argparse.Namespace) -> int:
    from tests.fuzz.harness import Harness, limit_memory
    from tests.fuzz.targets import TARGETS

    function, seeds = TARGETS[options.target]
    inputs = corpus(options, seeds(tools=True))
    limit_memory(MEMORY)
    if options.only is not None:
        function(make(inputs, options.seed, options.only))
        return 0
    harness, started = Harness(options.target, function), time.monotonic()
    for number in range(options.runs):
        harness.run(make(inputs, options.seed, number))
        if time.monotonic() - started > options.max_seconds:
            break
    return finish(options, harness, "plain", started)


def _atheris(options: argparse.Namespace) -> int:
    import tempfile

    import atheris

    with atheris.instrument_imports(include=["pybpfload", "elftools"], enable_loader_override=False):
        import pybpfload.objectspec
        import pybpfload.symbols.usdt  # noqa: F401
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.harness import Harness
    from tests.fuzz.mutate import MAX_SIZE, mutate

    function, seeds = TARGETS[options.target]
    folder = (options.corpus or Path(tempfile.mkdtemp(prefix="fuzz-"))) / options.target
    folder.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(seeds(tools=True)):
        (folder / f"seed-{i}").write_bytes(data)
    harness, started = Harness(options.target, function, confirm=lambda data: _confirm(options, data)), time.monotonic()

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.2:
            return atheris.Mutate(data, max_size)
        return mutate(data, rng, max_size)

    def once(data: bytes) -> None:
        # libFuzzer ends the process by itself, and nothing runs after that: so the end is reached here.
        if harness.executions >= options.runs or time.monotonic() - started > options.max_seconds:
            os._exit(finish(options, harness, "atheris", started))
        harness.run(data)

    flags = [f"-seed={options.seed}", f"-max_len={MAX_SIZE}", "-rss_limit_mb=0", "-timeout=60", "-print_final_stats=0"]
    atheris.Setup([sys.argv[0], *flags, str(folder)], once, custom_mutator=change)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(parse()))
