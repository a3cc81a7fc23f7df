"""What the tests of WSGI on greenlets ask: everything that could block there."""
from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

SCRATCH = Path(os.environ["SCRATCH"])
told: list[str] = []


def wait_on_a_socket(environ, start_response):
    """QUERY_STRING is the port of somebody who answers when it likes."""
    with socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"]))) as peer:
        answer = peer.recv(100)
    start_response("200 OK", [])
    return [answer]


def facts(environ, start_response):
    said = {name: value for name, value in environ.items() if isinstance(value, (str, bool))}
    said["patched"] = time.sleep.__module__
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]


def pid(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % os.getpid()]


def seen(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(told).encode()]


def swallow(environ, start_response):
    told.append("swallowing " + environ["QUERY_STRING"])
    total = 0
    while piece := environ["wsgi.input"].read(65536):
        total += len(piece)
    start_response("200 OK", [])
    return [b"%d" % total]


def lines(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % sum(1 for _ in environ["wsgi.input"])]


def pour(environ, start_response):
    """QUERY_STRING bytes in a single piece, by write()."""
    start_response("200 OK", [])(bytes(int(environ["QUERY_STRING"])))
    told.append("poured")
    return []


def endless(environ, start_response):
    start_response("200 OK", [])
    try:
        while True:
            yield bytes(10000)
    finally:
        told.append("endless: closed")


def write_to_nobody(environ, start_response):
    write = start_response("200 OK", [])
    try:
        while True:
            write(bytes(10000))
    except OSError as error:
        told.append(type(error).__name__)
        raise


def sleep_long(environ, start_response):
    try:
        told.append("sleeping")
        time.sleep(3600)
    except Exception as error:
        told.append(f"swallowed {error!r}")
    except BaseException as error:
        told.append(type(error).__name__)
        raise
    finally:
        told.append("cleaned up")
    return []


def a_file(environ, start_response):
    path = SCRATCH / "file"
    path.write_bytes(b"0123456789" * 100_000)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](path.open("rb"))


def other_greenlet(environ, start_response):
    """Another greenlet reads the body, and this one waits for it."""
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(environ["wsgi.input"].read()))
    reader.start()
    reader.join()
    start_response("200 OK", [])
    return [b"%d" % len(got[0])]


def other_thread(environ, start_response):
    """A thread of the system cannot call the host, but it can log."""
    if "gevent" in sys.modules:
        from gevent import get_hub

        run = get_hub().threadpool.apply
    else:
        from eventlet import tpool

        run = tpool.execute

    def use() -> str:
        environ["wsgi.errors"].write("from another thread\n")
        try:
            environ["wsgi.input"].read()
        except ValueError as error:
            return str(error)
        return "read"

    start_response("200 OK", [])
    return [run(use).encode()]


def kept(environ, start_response):
    """A greenlet that outlives its request still waits for its body."""
    input = environ["wsgi.input"]

    def read() -> None:
        try:
            input.read()
        except ValueError as error:
            told.append(str(error))

    threading.Thread(target=read).start()
    time.sleep(0)
    start_response("200 OK", [])
    return [b"answered"]


def raises(environ, start_response):
    raise SystemExit(3)


def application(environ, start_response):
    return globals()[environ["PATH_INFO"][1:]](environ, start_response)
