# SPDX-License-Identifier: MIT
"""Asks a tracer that runs whether it is well: one request over TCP, no more."""

from __future__ import annotations

import socket

from tracer.errors import TracerError, UsageError

QUESTIONS = {"live": "/healthz", "ready": "/readyz"}
WITHIN_S = 3.0
MAX_ANSWER = 1 << 14


def ask(address: tuple[str, int], questions: list[str]) -> str:
    """The answers in one line; all of them are good ones.

    Raises:
        TracerError: one is not, or nobody answers.
        UsageError: there is no such question.
    """
    unknown = [question for question in questions if question not in QUESTIONS]
    if unknown:
        raise UsageError(f"health {unknown[0]}: expected one of {', '.join(QUESTIONS)}")
    return ", ".join(_ask(address, QUESTIONS[question]) for question in questions)


def _ask(address: tuple[str, int], path: str) -> str:
    where = f"{address[0]} port {address[1]}"
    try:
        with socket.create_connection(address, WITHIN_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {address[0]}\r\n\r\n".encode())
            answer = b""
            while len(answer) < MAX_ANSWER:
                part = connection.recv(MAX_ANSWER)
                if not part:
                    break
                answer += part
    except OSError as error:
        raise TracerError(
            f"nobody answers at {where}: {error.strerror or error}", hint="start it with --metrics, and name it here"
        ) from error
    head, _, body = answer.partition(b"\r\n\r\n")
    parts = head.split(b" ", 2)
    text = body.decode("ascii", "replace").strip()
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1."):
        raise TracerError(f"what answers at {where} is no crypto-tracer")
    if parts[1] != b"200":
        raise TracerError(text or f"{path}: {parts[1].decode('ascii', 'replace')}")
    return text
