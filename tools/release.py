# SPDX-License-Identifier: MIT
"""Build all that a release consists of, into dist/release: `make release`.

Wheel and sdist, the single file, the image as an archive, a list of parts (CycloneDX), and digests of all. The version
is that of pybpfload/_version.py, and CHANGELOG.md has to have a section for it. Times in the files are that of the last
commit, so the same commit gives the same bytes.

    crypto-tracer-VERSION.pyz.sha256    sha256sum --check
    SHA256SUMS, SHA256SUMS.sig          sha256sum --check; openssl pkeyutl -verify: docs/deploy.md has the lines
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "dist" / "release"
NAME = "crypto-tracer"
UNRELEASED = "Unreleased"

# Licences of the parts that the single file carries, as CycloneDX writes them. pyelftools is in the public domain.
MIT: list[dict[str, Any]] = [{"license": {"id": "MIT"}}]
PART_LICENCES = {"pyelftools": [{"license": {"name": "Public domain"}}, *MIT], "rich": MIT}


class ReleaseError(Exception):
    """It cannot be built; the text says why."""


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--python", action="append", default=[], metavar="PATH", help="bytecode for this one, too")
    parser.add_argument("--podman", default="podman", metavar="COMMAND", help="how to run podman")
    parser.add_argument("--context", type=Path, default=ROOT, metavar="DIR", help="what the image is built from")
    parser.add_argument("--no-image", action="store_true", help="leave the image out")
    parser.add_argument("--key", type=Path, metavar="FILE", help="sign the digests with this Ed25519 key")
    options = parser.parse_args()
    try:
        build(options)
    except (ReleaseError, subprocess.CalledProcessError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def build(options: argparse.Namespace) -> None:
    """Build everything.

    Raises:
        ReleaseError: something does not fit, or a tool is missing.
        CalledProcessError: a tool has failed, and has said why.
    """
    version, epoch = read_version(), last_commit()
    check_changelog((ROOT / "CHANGELOG.md").read_text(), version)
    output: Path = options.output
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    os.environ["SOURCE_DATE_EPOCH"] = epoch
    run("-m", "hatchling", "build", "-d", str(output))
    packages = sorted(map(str, output.iterdir()))
    run("-m", "twine", "check", "--strict", *packages)
    run("-m", "check_wheel_contents", *(name for name in packages if name.endswith(".whl")))
    zipapp = output / f"{NAME}-{version}.pyz"
    pythons = [word for python in options.python for word in ("--python", python)]
    run(str(ROOT / "tools" / "build_zipapp.py"), "--output", str(zipapp), *pythons)
    zipapp.with_name(f"{zipapp.name}.sha256").write_text(digests([zipapp]))
    parts = output / f"{NAME}-{version}.cdx.json"
    run(
        *("-m", "cyclonedx_py", "requirements", "--output-reproducible", "--output-format", "JSON"),
        *("--pyproject", str(ROOT / "pyproject.toml"), "--output-file", str(parts)),
        str(ROOT / "requirements-zipapp.txt"),
    )
    parts.write_text(complete_parts(parts.read_text(), version))
    check_parts(parts)
    if not options.no_image:
        build_image(shlex.split(options.podman), options.context, version, epoch, output)
    sums = output / "SHA256SUMS"
    sums.write_text(digests(sorted(path for path in output.iterdir() if path.suffix != ".sha256")))
    if options.key:
        sign(options.key, sums)
    for path in sorted(output.iterdir()):
        print(f"{path.stat().st_size:>10}  {path.name}")


def complete_parts(text: str, version: str) -> str:
    """The list of parts, with what its maker cannot know: our version, which is dynamic, what needs what, licences.

    Raises:
        ReleaseError: it has a part whose licence is not known.
    """
    found = json.loads(text)
    root, components = found["metadata"]["component"], found["components"]
    root["version"], root["purl"] = version, f"pkg:pypi/{root['name']}@{version}"
    for each in components:
        if each["name"] not in PART_LICENCES:
            raise ReleaseError(f"{each['name']}: tools/release.py does not know its licence")
        each["licenses"] = PART_LICENCES[each["name"]]
        each["description"] = "carried by the single file"
    refs = sorted(each["bom-ref"] for each in components)
    others = [each for each in found["dependencies"] if each["ref"] != root["bom-ref"]]
    found["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": refs}, *others]
    return json.dumps(found, indent=2) + "\n"


def check_parts(path: Path) -> None:
    """By the schema of CycloneDX, strictly.

    Raises:
        ReleaseError: it does not fit.
    """
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    if error:
        raise ReleaseError(f"{path.name}: {str(error).partition(chr(10))[0]}")


def read_version() -> str:
    """The version of the checkout."""
    found = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "pybpfload" / "_version.py").read_text(), re.MULTILINE)
    if not found:
        raise ReleaseError("pybpfload/_version.py: no line __version__")
    return found[1]


def check_changelog(text: str, version: str) -> None:
    """Refuse a version that the changelog says nothing of.

    Raises:
        ReleaseError: it does not.
    """
    headings = re.findall(r"^## \[?([^\]\s]+)", text, re.MULTILINE)
    if version not in headings and UNRELEASED not in headings:
        raise ReleaseError(f"CHANGELOG.md has no section for {version}: it has {', '.join(headings) or 'none'}")


def last_commit() -> str:
    """Its time, in seconds since 1970; what the environment says where there is no git."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run(*arguments: str) -> None:
    """Run Python with these arguments."""
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, stdout=sys.stderr)


def build_image(podman: list[str], context: Path, version: str, epoch: str, output: Path) -> None:
    """The image, as an archive that `podman load` and `docker load` read.

    Raises:
        ReleaseError: there is no podman.
    """
    if not shutil.which(podman[0]):
        raise ReleaseError(f"no {podman[0]} here: install it, or say --no-image")
    tag = f"localhost/{NAME}:{version}"
    isolation = ["--isolation", "chroot", "--network", "host", "--pull=missing"]
    label = ["--label", f"org.opencontainers.image.version={version}"]
    command = [*podman, "build", "--quiet", *isolation, *label, "--timestamp", epoch, "--tag", tag, str(context)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    archive = output / f"{NAME}-{version}-image.tar"
    with archive.open("wb") as file:
        subprocess.run([*podman, "save", "--quiet", "--format", "oci-archive", tag], check=True, stdout=file)


def digests(paths: list[Path]) -> str:
    """As sha256sum writes and reads them."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths)


def sign(key: Path, path: Path) -> None:
    """A signature beside a file."""
    signature = path.with_name(f"{path.name}.sig")
    command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(key), "-in", str(path), "-out", str(signature)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
