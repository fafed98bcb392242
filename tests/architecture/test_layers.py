"""Code keeps to the layers; and the check itself finds each kind of breach."""

from __future__ import annotations

import sys

import pytest

from tests.architecture.layers import APPLICATION_LAYERS, LIBRARY_LAYERS, find_place, violations
from tests.support.sources import PACKAGES, imported_names, module_name, python_files

# sys.stdlib_module_names came with Python 3.10: for 3.9, name what the standard library has and we use.
STDLIB = frozenset(getattr(sys, "stdlib_module_names", ())) or frozenset(
    """
    __future__ abc argparse array ast asyncio base64 bisect codecs collections contextlib copy ctypes csv
    dataclasses datetime difflib enum errno fcntl fnmatch functools gc getopt gzip hashlib heapq hmac http
    importlib inspect io ipaddress itertools json keyword locale logging lzma math mmap operator os pathlib
    platform pwd queue random re resource secrets select selectors shlex shutil signal socket stat string
    struct subprocess sys tempfile textwrap threading time timeit traceback types typing unicodedata uuid
    warnings weakref zipfile zipimport zlib
    """.split()
)
# Parts of it that have changed their names.
STDLIB |= {"_md5", "_sha2", "_sha256", "_signal"}
MODULES = frozenset(module_name(path) for path in python_files(*PACKAGES))


@pytest.mark.parametrize("path", python_files(*PACKAGES), ids=module_name)
def test_module_imports_keep_to_the_layers(path):
    """Nothing imports upwards, across siblings, or past the library's face."""
    module = module_name(path)
    imports = imported_names(path.read_text(), module, is_package=path.name == "__init__.py")
    assert violations(module, imports, MODULES, STDLIB) == []


@pytest.mark.parametrize("layers", [LIBRARY_LAYERS, APPLICATION_LAYERS])
def test_layer_table_names_each_module_once(layers):
    """A name in two rows would have two answers."""
    names = [name for groups in layers for group in groups for name in group]
    assert sorted(names) == sorted(set(names))


BREACHES = {
    "pure half imports the kernel half": ("pybpfload.spec", "from pybpfload._sys import bpf", "higher layer"),
    "command line imports the kernel half": ("pybpfload.cli.info", "from pybpfload._sys import bpf", "higher layer"),
    "relative import upwards": ("pybpfload.btf.blob", "from ..reader import read_object", "higher layer"),
    "import inside a function": ("pybpfload.insn", "def f():\n    import pybpfload.maps", "higher layer"),
    "siblings": ("pybpfload.insn", "from .elf import ElfFile", "siblings"),
    "siblings that are packages": ("tracer.pipeline.redact", "from tracer.sinks import jsonl", "siblings"),
    "ctypes outside _sys": ("pybpfload.maps", "import ctypes", "only pybpfload._sys"),
    "elftools outside elf.py": (
        "pybpfload.reader",
        "from elftools.elf.elffile import ELFFile",
        "only pybpfload.elf",
    ),
    "rich in the pipeline": ("tracer.pipeline.redact", "from rich.text import Text", "only tracer.sinks"),
    "rich in the library": ("pybpfload.errors", "import rich", "only tracer.sinks"),
    "library imports the application": (
        "pybpfload.object",
        "from tracer import model",
        "may import the standard",
    ),
    "another dependency": ("pybpfload.object", "import requests", "may import the standard"),
    "application past the face": ("tracer.manager", "from pybpfload.maps import Map", "may import only"),
    "application imports upwards": ("tracer.model", "from tracer.manager import EbpfManager", "higher layer"),
    "library imports its own face": ("pybpfload.links", "from pybpfload import load", "face"),
    "module without a place": ("pybpfload.helpers", "", "no place"),
    "import of nothing": ("tracer.manager", "from tracer.nowhere.at_all import x", "no such module"),
}
SAMPLE_MODULES = frozenset(
    """
    pybpfload pybpfload._sys pybpfload._sys.bpf pybpfload._version pybpfload.btf pybpfload.btf.blob
    pybpfload.btf.types pybpfload.elf pybpfload.errors pybpfload.insn pybpfload.links pybpfload.maps
    pybpfload.object pybpfload.reader pybpfload.spec
    tracer tracer.cli tracer.manager tracer.model tracer.pipeline tracer.pipeline.redact tracer.sinks
    tracer.sinks.jsonl
    """.split()
)


@pytest.mark.parametrize(("module", "source", "expected"), BREACHES.values(), ids=list(BREACHES))
def test_layer_check_finds_breach(module, source, expected):
    """Each rule, broken on purpose."""
    found = violations(module, imported_names(source, module, is_package=False), SAMPLE_MODULES, STDLIB)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pybpfload.object", "from .links import attach\nfrom .btf.types import Struct\nimport struct"),
        ("pybpfload.btf.blob", "from .types import Struct\nfrom ..errors import BtfError"),
        ("pybpfload.elf", "from elftools.elf.elffile import ELFFile"),
        ("pybpfload._sys.bpf", "import ctypes"),
        ("tracer.cli", "import rich\nfrom pybpfload._version import __version__"),
        (
            "tracer.manager",
            "import pybpfload\nfrom pybpfload.btf import Btf\nfrom pybpfload import RingReader",
        ),
    ],
)
def test_layer_check_passes_what_the_design_allows(module, source):
    """Downwards, within a package, and through the face."""
    assert violations(module, imported_names(source, module, is_package=False), SAMPLE_MODULES, STDLIB) == []


def test_layer_check_longest_name_wins():
    """`pybpfload` itself is the top, and does not swallow what lies below."""
    assert find_place("pybpfload", LIBRARY_LAYERS).row == 0
    assert find_place("pybpfload.btf.types", LIBRARY_LAYERS) == find_place("pybpfload.btf", LIBRARY_LAYERS)
    assert find_place("pybpfload.unknown", LIBRARY_LAYERS) is None
