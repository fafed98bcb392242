# SPDX-License-Identifier: MIT
"""Hides what is private, before anything stores or shows it.

Paths lose the names of home directories::

    /home/alice/x      /home/USER/x
    /root/x            /home/ROOT/x
    /proc/7/root/home/alice/x, /var/home/alice/x, /home/../home/alice/x: as well

So do places that are known to be named after users: crontabs, mail, removable media (see `_PLACES`). With a key,
each user has a pseudonym of his own in place of ``USER``: see `tracer.pipeline.pseudonyms`.

Arguments lose secrets, as far as their form shows them, and so do paths that hold some. What follows is replaced by
``***``:

- the value of an option or variable whose name says so: ``--password=x``, ``--token x``, ``PGPASSWORD=x``;
- the password in ``scheme://user:password@host``, with the user, and in ``-u user:password``;
- the rest of a header that carries credentials: ``Authorization: ...``;
- OpenSSL's ``pass:x``, and the short options of programs that are known to take a password there
  (``mysql -px``, ``sshpass -p x``);
- keys and tokens that can be told by their form: a PEM block, a JWT, ``ghp_...``, ``AKIA...``.

It cannot know every program's options: a secret with no sign of being one is not hidden.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Callable

from tracer.pipeline.pseudonyms import USER, WORD, pseudonym

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.model import Event

HIDDEN = "***"

# Wherever a folder called home stands: other views of the file system have it below /proc/PID/root, /mnt, an overlay.
_VIEW = r"(?:/+proc/+[^/]+/+(?:root|cwd))?"
_HOME = re.compile(rf"(^{_VIEW}(?:/+var|/+export)?/+home/+|(?:^|/)home/+(?=[^/]+/))([^/]+)")
_ROOT = re.compile(rf"({_VIEW})(?:/+var)?/+root(?=/|$)")
_DOTS = re.compile(r"/\.{1,2}(?:/|$)")

# Directories whose entries are named after users, or that hold one for each. Those of the second row are meant at
# the top only.
_PLACES = (
    r"(?<!/)/+var/+(?:spool/+cron/+(?:(?:crontabs|tabs)/+)?(?!(?:crontabs|tabs)(?:/|$))|(?:spool/+)?mail/+"
    r"|lib/+(?:AccountsService/+(?:users|icons)|systemd/+linger|docker/+volumes|sudo/+(?:ts|lectured))/+)"
)
_TOP = r"(?<!/)/+(?:(?:run/+)?media/+|(?:var/+)?run/+(?:sudo/+ts|faillock)/+|etc/+ssh/+authorized_keys(?:\.d)?/+)"
_PLACE = re.compile(rf"({_PLACES}|^{_VIEW}{_TOP})([^/]+)")

# The same anywhere in an argument: after =, : and the like.
_NAME = r"[^/\s:;,'\"]+"
_HOME_INSIDE = re.compile(rf"((?<!/)/+home/+)({_NAME})")
_PLACE_INSIDE = re.compile(rf"({_PLACES}|(?<![\w./-]){_TOP})({_NAME})")
_TILDE = re.compile(r"((?:^|[\s=:'\"])~)([a-z_][\w.-]*)(?=/|$)")
_VARIABLE = re.compile(r"((?<![\w.-])(?:USER|LOGNAME|USERNAME|SUDO_USER|MAIL_USER)=)([^\s;'\"]+)")
# name@host, of programs that log in somewhere.
_AT_HOST = re.compile(r"()(?<![\w.+-])([\w.+-]+)(?=@[\w.\[:-])")
_REMOTE = frozenset(("ssh", "scp", "sftp", "rsync", "sshfs", "mosh", "ssh-copy-id", "autossh"))
_ROOT_INSIDE = re.compile(r"(?<![\w./-])/+root(?=[/\s:;,'\"]|$)")

_SECRET_NAME = (
    r"[\w.-]*(?:password|passwd|passphrase|passcode|[-_]pwd|secret|token|credential|api[-_]?key|access[-_]?key"
    r"|secret[-_]?key|auth[-_]?key|private[-_]?key[-_]?data|encryption[-_]?key|psk|(?<![a-z])pass)s?"
)
# An argument that begins with an assignment is all value. Elsewhere a whole command may be one argument (sh -c):
# a value ends at white space or with its quotes, and in the query of a URL at the next parameter.
_WHOLE = re.compile(rf"(?is)(-{{0,2}}{_SECRET_NAME}[=:](?!//)).+")
_QUERY = re.compile(rf"(?i)([?&]{_SECRET_NAME}=)[^\s'\"&#]+")
_VALUE = r"(\"[^\"]*\"?|'[^']*'?|[^\s'\"]+)"
_ASSIGNED = re.compile(rf"(?i)((?<![\w.?&-])-{{0,2}}{_SECRET_NAME}['\"]?\s*(?:=|:(?!//))\s*){_VALUE}")
_SPACED = re.compile(rf"(?i)((?<![\w.-])--?{_SECRET_NAME}\s+)(?!-){_VALUE}")
_OPTION = re.compile(rf"(?i)--?{_SECRET_NAME}$")
# The words of `aws configure set`, which are no options.
_WORD = re.compile(r"(?i)\w*(?:secret_access_key|session_token)$")
# -u user:password, also behind other short options, as curl takes it; -u 1000:1000 is no secret.
_USER_OPTION = re.compile(r"-[A-Za-z0-9#]*[uU]|--(?:proxy-)?user")
_USER_VALUE = re.compile(r"([^:/\s'\"]+:)(?!\d+$).+", re.DOTALL)
_USER_INSIDE = re.compile(
    r"((?:^|\s)(?:-[A-Za-z0-9#]*[uU]\s*|--(?:proxy-)?user[=\s]\s*)['\"]?[^:/\s'\"]+:)(?!\d+\b)[^\s'\"]+"
)
# In a path a secret ends where the component does. Slashes have become one when the kernel gives it back.
_PATH_SECRET = re.compile(rf"(?i)((?<![\w.-]){_SECRET_NAME}=)[^/]+")
_PATH_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}:/+)[^\s/@?#]+@")
_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@'\"?#]+@")
_HEADER = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,64}?(?:key|token|auth|secret)[\w-]{0,64})(\s*:\s*).+"
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[^\s'\"]+")
_OPENSSL_PASS = re.compile(r"(?<![\w./-])(pass:)[^\s'\"]+")
_SHAPES = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*|"
    r"\beyJ[\w-]{8,}\.[\w-]{4,}[\w.-]*|"
    r"\bgh[pousr]_\w{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}|\bxox[a-z]-[\w-]{10,}|"
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}|\bAIza[\w-]{30,}|\bsk-[\w-]{16,}|\bhvs\.[\w-]{16,}|\bAGE-SECRET-KEY-1\w+",
    re.DOTALL,
)

# Short options that take a password; -X is joined (-psecret) or not (-p secret).
_MYSQL = (
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlimport",
    "mysqlshow",
    "mariadb",
    "mariadb-dump",
    "mariadb-admin",
)
_JOINED = {**dict.fromkeys(_MYSQL, "-p"), "sshpass": "-p", "curl": "-u"}
_APART = {
    "sshpass": ("-p",),
    "curl": ("-u", "--user", "-U", "--proxy-user", "-b", "--cookie"),
    "openssl": ("-k", "-K", "-passin", "-passout", "-pass", "-psk", "-macopt", "-srppass", "-hmac"),
    "ssh-keygen": ("-N", "-P"),
    "redis-cli": ("-a", "--pass"),
    "ldapsearch": ("-w",),
    "ldapmodify": ("-w",),
    "ldapadd": ("-w",),
    "smbclient": ("-U",),
    "wget": ("--http-passwd", "--ftp-passwd"),
    "keytool": ("-storepass", "-keypass", "-srcstorepass", "-deststorepass"),
    "zip": ("-P",),
    "unzip": ("-P",),
}
# ... of these only in `docker login`.
_LOGIN = ("docker", "podman", "buildah", "skopeo", "helm", "nerdctl")
# Of these the value begins with a user's name or a keyword, which may stay.
_WITH_USER = ("curl", "smbclient", "openssl")
_KEPT = re.compile(r"([^:%=]*[:%])")


class _Names:
    """What stands for names; there is one for the whole program, as there is one catalog."""

    key = b""


def use_pseudonyms(key: bytes) -> None:
    """From now on, names of users and words become pseudonyms; with an empty key, all the same again."""
    _Names.key = key
    redact_path.cache_clear()


def _user(found: re.Match[str]) -> str:
    """For a match of what is before a name, and the name."""
    return found.group(1) + pseudonym(_Names.key, USER, found.group(2))


@lru_cache(maxsize=1024)
def redact_path(path: str) -> str:
    """The path without the names of users, and without secrets that show by their form."""
    if "=" in path or "@" in path:
        path = _PATH_URL.sub(rf"\1{HIDDEN}@", _PATH_SECRET.sub(rf"\1{HIDDEN}", path))
    if _may_be_token(path):
        path = _SHAPES.sub(HIDDEN, path)
    if not _may_be_private(path):
        return path
    if _DOTS.search(path):
        straight = posixpath.normpath(path)
        shown = _path(straight)
        # A name that leads nowhere private stays as the process gave it.
        return path if shown == straight and _path(path) == path else shown
    return _path(path)


def _may_be_token(path: str) -> bool:
    """Whether there is the beginning of one. To look for a text is twenty times as quick as to match a pattern."""
    # fmt: off
    return (
        "gh" in path or "eyJ" in path or "AKIA" in path or "ASIA" in path or "AIza" in path or "sk-" in path
        or "xox" in path or "glpat-" in path or "github_pat_" in path or "hvs." in path or "SECRET-KEY" in path
    )
    # fmt: on


def _may_be_private(path: str) -> bool:
    """Whether a place that has the name of a user may be in it."""
    # fmt: off
    return (
        "home" in path or "root" in path or "mail" in path or "media" in path or "/cron" in path or "volumes" in path
        or "AccountsService" in path or "linger" in path or "sudo" in path or "faillock" in path
        or "authorized_keys" in path
    )
    # fmt: on


def _path(path: str) -> str:
    path = _PLACE.sub(_user, path)
    if _HOME.search(path):
        return _HOME.sub(_user, path)
    found = _ROOT.match(path)
    if found:
        return found.group(1) + "/home/ROOT" + path[found.end() :]
    return path


def redact_arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments of a command without its secrets and the names of users."""
    shown: list[str] = []
    program, joined, hide_next, with_user, user_next, remote = "", "", False, False, False, False
    apart: tuple[str, ...] = ()
    for position, argument in enumerate(arguments):
        if hide_next:
            shown.append(_value(argument, with_user=with_user))
            hide_next = False
            continue
        secret = _USER_VALUE.fullmatch(argument) if user_next else None
        text = secret.group(1) + HIDDEN if secret else _argument(argument, joined)
        shown.append(_AT_HOST.sub(_user, text) if remote else text)
        user_next = bool(_USER_OPTION.fullmatch(argument))
        # The program may stand behind others: sudo, env, timeout 5.
        name = posixpath.basename(argument)
        remote = remote or name in _REMOTE
        if name in _JOINED or name in _APART:
            program, joined, apart = name, _JOINED.get(name, ""), _APART.get(name, ())
        elif name in _LOGIN and "login" in arguments[position:]:
            program, joined, apart = name, "", ("-p",)
        if not position:
            continue
        hide_next = argument in apart or bool(_OPTION.fullmatch(argument) or _WORD.fullmatch(argument))
        with_user = argument in apart and program in _WITH_USER
    return tuple(shown)


