"""The configuration file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.sources import ROOT
from tracer import config
from tracer.errors import UsageError

TOML = """
format = "json-lines"
name = ["nginx", "haproxy"]
pid = 7
follow-children = true
[files]
suffixes = { ".vault" = "keystore" }
directories = ["/srv/pki/"]
[redact]
words = ["customer-x"]
"""
NAMES = ("format", "name", "pid", "follow_children")


def written(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text)
    return str(path)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib comes with Python 3.11")
def test_toml_and_json_say_the_same(tmp_path):
    """Python before 3.11 reads JSON only."""
    import tomllib

    from_toml = config.read(written(tmp_path, TOML))
    assert from_toml == config.read(written(tmp_path, json.dumps(tomllib.loads(TOML))))
    assert config.options_of(from_toml, "x", NAMES) == {
        "format": "json-lines",
        "name": ("nginx", "haproxy"),
        "pid": (7,),
        "follow_children": True,
    }


def test_options_of_other_commands_are_checked_and_left_out(tmp_path):
    """One file serves all commands."""
    found = {"duration": 5, "name": "x"}
    assert config.options_of(found, "x", ("name",)) == {"name": ("x",)}
    with pytest.raises(UsageError, match="expected a number of seconds"):
        config.options_of({"duration": "soon"}, "x", ("name",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"formt": "csv"}', "there is no option `formt`"),
        ('{"format": "yaml"}', "none of json-stream"),
        ('{"no-redact": "no"}', "expected true or false"),
        ('{"name": [["x"]]}', "expected text"),
        ('{"config": "x"}', "there is no option `config`"),
        ("{", "Expecting"),
    ],
)
def test_mistake_is_an_error(tmp_path, text, words):
    """A typing mistake must not go unseen."""
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=words):
        config.options_of(config.read(path), path, NAMES)


@pytest.mark.parametrize(
    "found",
    [
        {"files": {"sufixes": {}}},
        {"files": {"suffixes": {"vault": "keystore"}}},
        {"files": {"suffixes": {".a.b": "keystore"}}},
        {"files": {"suffixes": {".vault": "Key Store"}}},
        {"files": {"names": {"a/b": "keystore"}}},
        {"files": {"names": {"x" * 17: "keystore"}}},
        {"files": {"directories": ["srv/"]}},
        {"libraries": {"names": {"": "x"}}},
        {"redact": {"words": [""]}},
        {"redact": []},
    ],
    ids=str,
)
def test_row_that_the_kernel_could_not_take_is_an_error(found):
    """Its tables are narrow, and compare plain bytes."""
    with pytest.raises(UsageError):
        config.extend_catalog(found, "x")


def test_rows_are_in_the_catalog_and_for_the_kernel():
    """In a process of its own, since the catalog is of the whole process."""
    code = """
from tracer import config
found = {"files": {"suffixes": {".Vault": "keystore"}, "names": {"Master.secret": "private_key"},
    "directories": ["/srv/pki/"]}, "libraries": {"names": {"libacme": "Acme"}}, "redact": {"words": ["x"]}}
assert config.extend_catalog(found, "x") == ("x",)
from tracer.catalog import filetypes, libraries
from tracer.probes import file_open
assert filetypes.file_type("/tmp/a.vault") == "keystore"
assert filetypes.file_type("MASTER.secret") == "private_key"
assert filetypes.file_type("/srv/pki/any") == "other"
assert {".vault", "master.secret"} <= set(filetypes.patterns())
assert "/srv/pki/" in file_open.DIRECTORIES
assert libraries.find_library("/opt/libacme.so.1").family == "Acme"
assert "libacme" in libraries.prefixes()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_file_that_is_not_there_is_an_error():
    """With its name."""
    with pytest.raises(UsageError, match="/no/such/file: No such file"):
        config.read("/no/such/file")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib comes with Python 3.11")
def test_configuration_of_the_documentation_is_valid(tmp_path):
    """What users copy works: in a process of its own, since it changes the catalog."""
    text = (ROOT / "docs" / "commands.md").read_text().split("```toml\n")[1].split("```")[0]
    path = written(tmp_path, text)
    assert config.options_of(config.read(path), path, ("name",)) == {"name": ("nginx", "haproxy")}
    code = f"from tracer import config; print(config.extend_catalog(config.read({path!r}), ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("('customer-x',)\n", "")
