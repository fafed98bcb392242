#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# usage: install_packages.sh PACKAGE...
# Installs those of the named Debian packages that are missing. Needs root or sudo only when one is.
# Exit status 1, with a text that names the packages, when it cannot.
set -euo pipefail

missing=()
for package in "$@"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

refuse() {
    echo "cannot install the Debian packages ${missing[*]}: $1" >&2
    exit 1
}

command -v apt-get >/dev/null || refuse "this system has no apt-get"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || refuse "not root, and there is no sudo"
    # Without a terminal nobody can type a password.
    if [ ! -t 0 ] && ! sudo -n true 2>/dev/null; then
        refuse "not root, and sudo wants a password"
    fi
    as_root=(sudo)
fi

# A package may bring a service: nobody asked for it to be started.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

install_missing() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

echo "installing Debian packages: ${missing[*]}" >&2
# The package lists may be absent or old: fetch them only when the first try fails.
install_missing 2>/dev/null || {
    "${as_root[@]}" apt-get update --quiet=2 </dev/null >/dev/null && install_missing
} || refuse "apt-get failed"
