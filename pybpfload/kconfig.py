"""The .kconfig section: what a program asks of the kernel's configuration.

Each extern variable is called like an option. Its value comes from text that the caller gives, then
from /boot/config-RELEASE or /proc/config.gz. Three names are made up by the loader.

Source: bpf_object__read_kconfig_file(), set_kcfg_value_*() in libbpf.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from pybpfload.btf import types as t
from pybpfload.btf.blob import Btf
from pybpfload.errors import ObjectError, RecordError, printable
from pybpfload.files import read_file
from pybpfload.spec import ObjectParts

__all__ = ["fill_kconfig", "kernel_version", "parse_config", "read_config"]

TRISTATE = "libbpf_tristate"
TRISTATE_VALUES = {"n": 0, "y": 1, "m": 2}
MAX_CONFIG = 16 << 20
NUMBER = re.compile(r"\s*([-+]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))")


def parse_config(text: str) -> dict[str, str]:
    """``CONFIG_X=value`` lines: name to value as it stands there."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.startswith("CONFIG_"):
            found[name] = value.strip()
    return found


def read_config() -> dict[str, str]:
    """The running kernel's configuration; empty when it is nowhere to be found."""
    import gzip  # only here: it takes longer to import than all that follows

    openers: tuple[Callable[[], bytes], ...] = (
        lambda: read_file(f"/boot/config-{os.uname().release}", MAX_CONFIG),
        lambda: gzip.decompress(read_file("/proc/config.gz", MAX_CONFIG)),
    )
    for opener in openers:
        try:
            return parse_config(opener().decode("utf-8", "replace"))
        except (OSError, EOFError):
            continue
    return {}


def kernel_version() -> int:
    """LINUX_VERSION_CODE of the running kernel: major << 16 | minor << 8 | patch.

    Distributions report a release of their own; Ubuntu's and Debian's real version stands elsewhere.
    """
    texts = []
    try:
        texts.append(read_file("/proc/version_signature", 4096).decode("ascii", "replace").rpartition(" ")[2])
    except OSError:
        pass
    debian = re.search(r"Debian (\d+\.\d+\.\d+)", os.uname().version)
    texts += [debian.group(1)] if debian else []
    for text in [*texts, os.uname().release]:
        match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
        if match:
            major, minor, patch = (int(n or 0) for n in match.groups())
            return major << 16 | minor << 8 | min(patch, 255)
    return 0


def fill_kconfig(spec: ObjectParts, made_up: Mapping[str, int], config: Mapping[str, str]) -> None:
    """Write the values of all externs into the .kconfig map's content.

    Args:
        made_up: values of names that do not begin with CONFIG_.
        config: options and their values.

    Raises:
        ObjectError: an option that is not weak is not set, or its value does not fit its type.
    """
    data_map = spec.maps.get(".kconfig")
    if data_map is None or data_map.content is None:
        return
    btf = spec.types()
    for name, extern in spec.externs.items():
        if extern.section != ".kconfig":
            continue
        where = f"{spec.source}: extern `{printable(name)}`: "
        variable = spec.variables.spec(name)
        if name in made_up:
            value = _made_up(btf, variable.type_id, made_up[name], where)
        elif name in config:
            value = _value(btf, variable.type_id, config[name], where)
        elif extern.weak:
            continue
        elif name.startswith("CONFIG_"):
            raise ObjectError(where + "is not set in this kernel's configuration")
        else:
            raise ObjectError(where + f"is no CONFIG_ option; {' and '.join(made_up)} are the other names")
        if variable.map is not data_map:
            raise ObjectError(where + "another variable has its name")
        try:
            raw = variable.codec.pack_value(value)
        except RecordError as error:
            raise ObjectError(f"{where}{error}") from error
        data_map.content[variable.offset : variable.offset + variable.size] = raw


def _value(btf: Btf, type_id: int, text: str, where: str) -> object:
    """One option's value as its type wants it."""
    found = btf.skip(type_id)
    shown = f"{where}value `{printable(text)}` "
    if text in TRISTATE_VALUES:
        if isinstance(found, t.Enum) and found.name == TRISTATE:
            return TRISTATE_VALUES[text]
        if isinstance(found, t.Int) and found.is_bool and text != "m":
            return text == "y"
        if isinstance(found, t.Int) and found.size == 1 and (found.is_char or found.name == "char"):
            return ord(text)
        raise ObjectError(shown + f"does not fit {btf.describe(found.id)}")
    if text.startswith('"'):
        if not isinstance(found, t.Array) or len(text) < 2 or not text.endswith('"'):
            raise ObjectError(shown + f"does not fit {btf.describe(found.id)}")
        raw = text[1:-1].encode("utf-8", "surrogateescape")
        return raw[: found.nelems - 1] if found.nelems else b""
    number = _parse_number(text)
    if number is None:
        raise ObjectError(shown + "is no number")
    return _number(btf, type_id, number, where)


def _parse_number(text: str) -> int | None:
    """As strtoull() reads it with base 0: 0x and 0 say hexadecimal and octal; None when it would not take all of it."""
    match = NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, hexadecimal, octal, decimal = match.groups()
    value = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
    return -value if sign == "-" else value


def _made_up(btf: Btf, type_id: int, number: int, where: str) -> object:
    """A number of the loader's own, which may be a bool; an option's may not, as in libbpf."""
    found = btf.skip(type_id)
    if isinstance(found, t.Int) and found.is_bool and number in (0, 1):
        return bool(number)
    return _number(btf, type_id, number, where)


def _number(btf: Btf, type_id: int, number: int, where: str) -> object:
    found = btf.skip(type_id)
    if not isinstance(found, t.Int) or found.is_bool:
        raise ObjectError(f"{where}value {number} does not fit {btf.describe(found.id)}")
    bits = found.size * 8
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if found.signed else (0, (1 << bits) - 1)
    if bits == 64 and -(1 << 63) <= number < 1 << 64:
        # As libbpf: at full width, a number without a sign may stand for a negative one, and the other way round.
        return (number - low & (1 << 64) - 1) + low
    if not low <= number <= high:
        raise ObjectError(f"{where}value {number} does not fit {bits} bits")
    return number
