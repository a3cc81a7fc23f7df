"""Applications that say what they were asked: test_mirrors.py compares it with what it sent."""
from __future__ import annotations

import json


def app(environ, start_response):
    strings = {name: value for name, value in environ.items() if isinstance(value, str)}
    body = environ["wsgi.input"].read().decode("latin-1")
    answer = json.dumps([strings, body]).encode()
    head = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    head.append(("x-query", environ["QUERY_STRING"]))
    start_response("200 OK", head)
    return [answer]


def text(value):
    return value.decode("latin-1") if value is not None else None


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    said = {name: scope[name] for name in ("method", "path", "scheme", "client", "server")}
    said |= {name: text(scope[name]) for name in ("query_string", "raw_path")}
    said["headers"] = [(text(name), text(value)) for name, value in scope["headers"]]
    answer = json.dumps([said, text(body)]).encode()
    head = [(b"content-type", b"application/json"), (b"x-query", scope["query_string"])]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})
