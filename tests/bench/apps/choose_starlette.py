"""The twin of choose_flask.py for asyncio and uvloop."""
from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from choose_work import CHUNK, CHUNKS, SHORT, WAIT, block, compute

visits = 0


def text(body: str) -> Response:
    return Response(body, headers={"Content-Type": "text/plain"})


async def index(request: Request) -> Response:
    return text("ready")


async def cpu(request: Request) -> Response:
    return text(f"{compute()}")


async def wait(request: Request) -> Response:
    await asyncio.sleep(WAIT)
    return text("waited")


async def half(request: Request) -> Response:
    n = compute()
    await asyncio.sleep(SHORT)
    return text(f"{n}, and waited")


def file(request: Request) -> Response:
    """As it is no coroutine, Starlette runs it in one of its 40 threads."""
    block()
    return text("blocked")


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK

    return StreamingResponse(pieces(), headers={"Content-Type": "text/plain"})


async def upload(request: Request) -> Response:
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return text(f"{size} {digest.hexdigest()}")


async def visit(request: Request) -> Response:
    global visits
    n = visits
    await asyncio.sleep(0.001)
    visits = n + 1
    return text(f"{visits}")


app = Starlette(routes=[
    Route("/", index), Route("/cpu", cpu), Route("/wait", wait), Route("/half", half),
    Route("/file", file), Route("/stream", stream), Route("/upload", upload, methods=["POST"]),
    Route("/visit", visit),
])  # fmt: skip
