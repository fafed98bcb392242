# SPDX-License-Identifier: MIT
"""The configuration file: what else would be typed, and rows that are added to the catalog.

It is TOML, or JSON, which is all that Python before 3.11 reads by itself::

    format = "json-lines"           # any option, by its long name
    name = ["nginx", "haproxy"]

    [files]                         # more files that count as cryptography
    suffixes = { ".vault" = "keystore" }
    names = { "master.secret" = "private_key" }
    directories = ["/srv/pki/"]

    [libraries]                     # more libraries, by name and project
    names = { "libacmecrypto" = "Acme" }

    [redact]                        # words that never show, wherever they stand
    words = ["customer-x"]

The command line wins over the file. A name that is none is an error: a typing mistake must not pass for privacy.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from tracer.catalog import filetypes, libraries
from tracer.errors import UsageError
from tracer.options import OPTIONS, Option

TABLES: dict[str, dict[str, type]] = {
    "files": {"suffixes": dict, "names": dict, "directories": list},
    "libraries": {"names": dict},
    "redact": {"words": list},
}

_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")


def read(path: str) -> dict[str, Any]:
    """What the file says.

    Raises:
        UsageError: it cannot be read, or is neither TOML nor JSON.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read()
        return _parse(raw.decode())
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from error
    except ValueError as error:  # of either format, and of UTF-8
        raise UsageError(f"--config {path}: {error}") from error


def _parse(text: str) -> dict[str, Any]:
    import json

    if text.lstrip().startswith("{"):
        found = json.loads(text)
        return found if isinstance(found, dict) else {}
    from importlib import import_module

    try:
        toml: Any = import_module("tomllib")
    except ImportError:
        raise ValueError("this Python reads no TOML: write it as JSON, or use Python 3.11 or newer") from None
    parsed: dict[str, Any] = toml.loads(text)
    return parsed


def options_of(found: dict[str, Any], path: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The options that the file sets, of those that a command takes.

    Args:
        found: what `read` gave.
        names: of the options that the command takes; others in the file are for other commands.

    Raises:
        UsageError: one is none, or its value is none.
    """
    values = {}
    for key, value in found.items():
        name = key.replace("-", "_")
        if name in TABLES:
            continue
        if name not in OPTIONS or name == "config":
            raise UsageError(f"--config {path}: there is no option `{key}`", hint="options have their long names")
        converted = _convert(OPTIONS[name], key, value, path)
        if name in names:
            values[name] = converted
    return values


def _convert(option: Option, key: str, value: Any, path: str) -> Any:
    if option.convert is None:
        if not isinstance(value, bool):
            raise UsageError(f"--config {path}: {key}: expected true or false")
        return value
    parts = value if isinstance(value, list) and option.many else [value]
    if not all(isinstance(part, (str, int, float)) and not isinstance(part, bool) for part in parts):
        raise UsageError(f"--config {path}: {key}: expected text{' or a list of texts' if option.many else ''}")
    try:
        converted = [option.convert(str(part)) for part in parts]
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--config {path}: {key}: {error}") from error
    if option.many:
        return tuple(one for part in converted for one in part)
    if option.choices and converted[0] not in option.choices:
        raise UsageError(f"--config {path}: {key}: `{value}` is none of {', '.join(option.choices)}")
    return converted[0]


def extend_catalog(found: dict[str, Any], path: str) -> tuple[str, ...]:
    """Add the file's rows to the catalog; returns the words that are private.

    Raises:
        UsageError: a table has a key or a value that is none.
    """
    for table, keys in TABLES.items():
        rows: Any = found.get(table, {})
        if not isinstance(rows, dict):
            raise UsageError(f"--config {path}: {table}: expected a table")
        for key, value in rows.items():
            if key not in keys or not isinstance(value, keys[key]):
                expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in keys.items())
                raise UsageError(f"--config {path}: {table}.{key}: expected {expected}")
    files = found.get("files", {})
    for key in ("suffixes", "names"):
        for name, kind in files.get(key, {}).items():
            _check(name, filetypes.PATTERN_SIZE, f"{path}: files.{key}", suffix=key == "suffixes")
            if not isinstance(kind, str) or not _WORD.fullmatch(kind):
                raise UsageError(f"--config {path}: files.{key}: `{kind}` is no kind of file: expected private_key ...")
    for directory in files.get("directories", []):
        _check(directory, filetypes.DIRECTORY_SIZE, f"{path}: files.directories", directory=True)
    filetypes.add(files.get("suffixes", {}), files.get("names", {}), files.get("directories", []))
    names = found.get("libraries", {}).get("names", {})
    for name, family in names.items():
        _check(name, libraries.PREFIX_SIZE, f"{path}: libraries.names")
        if not isinstance(family, str) or not family:
            raise UsageError(f"--config {path}: libraries.names: {name}: expected the name of a project")
    libraries.add(names)
    words = found.get("redact", {}).get("words", [])
    if not all(isinstance(word, str) and word for word in words):
        raise UsageError(f"--config {path}: redact.words: expected texts")
    return tuple(words)


def _check(name: Any, size: int, where: str, *, suffix: bool = False, directory: bool = False) -> None:
    """The kernel compares plain bytes, in tables of a fixed width."""
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or not 0 < len(name) <= size:
        raise UsageError(f"--config {where}: `{name}`: expected 1 to {size} characters of ASCII")
    if directory:
        if not (name.startswith("/") and name.endswith("/")):
            raise UsageError(f"--config {where}: `{name}`: expected a path that begins and ends with /")
    elif "/" in name or (suffix and (not name.startswith(".") or "." in name[1:])):
        raise UsageError(f"--config {where}: `{name}`: expected {'.suffix' if suffix else 'a name without /'}")
