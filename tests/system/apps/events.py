"""Streams of events that end when their client leaves, and not before: ASGI and WSGI. /other is not
one, and has its end. What was told is in EVENTS_SEEN, a line each."""
from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

HELD, SEEN = os.environ["EVENTS_HELD"], os.environ["EVENTS_SEEN"]


def note(text: str) -> None:
    with open(SEEN, "a") as seen:
        seen.write(f"{text}\n")


async def send_events(send: Any) -> None:
    for n in itertools.count():
        event = {"type": "http.response.body", "body": b"data: %d\n\n" % n, "more_body": True}
        await send(event)
        await asyncio.sleep(0.02)


async def events(receive: Any, send: Any, media: bytes) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", media)]}
    )
    task = asyncio.create_task(send_events(send))
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()
    note("disconnect")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["path"] == "/events":
        await events(receive, send, b"text/event-stream")
    elif scope["path"] == "/events/utf-8":
        await events(receive, send, b"Text/Event-Stream; charset=utf-8")
    elif scope["path"] == "/other":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        while os.path.exists(HELD):
            await asyncio.sleep(0.02)
        await send({"type": "http.response.body", "body": b"last"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


class Blocking:
    def __iter__(self) -> Iterator[bytes]:
        for n in itertools.count():
            yield b"data: %d\n\n" % n
            time.sleep(0.02)

    def close(self) -> None:
        note("disconnect")


def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return Blocking()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
