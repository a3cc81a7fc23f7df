"""wsgi.input however the body arrives: chunked, byte by byte, and cut at every place."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fcgi
import installed
from apps import rules
from worker import Server, Worker, serving

PATTERNS = [name[5:] for name in dir(rules) if name.startswith("read_")]

# Lines of every length up to 400 bytes: some end right before, at and after each buffer's edge.
LINES = b"".join(b"x" * length + b"\n" for length in range(400)) + b"last"


@pytest.fixture(scope="module", params=[installed.SYNC, installed.THREADED])
def worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    worker = Worker("rules", tmp_path_factory.mktemp("input"), program=request.param)
    yield worker
    assert worker.stop() == 0, worker.printed()


@pytest.fixture(scope="module", params=["nginx", "penstock"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving("rules", request.param, tmp_path_factory.mktemp("chunked")) as server:
        yield server


def post(how: str, body: bytes) -> bytes:
    """The records of a request up to its body."""
    return fcgi.head(
        "/echo", query=how, REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body)),
        CONTENT_TYPE="text/plain",
    )  # fmt: skip


@pytest.mark.parametrize("how", PATTERNS)
@pytest.mark.parametrize("size", [1, 397, 4096, 65535])
def test_records_of_every_size(worker: Worker, how: str, size: int) -> None:
    with fcgi.Connection(str(worker.directory / "app.sock")) as connection:
        connection.send(post(how, LINES) + fcgi.stream(fcgi.STDIN, 1, LINES, size))
        response = connection.response()
    assert (response.app_status, response.body) == (0, LINES)


@pytest.mark.parametrize("how", PATTERNS)
def test_a_body_that_drips(worker: Worker, how: str) -> None:
    """The records themselves arrive byte by byte."""
    body = b"a\n\nbb\n" * 100
    with fcgi.Connection(str(worker.directory / "app.sock")) as connection:
        connection.send(post(how, body))
        for byte in fcgi.stream(fcgi.STDIN, 1, body, 70):
            connection.send(bytes([byte]))
        response = connection.response()
    assert (response.app_status, response.body) == (0, body)


@pytest.mark.parametrize("how", PATTERNS)
def test_a_body_without_length(worker: Worker, how: str) -> None:
    """The stream's end is the body's: what wsgi.input_terminated promises."""
    with fcgi.Connection(str(worker.directory / "app.sock")) as connection:
        connection.send(fcgi.head("/echo", query=how, REQUEST_METHOD="POST"))
        connection.send(fcgi.stream(fcgi.STDIN, 1, LINES, 5000))
        assert connection.response().body == LINES


@pytest.mark.parametrize("how", PATTERNS)
def test_chunked_bodies(server: Server, how: str) -> None:
    pieces = [LINES[:1], LINES[1:300], LINES[300:70000], LINES[70000:]]
    connection = server.connect()
    connection.request("POST", f"/echo?{how}", iter(pieces), encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, LINES)
    connection.close()


def test_a_chunked_body_that_breaks_off_reaches_nobody(server: Server) -> None:
    connection = server.connect()
    connection.putrequest("POST", "/echo?all")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"5\r\nhel")
    connection.close()
    assert server.get("/process") == (200, str(server.pid()).encode())
    assert "/echo" not in server.printed()
