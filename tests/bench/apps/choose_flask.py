"""What choose.py loads, as Flask has it. choose_starlette.py and choose_tornado.py answer the same."""
from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

from flask import Flask, Response, request

from choose_work import CHUNK, CHUNKS, SHORT, WAIT, block, compute

app = Flask(__name__)
visits = 0


def text(body: str) -> Response:
    return Response(body, content_type="text/plain")


@app.get("/")
def index() -> Response:
    return text("ready")


@app.get("/cpu")
def cpu() -> Response:
    return text(f"{compute()}")


@app.get("/wait")
def wait() -> Response:
    """As for a database."""
    time.sleep(WAIT)
    return text("waited")


@app.get("/half")
def half() -> Response:
    n = compute()
    time.sleep(SHORT)
    return text(f"{n}, and waited")


@app.get("/file")
def file() -> Response:
    block()
    return text("blocked")


@app.get("/stream")
def stream() -> Response:
    def pieces() -> Iterator[bytes]:
        for _ in range(CHUNKS):
            yield CHUNK

    return Response(pieces(), content_type="text/plain")


@app.post("/upload")
def upload() -> Response:
    digest, size = hashlib.sha256(), 0
    while piece := request.stream.read(65536):
        digest.update(piece)
        size += len(piece)
    return text(f"{size} {digest.hexdigest()}")


@app.get("/visit")
def visit() -> Response:
    """Counts in a global, and waits between reading and writing it."""
    global visits
    n = visits
    time.sleep(0.001)
    visits = n + 1
    return text(f"{visits}")
