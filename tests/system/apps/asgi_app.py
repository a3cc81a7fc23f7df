"""An ASGI application that does one thing for each path, right or wrong: what test_asgi.py asks."""
from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

HANDLERS = {}
STARTED = contextvars.ContextVar("STARTED", default=0)
SEEN: list[str] = []  # what handlers have to tell to a later request


def handler(function):
    HANDLERS["/" + function.__name__] = function
    return function


async def start(send, status=200, headers=(), **more):
    await send(
        {"type": "http.response.start", "status": status, "headers": list(headers)} | more
    )


async def body(send, content=b"", more=False):
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def answer(send, value, headers=()):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    await start(send, headers=headers)
    await body(send, content)


def plain(value):
    if isinstance(value, bytes):
        return {"bytes": value.decode("latin-1")}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif (found := HANDLERS.get("/" + scope["path"].split("/")[1])) is None:
        await answer(send, plain(scope))
    else:
        await found(scope, receive, send)


async def lifespan(scope, receive, send):
    assert await receive() == {"type": "lifespan.startup"}
    scope["state"]["started"] = ["once"]
    await send({"type": "lifespan.startup.complete"})
    assert await receive() == {"type": "lifespan.shutdown"}
    print("shut down", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


# --- Right ---


@handler
async def state(scope, receive, send):
    scope["state"]["mine"] = True
    await answer(send, plain(scope["state"]))


@handler
async def loop(scope, receive, send):
    await answer(send, type(asyncio.get_running_loop()).__module__)


@handler
async def events(scope, receive, send):
    """What receive() returns, until the body is over."""
    seen = []
    while True:
        event = await receive()
        seen.append([event["type"], len(event["body"]), event["more_body"]])
        if not event["more_body"]:
            return await answer(send, seen)


@handler
async def echo(scope, receive, send):
    """Each piece as it comes."""
    await start(send)
    more = True
    while more:
        event = await receive()
        more = event.get("more_body", False)
        await body(send, event["body"], more)


@handler
async def after(scope, receive, send):
    """receive() after the response."""
    await receive()
    await answer(send, b"done")
    SEEN.append((await receive())["type"])


@handler
async def seen(scope, receive, send):
    await answer(send, SEEN)
    SEEN.clear()


@handler
async def wait(scope, receive, send):
    """Until the client has left."""
    await start(send)
    await body(send, b"waiting", True)
    while (event := await receive())["type"] != "http.disconnect":
        SEEN.append(event["type"])
    SEEN.append(event["type"])
    try:
        await body(send, b"x", True)
    except OSError as error:
        SEEN.append(f"{type(error).__name__}: {error.errno}")
    SEEN.append((await receive())["type"])


@handler
async def flood(scope, receive, send):
    """As much as the client takes."""
    SEEN.append("flood")
    await start(send)
    try:
        while True:
            await body(send, bytes(100_000), True)
    finally:
        SEEN.append(type(sys.exc_info()[1]).__name__)


@handler
async def unread(scope, receive, send):
    """The body is not read; the answer is."""
    await answer(send, b"unread")


@handler
async def large(scope, receive, send):
    size = int(scope["query_string"])
    await start(send, headers=[(b"Content-Length", b"%d" % size)])
    await body(send, memoryview(bytearray(b"x" * size)))


@handler
async def background(scope, receive, send):
    """The response is complete; the call goes on until a file appears."""
    await answer(send, b"complete")
    while not Path(scope["query_string"].decode()).exists():
        await asyncio.sleep(0.01)
    SEEN.append("background")


@handler
async def sleep(scope, receive, send):
    SEEN.append("sleeping")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        SEEN.append("cancelled")
        raise


@handler
async def held(scope, receive, send):
    """What the process holds: tasks, descriptors."""
    gc.collect()
    await answer(send, [len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))])


@handler
async def context(scope, receive, send):
    """Each request has its own context."""
    before = STARTED.get()
    STARTED.set(before + 1)
    await answer(send, before)


@handler
async def task(scope, receive, send):
    """receive() and send() within tasks, with timeouts, cancelled and gathered."""
    first = await asyncio.create_task(receive())
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        pass
    others = [asyncio.ensure_future(receive()) for _ in range(3)]
    await asyncio.sleep(0)
    others[0].cancel()
    name = asyncio.current_task().get_coro().cr_frame.f_code.co_name
    await asyncio.gather(start(send))
    await asyncio.wait_for(body(send, json.dumps([first["type"], name]).encode()), 10)
    rest = await asyncio.gather(*others, return_exceptions=True)
    SEEN.extend(
        type(event).__name__ if isinstance(event, BaseException) else event["type"]
        for event in rest
    )


