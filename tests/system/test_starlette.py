"""A real Starlette application on asyncio and uvloop, behind nginx and by a whole Penstock."""
from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from websocket import FIN, BINARY, CONT, TEXT, Socket, check_room, closing, frame
from worker import APPS, Server, serving, wait_for

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(
    scope="module",
    params=[("nginx", "asyncio"), ("penstock", "asyncio"), ("penstock", "uvloop")],
    ids="-".join,
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("starlette")
    kind, loop = request.param
    with serving(
        "starlettes:app", kind, directory, "--python", sys.executable, loop=loop
    ) as server:
        yield server
    notes = (directory / "notes").read_text()
    assert notes.endswith("shut down\n")
    assert notes.count("shut down") == 1


def notes(server: Server) -> str:
    path = server.directory / "notes"
    return path.read_text() if path.exists() else ""


def test_routes(server: Server) -> None:
    assert server.get("/hello/J%C3%BCrgen") == (200, "Hello, J\xfcrgen!".encode())
    assert server.get("/absent")[0] == 404
    assert server.request("/form", "GET")[0].status == 405
    assert server.get("/threads") == (200, b"from a thread")
    response, body = server.request("/hello/x", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "9", b"")


def test_urls(server: Server) -> None:
    response, body = server.request("/urls?a=b", headers={"Host": "shop.example"})
    urls = json.loads(body)
    assert urls["url"] == "http://shop.example/urls?a=b"
    assert urls["hello"] == "http://shop.example/hello/you"
    response, _ = server.request("/redirect", headers={"Host": "shop.example"})
    assert response.getheader("Location") == "http://shop.example/hello/there"


def test_forms(server: Server) -> None:
    _, body = server.request("/form", "POST", b"a=1&a=2&b=%E2%82%AC", FORM)
    assert json.loads(body) == {"a": ["1", "2"], "b": ["\u20ac"]}


def multipart(content: bytes) -> tuple[bytes, dict[str, str]]:
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="text"\r\n\r\nwords\r\n',
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
        b"Content-Type: application/x-some\r\n\r\n" + content,
        b"\r\n--edge--\r\n",
    ]
    return b"".join(parts), {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.mark.parametrize("size", [0, 1, 100_000, 64 << 20])
def test_uploads(server: Server, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    response, body = server.request("/upload", "POST", *multipart(content))
    assert response.status == 200, server.errors()
    assert json.loads(body) == {
        "name": "f.bin", "size": size, "sha256": hashlib.sha256(content).hexdigest(),
        "text": "words",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/digest", "/timed/digest"])
def test_chunked_upload(server: Server, path: str) -> None:
    pieces = [bytes([number]) * 50_000 for number in range(100)]
    connection = server.connect()
    connection.request("POST", path, iter(pieces), {}, encode_chunked=True)
    body = json.loads(connection.getresponse().read())
    connection.close()
    expected = hashlib.sha256(b"".join(pieces)).hexdigest()
    assert body == {"size": 5_000_000, "sha256": expected}


def test_streams(server: Server) -> None:
    expected = "".join(f"{number}\n" for number in range(20_000)).encode()
    assert server.get("/numbers?n=20000") == (200, expected)
    response, body = server.request("/timed/numbers?n=20000")
    assert (response.getheader("X-Timed"), body) == ("yes", expected)
    response, body = server.request("/gzip/numbers?n=20000", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(body) == expected


def test_server_sent_events(server: Server) -> None:
    """They come one by one; the generator is closed when the client leaves."""
    before = notes(server).count("events ended")
    connection = server.connect()
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.getheader("Content-Type", "").startswith("text/event-stream")
    if "nginx" not in type(server).__name__.lower():  # which buffers them
        for number in range(5):
            assert response.readline() == b"data: %d\n" % number
            assert response.readline() == b"\n"
    response.close()
    connection.close()
    wait_for(lambda: notes(server).count("events ended") == before + 1, "the stream's end")


def test_background(server: Server) -> None:
    before = notes(server).count("background done")
    assert server.get("/background?file=go") == (200, b"answered")
    assert notes(server).count("background done") == before
    (server.directory / "go").touch()
    wait_for(lambda: notes(server).count("background done") == before + 1, "the background task")


def test_files(server: Server) -> None:
    content = bytes(range(256)) * 40_000
    (server.directory / "file.bin").write_bytes(content)
    response, body = server.request("/file")
    assert (response.status, body) == (200, content)
    response, body = server.request("/file", headers={"Range": "bytes=1000-1999"})
    assert (response.status, body) == (206, content[1000:2000])
    source = (APPS / "starlettes.py").read_bytes()
    assert server.get("/static/starlettes.py") == (200, source)


def test_sessions(server: Server) -> None:
    response, body = server.request("/session")
    cookie = response.getheader("Set-Cookie", "").partition(";")[0]
    assert body == b"1"
    assert server.request("/session", headers={"Cookie": cookie})[1] == b"2"


def address(server: Server) -> tuple[str, int]:
    if "nginx" in type(server).__name__.lower():
        pytest.skip("fastcgi_pass has no WebSockets")
    connection = server.connect()
    return connection.host, connection.port


def test_websocket_echo(server: Server) -> None:
    with Socket(address(server), "/echo", "Sec-WebSocket-Protocol: chat, superchat") as socket:
        assert socket.answer.field("Sec-WebSocket-Protocol") == "chat"
        before = notes(server).count("socket left with 3001")
        assert socket.ask("\xfc") == "\xfc"
        for size in (0, 1, 70_000):
            socket.send_bytes(bytes(size))
            assert socket.message() == bytes(size)
        socket.send(frame(TEXT, b"in ") + frame(CONT, b"three ") + frame(FIN | CONT, b"parts"))
        assert socket.message() == "in three parts"
        socket.send(closing(3001))
        assert socket.closed()[0] == 3001
    wait_for(lambda: notes(server).count("socket left with 3001") == before + 1, "its end")


def test_websocket_broadcast(server: Server) -> None:
    check_room(address(server), "/room")


def test_failure(server: Server) -> None:
    before = len(server.errors() + server.printed())
    assert server.get("/fails") == (500, b"Internal Server Error")
    server.wait_logged("RuntimeError: this endpoint fails", "GET /fails")
    assert (server.errors() + server.printed())[before:].count("Traceback") <= 1


def test_client_leaves_within_its_upload(server: Server) -> None:
    """It is no error of the application's, and the next request is served."""
    connection = server.connect()
    connection.putrequest("POST", "/digest")
    connection.putheader("Content-Length", str(10 << 20))
    connection.endheaders(bytes(200_000))
    connection.close()
    assert server.get("/hello/x")[0] == 200
    assert "Traceback" not in server.printed().rpartition("endpoint fails")[2]
