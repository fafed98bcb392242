#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""With whom the processes of a cgroup talk, and a small firewall: two maps that both sides use."""

from __future__ import annotations

import argparse
import time
from ipaddress import IPv4Address
from pathlib import Path

import pybpfload

OBJECT = Path(__file__).with_suffix(".bpf.o")


def main() -> None:
    """Until Ctrl-C, or as long as it was told to; then it prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cgroup", help="a directory of cgroup2")
    parser.add_argument("-b", "--block", action="append", default=[], help="a network: 10.0.0.0/8; may be repeated")
    parser.add_argument("-d", "--duration", type=float, default=1e9, help="in seconds")
    options = parser.parse_args()

    spec = pybpfload.read_object(OBJECT)
    with pybpfload.load(spec) as obj:
        for network in options.block:
            obj.maps["blocked"][network] = 1
        with pybpfload.LinkSet() as links:
            for program in obj.programs.values():
                links.add(pybpfload.attach_cgroup(program, options.cgroup))
            try:
                print(f"counting in {options.cgroup}", flush=True)
                time.sleep(options.duration)
            except KeyboardInterrupt:
                pass
        print(f"{'PEER':15} {'WAY':8} {'PACKETS':>9} {'BYTES':>12} {'DROPPED':>9}")
        for peer, traffic in sorted(obj.maps["peers"].items(), key=lambda item: -item[1].bytes):
            address, way = IPv4Address(bytes(peer.address)), "sent" if peer.sent else "received"
            print(f"{address!s:15} {way:8} {traffic.packets:9} {traffic.bytes:12} {traffic.dropped:9}")


if __name__ == "__main__":
    main()
