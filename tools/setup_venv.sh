#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# usage: setup_venv.sh VENV PYTHON REQUIREMENTS...
# Makes VENV a virtual environment of the interpreter PYTHON with what the requirement files name.
#
# A fresh Debian has python3 but neither ensurepip nor pip. Then python3-venv is installed where that is possible;
# else virtualenv, uv or a pip of the interpreter itself will do.
set -euo pipefail

venv=$1
python=$2
shift 2

die() {
    echo "setup_venv: $*" >&2
    exit 1
}

base_of() {
    "$1" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))' 2>/dev/null
}

has_module() {
    "$python" -c "import $1" 2>/dev/null
}

command -v "$python" >/dev/null || die "no interpreter '$python': install Python 3.9 or newer, or set PYTHON="
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    die "'$python' is $("$python" --version 2>&1), wanted is 3.9 or newer: set PYTHON="

if ! { [ -x "$venv/bin/python" ] && [ "$(base_of "$venv/bin/python")" = "$(base_of "$python")" ]; }; then
    rm -rf "$venv"
fi

if [ ! -d "$venv" ]; then
    if ! has_module ensurepip; then
        case $(base_of "$python") in
        /usr/bin/*) "$(dirname "$0")/install_packages.sh" python3-venv || true ;;
        esac
    fi
    if has_module ensurepip; then
        "$python" -m venv "$venv"
    elif has_module virtualenv; then
        "$python" -m virtualenv --quiet "$venv"
    elif command -v uv >/dev/null; then
        uv venv --quiet --seed --python "$python" "$venv"
    elif has_module pip; then
        "$python" -m venv --without-pip "$venv"
    else
        die "'$python' can make no virtual environment: install python3-venv (as root: apt install python3-venv)"
    fi
fi

arguments=()
for file in "$@"; do
    arguments+=(--requirement "$file")
done
pip=("$venv/bin/python" -m pip)
"${pip[@]}" --version >/dev/null 2>&1 || pip=("$python" -m pip --python "$venv/bin/python")
# --no-deps: the files are complete, and rich would bring along what nobody imports.
"${pip[@]}" --disable-pip-version-check install -qq --no-input --no-deps "${arguments[@]}"
