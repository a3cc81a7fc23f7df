"""Quart and Django (with Channels), as ASGI applications, on asyncio and uvloop."""
from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator

import pytest

from websocket import Socket, check_room, closing
from worker import APPS, Server, serving, wait_for

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def count_twice(server: Server, path: str) -> list:
    """What a session answers to the first request and to the second."""
    response, first = server.request(path)
    cookie = response.getheader("Set-Cookie", "").partition(";")[0]
    second = server.request(path, headers={"Cookie": cookie})[1]
    return [json.loads(first), json.loads(second)]


def multipart(content: bytes) -> tuple[bytes, dict[str, str]]:
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="text"\r\n\r\nwords\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
        b"Content-Type: application/x-some\r\n\r\n" + content + b"\r\n--edge--\r\n"
    )
    return body, {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def quart(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("quart")
    options = ("--python", sys.executable)
    with serving("quarts:app", "penstock", directory, *options, loop=request.param) as server:
        yield server


def test_quart(quart: Server) -> None:
    assert quart.get("/hello/J%C3%BCrgen") == (200, "Hello, J\xfcrgen! ['started']".encode())
    _, body = quart.request("/form", "POST", *multipart(b"x" * 500_000))
    assert json.loads(body) == {"a": ["1"], "files": {"file": 500_000}}
    assert quart.request("/body", "POST", b"x" * 3_000_000)[1] == b"3000000"
    assert quart.get("/stream")[1] == b"".join(b"%d /stream\n" % n for n in range(1000))
    assert quart.get("/absent")[0] == 404
    assert quart.get("/fails")[0] == 500
    quart.wait_logged("RuntimeError: this view fails")


def test_quart_pages(quart: Server) -> None:
    assert quart.get("/page/7") == (200, b"7 /hello/%3Cb%3E")
    assert quart.get("/page/seven")[0] == 404
    assert count_twice(quart, "/count") == [1, 2]
    source = (APPS / "quarts.py").read_bytes()
    assert quart.get("/file") == (200, source)
    response, body = quart.request("/file", headers={"Range": "bytes=10-19"})
    assert (response.status, body) == (206, source[10:20])


def test_quart_background(quart: Server) -> None:
    assert quart.get("/background") == (200, b"answered")
    assert not (quart.directory / "done").exists()
    (quart.directory / "go").touch()
    wait_for((quart.directory / "done").exists, "the background task")


def test_quart_broadcast(quart: Server) -> None:
    connection = quart.connect()
    check_room((connection.host, connection.port), "/room")


def test_quart_websocket(quart: Server) -> None:
    connection = quart.connect()
    with Socket((connection.host, connection.port), "/socket") as socket:
        assert socket.ask("\xfc") == "you said \xfc"
        socket.send(closing(1000))
        assert socket.closed()[0] == 1000


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def django(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("django")
    options = ("--python", sys.executable)
    with serving(
        "django_async:application", "penstock", directory, *options, loop=request.param
    ) as server:
        yield server


def test_django(django: Server) -> None:
    assert django.get("/hello/you?q=%C3%BC") == (200, "Hello, you! \xfc".encode())
    _, body = django.request("/sync", headers={"Host": "shop.example:8080"})
    assert json.loads(body) == {"host": "shop.example:8080", "port": "8080", "secure": False}
    content = bytes(range(256)) * 20_000
    _, body = django.request("/upload", "POST", *multipart(content))
    assert json.loads(body) == {
        "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "text": "words",
    }  # fmt: skip
    assert django.get("/stream")[1] == b"".join(b"%d\n" % n for n in range(1000))
    assert django.get("/absent")[0] == 404
    assert django.get("/fails")[0] == 500  # logged as Django's LOGGING says, which is not here


def test_django_pages(django: Server) -> None:
    assert django.get("/books/7/") == (200, b"book 7")
    assert django.get("/books/seven/")[0] == 404
    _, body = django.request("/form", "POST", b"a=1&a=2&b=%E2%82%AC", FORM)
    assert json.loads(body) == {"a": ["1", "2"], "b": ["\u20ac"]}
    assert count_twice(django, "/count") == [
        {"count": 1, "url": "/books/1/"}, {"count": 2, "url": "/books/2/"}
    ]  # fmt: skip


def test_django_files(django: Server) -> None:
    style = (APPS / "django_static/site.css").read_bytes()
    response, body = django.request("/static/site.css")
    assert (response.status, response.getheader("Content-Type"), body) == (200, "text/css", style)
    assert django.get("/static/absent.css")[0] == 404
    assert django.get("/file") == (200, (APPS / "django_async.py").read_bytes())


def test_django_stream_of_a_client_that_leaves(django: Server) -> None:
    connection = django.connect()
    connection.request("GET", "/endless")
    assert connection.getresponse().read(5000) == b"x" * 5000
    connection.close()
    wait_for((django.directory / "endless-closed").exists, "the generator's end")
    assert django.get("/hello/x")[0] == 200


def test_channels(django: Server) -> None:
    connection = django.connect()
    address = (connection.host, connection.port)
    with Socket(address, "/echo") as socket:
        assert socket.ask("\xfc") == "\xfc"
        socket.send_bytes(bytes(70_000))
        assert socket.message() == bytes(70_000)
        socket.send(closing(1000))
        assert socket.closed()[0] == 1000
    check_room(address, "/room")
