"""WSGI and ASGI applications that fork; what the child does is in the path, how it ended the answer."""
from __future__ import annotations

import multiprocessing
import os
import sys
import time


def ended(pid: int) -> bytes:
    return b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def terminated() -> bytes:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    return b"%d" % process.exitcode


def child(environ, start_response):
    write = start_response("200 OK", [])
    what = environ["PATH_INFO"]
    environ["wsgi.errors"].write(f"the child is to do {what}\n")
    if what == "/raise":
        raise ValueError("in the child")
    if what == "/write":
        write(b"from the child")
    if what == "/read":
        environ["wsgi.input"].read()
    return [b"from the child"]


def pieces():
    pid = os.fork()
    if pid == 0:
        yield b"from the child"
        os._exit(77)
    yield ended(pid)


def app(environ, start_response):
    what = environ["PATH_INFO"]
    if what == "/yield":
        start_response("200 OK", [])
        return pieces()
    if what in ("/pid", "/terminate"):
        start_response("200 OK", [])
        return [b"%d" % os.getpid() if what == "/pid" else terminated()]
    pid = os.fork()
    if pid == 0:
        if what == "/exit":
            sys.exit(3)
        return child(environ, start_response)
    start_response("200 OK", [])
    return [ended(pid)]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    what = scope["path"]
    if what in ("/pid", "/terminate"):
        body = b"%d" % os.getpid() if what == "/pid" else terminated()
    elif (pid := os.fork()) != 0:
        body = ended(pid)
    elif what == "/exit":
        sys.exit(3)
    elif what == "/raise":
        raise ValueError("in the child")
    elif what == "/read":
        await receive()
        os._exit(77)
    elif what == "/return":
        return
    else:
        body = b"from the child"
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
