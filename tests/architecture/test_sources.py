"""Rules about the text of the sources: size, syntax, no copies of C layouts, no paths of one machine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.sources import (
    GENERATED,
    PACKAGES,
    ROOT,
    imported_names,
    module_name,
    python_files,
    tracked_files,
)

MAX_LINES = 400
SIZED_SUFFIXES = {".py", ".c", ".h", ".sh"}
OLDEST_PYTHON = (3, 9)

OWN_CODE = [path for path in tracked_files() if path.suffix == ".py"]

# Paths and hosts of the machine something was made on; written so that no pattern matches itself.
MACHINE_PATHS = re.compile(
    rb"/[w]ork/(?:main|shared)|/tmp/[p]lan\b|/root/[.]pyenv|/home/(?!USER|ROOT|user|alice|bob|X/)[a-z][a-z0-9_-]*/"
    rb"|[p]ypi\.org|[f]iles\.pythonhosted|[d]eb\.debian\.org|[r]egistry\.npmjs|/opt/[p]ypi"
)


def machine_paths(content: bytes, root: Path = ROOT) -> list[str]:
    """What a file names that exists on one machine only; so does the place of the checkout, if it is no short one."""
    found = [match[0].decode() for match in MACHINE_PATHS.finditer(content)]
    here = str(root).encode() + b"/"
    if len(root.parts) > 2 and here in content:
        found.append(here.decode())
    return found


def needs_newer_python(source: str) -> bool:
    """Whether a source uses syntax that the oldest supported Python does not know."""
    try:
        ast.parse(source, feature_version=OLDEST_PYTHON)
    except SyntaxError:
        return True
    return False


def evaluates_annotations(source: str) -> bool:
    """Whether annotations of a source are evaluated at run time, where `X | Y` fails before Python 3.10."""
    tree = ast.parse(source)
    annotated = any(
        (isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation)
        or (isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns)
        for node in ast.walk(tree)
    )
    postponed = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
    return annotated and not postponed


@pytest.mark.parametrize(
    "path",
    [path for path in tracked_files() if path.suffix in SIZED_SUFFIXES and path not in GENERATED],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_file_is_small(path):
    """A file that grows past the limit has more than one subject."""
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", OWN_CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_file_runs_on_oldest_python(path):
    """No newer syntax, and no annotation that the oldest Python would have to evaluate."""
    source = path.read_text()
    assert not needs_newer_python(source)
    assert not evaluates_annotations(source)


def test_newer_syntax_and_evaluated_annotations_are_found():
    """The two checks above see what they are for."""
    assert needs_newer_python("match x:\n    case 1:\n        pass")
    assert not needs_newer_python("with open('a') as b, open('c') as d:\n    pass")
    assert evaluates_annotations("def f(x: int | None): ...")
    assert evaluates_annotations("def f() -> int | None: ...")
    assert not evaluates_annotations("from __future__ import annotations\nx: int | None = 1")


# These know no C struct but the first member of each record, its time; or a form of our own, or of the network.
OWN_FORMS = ("tracer.rows", "tracer.sinks.recording", "tracer.wire.hello", "tracer.wire.reader")
OTHERS = [path for path in python_files("tracer") if module_name(path) not in OWN_FORMS]


@pytest.mark.parametrize("path", OTHERS, ids=module_name)
def test_application_has_no_copy_of_c_layouts(path):
    """Records are decoded by the object's own BTF: the application takes no bytes apart by itself."""
    module = module_name(path)
    tools = {"struct", "ctypes", "array"}
    imports = imported_names(path.read_text(), module, is_package=path.name == "__init__.py")
    assert [name for _, name in imports if name.partition(".")[0] in tools] == []


def test_repository_names_no_path_of_one_machine():
    """Nothing that is committed, objects too, leads back to the machine it was made on."""
    found = {str(path.relative_to(ROOT)): machine_paths(path.read_bytes()) for path in tracked_files()}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_machine_paths_are_found():
    """The pattern knows checkouts and home directories, and lets documentation speak of /home."""
    assert "/wor" + "k/main" in machine_paths(b"see /wor" + b"k/main/x")
    assert machine_paths(b"/home/jdoe" + b"/.cache") == ["/home/jdoe" + "/"]
    assert machine_paths(b"in /srv/checkout/x", Path("/srv/checkout")) == ["/srv/checkout/"]
    assert machine_paths(b"in /src/x", Path("/src")) == []
    assert machine_paths(b"/home/USER/.ssh/id_rsa, /root, /etc/ssl") == []


def test_packages_are_marked_as_typed():
    """Users' type checkers read our annotations only with these files."""
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").exists()] == []
