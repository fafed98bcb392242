# SPDX-License-Identifier: MIT
"""The options of the command line: one row for each.

`--help`, the man page, the completions of shells and the configuration file are all made from these rows. Short
options are those of the C tool. Nothing heavy is imported here: the help needs it.
"""

from __future__ import annotations

import argparse

from tracer.sinks import DEFAULT_FORMAT, SINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

# The highest pid there can be: PID_MAX_LIMIT in include/linux/threads.h. The highest uid means "none".
HIGHEST_PID = 1 << 22
HIGHEST_UID = (1 << 32) - 2
HIGHEST_PORT = (1 << 16) - 1
LOOPBACK = "127.0.0.1"

# Views of the live table, in the order of their keys.
VIEWS = ("events", "processes", "files", "libraries", "handshakes", "losses")

# What an option is for; the help has them in this order.
FILTERS = "filters (all have to match; several values of one are alternatives)"
OUTPUT = "output"
SERVICE = "service"
GENERAL = "general"
GROUPS = (FILTERS, OUTPUT, SERVICE, GENERAL)


def seconds(text: str) -> float:
    """A duration of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"`{text}`: expected a number of seconds, 0 for no end")
    return value


def speed(text: str) -> float:
    """How fast a replay is, as a multiple: ``2x``."""
    try:
        value = float(text[:-1] if text[-1:] in ("x", "X") else text)
    except ValueError:
        value = 0.0
    if not 1 / 16 <= value <= 4096:
        raise argparse.ArgumentTypeError(f"`{text}`: expected 0.0625x to 4096x")
    return value


def process_id(text: str) -> int:
    """A process id of the command line."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_PID):
        raise argparse.ArgumentTypeError(f"`{text}`: expected a process id, 1 to {HIGHEST_PID}")
    return int(text)


def process_ids(text: str) -> list[int]:
    """One or several process ids, separated by commas."""
    return [process_id(part.strip()) for part in text.split(",")]


def user_ids(text: str) -> list[int]:
    """One or several users by name or number, separated by commas."""
    return [_user_id(part.strip()) for part in text.split(",")]


def _user_id(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= HIGHEST_UID:
        return int(text)
    import pwd

    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"`{text}`: expected the name of a user or a user id") from None


def pattern(text: str) -> list[str]:
    """A name or pattern of the command line; commas can be part of one."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name or a pattern")
    return [text]


def address(text: str) -> tuple[str, int]:
    """Where to listen: ``HOST:PORT``, ``[IPv6]:PORT``, or ``PORT`` of this host alone; the first two as numbers."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdigit() and int(port) <= HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"`{text}`: expected an address and a port: 127.0.0.1:9477")
    import socket

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host or LOOPBACK)
        except (OSError, ValueError):
            continue
        return host or LOOPBACK, int(port)
    raise argparse.ArgumentTypeError(f"`{text}`: expected an address in numbers: 127.0.0.1:9477, or [::1]:9477")


def user_of(text: str) -> tuple[int, int]:
    """User and group to become: a name, a number, or both numbers as ``UID:GID``."""
    user, colon, group = text.partition(":")
    numbers = [int(part) if part.isascii() and part.isdigit() else -1 for part in (user, group)]
    if colon and all(0 <= number <= HIGHEST_UID for number in numbers):
        return numbers[0], numbers[1]
    import pwd

    try:
        found = pwd.getpwnam(user) if numbers[0] < 0 else pwd.getpwuid(numbers[0])
    except (KeyError, ValueError, OverflowError):
        found = None
    if colon or found is None:
        raise argparse.ArgumentTypeError(f"`{text}`: expected the name of a user, or two numbers UID:GID") from None
    return found.pw_uid, found.pw_gid


class Extend(argparse.Action):
    """Adds the values of an option to those that there are."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse gives it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Called by argparse."""
        setattr(namespace, self.dest, (*getattr(namespace, self.dest, ()), *values))


class Option:
    """A row.

    Attributes:
        flags: as the user types them.
        name: of the attribute, and of the key in the configuration file, there with - or _.
        help: what it does.
        group: one of the groups above.
        default: the value without the option.
        convert: from text to the value; None for a switch.
        metavar: what stands for the value in the help.
        choices: all values there are, or ().
        file: whether the value is the name of a file, for completions.
    """

    def __init__(
        self,
        flags: tuple[str, ...],
        help: str,
        *,
        group: str,
        default: Any = False,
        convert: Callable[[str], Any] | None = None,
        metavar: str = "",
        choices: tuple[str, ...] = (),
        file: bool = False,
    ) -> None:
        self.flags, self.help, self.group, self.default = flags, help, group, default
        self.convert, self.metavar, self.choices, self.file = convert, metavar, choices, file
        self.name = flags[-1].lstrip("-").replace("-", "_")

    @property
    def many(self) -> bool:
        """Whether it can be given several times."""
        return self.group == FILTERS and isinstance(self.default, tuple)

    def add_to(self, parser: argparse._ActionsContainer) -> argparse.Action:
        """Make the parser know it. An option that is not given sets nothing."""
        if self.convert is None:
            return parser.add_argument(
                *self.flags, dest=self.name, action="store_true", default=argparse.SUPPRESS, help=self.help
            )
        more: dict[str, Any] = {"action": Extend} if self.many else {}
        if self.choices:
            more["choices"] = self.choices
        return parser.add_argument(
            *self.flags,
            dest=self.name,
            default=argparse.SUPPRESS,
            type=self.convert,
            metavar=self.metavar,
            help=self.help,
            **more,
        )