@handler
async def together(scope, receive, send):
    """Tasks that send large pieces at the same time: each goes out whole."""
    await start(send)
    pieces = [bytes([letter]) * 300_000 for letter in b"abc"]
    await asyncio.gather(*(body(send, piece, True) for piece in pieces))
    await body(send)


@handler
async def hints(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await answer(send, b"hinted")


@handler
async def trailing(scope, receive, send):
    await start(send, trailers=True)
    await body(send, b"text")
    await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")],
                "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-b", b"2")]})


@handler
async def pathsend(scope, receive, send):
    path = scope["query_string"].decode()
    await start(send, headers=[(b"content-length", b"%d" % os.stat(path).st_size)])
    await send({"type": "http.response.pathsend", "path": path})


@handler
async def zerocopy(scope, receive, send):
    await start(send)
    with open(scope["query_string"], "rb") as file:
        file.seek(10)
        for more in ({"count": 5, "more_body": True},
                     {"offset": 0, "count": 3, "more_body": True}, {}):
            await send({"type": "http.response.zerocopysend", "file": file} | more)


@handler
async def dropped(scope, receive, send):
    """Fields that are the server's."""
    await answer(send, b"whole", [
        (b"Transfer-Encoding", b"chunked"), (b"connection", b"close"), (b"x-kept", b"1"),
    ])  # fmt: skip


@handler
async def status(scope, receive, send):
    await start(send, int(scope["query_string"]))
    await body(send, b"body")


# --- Wrong ---


@handler
async def raises(scope, receive, send):
    raise ValueError("before the response")


@handler
async def raises_started(scope, receive, send):
    await start(send)
    raise ValueError("after the head")


@handler
async def threads(scope, receive, send):
    """Of other threads' doings: what waits is let go of there, and sent from there the right way."""
    loop = asyncio.get_running_loop()
    await receive()
    for _ in range(100):
        waiting = [receive()]
        waiting[0].send(None)  # until the client leaves
        await asyncio.to_thread(waiting.clear)
    errors = []

    def send_wrongly():
        try:
            send({"type": "http.response.start", "status": 500}).send(None)
        except RuntimeError as error:
            errors.append(str(error))

    def send_rightly(event):
        asyncio.run_coroutine_threadsafe(send(event), loop).result()

    await asyncio.to_thread(send_wrongly)
    await asyncio.to_thread(send_rightly, {"type": "http.response.start", "status": 200})
    body = errors[0].encode()
    await asyncio.to_thread(send_rightly, {"type": "http.response.body", "body": body})


@handler
async def all_tasks(scope, receive, send):
    """Which tasks asyncio knows of: while they run, when they are over, and when they end while
    somebody goes through them."""
    known = getattr(asyncio.tasks, "_all_tasks", None) or asyncio.tasks._scheduled_tasks
    before = len(asyncio.all_tasks())
    tasks = [asyncio.create_task(asyncio.sleep(0.001)) for _ in range(5)]
    await asyncio.sleep(0)
    told = [len(asyncio.all_tasks()) - before]
    walk = iter(known)
    next(walk)
    await asyncio.gather(*tasks)
    del tasks
    gc.collect()
    await asyncio.sleep(0)
    told.append(len(asyncio.all_tasks()) - before)
    walk.close()
    task = asyncio.create_task(asyncio.sleep(0.001))
    await asyncio.sleep(0)
    told.append(task in asyncio.all_tasks() and asyncio.current_task() is not task)
    await task
    told.append(task in asyncio.all_tasks())
    await answer(send, told)


@handler
async def watches(scope, receive, send):
    """The application's own descriptors, and what other threads ask for."""
    loop = asyncio.get_running_loop()
    told = []

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    for add, remove, word in ((loop.add_reader, loop.remove_reader, "read"),
                              (loop.add_writer, loop.remove_writer, "written")):
        ready = asyncio.Event()
        add(ours, ready.set)
        theirs.send(b"x")
        await ready.wait()
        remove(ours)
        told.append(word)
    ours.close()
    theirs.close()

    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"echo\n")
        told.append((await reader.readline()).decode())
        writer.close()
        await writer.wait_closed()

    called = loop.create_future()
    threading.Thread(target=loop.call_soon_threadsafe, args=(called.set_result, "called")).start()
    told.append(await called)
    later = loop.create_future()
    loop.call_soon(loop.call_soon, later.set_result, "soon")
    told.append(await later)
    await answer(send, told)


