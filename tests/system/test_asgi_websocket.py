"""WebSockets as ASGI applications see them: scope, events, closes, denials, and what is wrong."""
from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import raw
from penstock import Penstock, eventually
from websocket import BINARY, CLOSE, FIN, TEXT, Socket, closing, frame

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Penstock]:
    server = Penstock(
        tmp_path_factory.mktemp("sockets"), "asgi_sockets:app", "-k", "async", "--python",
        sys.executable, "--loop", request.param, cwd=APPS,
    )  # fmt: skip
    server.wait_ready()
    try:
        yield server
        assert server.stop() == 0, server.log
        assert "never retrieved" not in server.log
        assert "failed after the head" not in server.log  # nobody closed one too early
    finally:
        server.clean_up()


def socket_at(server: Penstock, path: str, *fields: str) -> Socket:
    return Socket(("127.0.0.1", server.port), path, *fields)


def told(server: Penstock, count: int) -> list:
    """What handlers have told, once it is COUNT items; the first is websocket.connect."""
    found: list = []

    def complete() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/told")
        found.extend(json.loads(connection.getresponse().read()))
        connection.close()
        return len(found) >= count

    eventually(complete, f"{count} items")
    assert found[0] == {"type": "websocket.connect"}
    return found[1:]


def handshake(server: Penstock, path: str) -> raw.Response:
    with raw.Client(("127.0.0.1", server.port)) as client:
        client.get(path, "Connection: Upgrade", "Upgrade: websocket",
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                   "Sec-WebSocket-Version: 13")  # fmt: skip
        return client.response()


def test_scope(server: Penstock) -> None:
    with socket_at(server, "/scope/%C3%BC?a=%20", "Sec-WebSocket-Protocol: one, two") as socket:
        assert socket.answer.field("Sec-WebSocket-Protocol") == "two"
        scope = json.loads(socket.message())
        socket.send(closing(4001, "enough \u20ac"))
        assert socket.closed()[0] == 4001
    headers = scope.pop("headers")
    assert ["host", "test"] in headers
    assert ["sec-websocket-version", "13"] in headers
    assert scope.pop("client")[0] == "127.0.0.1"
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/scope/\xfc",
        "raw_path": "/scope/%C3%BC",
        "query_string": "a=%20",
        "root_path": "",
        "server": ["test", 80],
        "subprotocols": ["one", "two"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    disconnect = {"type": "websocket.disconnect", "code": 4001, "reason": "enough \u20ac"}
    assert told(server, 3) == [disconnect, disconnect]


def test_events(server: Penstock) -> None:
    with socket_at(server, "/events") as socket:
        assert json.loads(socket.ask("\xfc")) == {
            "type": "websocket.receive", "text": "\xfc", "bytes": None
        }  # fmt: skip
        socket.send_bytes(b"\xff")
        assert json.loads(socket.message()) == {
            "type": "websocket.receive", "text": None, "bytes": "\xff"
        }  # fmt: skip
        socket.send(frame(TEXT, b"a") + frame(0, b"b") + frame(FIN, b"c"))
        assert json.loads(socket.message())["text"] == "abc"
        socket.send_bytes(b"x" * 700_000)
        socket.message()
        socket.send(frame(FIN | CLOSE))
        assert socket.closed()[0] == 1005
    assert told(server, 6) == [
        [0, 1], [1, 0], [0, 3], [700_000, 0],
        {"type": "websocket.disconnect", "code": 1005, "reason": ""},
    ]  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 900_000])
def test_echo(server: Penstock, size: int) -> None:
    with socket_at(server, "/echo") as socket:
        for data in (b"b" * size, "t" * size):
            kind = BINARY if isinstance(data, bytes) else TEXT
            socket.send(frame(FIN | kind, data if isinstance(data, bytes) else data.encode()))
            assert socket.message() == data
        socket.send(closing(1000))
        assert socket.closed() == (1000, "")
    told(server, 1)


