# SPDX-License-Identifier: MIT
"""The commands: one file for each, which exports `COMMAND`.

`COMMANDS` is the list in the order of the help. A command's module is imported only when the command is
asked for, so that `--help` stays quick.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping
    from typing import Any, Callable

    from tracer.log import Log
    from tracer.stop import Stop

# name, what it does
COMMANDS = (
    ("monitor", "show events as they happen"),
    ("files", "show which certificates, keys and keystores are opened"),
    ("libs", "list crypto libraries that are loaded, then show those that come"),
    ("tls", "show what connections of TLS and SSH agree on, as seen on the wire"),
    ("profile", "watch processes for a while, and sum up what they did"),
    ("run", "run a command, and sum up what it and its children did"),
    ("snapshot", "sum up what runs now; needs no BPF and no privilege"),
    ("doctor", "tell what this host allows, and what would help"),
    ("schema", "print the JSON Schema of all that is printed"),
    ("help", "show the help of a command"),
    ("version", "show the version, and what it runs on"),
)


class Command:
    """What a command exports.

    Attributes:
        name: as the user types it.
        description: the beginning of its help.
        options: names of the options that it takes; see `tracer.options`.
        run: does it, and returns the exit code.
        examples: the end of its help.
        own: defaults that differ from those of the options.
        formats: the formats that make sense for it; all if there are none.
        rest: name and help of what comes after the options, or None; `rest[2]` is argparse's nargs.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str,
        options: tuple[str, ...],
        run: Callable[[Namespace, Log, Stop], int],
        examples: tuple[tuple[str, str], ...] = (),
        own: Mapping[str, Any] | None = None,
        formats: tuple[str, ...] = (),
        rest: tuple[str, str, str] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.options = options
        self.run = run
        self.examples = examples
        self.own = own or {}
        self.formats = formats
        self.rest = rest


def load_command(name: str) -> Command:
    """The command of that name, which is in `COMMANDS`."""
    from importlib import import_module

    command: Command = import_module(f"tracer.commands.{name}").COMMAND
    return command
