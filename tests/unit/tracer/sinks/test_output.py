"""Files, pipes and what can go wrong with them."""

from __future__ import annotations

import os
import stat
import threading
import time

import pytest

from tracer.errors import OutputError, ReaderGoneError
from tracer.sinks import output as module
from tracer.sinks.output import Output, open_output


def never():
    return False


def at_once():
    return True


@pytest.fixture
def pipe():
    """Reading end, and an output on the writing end."""
    reader, writer = os.pipe()
    output = Output(writer, "pipe", never)
    yield reader, output
    output.close()
    for fd in (reader,):
        try:
            os.close(fd)
        except OSError:
            pass


def test_file_is_created_for_its_owner_only(tmp_path):
    """Events tell who did what."""
    with open_output(str(tmp_path / "x"), never) as output:
        output.write_lines(["1\n", "2\n"])
        assert output.written == 2
    assert (tmp_path / "x").read_text() == "1\n2\n"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_file_is_appended_to(tmp_path):
    """An earlier trace is not lost."""
    (tmp_path / "x").write_text("0\n")
    with open_output(str(tmp_path / "x"), never) as output:
        output.write_lines(["1\n"])
    assert (tmp_path / "x").read_text() == "0\n1\n"


def test_file_that_ends_in_the_middle_of_a_line_gets_its_newline(tmp_path):
    """Somebody was killed while writing; the new lines stay valid."""
    (tmp_path / "x").write_text('{"a":')
    with open_output(str(tmp_path / "x"), never) as output:
        output.write_lines(["1\n"])
    assert (tmp_path / "x").read_text() == '{"a":\n1\n'


def test_link_of_our_own_is_followed(tmp_path):
    """A convenience that harms nobody."""
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with open_output(str(tmp_path / "link"), never) as output:
        output.write_lines(["1\n"])
    assert (tmp_path / "x").read_text() == "1\n"


def test_link_of_somebody_else_is_refused(tmp_path, monkeypatch):
    """In /tmp anybody can put one, and lead root's writing to any file."""
    victim = tmp_path / "victim"
    victim.write_text("")
    (tmp_path / "link").symlink_to(victim)
    real = os.lstat

    def lstat(path):
        found = list(real(path))
        found[stat.ST_UID] = 12345
        return os.stat_result(found)

    monkeypatch.setattr(module.os, "lstat", lstat)
    with pytest.raises(OutputError, match="symbolic link that belongs to uid 12345"):
        open_output(str(tmp_path / "link"), never)
    assert victim.read_text() == ""


@pytest.mark.parametrize(
    ("name", "reason"), [("no/such/directory", "No such file or directory"), ("", "Is a directory")]
)
def test_file_that_cannot_be_opened_is_an_error(tmp_path, name, reason):
    """With the name and the reason."""
    with pytest.raises(OutputError, match=reason):
        open_output(f"{tmp_path}/{name}", never)


def test_full_device_is_an_error_that_counts():
    """/dev/full takes nothing."""
    with open_output("/dev/full", never) as output:
        with pytest.raises(OutputError, match="No space left on device") as caught:
            output.write_lines(["1\n", "2\n"])
        assert (output.written, output.unwritten) == (0, 2)
        assert "free some space" in caught.value.hint


def disk_with_room(room: int):
    """os.write() of a disk that is full after so many bytes."""
    real, left = os.write, [room]

    def write(fd, data):
        if not left[0]:
            raise OSError(28, "No space left on device")
        done = real(fd, bytes(data)[: left[0]])
        left[0] -= done
        return done

    return write


def test_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    """What did not fit is taken back to the end of the last line."""
    path = tmp_path / "x"
    with open_output(str(path), never) as output:
        monkeypatch.setattr(module.os, "write", disk_with_room(25))
        with pytest.raises(OutputError):
            output.write_lines(["0123456789\n"] * 4)
        monkeypatch.undo()
        assert (output.written, output.unwritten) == (2, 2)
    assert path.read_text() == "0123456789\n" * 2


