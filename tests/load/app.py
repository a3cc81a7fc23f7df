"""The application under load. It notes each request's number when it begins it, so that one that
ran twice is found, and answers what no other request gets, so that one mixed up is found."""
from __future__ import annotations

import hashlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import deployed  # what a deploy replaces; a broken one raises here
from content import body_of

_ledger = os.open(os.environ["LOAD_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
_crash_at = int(os.environ.get("LOAD_CRASH_AT", "0"))
_leak = int(os.environ.get("LOAD_LEAK", "0"))  # bytes for each request
_served = itertools.count(1)
_hoard: list[bytes] = []

PIECES = 8  # of a streamed answer


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterator[bytes]:
    _, kind, number = environ["PATH_INFO"].rsplit("/", 2)
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    os.write(_ledger, b"%d %d\n" % (int(number), os.getpid()))
    if next(_served) == _crash_at:
        os.kill(os.getpid(), signal.SIGSEGV)
    if _leak:
        _hoard.append(os.urandom(_leak))
    pause = int(query["ms"]) / 1000
    if kind == "upload":
        digest = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
        answer = f"{number} {digest}\n".encode()
    else:
        answer = body_of(int(number), int(query["bytes"]))
    head = [("X-Version", deployed.VERSION), ("X-Script", environ["SCRIPT_NAME"])]
    if kind != "stream":
        time.sleep(pause)
        start_response("200 OK", [*head, ("Content-Length", str(len(answer)))])
        return iter([answer])
    start_response("200 OK", head)
    return _pieces(answer, pause)


def _pieces(answer: bytes, pause: float) -> Iterator[bytes]:
    size = -(-len(answer) // PIECES)
    for at in range(0, len(answer), size):
        time.sleep(pause / PIECES)
        yield answer[at : at + size]
