"""The applications of the scenarios, each a bare WSGI callable."""
from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only names types is no part of a hello
    from collections.abc import Iterable
    from typing import Any

BODY = b"Hello, World!"
CHUNK = b"x" * 16384
LOOPS = 21_000  # about 2 ms of Python on a core of 2.8 GHz


def plain(start_response: Any, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("Content-Length", str(len(body)))])
    return [body]


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    return plain(start_response, BODY)


def io(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    time.sleep(0.01)
    return plain(start_response, BODY)


def cpu(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    n = 0
    for i in range(LOOPS):
        n = (n * 31 + i) & 0xFFFF
    return plain(start_response, BODY)


def post(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    read = environ["wsgi.input"].read
    left = int(environ.get("CONTENT_LENGTH") or 0)
    size = 0
    while left > 0:
        piece = read(min(left, 65536))
        if not piece:
            break
        size += len(piece)
        left -= len(piece)
    return plain(start_response, str(size).encode())


def stream(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (CHUNK for _ in range(64))
