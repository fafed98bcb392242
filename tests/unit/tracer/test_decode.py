"""From bytes to events, with the layouts of the real objects."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pybpfload
from pybpfload.errors import RecordError
from tracer import objects
from tracer.decode import (
    KEPT,
    OPEN_ACCESS,
    OPEN_FLAGS,
    OPEN_FLAGS_BY_ARCHITECTURE,
    SEMANTICS,
    SYNC,
    TMPFILE,
    Decoder,
    OpenFlags,
    read_arguments,
)
from tracer.errors import LoadError
from tracer.handshakes import WIRE_TLS
from tracer.model import KINDS
from tracer.objects import ARCHITECTURES

OFFSET_NS = 1_700_000_000_000_000_000
HEADER = {"time": 77, "start_time": 55, "cgroup": 99, "pid": 7, "tid": 8, "ppid": 1, "uid": 1000, "gid": 100,
          "comm": b"cat"}  # fmt: skip


class Clock:
    offset_ns = OFFSET_NS


@pytest.fixture(scope="module")
def spec():
    return pybpfload.read_object(objects.read("file_open_trace", machine="x86_64"), name="file_open_trace")


@pytest.fixture(scope="module")
def made(spec):
    return Decoder(spec.records["events"], spec.btf, Clock())


@pytest.fixture(scope="module")
def decoder(made):
    return made.read


def record(spec, kind, tail=None, **fields):
    """A record as the kernel sends it; with `tail` it ends after these bytes of its last member."""
    layout = spec.records["events"].member(kind)
    if "strings_size" in layout.names:
        fields.setdefault("strings_size", len(tail or b""))
    number = spec.btf.enum_values("ct_kind")[f"CT_{kind.upper()}"]
    last = {} if tail is None else {layout.names[-1]: tail}
    raw = layout.pack_value({**HEADER, "kind": number, **fields, **last})
    return raw if tail is None else raw[: layout.min_size + len(tail)]


def test_decode_file_open(spec, decoder):
    """Every field, with the record in the middle of a buffer."""
    raw = record(spec, "file_open", b"/etc/ssl/x.pem\0", result=-errno.ENOENT, flags=os.O_CLOEXEC)
    event = decoder(memoryview(b"\xff" * 16 + raw + b"\xff" * 16), 16, len(raw))
    assert event.kind.name == "file_open"
    assert event.fields.items() >= {
        "wall_ns": OFFSET_NS + 77, "time": 77, "start_time": 55, "pid": 7, "tid": 8, "ppid": 1, "uid": 1000,
        "gid": 100, "comm": "cat", "path": "/etc/ssl/x.pem", "result": 2, "flags": "O_RDONLY|O_CLOEXEC",
    }.items()  # fmt: skip


@pytest.mark.parametrize(("raw", "result"), [(0, 0), (3, 0), (-2, 2), (-13, 13)])
def test_decode_result_is_errno_or_zero(spec, decoder, raw, result):
    """The number of the new descriptor says nothing to anybody else."""
    data = record(spec, "file_open", b"x\0", result=raw)
    assert decoder(data, 0, len(data)).fields["result"] == result


@pytest.mark.parametrize(
    ("area", "size", "arguments", "cut"),
    [
        (b"cat\0x\0", 6, ("cat", "x"), False),
        (b"true\0\0x\0\0", 9, ("true", "", "x", ""), False),
        (b"", 0, (), False),
        (b"a" * 4095 + b"\0", 4096, ("a" * 4095,), False),
        (b"a" * 4096, 4097, ("a" * 4096,), True),
        (b"cat\0" + b"b" * 4092, 10000, ("cat", "b" * 4092), True),
        (b"\xff\0", 2, ("\udcff",), False),
        # the kernel could not read them: there were some
        (b"", 5, (), True),
    ],
)
def test_decode_process_exec_arguments(spec, decoder, area, size, arguments, cut):
    """Empty arguments count, and what did not fit is said to be missing."""
    data = record(spec, "process_exec", b"/bin/x\0" + area, argv_size=size)
    fields = decoder(data, 0, len(data)).fields
    assert (fields["argv"], fields["argv_cut"], fields["path"]) == (arguments, cut, "/bin/x")


@pytest.mark.parametrize(
    ("names", "result", "path", "file_path"),
    [
        (b"x.pem\0x.pem\0ssl\0etc\0\0", 3, "x.pem", "/etc/ssl/x.pem"),
        (b"/etc/link\0x.pem\0srv\0\0", 0, "/etc/link", "/srv/x.pem"),
        (b"/\0\0", 3, "/", "/"),
        (b"x.pem\0ssl\0etc\0\0", -2, "x.pem", "/etc/ssl/x.pem"),
        (b"../x.pem\0\0", -2, "../x.pem", "/../x.pem"),
        (b"/gone/x.pem\0", -2, "/gone/x.pem", "/gone/x.pem"),
        # the path was too deep, or the directory not to be found
        (b"x.pem\0x.pem\0ssl\0", 3, "x.pem", None),
        (b"x.pem\0", -2, "x.pem", None),
        (b"/etc/x.pem\0", 3, "/etc/x.pem", None),
        # open_by_handle_at
        (b"\0x.pem\0ssl\0\0", 3, "/ssl/x.pem", "/ssl/x.pem"),
        (b"\0x.pem\0", 3, "", None),
        (b"\xff.pem\0\xff.pem\0\0", 3, "\udcff.pem", "/\udcff.pem"),
        (b"", 3, "", None),
    ],
)
def test_decode_file_open_names(spec, decoder, names, result, path, file_path):
    """The name that was asked for, and where the file lies: joined only if nothing is missing."""
    data = record(spec, "file_open", names, result=result)
    fields = decoder(data, 0, len(data)).fields
    assert (fields["path"], fields["file_path"]) == (path, file_path)


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (b"libssl.so.3\0lib\0usr\0\0", "/usr/lib/libssl.so.3"),
        (b"memfd:libssl.so\0\0", "/memfd:libssl.so"),
        (b"libssl.so.3\0lib\0", "libssl.so.3"),
        (b"", ""),
    ],
)
def test_decode_lib_load_names(spec, decoder, names, path):
    """A path that is not whole is no path: the name alone stays."""
    data = record(spec, "lib_load", names, device=254 << 20 | 3)
    fields = decoder(data, 0, len(data)).fields
    assert (fields["path"], fields["device"]) == (path, "254:3")


@given(st.binary(max_size=64))
def test_decode_any_names_are_text(spec, decoder, names):
    """Whatever a record has in it."""
    for kind in ("file_open", "lib_load", "process_exec"):
        data = record(spec, kind, names)
        assert isinstance(decoder(data, 0, len(data)).fields["path"], str)


def test_decode_process_exit(spec, decoder):
    """Code and signal as they are."""
    data = record(spec, "process_exit", exit_code=0, signal=int(signal.SIGSEGV), core_dumped=1)
    fields = decoder(data, 0, len(data)).fields
    assert (fields["exit_code"], fields["signal"], fields["core_dumped"]) == (0, 11, 1)


def test_decode_unknown_kind_is_a_record_error(spec, decoder):
    """The library counts it and reads on."""
    data = bytearray(record(spec, "process_exit"))
    data[spec.records["events"].member("header")["kind"].offset] = 200
    with pytest.raises(RecordError, match="kind 200 is none of"):
        decoder(bytes(data), 0, len(data))


@pytest.mark.parametrize("size", [0, 1, 19, 20, 55])
def test_decode_short_record_is_a_record_error(spec, decoder, size):
    """Nothing is read beyond the record."""
    data = record(spec, "process_exit")
    with pytest.raises(RecordError):
        decoder(data[:size], 0, size)


@given(st.binary(max_size=400))
def test_decode_any_bytes_is_an_event_or_a_record_error(spec, decoder, data):
    """A broken ring buffer breaks nothing else."""
    try:
        event = decoder(data, 0, len(data))
    except RecordError:
        return
    assert event.kind in KINDS


def test_decoder_knows_every_kind_and_its_columns(spec, decoder):
    """What the columns show is in the records, or is added by a later step."""
    numbers = spec.btf.enum_values("ct_kind")
    recorded = [kind for kind in KINDS if f"CT_{kind.name.upper()}" in numbers]
    assert {kind.name for kind in KINDS} - {kind.name for kind in recorded} == {
        "lib_present",  # from /proc
        "ssh_handshake",  # from what was sent
    }
    added = {
        "exe",
        "file_type",
        "wall_ns",
        "container",
        "pod",
        "pod_name",
        "container_name",
        "library_name",
        "family",
        "version",
        "build_id",
    }
    added |= {"function_name", "success", "peer_address", "algorithm", "origin"}  # by the probe itself
    added |= {column.field for column in WIRE_TLS} | {"interface", "type"}
    for kind in recorded:
        layout = spec.records["events"].member(kind.name)
        raw = b"\0" if "strings_size" in layout.names else None
        names = set(decoder(data := record(spec, kind.name, raw), 0, len(data)).fields)
        assert {column.field for column in kind.columns} <= names | added
        assert {kind.file, kind.image, kind.library} - {""} <= names


def test_every_typedef_of_the_records_has_a_meaning(spec):
    """A type of ours without a row in SEMANTICS would be neither formatted nor redacted."""
    union = spec.records["events"]
    names = [name[len("CT_") :].lower() for name in spec.btf.enum_values("ct_kind")]
    used = {field.type_name for name in names for field in union.member(name) if field.type_name}
    assert {name for name in used if name.startswith("ct_")} <= set(SEMANTICS)
    assert set(SEMANTICS) <= used


def test_decoder_tells_what_is_private(made):
    """Paths and arguments, by their types."""
    assert dict(made.private["file_open"]) == {"path": "path", "file_path": "path"}
    assert dict(made.private["lib_load"]) == {"path": "path"}
    assert dict(made.private["lib_open"]) == {"path": "path"}
    assert dict(made.private["process_exec"]) == {"path": "path", "argv": "argv"}
    assert made.private["process_exit"] == ()


def test_decoder_refuses_objects_of_another_version(spec):
    """A kind of event that this program cannot show."""

    class OtherBtf:
        def enum_values(self, name):
            return {"CT_FILE_OPEN": 1, "CT_TELEPORT": 9}

    with pytest.raises(LoadError, match="event kind `teleport`"):
        Decoder(spec.records["events"], OtherBtf(), Clock())


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (os.O_RDONLY, "O_RDONLY"),
        (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "O_WRONLY|O_CREAT|O_TRUNC"),
        (os.O_RDWR | os.O_SYNC, "O_RDWR|O_SYNC"),
        (os.O_RDWR | os.O_DSYNC, "O_RDWR|O_DSYNC"),
        (os.O_RDWR | os.O_TMPFILE, "O_RDWR|O_TMPFILE"),
        (os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, "O_RDONLY|O_DIRECTORY|O_CLOEXEC"),
        (3, "O_ACCMODE"),
        (1 << 30, "O_RDONLY|0x40000000"),
    ],
)
def test_open_flags_text(flags, text):
    """By their names; what has none as a number."""
    assert OpenFlags("x86_64")[flags] == text


@pytest.mark.skipif(os.uname().machine not in ARCHITECTURES, reason="no objects for this machine")
@pytest.mark.parametrize("name", [*OPEN_FLAGS, "O_DIRECT", "O_DIRECTORY", "O_NOFOLLOW", "O_SYNC", "O_TMPFILE"])
def test_open_flags_numbers_are_those_of_this_machine(name):
    """The C library's headers agree with the table."""
    flags = OpenFlags(ARCHITECTURES[os.uname().machine])
    assert flags[getattr(os, name)] == f"O_RDONLY|{name}"


