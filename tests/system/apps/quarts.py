"""A Quart application."""
from __future__ import annotations

import asyncio
import os
from pathlib import Path

from quart import (
    Quart, jsonify, render_template_string, request, send_file, session, stream_with_context, url_for,
    websocket,
)  # fmt: skip

app = Quart(__name__)
app.secret_key = "only for tests"
app.config["MAX_CONTENT_LENGTH"] = None
LIVES: list[str] = []
SCRATCH = Path(os.environ["SCRATCH"])
members: set[asyncio.Queue[str]] = set()


@app.before_serving
async def start() -> None:
    LIVES.append("started")


@app.get("/hello/<name>")
async def hello(name: str):
    return f"Hello, {name}! {LIVES}"


@app.post("/form")
async def form():
    data = await request.form
    files = await request.files
    return jsonify({"a": data.getlist("a"), "files": {n: len(f.read()) for n, f in files.items()}})


@app.post("/body")
async def body():
    total = 0
    async for piece in request.body:
        total += len(piece)
    return str(total)


@app.get("/stream")
async def stream():
    @stream_with_context
    async def pieces():
        for number in range(1000):
            yield f"{number} {request.path}\n".encode()
            await asyncio.sleep(0)

    return pieces()


@app.get("/page/<int:number>")
async def page(number: int):
    return await render_template_string("{{ n }} {{ u }}", n=number, u=url_for("hello", name="<b>"))


@app.get("/count")
async def count():
    session["count"] = session.get("count", 0) + 1
    return jsonify(session["count"])


@app.get("/file")
async def file():
    return await send_file(Path(__file__), mimetype="text/x-python", conditional=True)


@app.get("/background")
async def background():
    async def later(name: str) -> None:
        while not (SCRATCH / "go").exists():
            await asyncio.sleep(0.01)
        (SCRATCH / name).touch()

    app.add_background_task(later, "done")
    return "answered"


@app.get("/fails")
async def fails():
    raise RuntimeError("this view fails")


@app.websocket("/socket")
async def socket():
    while True:
        await websocket.send("you said " + await websocket.receive())


async def deliver(queue: asyncio.Queue[str]) -> None:
    while True:
        await websocket.send(await queue.get())


@app.websocket("/room")
async def room():
    def tell(text: str) -> None:
        for member in members:
            member.put_nowait(text)

    queue: asyncio.Queue[str] = asyncio.Queue()
    members.add(queue)
    await websocket.accept()
    delivery = asyncio.create_task(deliver(queue))
    try:
        while True:
            tell(await websocket.receive())
    finally:  # by a cancellation: Quart does not tell with which code
        members.remove(queue)
        delivery.cancel()
        tell("left 3005")
