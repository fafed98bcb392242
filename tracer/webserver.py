# SPDX-License-Identifier: MIT
"""Serves metrics and health over HTTP: three addresses, nothing to write to.

    /metrics   OpenMetrics, or the older text format of Prometheus
    /healthz   200 while the loop goes round, else 503
    /readyz    200 while probes are attached, else 503

Whoever connects may be slow or hostile: a request has a few seconds, and only a few are served at a time.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tracer.errors import TracerError
from tracer.metrics import OPEN_METRICS, TEXT, Metrics

AT_ONCE = 8
PATIENCE_S = 5.0
PAUSE_S = 0.1

# The socket was closed, or shut down.
ENDED = (errno.EBADF, errno.EINVAL)


class Server(ThreadingHTTPServer):
    """Listens from the beginning, and answers once it is started.

    Args:
        address: host and port; port 0 takes any.

    Raises:
        TracerError: the address cannot be had.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], metrics: Metrics) -> None:
        self.metrics = metrics
        self._places = threading.BoundedSemaphore(AT_ONCE)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        try:
            super().__init__(address, Handler)
        except OSError as error:
            raise TracerError(
                f"--metrics: cannot listen at {address[0]} port {address[1]}: {error.strerror}",
                hint="choose another port, or stop who has it",
            ) from error

    def server_bind(self) -> None:
        """As the base, but no name server is asked for the name of the address."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where it is."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}"

    def start(self) -> None:
        """Answer from now on, in threads of its own."""
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Answer no more, and give the address back."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        except OSError:
            pass
        self.server_close()

    def _serve(self) -> None:
        """The base looks twice a second whether it should end; nothing has to wake up for this one."""
        while self.socket.fileno() >= 0:
            try:
                request, address = self.get_request()
            except OSError as error:
                if error.errno in ENDED:
                    return
                time.sleep(PAUSE_S)  # no file descriptors left, perhaps
                continue
            try:
                self.process_request(request, address)
            except (OSError, RuntimeError):  # no more threads
                self.shutdown_request(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve it, unless there are too many already."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone: that is nobody's business."""


class Handler(BaseHTTPRequestHandler):
    """One connection: one request."""

    server: Server
    timeout = PATIENCE_S
    server_version, sys_version = "crypto-tracer", ""

    def do_GET(self) -> None:
        """Answer."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """The same without the text."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        metrics, path = self.server.metrics, self.path.partition("?")[0]
        status, kind = 200, TEXT
        if path == "/metrics":
            open_metrics = "application/openmetrics-text" in self.headers.get("Accept", "")
            text, kind = metrics.text(open_metrics=open_metrics), OPEN_METRICS if open_metrics else TEXT
        elif path in {"/healthz", "/readyz"}:
            well, text = metrics.live() if path == "/healthz" else metrics.ready()
            status, text = 200 if well else 503, text + "\n"
        else:
            status, text = 404, "expected /metrics, /healthz or /readyz\n"
        raw = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""
