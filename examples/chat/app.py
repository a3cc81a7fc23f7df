"""A chat for Penstock: a page, and a WebSocket for each one who has it open.

    pip install -r requirements.txt
    penstock -b unix:/run/chat/http.sock app:app

Those who talk with each other are in the memory of one process, so it has one worker: that one
takes a thousand of them (--worker-connections). For more than one let them publish to Redis or
PostgreSQL, and subscribe there.
"""
from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PAGE = Path(__file__).parent / "index.html"
BEHIND = 100  # messages that may wait for one who reads slowly
TRY_AGAIN_LATER = 1013


class Room:
    """Everybody who is there, each with the messages that are on their way to them."""

    def __init__(self) -> None:
        self.members: set[asyncio.Queue[str | None]] = set()

    @contextlib.contextmanager
    def joined(self):
        member: asyncio.Queue[str | None] = asyncio.Queue()
        self.members.add(member)
        try:
            yield member
        finally:
            self.members.discard(member)

    def say(self, message: str) -> None:
        """It waits for nobody: who is too far behind has to come again."""
        for member in list(self.members):
            if member.qsize() < BEHIND:
                member.put_nowait(message)
            else:
                self.members.discard(member)
                member.put_nowait(None)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Room]]:
    yield {"room": Room()}


async def deliver(socket: WebSocket, member: asyncio.Queue[str | None]) -> None:
    while (message := await member.get()) is not None:
        await socket.send_text(message)
    await socket.close(TRY_AGAIN_LATER, "too far behind")


def checked(text: str) -> str | None:
    """What a page sent, made anew; None if no page would send it."""
    try:
        message = json.loads(text)
        name, words = str(message["name"])[:40], str(message["text"])[:2000]
    except (ValueError, LookupError, TypeError):
        return None
    return json.dumps({"name": name, "text": words})


async def chat(socket: WebSocket) -> None:
    room: Room = socket.state.room
    await socket.accept()
    with room.joined() as member:
        delivery = asyncio.create_task(deliver(socket, member))
        try:
            async for text in socket.iter_text():
                if message := checked(text):
                    room.say(message)
        finally:
            delivery.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect):
                await delivery


async def page(request) -> FileResponse:
    return FileResponse(PAGE)


app = Starlette(lifespan=lifespan, routes=[Route("/", page), WebSocketRoute("/chat", chat)])
