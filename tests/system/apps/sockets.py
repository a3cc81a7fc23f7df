"""An ASGI application of WebSockets for the tests: what a client says is what it does."""
from __future__ import annotations

import asyncio
import json

everybody: set = set()


async def lifespan(receive, send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def http(send) -> None:
    fields = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"no socket\n"})


async def accept(scope, send) -> None:
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    if scope["path"] == "/unoffered":
        chosen = "of-my-own"
    fields = [(b"x-socket", b"yes")]
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": fields})


async def command(text: str, scope, send) -> bool:
    """True if TEXT is a command, which is carried out."""
    word, _, rest = text.partition(" ")
    if word == "raise":
        raise RuntimeError("asked for")
    if word == "close":
        code, _, reason = rest.partition(" ")
        await send({"type": "websocket.close", "code": int(code), "reason": reason})
    elif word == "scope":
        facts = {"type": scope["type"], "scheme": scope["scheme"], "path": scope["path"],
                 "headers": [[n.decode(), v.decode()] for n, v in scope["headers"]]}  # fmt: skip
        await send({"type": "websocket.send", "text": json.dumps(facts)})
    elif word == "flood":
        for number in range(int(rest)):
            await send({"type": "websocket.send", "bytes": number.to_bytes(4, "big") * 16384})
    elif word == "all":
        for other in list(everybody):
            await other({"type": "websocket.send", "text": rest})
    elif word == "sleep":
        await asyncio.sleep(float(rest))
    else:
        return False
    return True


async def talk(scope, receive, send) -> None:
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            print(f"told {event['code']} {event.get('reason') or '-'}", flush=True)
            return
        text = event.get("text")
        if text is not None and scope["path"] != "/plain" and await command(text, scope, send):
            continue
        reply = {"type": "websocket.send"}
        reply |= {"bytes": event["bytes"]} if text is None else {"text": text}
        await send(reply)


async def app(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await http(send)
    elif scope["path"] == "/deny":
        await receive()
        await send({"type": "websocket.close"})
    else:
        assert (await receive())["type"] == "websocket.connect"
        await accept(scope, send)
        everybody.add(send)
        try:
            await talk(scope, receive, send)
        finally:
            everybody.discard(send)
