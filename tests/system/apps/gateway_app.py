"""What the tests of the gateway ask for, by path."""
from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

PIECE = 65536


def note(line: str) -> None:
    """Tell the test, which reads this file."""
    with open(os.environ["NOTES"], "a", encoding="utf-8") as notes:
        notes.write(line + "\n")


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
    return [body]


def process(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]


def sleep(environ, start_response):
    note(f"begin {environ['QUERY_STRING']}")
    time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Length", "5")])
    return [b"slept"]


def hold(environ, start_response):
    """Wait until the file that the query names is there."""
    note(f"begin {environ['QUERY_STRING']}")
    while not Path(environ["QUERY_STRING"]).exists():
        time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"held"]


def marked(environ, start_response):
    note(f"ran {environ['QUERY_STRING']}")
    return hello(environ, start_response)


class Steps:
    """Pieces that wait for each other's file; close() is noted."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def __iter__(self) -> Iterator[bytes]:
        for step in range(3):
            while step and not (self.directory / f"step{step}").exists():
                time.sleep(0.01)
            yield b"step %d\n" % step

    def close(self) -> None:
        note("closed")


def steps(environ, start_response):
    start_response("200 OK", [])
    return Steps(environ["QUERY_STRING"])


def big(environ, start_response):
    left = int(environ["QUERY_STRING"])
    fields = [] if environ["REQUEST_METHOD"] == "POST" else [("Content-Length", str(left))]
    start_response("200 OK", fields)
    while left > 0:
        piece = b"x" * min(left, PIECE)
        left -= len(piece)
        yield piece
    note("produced")


def breaks(environ, start_response):
    start_response("200 OK", [])
    yield b"a part\n"
    yield b"x" * PIECE
    raise RuntimeError("in the middle")


def status(environ, start_response):
    start_response(environ["QUERY_STRING"] + " Chosen", [])
    return [b"a body"]


def says(environ, start_response):
    environ["wsgi.errors"].write(environ["QUERY_STRING"] + "\nforged [INFO] \x1b[31mline\n")
    return hello(environ, start_response)


def die(environ, start_response):
    os._exit(1)


def peer(environ, start_response):
    start_response("200 OK", [])
    names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    return [" ".join(environ[name] or "-" for name in names).encode()]


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/") or "hello"](environ, start_response)