def _value(argument: str, *, with_user: bool) -> str:
    kept = _KEPT.match(argument) if with_user else None
    return (kept.group(1) if kept else "") + HIDDEN


def _argument(argument: str, joined: str) -> str:
    if joined and argument.startswith(joined) and len(argument) > len(joined) and argument[1] != "-":
        return joined + HIDDEN
    shown = _SHAPES.sub(HIDDEN, argument)
    shown = _HEADER.sub(rf"\1\2{HIDDEN}", shown)
    shown = _BEARER.sub(rf"\1{HIDDEN}", shown)
    shown = _QUERY.sub(rf"\1{HIDDEN}", shown)
    whole = _WHOLE.fullmatch(shown)
    if whole:
        return whole.group(1) + HIDDEN
    shown = _ASSIGNED.sub(rf"\1{HIDDEN}", shown)
    shown = _SPACED.sub(rf"\1{HIDDEN}", shown)
    shown = _OPENSSL_PASS.sub(rf"\1{HIDDEN}", shown)
    shown = _URL.sub(rf"\1{HIDDEN}@", shown)
    shown = _USER_INSIDE.sub(rf"\1{HIDDEN}", shown)
    shown = _VARIABLE.sub(_user, _TILDE.sub(_user, _PLACE_INSIDE.sub(_user, _HOME_INSIDE.sub(_user, shown))))
    return _ROOT_INSIDE.sub("/home/ROOT", shown)


