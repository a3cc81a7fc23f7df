"""A Starlette application: what its users do, in one file."""
from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import (
    FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse,
)  # fmt: skip
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

SCRATCH = Path(os.environ["SCRATCH"])
HERE = Path(__file__).parent


def note(text: str) -> None:
    with (SCRATCH / "notes").open("a") as notes:
        notes.write(text + "\n")


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"greeting": "Hello"}
    note("shut down")


async def hello(request):
    return PlainTextResponse(f"{request.state.greeting}, {request.path_params['name']}!")


async def urls(request):
    return JSONResponse({
        "url": str(request.url), "base": str(request.base_url),
        "hello": str(request.url_for("hello", name="you")), "client": request.client.host,
    })  # fmt: skip


async def form(request):
    data = await request.form()
    return JSONResponse({key: data.getlist(key) for key in data})


async def upload(request):
    async with request.form(max_part_size=1 << 30) as data:
        file = data["file"]
        digest, size = hashlib.sha256(), 0
        while piece := await file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
        return JSONResponse({
            "name": file.filename, "size": size, "sha256": digest.hexdigest(),
            "text": data["text"],
        })  # fmt: skip


async def digest(request):
    """A raw body as it comes."""
    total, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        total += len(piece)
        digest.update(piece)
    return JSONResponse({"size": total, "sha256": digest.hexdigest()})


async def numbers(request):
    async def lines():
        for number in range(int(request.query_params["n"])):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


async def events(request):
    """Server-sent events until the client has left."""

    async def stream():
        try:
            number = 0
            while True:
                yield f"data: {number}\n\n"
                number += 1
                await asyncio.sleep(0.02)
        finally:
            note("events ended")

    return StreamingResponse(stream(), media_type="text/event-stream")


async def background(request):
    path = SCRATCH / request.query_params["file"]

    async def later():
        while not path.exists():
            await asyncio.sleep(0.01)
        note("background done")

    return PlainTextResponse("answered", background=BackgroundTask(later))


def threads(request):
    """A synchronous endpoint: Starlette runs it in a thread."""
    return PlainTextResponse("from a thread")


async def file(request):
    return FileResponse(SCRATCH / "file.bin", filename="file.bin")


async def session(request):
    request.session["n"] = request.session.get("n", 0) + 1
    return PlainTextResponse(str(request.session["n"]))


async def fails(request):
    raise RuntimeError("this endpoint fails")


async def redirect(request):
    return RedirectResponse(request.url_for("hello", name="there"))


async def echo(socket):
    """Whatever comes, in the subprotocol that it asked for."""
    await socket.accept(subprotocol=(socket.scope["subprotocols"] or [None])[0])
    while (message := await socket.receive())["type"] == "websocket.receive":
        text = message.get("text")
        await (socket.send_bytes(message["bytes"]) if text is None else socket.send_text(text))
    note(f"socket left with {message['code']}")


class Room(WebSocketEndpoint):
    encoding = "text"
    members = set()

    async def tell(self, text):
        for member in list(self.members):
            await member.send_text(text)

    async def on_connect(self, websocket):
        self.members.add(websocket)
        await websocket.accept()

    async def on_receive(self, websocket, data):
        await self.tell(data)

    async def on_disconnect(self, websocket, close_code):
        self.members.discard(websocket)
        await self.tell(f"left {close_code}")


class Timing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-timed"] = "yes"
        return response


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/hello/{name}", hello, name="hello"),
        Route("/urls", urls),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/digest", digest, methods=["POST"]),
        Route("/numbers", numbers),
        Route("/events", events),
        Route("/background", background),
        Route("/threads", threads),
        Route("/file", file),
        Route("/session", session),
        Route("/fails", fails),
        Route("/redirect", redirect),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/room", Room),
        Mount("/timed", routes=[Route("/hello/{name}", hello), Route("/numbers", numbers),
                                Route("/digest", digest, methods=["POST"])],
              middleware=[Middleware(Timing)]),
        Mount("/gzip", routes=[Route("/numbers", numbers)],
              middleware=[Middleware(GZipMiddleware)]),
        Mount("/static", StaticFiles(directory=HERE)),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key="secret")],
)  # fmt: skip