def test_views_and_a_return(server: Penstock) -> None:
    with socket_at(server, "/views") as socket:
        assert [socket.message() for _ in range(3)] == [b"a" * 200_000, b"", ""]
        assert socket.closed()[0] == 1000
    with socket_at(server, "/returns") as socket:
        assert socket.closed()[0] == 1000
    told(server, 2)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", (1000, "")), ("1000", (1000, "")), ("4999/bye", (4999, "bye")), ("3000/%20", (3000, "%20"))],
)
def test_closes(server: Penstock, query: str, expected: tuple[int, str]) -> None:
    with socket_at(server, f"/closes?{query}") as socket:
        assert socket.closed() == expected
    disconnect = {"type": "websocket.disconnect", "code": expected[0], "reason": expected[1]}
    assert told(server, 3) == [disconnect, "RuntimeError"]


def test_raises(server: Penstock) -> None:
    with socket_at(server, "/raises") as socket:
        assert socket.closed()[0] == 1011
    assert handshake(server, "/raises_first").status == 500
    assert handshake(server, "/forgets").status == 500
    for text in ("ValueError: within the connection", "ValueError: before it was accepted",
                 "returned without a response"):
        eventually(lambda text=text: text in server.log, text)
        assert server.log.count(f"raised {text}") <= 1
    told(server, 3)


def test_denials(server: Penstock) -> None:
    assert handshake(server, "/denies").status == 403
    assert told(server, 2) == ["websocket.disconnect"]
    response = handshake(server, "/answers")
    assert (response.status, response.body) == (401, b"who are you?")
    assert response.field("WWW-Authenticate") == "Basic"
    told(server, 1)


def test_lost(server: Penstock) -> None:
    with socket_at(server, "/lost") as socket:
        assert socket.message() == "open"
    assert told(server, 3) == [["websocket.disconnect", 1006], "BrokenPipeError"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("both", "ValueError: websocket.send takes exactly one"),
        ("neither", "ValueError: websocket.send takes exactly one"),
        ("number", "TypeError: text must be str, not int"),
        ("str", "TypeError: "),
        ("again", "RuntimeError: unexpected event 'websocket.accept': the WebSocket is open"),
        ("http", "RuntimeError: unexpected event 'http.response.start'"),
        ("code", "ValueError: 1006 cannot be a close's code"),
        ("reason", "ValueError: a close code"),
    ],
)
def test_wrong_events(server: Penstock, name: str, error: str) -> None:
    with socket_at(server, f"/wrong/{name}") as socket:
        assert str(socket.message()).startswith(error)
        socket.send(closing(1000))
        assert socket.closed()[0] == 1000
    told(server, 1)


def test_cancelled_messages(server: Penstock) -> None:
    """What was not sent whole is never continued by another message."""
    with socket_at(server, "/cuts?within") as socket:
        while (found := socket.frame()) and found.opcode != CLOSE:
            assert not found.first & FIN
            assert set(found.payload) <= {ord("a")}
        assert found and found.code == 1011
        socket.send(closing(1011))
    cancelled, error = told(server, 3)
    assert cancelled == "CancelledError"
    assert error.startswith("a send() was cancelled in the middle of its message")
    with socket_at(server, "/cuts?before") as socket:
        assert socket.message() == b"a" * 2_000_000
        assert socket.message() == "after it"
        assert socket.closed()[0] == 1000
    assert told(server, 3) == ["NoneType", "CancelledError"]


def test_tasks(server: Penstock) -> None:
    with socket_at(server, "/tasks") as socket:
        for number in range(100):
            socket.send_text(f"from the client {number}")
        assert [socket.message() for _ in range(100)] == [str(number) for number in range(100)]
        socket.send(closing(1000))
        assert socket.closed()[0] == 1000
    assert told(server, 101) == [f"from the client {number}" for number in range(100)]