@pytest.mark.parametrize(("arch", "bit"), [("x86_64", 0o100000), ("arm64", 0o400000)])
def test_open_flags_large_file_has_the_number_of_its_machine(arch, bit):
    """Python's own constant is 0, but programs may pass it."""
    assert OpenFlags(arch)[bit] == "O_RDONLY|O_LARGEFILE"


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(OPEN_FLAGS_BY_ARCHITECTURE)))
def test_open_flags_text_gives_the_number_back(flags, arch):
    """Nothing is left out and nothing is told twice."""
    known = {**OPEN_FLAGS, **OPEN_FLAGS_BY_ARCHITECTURE[arch]}
    known["O_SYNC"] = SYNC | known["O_DSYNC"]
    known["O_TMPFILE"] = TMPFILE | known["O_DIRECTORY"]
    first, *rest = OpenFlags(arch)[flags].split("|")
    number = OPEN_ACCESS.index(first)
    for name in rest:
        bits = int(name, 16) if name.startswith("0x") else known[name]
        assert number & bits == 0
        number |= bits
    assert number == flags


def test_open_flags_memory_is_bounded():
    """A program that opens with ever new numbers does not fill our memory."""
    flags = OpenFlags("x86_64")
    for number in range(2 * KEPT):
        assert flags[number << 8]
    assert len(flags) == KEPT


@given(st.lists(st.binary(max_size=8).filter(lambda raw: b"\0" not in raw), min_size=1))
def test_read_arguments_splits_at_each_nul(arguments):
    """As /proc/PID/cmdline has them."""
    raw = b"".join(argument + b"\0" for argument in arguments)
    assert [os.fsencode(text) for text in read_arguments(raw)] == arguments
