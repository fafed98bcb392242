"""What the live table knows."""

from __future__ import annotations

import pytest

from tests.unit.tracer.live.finished import event, one_of_each, some, tls
from tracer.accounting import KindStats, Stats
from tracer.live import state
from tracer.live.state import Model
from tracer.loaded import ProbeState


def model_of(events):
    model = Model()
    for each in events:
        model.take(each)
    return model


def shakes(model):
    """What counts as handshakes, with how many."""
    return sorted((row.key[1], row.event.fields.get("source"), row.count) for row in model.handshakes.values())


def test_events_are_summed_up_by_process_file_and_library():
    """Each view has its rows."""
    model = model_of(some())
    nginx = model.processes[(100, 500_000_000)]
    assert (nginx.count, nginx.files, nginx.failed, nginx.libraries, nginx.calls) == (5, 2, 0, 1, 1)
    cat = model.processes[(200, 500_000_000)]
    assert (cat.files, cat.failed, cat.ended) == (1, 1, True)
    key = model.files["/etc/ssl/private/site.key"]
    assert (key.count, key.failed, sorted(key.pids)) == (2, 1, [100, 200])
    assert [row.count for row in model.libraries.values()] == [1]
    assert len(model.handshakes) == 5
    assert (model.post_quantum, model.graded) == (2, 5)
    assert [entry.key for entry in model.events] == list(range(12, 0, -1))


def test_library_that_is_there_already_is_no_event():
    """It stands in the view of libraries only."""
    model = model_of([event("lib_present")])
    assert (model.taken, len(model.events), len(model.processes), len(model.libraries)) == (0, 0, 0, 1)


def test_process_id_that_is_used_again_is_another_process():
    """They began at different times."""
    model = model_of([event("file_open"), event("file_open", start_time=1)])
    assert [row.count for row in model.processes.values()] == [1, 1]


@pytest.mark.parametrize("order", [("library", "wire"), ("wire", "library")])
def test_connection_is_counted_once_by_what_was_on_the_wire(order):
    """Whichever of both events comes first."""
    model = model_of(tls("hybrid", source=source, comm=source) for source in order)
    assert shakes(model) == [("wire", "wire", 1)]
    assert (model.post_quantum, model.graded) == (1, 1)
    assert sum(row.handshakes for row in model.processes.values()) == 1


def test_connection_between_two_processes_is_counted_once():
    """Both libraries say something, and the wire says it for both ends."""
    ends = [
        tls("hybrid", source="library", comm="client", local_port=50_000, peer_port=443, post_quantum=None),
        tls("hybrid", source="library", comm="server", local_port=443, peer_port=50_000, pid=2, post_quantum=None),
    ]
    assert len(shakes(model_of(ends))) == 2
    model = model_of([*ends, tls("hybrid", comm="wire", local_port=50_000, peer_port=443)])
    assert shakes(model) == [("wire", "wire", 1)]
    assert (model.post_quantum, model.graded) == (1, 1)


def test_handshake_of_a_library_counts_where_the_wire_says_nothing():
    """As today, when there is no other source."""
    model = model_of([event("tls_handshake"), event("tls_handshake", local_port=40_001)])
    assert [row.count for row in model.handshakes.values()] == [2]
    assert model.graded == 0


@pytest.mark.parametrize("order", [("library", "wire"), ("wire", "library")])
def test_handshake_without_ports_is_matched_by_its_process(order):
    """A library that does not know its socket; each is matched once, and those of others are not."""
    ports = {"wire": {}, "library": {"peer_port": 0, "local_port": 0, "post_quantum": None}}
    model = model_of(tls("hybrid", source=source, comm=source, **ports[source]) for source in order)
    assert shakes(model) == [("wire", "wire", 1)]
    for pid in (4711, 2):
        model.take(tls("hybrid", source="library", comm="more", pid=pid, **ports["library"]))
    assert shakes(model) == [("more", "library", 2), ("wire", "wire", 1)]
    assert (model.post_quantum, model.graded) == (1, 1)


