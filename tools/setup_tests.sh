#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Brings in what the tests use beside Python: Debian packages, and tracefs. Does nothing when all is there.
# Tests whose tool is missing skip, so what cannot be had is only said; under CI it is an error.
set -euo pipefail

packages=(
    # compilers: the test objects, and whether the committed objects are what their sources give
    clang-19 llvm-19 libbpf-dev linux-libc-dev gcc libc6-dev
    # second opinions on objects and on the kernel's state
    bpftool binutils strace procps iproute2 nftables
    # libbpf as an oracle, and kernels of other releases to relocate against
    libelf-dev zlib1g-dev kmod zstd lz4
    # a whole collection of programs, to load each
    libbpf-tools
    # who scrapes our metrics, judges our unit, and makes containers without a registry
    prometheus systemd mmdebstrap
    # programs that the end-to-end tests watch, and how they are built for another C library
    openssl ca-certificates curl wget gnutls-bin nodejs git openssh-client jq tmux musl-tools nginx-light postgresql
    # ... with cryptography inside, a server, and shells whose completions are tried
    age zsh fish
    # programs that speak TLS and SSH to each other, and a second opinion on what they say
    golang-go default-jre-headless openssh-server dropbear-bin tshark
    # each library of the catalog of functions, and programs that use it
    libssl-dev libgnutls28-dev libnss3-dev libnss3-tools libgcrypt20-dev gnupg libsodium-dev libmbedtls-dev
    libwolfssl-dev softhsm2 opensc
    # calls of io_uring, of which there is no program
    liburing-dev
)

unmet() {
    if [ "${CI:-}" = true ]; then
        echo "setup_tests: $*: required here" >&2
        exit 1
    fi
    echo "setup_tests: $*: tests that need it will skip" >&2
}

"$(dirname "$0")/install_packages.sh" "${packages[@]}" || unmet "not all programs are here"

# Links to perf tracepoints take the event's number from tracefs, which a container or a small image may not mount.
tracefs=/sys/kernel/tracing
if [ "$(id -u)" -eq 0 ] && [ ! -e "$tracefs/events" ]; then
    mount -t tracefs tracefs "$tracefs" || unmet "cannot mount tracefs at $tracefs"
fi
