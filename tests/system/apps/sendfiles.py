"""Applications that name files by X-Sendfile: WSGI (`app`), ASGI (`asgi`), Flask (`flask_app`)."""
from __future__ import annotations

import os
from urllib.parse import parse_qs

from flask import Flask, send_file


def wanted(query):
    """What the query asks for: the name, the status, further fields."""
    values = {name: value[0] for name, value in parse_qs(query).items()}
    name, status = values.pop("file"), int(values.pop("status", "200"))
    fields = [("X-SendFile", name), ("Content-Type", "text/x-test"), ("Content-Length", "3")]
    return status, fields + [(name.replace("_", "-"), value) for name, value in values.items()]


def app(environ, start_response):
    status, fields = wanted(environ["QUERY_STRING"])
    start_response(f"{status} Whatever", fields)
    if status in (204, 304):
        return []
    return [b"abc"] if environ["PATH_INFO"] != "/more" else iter([b"a" * 100000] * 3)


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    status, fields = wanted(scope["query_string"].decode())
    fields = [(name.lower().encode(), value.encode()) for name, value in fields]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    body = b"" if status in (204, 304) else b"abc" if scope["path"] != "/more" else b"a" * 300000
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await send({"type": "http.response.body", "body": body[1:]})


flask_app = Flask(__name__)
flask_app.config["USE_X_SENDFILE"] = True


@flask_app.get("/<name>")
def file(name):
    return send_file(os.path.join(os.environ["FILES"], name), conditional=True)
