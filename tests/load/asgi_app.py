"""app.py for ASGI: the same requests, answers and notes, many at once."""
from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import signal
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


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    _, kind, number = scope["path"].rsplit("/", 2)
    query = dict(parse_qsl(scope["query_string"].decode()))
    os.write(_ledger, b"%d %d\n" % (int(number), os.getpid()))
    if next(_served) == _crash_at:
        os.kill(os.getpid(), signal.SIGSEGV)
    if _leak:
        _hoard.append(os.urandom(_leak))
    pause = int(query["ms"]) / 1000
    if kind == "upload":
        answer = f"{number} {await _digest(receive)}\n".encode()
    else:
        answer = body_of(int(number), int(query["bytes"]))
    head = [(b"x-version", deployed.VERSION.encode()), (b"x-script", scope["root_path"].encode())]
    try:
        await _send(send, kind, head, answer, pause)
    except OSError:
        pass  # its client has left


async def _digest(receive: Any) -> str:
    digest, more = hashlib.sha256(), True
    while more:
        message = await receive()
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    return digest.hexdigest()


async def _send(send: Any, kind: str, head: list, answer: bytes, pause: float) -> None:
    size = -(-len(answer) // PIECES)
    if kind != "stream":
        await asyncio.sleep(pause)
        head.append((b"content-length", str(len(answer)).encode()))
        size = len(answer)
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for at in range(0, len(answer), size):
        if kind == "stream":
            await asyncio.sleep(pause / PIECES)
        piece = answer[at : at + size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
