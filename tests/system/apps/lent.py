"""Applications that say what they got of a body, WSGI (`app`) and ASGI (`asgi`)."""
from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path


def whole(read):
    sha, length = hashlib.sha256(), 0
    while piece := read(50000):
        sha.update(piece)
        length += len(piece)
    return f"{length} {sha.hexdigest()}"


def lines(stream):
    sha, count = hashlib.sha256(), 0
    for line in stream:
        assert line.endswith(b"\n") or not stream.read(1)
        sha.update(line)
        count += 1
    return f"{count} {sha.hexdigest()}"


def mixed(stream):
    """Every way of reading, in turn."""
    got = [stream.read(10), stream.readline(), stream.readline(7)]
    into = bytearray(30000)
    got.append(bytes(into[: stream.readinto(into)]))
    got += [stream.read(1), *stream.readlines(5000), stream.read(), stream.read()]
    return hashlib.sha256(b"".join(got)).hexdigest()


def die_once(environ):
    """Read half of it and die, the first time."""
    mark = Path(environ["QUERY_STRING"])
    if not mark.exists():
        mark.touch()
        environ["wsgi.input"].read(100000)
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(environ["wsgi.input"].read)


def hold(environ):
    """Until the file is there, then read."""
    while not Path(environ["QUERY_STRING"]).exists():
        time.sleep(0.01)
    return whole(environ["wsgi.input"].read)


def app(environ, start_response):
    body = environ["wsgi.input"]
    match environ["PATH_INFO"]:
        case "/whole":
            said = whole(body.read)
        case "/lines":
            said = lines(body)
        case "/mixed":
            said = mixed(body)
        case "/die-once":
            said = die_once(environ)
        case "/hold":
            said = hold(environ)
        case "/some":
            said = str(len(body.read(1000)))
        case _:
            said = "nothing"
    content = said.encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    sha, length, more = hashlib.sha256(), 0, scope["path"] != "/nothing"
    while more:
        message = await receive()
        sha.update(message.get("body", b""))
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    said = f"{length} {sha.hexdigest()}" if scope["path"] == "/whole" else "nothing"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})
