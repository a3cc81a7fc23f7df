"""WebSockets of WSGI programs: flask-sock, simple-websocket and Flask-SocketIO on the sockets that
they find in the environ, and one that does it by hand."""
from __future__ import annotations

import base64
import hashlib
import time

from flask import Flask, request
from flask_sock import Sock
from flask_socketio import SocketIO, emit
from simple_websocket import ConnectionClosed, Server

app = Flask(__name__)
app.secret_key = "only for tests"
sock = Sock(app)
PATCHED = time.sleep.__module__.split(".")[0]
socketio = SocketIO(app, async_mode="threading" if PATCHED == "time" else PATCHED)
told: list[str] = []


def tell(what: str) -> None:
    told.append(what)
    print("told:", what, flush=True)


@app.get("/")
def hello() -> str:
    return "hello"


@app.get("/seen")
def seen() -> list[str]:
    return told


@app.get("/mode")
def mode() -> str:
    return str(socketio.async_mode)


@sock.route("/echo")
def echo(ws) -> None:
    try:
        while True:
            ws.send(ws.receive())
    finally:
        tell("echo ended")


@sock.route("/bye")
def bye(ws) -> None:
    """It ends, and closes thereby."""
    request.environ["wsgi.errors"].write("told beside the socket\n")
    ws.send("bye")


@sock.route("/pour")
def pour(ws) -> None:
    for number in range(100):
        ws.send(b"%d:" % number + bytes(100_000))


@app.route("/simple", websocket=True)
def simple() -> str:
    ws = Server(request.environ, ping_interval=0.2)
    try:
        while True:
            ws.send("simple " + ws.receive())
    except ConnectionClosed:
        tell("simple closed")
    return ""


@socketio.on("words")
def words(data) -> None:
    emit("answer", {"upper": data["text"].upper()})


def by_hand(environ, start_response):
    """Bytes as they come, and a head of its own."""
    stream = environ["gunicorn.socket"]
    key = environ["HTTP_SEC_WEBSOCKET_KEY"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
    stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
    time.sleep(0.01)
    stream.sendall(b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\nfirst:")
    while data := stream.recv(1000):
        stream.sendall(data)
    tell("by hand: the end came")
    return []


def denied(environ, start_response):
    environ["gunicorn.socket"].sendall(b"HTTP/1.1 418 Teapot\r\nContent-Length: 4\r\n\r\nnone")
    raise StopIteration


def plain(environ, start_response):
    """A socket is offered, and left alone."""
    start_response("200 OK", [])
    return [b"offered" if "gunicorn.socket" in environ else b"none"]


def reads(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"%d bytes" % len(body)]


def fails(environ, start_response):
    raise RuntimeError("before the socket was touched")


def touched(environ, start_response):
    environ["gunicorn.socket"].fileno()
    start_response("200 OK", [])
    return [b"touched"]


def application(environ, start_response):
    others = {"/by-hand": by_hand, "/denied": denied, "/touched": touched,
              "/plain": plain, "/fails": fails, "/reads": reads}  # fmt: skip
    return others.get(environ["PATH_INFO"], app.wsgi_app)(environ, start_response)
