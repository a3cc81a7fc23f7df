"""A FastAPI application: dependencies, validation, streams and what is torn down."""
from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

from fastapi import (
    BackgroundTasks, Depends, FastAPI, Form, Header, HTTPException, Request, UploadFile, WebSocket,
    WebSocketDisconnect,
)  # fmt: skip
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware

SCRATCH = Path(os.environ["SCRATCH"])
app = FastAPI(root_path=os.environ.get("ROOT_PATH", ""))
app.add_middleware(SessionMiddleware, secret_key="secret")
app.mount("/static", StaticFiles(directory=Path(__file__).parent))
members: list[WebSocket] = []


def note(text: str) -> None:
    with (SCRATCH / "notes").open("a") as notes:
        notes.write(text + "\n")


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


async def resource():
    note("opened")
    try:
        yield "resource"
    finally:
        await asyncio.sleep(0)
        note("closed")


def blocking_resource():
    note("opened in a thread")
    yield "blocking"
    note("closed in a thread")


Resource = Annotated[str, Depends(resource)]


@app.get("/items/{number}")
async def item(number: int, q: str | None = None, x_token: Annotated[str, Header()] = "none"):
    return {"number": number, "q": q, "token": x_token}


@app.post("/items")
async def create(item: Item) -> Item:
    return item


@app.post("/form")
async def form(name: Annotated[str, Form()], file: UploadFile):
    return {"name": name, "size": len(await file.read())}


@app.get("/sync")
def sync(resource: Annotated[str, Depends(blocking_resource)]):
    return {"resource": resource}


@app.get("/teapot")
async def teapot(resource: Resource):
    raise HTTPException(418, "short and stout", headers={"X-Pot": resource})


@app.get("/stream")
async def stream(resource: Resource):
    async def pieces():
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces())


@app.get("/slow")
async def slow(resource: Resource):
    try:
        await asyncio.sleep(0.3)
        return "slow"
    except asyncio.CancelledError:
        note("cancelled")
        raise


@app.get("/background")
async def background(tasks: BackgroundTasks):
    def later() -> None:
        note("in a thread afterwards")

    tasks.add_task(later)
    return "answered"


@app.get("/session")
async def session(request: Request) -> int:
    request.session["n"] = request.session.get("n", 0) + 1
    return request.session["n"]


@app.websocket("/room")
async def room(socket: WebSocket):
    async def tell(text: str) -> None:
        for member in list(members):
            await member.send_text(text)

    members.append(socket)
    await socket.accept()
    try:
        while True:
            await tell(await socket.receive_text())
    except WebSocketDisconnect as gone:
        members.remove(socket)
        await tell(f"left {gone.code}")


@app.websocket("/socket/{name}")
async def socket(socket: WebSocket, name: str, resource: Resource):
    await socket.accept()
    try:
        while True:
            await socket.send_json({"name": name, "said": await socket.receive_text()})
    except WebSocketDisconnect as gone:
        note(f"disconnected {gone.code}")


@app.get("/stuck")
async def stuck(resource: Resource):
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        note("cancelled")
        raise
