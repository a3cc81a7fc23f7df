"""An ASGI application whose requests wait, flow and end as a test wants. FLOWS_HELD is a file:
while it is there, /held waits. What was told to it is in FLOWS_SEEN, a line each."""
from __future__ import annotations

import asyncio
import os
from typing import Any

HELD, SEEN = os.environ["FLOWS_HELD"], os.environ["FLOWS_SEEN"]
PIECE = bytes(65536)


def note(text: str) -> None:
    with open(SEEN, "a") as seen:
        seen.write(f"{os.getpid()} {text}\n")


async def held() -> None:
    while os.path.exists(HELD):
        await asyncio.sleep(0.02)


async def start(send: Any, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def answer(send: Any, body: bytes = b"ok") -> None:
    await start(send, (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.body", "body": body})


async def gone(receive: Any, path: str) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    note(f"disconnect {path}")


async def endless(send: Any, length: int) -> None:
    await start(send)
    sent = 0
    try:
        while sent < length:
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            sent += len(PIECE)
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass
    note(f"sent {sent}")


async def together(send: Any) -> None:
    """Nine tasks send large pieces at once."""
    await start(send)
    sends = [
        send({"type": "http.response.body", "body": PIECE * 64, "more_body": True})
        for _ in range(9)
    ]
    ends = await asyncio.gather(*sends, return_exceptions=True)
    note(f"refused {sum(isinstance(end, OSError) for end in ends)}")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    path = scope["path"]
    if path.startswith("/held"):
        note(f"began {path}")
        await held()
        await answer(send)
    elif path.startswith("/gone"):
        note(f"began {path}")
        if "stream" in path:
            await start(send)
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await gone(receive, path)
    elif path == "/endless":
        await endless(send, 1 << 30)
    elif path == "/together":
        await together(send)
    elif path == "/background":
        await answer(send)
        await held()
        note("background done")
    elif path == "/swallow":
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                note("swallowed")
    elif path == "/sum":
        total, more = 0, True
        while more:
            message = await receive()
            total += len(message.get("body", b""))
            more = message.get("more_body", False)
        await answer(send, str(total).encode())
    else:
        await answer(send, str(os.getpid()).encode())
