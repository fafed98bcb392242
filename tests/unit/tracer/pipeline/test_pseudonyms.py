"""Keyed pseudonyms: the same for the same name and key, and nothing of the name in them."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tests.unit.tracer import events
from tracer.cli import main
from tracer.errors import UsageError
from tracer.pipeline.pseudonyms import pseudonym, read_key
from tracer.pipeline.redact import hide_words, redact_arguments, redact_path, text_redactor, use_pseudonyms

KEY, OTHER = b"0123456789abcdef", b"fedcba9876543210"


@pytest.fixture(autouse=True)
def _none_afterwards():
    """What stands for names is set for the whole program."""
    yield
    use_pseudonyms(b"")


def test_pseudonym_is_hmac_sha256_of_kind_and_name():
    """As the page says, so that whoever has the key can look for a name."""
    digest = hmac.new(KEY, b"USER\0alice", hashlib.sha256).hexdigest()
    assert pseudonym(KEY, "USER", "alice") == f"USER-{digest[:12]}"
    assert pseudonym(KEY, "USER", "\udcff") != pseudonym(KEY, "USER", "\udcfe")
    assert pseudonym(b"", "USER", "alice") == "USER"


def test_pseudonym_depends_on_name_and_key():
    """Not one for all, and none that another key gives as well."""
    found = {pseudonym(key, kind, name) for key in (KEY, OTHER) for kind in ("USER", "WORD") for name in ("a", "b")}
    assert len(found) == 8


def test_pseudonym_of_a_pseudonym_is_itself():
    """A recording that has them is replayed as it is."""
    once = pseudonym(KEY, "USER", "alice")
    assert pseudonym(KEY, "USER", once) == once
    assert pseudonym(KEY, "USER", "USER") == "USER"


def test_every_way_to_name_a_user_gives_the_same_pseudonym():
    """Paths, arguments, variables: who reads them sees that it is one user."""
    use_pseudonyms(KEY)
    name = pseudonym(KEY, "USER", "alice")
    for path in ("/home/{}/x.pem", "/var/home/{}", "/var/mail/{}", "/run/media/{}/x"):
        assert redact_path(path.format("alice")) == path.format(name)
    given = ("--key=/home/alice/x", "USER=alice", "~alice/x.pem", "a:/var/mail/alice")
    assert redact_arguments(("app", *given)) == ("app", *(each.replace("alice", name) for each in given))
    assert redact_arguments(("ssh", "alice@host")) == ("ssh", f"{name}@host")
    assert text_redactor(redact=True, words=())("/home/alice") == f"/home/{name}"


def test_secrets_get_no_pseudonym():
    """It would tell that two are the same."""
    use_pseudonyms(KEY)
    assert redact_arguments(("app", "--password=hunter2")) == ("app", "--password=***")


def test_words_get_pseudonyms_whatever_their_case():
    """They are names, of customers and projects."""
    use_pseudonyms(KEY)
    stage = hide_words(["Zebra"])
    shown = [stage(events.file_open(f"/srv/{word}/x.pem")).fields["path"] for word in ("zebra", "ZEBRA")]
    assert shown == [f"/srv/{pseudonym(KEY, 'WORD', 'zebra')}/x.pem"] * 2


@pytest.mark.parametrize("content", [b"", b"short", b"                    ", b"x" * 5000])
def test_key_that_is_none_is_refused(tmp_path, content):
    """One that can be guessed hides nothing."""
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="bytes are no key") as caught:
        read_key(str(path))
    assert "openssl rand" in caught.value.hint


def test_key_has_no_white_space_around_it(tmp_path):
    """A line feed at the end of the file must not make another key."""
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    assert read_key(str(path)) == KEY


def test_pseudonyms_and_no_redact_exclude_each_other(capsys, tmp_path):
    """On one command line; over a configuration file, the command line wins."""
    path = tmp_path / "key"
    path.write_bytes(KEY)
    arguments = ["snapshot", "-p", "1", "-o", "/dev/null", "--no-redact"]
    assert main([*arguments, "--pseudonyms", str(path)]) == 2
    assert "exclude each other" in capsys.readouterr().err
    config = tmp_path / "config"
    config.write_text(f'{{"pseudonyms": "{path}"}}')
    assert main([*arguments, "--config", str(config)]) == 0
    assert main(["snapshot", "-p", "1", "--pseudonyms", str(tmp_path / "none")]) == 2