@handler
async def changes(scope, receive, send):
    """An event that changes while it is read."""

    class Emptying:
        def __init__(self, event):
            self.event = event

        def __bool__(self):
            self.event.clear()
            return False

        def __fspath__(self):
            self.event.clear()
            return self.event

    head = {"type": "http.response.start", "status": int("200"), "headers": []}
    head["trailers"] = Emptying(head)
    await send(head)
    event = {"type": "http.response.pathsend"}
    event["path"] = Emptying(event)
    try:
        await send(event)
    except TypeError:
        event = {"type": "http.response.body", "body": b"cl" + b"ear" * 2}
        event["more_body"] = Emptying(event)
        await send(event)
        await body(send, b"ed")


@handler
async def raises_early(scope, receive, send):
    await start(send)
    await body(send, b"part", True)
    raise ValueError("behind a little of the body")


@handler
async def returns_early(scope, receive, send):
    await start(send)
    await body(send, b"part", True)


@handler
async def raises_later(scope, receive, send):
    await start(send)
    await body(send, b"part", True)
    await asyncio.sleep(0.01)
    raise ValueError("within the response")


@handler
async def raises_after(scope, receive, send):
    await answer(send, b"whole")
    raise ValueError("after the response")


@handler
async def exits(scope, receive, send):
    raise SystemExit(3)


@handler
async def nothing(scope, receive, send):
    pass


@handler
async def unfinished(scope, receive, send):
    await start(send)
    await body(send, b"part", True)
    await asyncio.sleep(0.01)


EVENTS = {
    "body first": [{"type": "http.response.body"}],
    "two heads": [{"type": "http.response.start", "status": 200}] * 2,
    "unknown": [{"type": "http.response.unknown"}],
    "no type": [{}],
    "no dict": ["http.response.start"],
    "status str": [{"type": "http.response.start", "status": "200"}],
    "no status": [{"type": "http.response.start"}],
    "status 99": [{"type": "http.response.start", "status": 99}],
    "headers None": [{"type": "http.response.start", "status": 200, "headers": 7}],
    "header str": [{"type": "http.response.start", "status": 200, "headers": [("a", b"b")]}],
    "header three": [{"type": "http.response.start", "status": 200, "headers": [(b"a",) * 3]}],
    "CR": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\rc")]}],
    "LF": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\n")]}],
    "NUL": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"\0")]}],
    "name": [{"type": "http.response.start", "status": 200, "headers": [(b"a b", b"")]}],
    "length": [{"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", b"ten")]}],
    "two lengths": [{"type": "http.response.start", "status": 200,
                     "headers": [(b"content-length", b"1"), (b"content-length", b"2")]}],
    "body str": [{"type": "http.response.start", "status": 200},
                 {"type": "http.response.body", "body": "text"}],
    "too long": [{"type": "http.response.start", "status": 200,
                  "headers": [(b"content-length", b"3")]},
                 {"type": "http.response.body", "body": b"four"}],
    "too short": [{"type": "http.response.start", "status": 200,
                   "headers": [(b"content-length", b"3")]},
                  {"type": "http.response.body", "body": b"2"}],
}  # fmt: skip


@handler
async def wrong(scope, receive, send):
    for event in EVENTS[scope["path"].split("/")[2]]:
        await send(event)


@handler
async def again(scope, receive, send):
    """A wrong event, and then a right answer."""
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"\n")]})
    except ValueError as error:
        await answer(send, str(error).encode())


@handler
async def once_more(scope, receive, send):
    await answer(send, b"whole")
    await body(send, b"more")


@handler
async def block(scope, receive, send):
    time.sleep(float(scope["query_string"]))
    await answer(send, b"blocked")


# --- Descriptors of its own ---

PIPE: list[socket.socket] = []


@handler
async def ready_and_blocked(scope, receive, send):
    """One is ready; the loop's next turn comes when somebody has closed the FIFO that the query
    names."""
    PIPE[:] = socket.socketpair()
    asyncio.get_running_loop().add_reader(PIPE[0], print, "never: its reader was replaced")
    PIPE[1].send(b"x")
    with open(scope["query_string"]) as gate:
        gate.read()
    await answer(send, b"unblocked")


@handler
async def replaced(scope, receive, send):
    """Another one reads it from now on: it is ready still."""
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    loop.remove_reader(PIPE[0])
    loop.add_reader(PIPE[0], lambda: told.done() or told.set_result(PIPE[0].recv(1)))
    got = await told
    loop.remove_reader(PIPE[0])
    for end in PIPE:
        end.close()
    await answer(send, got)


def not_awaitable(scope, receive, send):
    return 7
