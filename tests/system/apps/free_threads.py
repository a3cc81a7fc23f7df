"""Applications whose own threads use a request, and its garbage: what test_free_threading.py asks."""
from __future__ import annotations

import asyncio
import gc
import hashlib
import sys
import threading


def gil() -> bytes:
    return repr(getattr(sys, "_is_gil_enabled", lambda: True)()).encode()


def litter(*things):
    """A circle that holds THINGS, for whichever thread collects garbage next."""
    circle = [things]
    circle.append(circle)


def line(query: str, name: str, body: bytes) -> bytes:
    return f"{query} {name} {hashlib.md5(body).hexdigest()}\n".encode()


def application(environ, start_response):
    if environ["PATH_INFO"] == "/gil":
        start_response("200 OK", [])
        return [gil()]
    query = environ["QUERY_STRING"]
    name = next(value for key, value in environ.items() if key.startswith("HTTP_X_NAME_"))
    got = []
    told = []

    def read():
        while data := environ["wsgi.input"].read(5000):
            got.append(data)
        litter(environ["wsgi.input"], environ)

    def tell():
        environ["wsgi.errors"].write(f"in pieces {query}")
        told.append(gc.collect(0))
        environ["wsgi.errors"].write(" and its end\n")

    threads = [threading.Thread(target=target) for target in (read, tell, tell)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write = start_response("200 OK", [("X-Turn", query)])
    body = b"".join(got)
    writer = threading.Thread(target=write, args=(line(query, name, body),))
    writer.start()
    writer.join()
    litter(start_response, write, environ)
    return iter([line(query, name, body)] * 2)


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["path"] == "/gil":
        await send({"type": "http.response.start", "status": 200})
        return await send({"type": "http.response.body", "body": gil()})
    query = scope["query_string"].decode()
    name = next(value for key, value in scope["headers"] if key.startswith(b"x-name-")).decode()
    body = b""
    while True:
        event = await receive()
        body += event["body"]
        if not event["more_body"]:
            break
    for _ in range(3):
        waiting = receive()
        waiting.send(None)  # until the client leaves
        litter(waiting, scope, receive, send)
        del waiting
        await asyncio.to_thread(gc.collect)
    loop = asyncio.get_running_loop()
    head = {"type": "http.response.start", "status": 200, "headers": [(b"x-turn", query.encode())]}
    await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(send(head), loop).result())
    for turn in range(3):
        await send(
            {"type": "http.response.body", "body": line(query, name, body), "more_body": turn < 2}
        )