def _filter(flags: tuple[str, ...], metavar: str, help: str, convert: Callable[[str], Any] = pattern) -> Option:
    return Option(flags, help, group=FILTERS, default=(), convert=convert, metavar=metavar, file=metavar == "DIR")


ROWS = (
    _filter(("-p", "--pid"), "N", "this process; N,M for several", process_ids),
    _filter(("-n", "--name"), "NAME", "part of a thread's name; or '*' and '?' for the whole name"),
    _filter(("-l", "--library"), "NAME", "part of a library's path, or a pattern: 'libssl*'"),
    _filter(("-F", "--file"), "PATTERN", "file name '*.pem', path '/etc/ssl/*', or directory /etc/ssl"),
    _filter(("--uid",), "USER", "this user, by name or number", user_ids),
    _filter(("--cgroup",), "DIR", "this control group and those below it: system.slice"),
    _filter(("--container",), "ID", "beginning of a container's id, or a pattern; '*' for any"),
    Option(("--follow-children",), "with --pid or --name: what these start, too", group=FILTERS),
    Option(
        ("-o", "--output"),
        "to this file: lines are appended, a document replaces it",
        group=OUTPUT,
        default="",
        convert=str,
        metavar="FILE",
        file=True,
    ),
    Option(
        ("-f", "--format"),
        " ".join(SINKS),
        group=OUTPUT,
        default=DEFAULT_FORMAT,
        convert=str,
        metavar="FORMAT",
        choices=tuple(SINKS),
    ),
    Option(("--no-redact",), "show home directories and secrets in arguments", group=OUTPUT),
    Option(
        ("--pseudonyms",),
        "a keyed pseudonym for each user, and not USER for all; FILE has the key",
        group=OUTPUT,
        default="",
        convert=str,
        metavar="FILE",
        file=True,
    ),
    Option(
        ("--record",),
        "also keep all events in this file, for --replay",
        group=OUTPUT,
        default="",
        convert=str,
        metavar="FILE",
        file=True,
    ),
    Option(
        ("--replay",),
        "show a recording: no privilege, any machine",
        group=OUTPUT,
        default="",
        convert=str,
        metavar="FILE",
        file=True,
    ),
    Option(("--live",), "as a table that changes as events come, on a terminal: see top", group=OUTPUT),
    Option(
        ("--view",),
        "begin with this view: " + " ".join(VIEWS),
        group=OUTPUT,
        default=VIEWS[0],
        convert=str,
        metavar="VIEW",
        choices=VIEWS,
    ),
    Option(
        ("--speed",),
        "how fast --replay is: 2x, 0.5x",
        group=OUTPUT,
        default=1.0,
        convert=speed,
        metavar="N",
    ),
    Option(
        ("--export-svg",),
        "write the screen as a picture at the end, and at the key S",
        group=OUTPUT,
        default="",
        convert=str,
        metavar="FILE",
        file=True,
    ),
    Option(
        ("--metrics",),
        "serve OpenMetrics and health at this address: 127.0.0.1:9477",
        group=SERVICE,
        default=(),
        convert=address,
        metavar="ADDR",
    ),
    Option(
        ("--user",),
        "become this user once all is attached, with no privilege left",
        group=SERVICE,
        default=(),
        convert=user_of,
        metavar="USER",
    ),
    Option(
        ("--token-fs",),
        "use the BPF token of this bpffs instead of capabilities",
        group=SERVICE,
        default="",
        convert=str,
        metavar="DIR",
        file=True,
    ),
    Option(
        ("-d", "--duration"),
        "end after so many seconds; 0: at Ctrl-C",
        group=GENERAL,
        default=0.0,
        convert=seconds,
        metavar="S",
    ),
    Option(
        ("--config",),
        "take options from this TOML (or JSON) file",
        group=GENERAL,
        default="",
        convert=str,
        metavar="FILE",
        file=True,
    ),
    Option(("--deep",), "also count calls of functions that encrypt, hash and sign, by algorithm", group=GENERAL),
    Option(("-v", "--verbose"), "tell more on stderr", group=GENERAL),
    Option(("-q", "--quiet"), "only warnings and errors on stderr", group=GENERAL),
)

OPTIONS = {row.name: row for row in ROWS}

# Sets of options that several commands take. All take those that talk.
TALK = ("verbose", "quiet")
WATCH = ("pid", "name", "library", "file", "uid", "cgroup", "container", "follow_children")
SHOW = ("output", "format", "no_redact", "pseudonyms")
SERVE = ("metrics", "user", "token_fs")
TABLE = ("view", "speed", "export_svg")


def defaults(names: tuple[str, ...], own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of options that nobody gave.

    Args:
        names: of the options of a command.
        own: defaults of the command that differ from those of the rows.
    """
    return {name: own.get(name, OPTIONS[name].default) for name in names}