# By the kind of privacy that the type of a field has; see SEMANTICS in tracer.decode.
REDACTORS: dict[str, Callable[[Any], Any]] = {"path": redact_path, "argv": redact_arguments}

# Paths that are in no record, and were found out by later steps.
ADDED = ("exe", "library", "caller")


def redact(private: dict[str, tuple[tuple[str, str], ...]]) -> Callable[[Event], Event]:
    """Hides what is private in the fields of an event.

    Args:
        private: for each kind of event, names of fields and how to treat them.
    """
    actions = {kind: [(name, REDACTORS[how]) for name, how in fields] for kind, fields in private.items()}

    def stage(event: Event) -> Event:
        fields = event.fields
        for name, action in actions.get(event.kind.name, ()):  # what we make ourselves of the wire has no record
            value = fields[name]
            if value is not None:
                fields[name] = action(value)
        for name in ADDED:
            path = fields.get(name)
            if path:
                fields[name] = redact_path(path)
        return event

    return stage


def _word_hider(words: Sequence[str]) -> Callable[[str], str]:
    found = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))), re.IGNORECASE)

    def hide(text: str) -> str:
        # Whatever its case, it is the same word.
        return found.sub(lambda word: pseudonym(_Names.key, WORD, word.group().lower()) if _Names.key else HIDDEN, text)

    return hide


def text_redactor(*, redact: bool, words: Sequence[str]) -> Callable[[str], str]:
    """Hides what is private in names and paths that are in no event."""
    if not redact:
        return str
    if not words:
        return redact_path
    hide = _word_hider(words)
    return lambda text: hide(redact_path(text))


def hide_words(words: Sequence[str]) -> Callable[[Event], Event]:
    """Hides words of the user's choice, in all text of an event, whatever their case."""
    hide_text = _word_hider(words)

    def hide(value: Any) -> Any:
        if isinstance(value, str):
            return hide_text(value)
        return tuple(map(hide, value)) if isinstance(value, tuple) else value

    def stage(event: Event) -> Event:
        event.fields.update((name, hide(value)) for name, value in event.fields.items())
        return event

    return stage
