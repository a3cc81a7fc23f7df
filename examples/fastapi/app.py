"""A FastAPI application for Penstock: a small noticeboard.

    pip install -r requirements.txt
    penstock -b 127.0.0.1:8000 app:app

Penstock finds out that it is an ASGI application and starts async workers for it, on uvloop if that
is installed.
"""
from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

HEARTBEAT = 5.0  # seconds


class Note(BaseModel):
    text: str = Field(min_length=1, max_length=280)
    author: str = "anonymous"


class Board:
    """The notes, in memory: each worker process has its own. Use a database for more than one."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()

    async def add(self, note: Note) -> dict[str, Any]:
        entry = note.model_dump() | {
            "id": len(self.notes), "at": datetime.now(timezone.utc).isoformat()
        }  # fmt: skip
        async with self.changed:
            self.notes.append(entry)
            self.changed.notify_all()
        return entry


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Runs once in each worker: open what requests share, and close it when all are served."""
    yield {"board": Board()}


app = FastAPI(title="Noticeboard", lifespan=lifespan)


async def get_board(request: Request) -> Board:
    return request.state.board


BoardOf = Annotated[Board, Depends(get_board)]


@app.get("/notes")
async def list_notes(board: BoardOf, limit: int = 20) -> list[dict[str, Any]]:
    return board.notes[-limit:]


@app.get("/notes/{number}")
async def get_note(number: int, board: BoardOf) -> dict[str, Any]:
    if number >= len(board.notes):
        raise HTTPException(404, "there is no such note")
    return board.notes[number]


def announce(note: dict[str, Any]) -> None:
    """After the response: the client does not wait for it. In a thread, as it is not async."""
    print(f"new note {note['id']} by {note['author']}", flush=True)


@app.post("/notes", status_code=201)
async def add_note(note: Note, board: BoardOf, background: BackgroundTasks) -> dict[str, Any]:
    entry = await board.add(note)
    background.add_task(announce, entry)
    return entry


@app.get("/events")
async def events(board: BoardOf) -> StreamingResponse:
    """Server-sent events: a line for each new note, until the client leaves."""

    async def stream() -> AsyncIterator[str]:
        seen = len(board.notes)
        yield ": connected\n\n"
        while True:
            async with board.changed:
                try:
                    news = board.changed.wait_for(lambda: len(board.notes) > seen)
                    await asyncio.wait_for(news, HEARTBEAT)
                except asyncio.TimeoutError:
                    yield ": still here\n\n"  # this is how it learns that the client has left
            for note in board.notes[seen:]:
                yield f"id: {note['id']}\ndata: {note['text']}\n\n"
            seen = len(board.notes)

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.post("/files")
async def upload(file: UploadFile) -> dict[str, Any]:
    digest = hashlib.sha256()
    while piece := await file.read(1 << 20):
        digest.update(piece)
    return {"name": file.filename, "size": file.size, "sha256": digest.hexdigest()}
