"""Checked by wsgiref.validate, which fails the request at the first breach of PEP 3333."""
from __future__ import annotations

from wsgiref.validate import validator


def respond(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/write":
        write(b"written ")
        return [str(len(environ["wsgi.input"].read(-1))).encode()]
    if environ["PATH_INFO"] == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    lines = [environ["wsgi.input"].readline(10), *environ["wsgi.input"].readlines(5)]
    environ["wsgi.errors"].write("a line\n")
    environ["wsgi.errors"].flush()
    return iter([b"".join(lines), b"done"])


application = validator(respond)