def test_handshakes_of_processes_of_one_name_are_one_row():
    """As of curl, which lives for one."""
    model = model_of(tls("hybrid", pid=pid, local_port=pid + 40_000) for pid in (1, 2, 3))
    assert [(row.count, sorted(row.pids)) for row in model.handshakes.values()] == [(3, [1, 2, 3])]


def test_same_ports_much_later_are_another_connection():
    """Ports are used again."""
    later_s = state.SAME_NS / 1e9 + 1
    model = model_of([tls("weak", source="library"), tls("weak", at_s=later_s)])
    assert sum(row.count for row in model.handshakes.values()) == 2


def test_rows_that_have_not_changed_for_long_make_room(monkeypatch):
    """A process may open names without end, and the newest stay."""
    monkeypatch.setattr(state, "ROWS", 40)
    model = model_of(event("file_open", at_s=n, file_path=f"/{n}.pem", pid=n + 1) for n in range(1000))
    assert len(model.files) <= 40
    assert len(model.processes) <= 40
    assert "/999.pem" in model.files
    assert model.files.left_out == 1000 - len(model.files)
    assert model.left_out >= 1900


def test_everything_is_bounded(monkeypatch):
    """Whatever comes: events, rows, processes of a row, connections, messages, seconds."""
    monkeypatch.setattr(state, "ROWS", 64)
    model = Model()
    for n in range(3 * state.EVENTS):
        model.take(event("file_open", pid=n, at_s=n))
        model.take(tls("weak", at_s=n, pid=n, local_port=n % 60_000 + 1, peer_address=str(n)))
        model.messages.append("x")
    assert len(model.events) == state.EVENTS
    assert len(model.handshakes) <= 64
    assert len(model.files["/etc/ssl/certs/x.pem"].pids) == state.PIDS
    assert len(model._connections) <= state.CONNECTIONS
    assert len(model.rates) == state.SECONDS
    assert len(model.messages) == state.MESSAGES


def test_rate_is_that_of_whole_seconds():
    """A second without events is 0; a clock that jumps fills no memory."""
    model = model_of(event("file_open", at_s=at) for at in (0.4, 0.5, 0.6, 1.5, 3.5))
    now = model.last_ns
    assert list(model.rates) == [3, 1, 0]
    model.advance(now + state.SECOND_NS)
    assert (list(model.rates), model.rate) == ([3, 1, 0, 1], 1)
    model.advance(now + 10**9 * state.SECOND_NS)
    assert len(model.rates) == state.SECONDS
    model.advance(now)
    model.take(event("file_open", at_s=4))
    model.advance(now + state.SECOND_NS)
    assert model.rate == 1


def test_copy_stands_still():
    """What comes later changes nothing in it."""
    model = model_of(some())
    frozen = model.copy()
    counts = {key: row.count for key, row in frozen.processes.items()}
    for each in some():
        model.take(each)
    assert {key: row.count for key, row in frozen.processes.items()} == counts
    assert len(frozen.events) == 12
    assert model.processes[(100, 500_000_000)].count == 10


def test_losses_show_probes_counters_and_reasons():
    """A probe that is off, and events that were lost, can be told from the rest."""
    model = Model()
    states = [ProbeState("file_open", True, {"tracepoint": 2}, "", "", ()), ProbeState("x", False, {}, "no", "", ())]
    model.tell(states, Stats(dropped=3, skipped=2, by_kind={"file_open": KindStats(10, 3, 1), "y": KindStats(1)}))
    rows = {row.key: (row.state, row.detail, row.count, row.full, row.unread) for row in model.losses}
    assert rows["probe", "file_open"] == ("on", "2 tracepoint", 0, 0, 0)
    assert rows["probe", "x"][:2] == ("OFF", "no")
    assert rows["event", "file_open"] == ("LOST", "", 10, 3, 1)
    assert rows["event", "y"][0] == "ok"
    assert rows["loss", "skipped"][0] == "LOST"
    assert model.lost == 5


def test_all_kinds_are_taken():
    """Also those that no view is about."""
    model = model_of(one_of_each())
    assert model.taken == len(one_of_each()) - 1
