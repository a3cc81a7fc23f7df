"""A Quart application."""
from __future__ import annotations

import asyncio

from quart import Quart, jsonify, request, stream_with_context

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None
LIVES: list[str] = []


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


@app.get("/fails")
async def fails():
    raise RuntimeError("this view fails")


@app.websocket("/socket")
async def socket():
    from quart import websocket

    while True:
        await websocket.send("you said " + await websocket.receive())
