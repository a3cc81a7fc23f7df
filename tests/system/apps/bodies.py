"""Bodies of any size, read and made in pieces: what the tests of offloading ask for."""
from __future__ import annotations

import hashlib

PIECE = bytes(range(256)) * 256


def digest(environ, start_response):
    """The length and the SHA-256 of the request's body."""
    sha, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(len(PIECE)):
        sha.update(piece)
        length += len(piece)
    body = f"{length} {sha.hexdigest()}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def pieces(length):
    while length > 0:
        yield PIECE[:length]
        length -= len(PIECE)


def made(environ, start_response):
    """As many bytes as the query says."""
    start_response("200 OK", [("Content-Length", environ["QUERY_STRING"])])
    return pieces(int(environ["QUERY_STRING"]))


def hello(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\n"]


def app(environ, start_response):
    return {"/digest": digest, "/made": made}.get(environ["PATH_INFO"], hello)(
        environ, start_response
    )
