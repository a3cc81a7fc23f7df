"""An ASGI application of WebSockets that does one thing for each path, right or wrong."""
from __future__ import annotations

import asyncio
import json

TOLD: list = []  # what handlers have to tell to a later request


def plain(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


async def app(scope, receive, send):
    name = scope["path"][1:].partition("/")[0]
    if scope["type"] == "http":
        content = json.dumps(TOLD).encode()
        TOLD.clear()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": content})
    elif scope["type"] == "websocket":
        TOLD.append(plain(await receive()))
        await globals()[name](scope, receive, send)
    else:
        raise RuntimeError(scope["type"])


async def accepted(send, **more):
    await send({"type": "websocket.accept"} | more)


async def text(send, value):
    await send({"type": "websocket.send", "text": value})


async def scope(scope, receive, send):
    await accepted(send, subprotocol="two", headers=[(b"x-a", b"1"), (b"x-a", b"2")])
    await text(send, json.dumps(plain(scope)))
    TOLD.append(plain(await receive()))
    TOLD.append(plain(await receive()))


async def events(scope, receive, send):
    await accepted(send)
    while (event := await receive())["type"] == "websocket.receive":
        await text(send, json.dumps(plain(event), sort_keys=True)[:200])
        TOLD.append([len(event["bytes"] or ""), len(event["text"] or "")])
    TOLD.append(plain(event))


async def echo(scope, receive, send):
    await accepted(send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send"} | {k: event[k] for k in ("bytes", "text")})


async def views(scope, receive, send):
    await accepted(send)
    await send({"type": "websocket.send", "bytes": memoryview(b"a" * 200_000), "text": None})
    await send({"type": "websocket.send", "bytes": b""})
    await text(send, "")


async def closes(scope, receive, send):
    """With the code and the reason of the query."""
    await accepted(send)
    code, _, reason = scope["query_string"].decode().partition("/")
    more = {"code": int(code), "reason": reason} if code else {}
    await send({"type": "websocket.close"} | more)
    TOLD.append(plain(await receive()))
    try:
        await text(send, "late")
    except Exception as error:
        TOLD.append(type(error).__name__)


async def returns(scope, receive, send):
    await accepted(send)


async def raises(scope, receive, send):
    await accepted(send)
    raise ValueError("within the connection")


async def raises_first(scope, receive, send):
    raise ValueError("before it was accepted")


async def forgets(scope, receive, send):
    pass


async def denies(scope, receive, send):
    await send({"type": "websocket.close", "code": 4000})
    TOLD.append((await receive())["type"])


async def answers(scope, receive, send):
    await send({
        "type": "websocket.http.response.start", "status": 401,
        "headers": [(b"www-authenticate", b"Basic"), (b"content-type", b"text/plain")],
    })  # fmt: skip
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you?"})


async def lost(scope, receive, send):
    """The client goes away without a word."""
    await accepted(send)
    await text(send, "open")
    event = await receive()
    TOLD.append([event["type"], event["code"]])
    try:
        await text(send, "late")
    except OSError as error:
        TOLD.append(type(error).__name__)


async def cuts(scope, receive, send):
    """Cancel a send(): within its message, or, with another before it, when nothing was sent of it."""
    await accepted(send)
    tasks = [
        asyncio.create_task(send({"type": "websocket.send", "bytes": byte * 2_000_000}))
        for byte in ((b"a",) if scope["query_string"] == b"within" else (b"a", b"b"))
    ]
    await asyncio.sleep(0)  # the first has filled what there is room for
    tasks[-1].cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        TOLD.append(type(result).__name__)
    try:
        await text(send, "after it")
    except RuntimeError as error:
        TOLD.append(str(error))


async def wrong(scope, receive, send):
    event = {
        "both": {"type": "websocket.send", "text": "a", "bytes": b"b"},
        "neither": {"type": "websocket.send"},
        "number": {"type": "websocket.send", "text": 7},
        "str": {"type": "websocket.send", "bytes": "text"},
        "again": {"type": "websocket.accept"},
        "http": {"type": "http.response.start", "status": 200},
        "code": {"type": "websocket.close", "code": 1006},
        "reason": {"type": "websocket.close", "reason": "x" * 124},
    }[scope["path"].split("/")[2]]
    await accepted(send)
    try:
        await send(event)
    except Exception as error:
        await text(send, f"{type(error).__name__}: {error}")
        await receive()


async def tasks(scope, receive, send):
    """One that reads and one that writes, and a timeout that takes nothing away."""
    await accepted(send)

    async def read():
        while True:
            try:
                event = await asyncio.wait_for(receive(), 0.01)
            except asyncio.TimeoutError:
                continue
            if event["type"] == "websocket.disconnect":
                return
            TOLD.append(event["text"])

    async def write():
        for number in range(100):
            await text(send, str(number))
            await asyncio.sleep(0)

    await asyncio.gather(read(), write())
