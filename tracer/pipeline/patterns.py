# SPDX-License-Identifier: MIT
"""Names and patterns that users type, and what they match.

``*`` stands for any characters, slashes too; ``?`` for one; ``[abc]`` for one of these. A pattern has to match the
whole of what it is compared with.

=============================  =======================================================================
``--file '*.pem'``             files of that name in any directory: no slash, so the last part is compared
``--file server.pem``          the same, of exactly that name
``--file '/etc/ssl/*.pem'``    the whole path is compared, so /etc/ssl/certs/x.pem matches, too
``--file /etc/ssl``            the file of that name, and all below it if it is a directory
``--file 'ssl/*.pem'``         as if it began with ``*/``
``--name nginx``               part of the name of a thread; the case of A to Z does not matter
``--name 'nginx*'``            the whole name
``--library ssl``              part of the library's path or short name
``--library 'libssl*'``        its file name or short name
``--container 3f2a``           how the id begins
=============================  =======================================================================

A file matches by the name that the process gave or by the one where it lies.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import Callable

from tracer.catalog import filetypes
from tracer.pipeline.filters import small_letters

Match = Callable[[str], bool]

# The longest name that a thread can have: TASK_COMM_LEN without its NUL.
NAME_SIZE = 15

# How a doubt begins.
NOTHING = "can match nothing"

WILD = re.compile(r"[*?\[]")


def is_pattern(text: str) -> bool:
    """Whether it has wildcards."""
    return bool(WILD.search(text))


def _whole(pattern: str) -> Match:
    found = re.compile(translate(pattern)).match
    return lambda text: found(text) is not None


def match_file(pattern: str) -> Match:
    """Whether a path matches."""
    wild = is_pattern(pattern)
    if "/" not in pattern:
        match = _whole(pattern) if wild else pattern.__eq__
        return lambda path: match(path[path.rfind("/") + 1 :])
    if wild:
        absolute = _whole(pattern)
        if pattern.startswith("/"):
            return absolute
        below = _whole("*/" + pattern)
        return lambda path: absolute(path) or below(path)
    name = pattern.rstrip("/")
    if pattern.startswith("/"):
        return lambda path: path == name or path.startswith(name + "/")
    return lambda path: path == name or path.endswith("/" + name) or f"/{name}/" in "/" + path


def match_name(pattern: str) -> Match:
    """Whether the name of a thread matches."""
    wanted = small_letters(pattern)
    if is_pattern(pattern):
        match = _whole(wanted)
        return lambda name: match(small_letters(name))
    return lambda name: wanted in small_letters(name)


def match_library(pattern: str) -> Callable[[str, str], bool]:
    """Whether a library matches, by path and short name."""
    if not is_pattern(pattern):
        return lambda path, short: pattern in path or pattern in short
    match = _whole(pattern)
    if "/" in pattern:
        return lambda path, _: match(path)
    return lambda path, short: match(path[path.rfind("/") + 1 :]) or match(short)


def match_container(pattern: str) -> Match:
    """Whether the id of a container matches."""
    if is_pattern(pattern):
        return _whole(pattern)
    return lambda name: name.startswith(pattern)


def why_no_file(pattern: str) -> str:
    """Why a pattern of files can match nothing, or hardly anything; "" if it can.

    Only files that the catalog knows are reported: by name, or by directory.
    """
    base = pattern[pattern.rfind("/") + 1 :]
    if _name_is_known(base) or (base == "" and not pattern.startswith("/")):
        return ""
    if "/" in pattern and not is_pattern(base) and "." not in base:
        return ""  # it may be a directory
    if pattern.startswith("/"):
        head = WILD.split(pattern)[0]
        if not any(head.startswith(known) or known.startswith(head) for known in filetypes.DIRECTORIES):
            return f"{NOTHING}: neither its name nor its directory is one of cryptography"
        return ""
    return f"{NOTHING} outside directories of cryptography: its name is none of it; --config can add some"


def _name_is_known(base: str) -> bool:
    """Whether a last component, or one that matches, is in the catalog."""
    if not is_pattern(base):
        return bool(filetypes.file_type(base))
    match = _whole(small_letters(base))
    if any(match(name) for name in filetypes.NAMES):
        return True
    tail = re.split(r"[*?\]]", small_letters(base))[-1]
    if "." in tail:
        return tail[tail.rfind(".") :] in filetypes.SUFFIXES
    return any(suffix.endswith(tail) for suffix in filetypes.SUFFIXES)