def test_pipe_takes_more_than_it_holds(pipe):
    """A reader that keeps up gets everything, in order."""
    reader, output = pipe
    lines = [f"{number:099}\n" for number in range(3000)]
    received = []

    def read():
        while chunk := os.read(reader, 65536):
            received.append(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    output.write_lines(lines)
    output.close()
    thread.join()
    assert b"".join(received).decode() == "".join(lines)
    assert output.written == 3000


def test_pipe_without_reader_ends_quietly(pipe):
    """As with `| head`: not a failure."""
    reader, output = pipe
    assert not output.reader_gone
    os.close(reader)
    assert output.reader_gone
    with pytest.raises(ReaderGoneError) as caught:
        output.write_lines(["1\n"])
    assert caught.value.exit_code == 0
    assert (output.written, output.unwritten) == (0, 1)


def test_pipe_whose_reader_has_stopped_does_not_hold_up_the_end(monkeypatch):
    """Waiting ends a while after the tracer is to end; the rest is counted."""
    monkeypatch.setattr(module, "GRACE_S", 0.1)
    reader, writer = os.pipe()
    with Output(writer, "pipe", at_once) as output:
        began = time.monotonic()
        with pytest.raises(OutputError, match="its reader has stopped reading"):
            output.write_lines(["x" * 99 + "\n"] * 3000)
        assert time.monotonic() - began < 5
        assert output.written + output.unwritten == 3000
        assert output.unwritten > 0
    os.close(reader)


def test_fifo_without_reader_is_waited_for_until_the_end(tmp_path):
    """Opening must not hang for ever either."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match="No such device or address"):
        open_output(str(tmp_path / "fifo"), at_once)


def test_stdout_stays_open():
    """It belongs to the process, not to us."""
    with open_output("-", never):
        pass
    os.fstat(1)


def test_closed_descriptor_is_an_error():
    """`>&-` in a shell."""
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    with pytest.raises(OutputError, match="Bad file descriptor"):
        Output(fd, "stdout", never)


def test_document_replaces_its_file_when_it_is_whole(tmp_path):
    """Until then the old one is there; then it keeps its permissions, and nothing else is left."""
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o640)
    with open_output(str(path), never, document=True) as output:
        output.write_text("new\n")
        assert path.read_text() == "old"
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["x"]


def test_document_that_is_not_whole_is_not_there(tmp_path):
    """An error leaves what was, and no temporary file."""
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), open_output(str(path), never, document=True) as output:
        output.write_lines(["half\n", "no ASCII: é"])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_document_of_a_name_of_255_bytes_has_room(tmp_path):
    """The temporary name is not longer than a name may be."""
    path = tmp_path / ("ü" * 127)
    with open_output(str(path), never, document=True) as output:
        output.write_text("1")
    assert path.read_text() == "1"


def test_document_behind_a_link_of_our_own_keeps_the_link(tmp_path):
    """What it leads to is replaced."""
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with open_output(str(tmp_path / "link"), never, document=True) as output:
        output.write_text("1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "x").read_text() == "1"


def test_document_into_a_device_is_written_as_it_comes():
    """A device cannot be replaced: /dev/full takes nothing, and that is said."""
    with open_output("/dev/full", never, document=True) as output, pytest.raises(OutputError, match="No space left"):
        output.write_text("1")
    os.stat("/dev/full")


def test_reopened_file_goes_on_in_a_new_one(tmp_path):
    """As those who rotate logs expect, with its head again."""
    path = tmp_path / "x"
    with open_output(str(path), never) as output:
        output.begin_with("head\n")
        output.write_lines(["1\n"])
        path.rename(tmp_path / "x.1")
        output.write_lines(["2\n"])
        output.reopen()
        output.write_lines(["3\n"])
        assert output.written == 3
    assert (tmp_path / "x.1").read_text() == "head\n1\n2\n"
    assert path.read_text() == "head\n3\n"


def test_full_disk_takes_back_an_event_of_several_lines(tmp_path, monkeypatch):
    """An event is whole or not there, also if it has line ends of its own."""
    path = tmp_path / "x"
    with open_output(str(path), never) as output:
        monkeypatch.setattr(module.os, "write", disk_with_room(25))
        with pytest.raises(OutputError):
            output.write_lines(["{\n 1234567\n}\n"] * 4)
        monkeypatch.undo()
        assert (output.written, output.unwritten) == (1, 3)
    assert path.read_text() == "{\n 1234567\n}\n"
