"""What two programs say to each other over TCP: a proxy that keeps the bytes of both directions."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.support.ports import free_port
from tests.support.workloads import DEADLINE_S, wait_until


class Recorder:
    """Passes connections on to a port of this host, and keeps what was said.

    Args:
        port: of the server.
        host: its address, which the proxy has as well.
        piece: send on in pieces of so many bytes, each a segment of its own; as it came if 0.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", piece: int = 0) -> None:
        self._target = (host, port)
        self._piece = piece
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.port = free_port(host)
        self._listener = socket.create_server((host, self.port), family=family, backlog=16)
        self._talks: list[tuple[bytearray, bytearray, list[threading.Thread]]] = []
        self._sockets = [self._listener]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target, timeout=DEADLINE_S)
            up, down = bytearray(), bytearray()
            self._sockets += [client, server]
            threads = [
                threading.Thread(target=self._pump, args=each, daemon=True)
                for each in ((client, server, up), (server, client, down))
            ]
            self._talks.append((up, down, threads))
            for thread in threads:
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            while data := source.recv(65536):
                kept += data
                step = self._piece or len(data)
                for i in range(0, len(data), step):
                    sink.sendall(data[i : i + step])
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def talks(self, count: int = 1) -> list[tuple[bytes, bytes]]:
        """What the client and the server said, for each of so many connections, once they have ended."""
        wait_until(lambda: len(self._talks) >= count, f"{count} connections")
        for _, _, threads in self._talks:
            for thread in threads:
                thread.join(DEADLINE_S)
        return [(bytes(up), bytes(down)) for up, down, _ in self._talks]

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake who waits in accept() or recv().
        for each in (self._listener, *self._sockets[1:]):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        for _, _, threads in self._talks:
            for thread in threads:
                thread.join(DEADLINE_S)
        for each in self._sockets:
            each.close()
