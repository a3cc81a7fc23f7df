"""Quart and Django, as ASGI applications, on asyncio and uvloop."""
from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator

import pytest

from websocket import Socket, closing
from worker import Server, serving


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
