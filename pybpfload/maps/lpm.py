"""Tries that find the longest prefix: routes, address lists, path prefixes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Union

from pybpfload.errors import RecordError
from pybpfload.maps.hash import HashMap

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

__all__ = ["LpmTrie"]

Network = Union["IPv4Network", "IPv6Network"]
ADDRESSES = {4: 32, 16: 128}  # bytes of an address -> bits
LENGTH = struct.Struct("=I")


class LpmTrie(HashMap):
    """A dictionary by prefix: reading finds the longest prefix that the key has.

    A key is a length in bits, in the host's byte order, and that many leading bits of data. Wherever a key is
    expected, also these are taken:

    - ``"10.0.0.0/8"``, ``"2001:db8::1"`` and what the module ipaddress makes of them, when the data has the
      size of an address; an address alone stands for all of its bits;
    - ``(length, data)``, where the data may be shorter than the map's.
    """

    def _pack_key(self, key: Any) -> bytes:
        if isinstance(key, (bytes, bytearray, tuple, dict)):
            return super()._pack_key(self._pair(key))
        import ipaddress as ip  # only tries of addresses need it

        if isinstance(key, str):
            key = self._parse(key)
        length: int
        data: bytes
        if isinstance(key, (ip.IPv4Interface, ip.IPv6Interface)):
            length, data = key.network.prefixlen, key.packed
        elif isinstance(key, (ip.IPv4Network, ip.IPv6Network)):
            length, data = key.prefixlen, key.network_address.packed
        elif isinstance(key, (ip.IPv4Address, ip.IPv6Address)):
            length, data = key.max_prefixlen, key.packed
        else:
            return super()._pack_key(key)
        room = self.key_size - LENGTH.size
        if len(data) != room:
            raise RecordError(f"{self._label}: an address of {len(data)} bytes, expected {room}")
        return LENGTH.pack(length) + data

    def _pair(self, key: Any) -> Any:
        is_pair = type(key) is tuple and len(key) == 2 and isinstance(key[1], (bytes, bytearray))
        if not is_pair:
            return key
        length, data = key
        room = self.key_size - LENGTH.size
        if not 0 <= length <= 8 * room or len(data) > room:
            raise RecordError(f"{self._label}: {length} bits and {len(data)} bytes, expected up to {room} bytes")
        return LENGTH.pack(length) + bytes(data).ljust(room, b"\0")

    def _parse(self, text: str) -> Any:
        from ipaddress import ip_address, ip_interface

        try:
            return ip_interface(text) if "/" in text else ip_address(text)
        except ValueError as error:
            raise RecordError(f"{self._label}: key: {error}") from None

    def network(self, key: Any) -> Network:
        """The network that a key stands for, as the module ipaddress has it.

        Args:
            key: as iteration gives it, or in any form that is taken.

        Raises:
            RecordError: the map's data has not the size of an address.
        """
        from ipaddress import IPv4Network, IPv6Network

        raw = self._pack_key(key)
        data = raw[LENGTH.size :]
        if len(data) not in ADDRESSES:
            raise RecordError(f"{self._label}: {len(data)} bytes of data are no address, expected 4 or 16")
        (length,) = LENGTH.unpack_from(raw)
        kind = IPv4Network if len(data) == 4 else IPv6Network
        return kind((data, length), strict=False)
