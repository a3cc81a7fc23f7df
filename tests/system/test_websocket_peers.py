"""WebSockets with clients that others wrote: the packages websockets and wsproto, which keep to RFC
6455 and 7692 in ways of their own."""
from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect as ws_connect
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from penstock import PATIENCE, Penstock
from worker import APPS

TEXTS = ["", "a", "\u20ac\U0001f600" * 1000, "x" * 65536, "words " * 100_000]


@pytest.fixture
def server(penstock: Callable[..., Penstock]) -> Penstock:
    return penstock("sockets:app", "-k", "async", cwd=APPS).wait_ready()


# ---- the package websockets


def connect(server: Penstock, path: str = "/plain", **how) -> ClientConnection:
    url = f"ws://127.0.0.1:{server.port}{path}"
    return ws_connect(url, open_timeout=PATIENCE, proxy=None, max_size=None, **how)


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_messages(server: Penstock, compression: str | None) -> None:
    with connect(server, compression=compression) as ws:
        agreed = [extension.name for extension in ws.protocol.extensions]
        assert agreed == (["permessage-deflate"] if compression else [])
        for message in [*TEXTS, os.urandom(300_000), bytes(5_000_000)]:
            ws.send(message)
            assert ws.recv(PATIENCE) == message
        for pieces in (["a", "", "b" * 100_000], [b"1"] * 1000):
            ws.send(pieces)
            assert ws.recv(PATIENCE) == pieces[0][:0].join(pieces)
        assert ws.ping(b"here").wait(PATIENCE)
    assert (ws.close_code, ws.close_reason) == (1000, "")
    server.wait_for("told 1000 -$")


def test_websockets_fragments_of_the_application(server: Penstock) -> None:
    with connect(server, "/") as ws:
        ws.send("flood 20")
        for number in range(20):
            assert b"".join(ws.recv_streaming()) == number.to_bytes(4, "big") * 16384


@pytest.mark.parametrize("code, reason", [(1001, ""), (3000, "\u20ac" * 41), (4999, "x" * 123)])
def test_websockets_close_codes(server: Penstock, code: int, reason: str) -> None:
    with connect(server) as ws:
        ws.close(code, reason)
        assert (ws.close_code, ws.close_reason) == (code, "")
    server.wait_for(f"told {code} {reason or '-'}$")
    with connect(server, "/") as ws:
        ws.send(f"close {code} {reason}")
        wanted = ConnectionClosedOK if code == 1001 else ConnectionClosedError
        with pytest.raises(wanted):
            ws.recv(PATIENCE)
        assert (ws.close_code, ws.close_reason) == (code, reason)


def test_websockets_handshakes(server: Penstock) -> None:
    with connect(server, subprotocols=["one", "two"]) as ws:
        assert ws.subprotocol == "two"
        assert ws.response.headers["X-Socket"] == "yes"
    with pytest.raises(InvalidStatus) as denied:
        connect(server, "/deny").__enter__()
    assert denied.value.response.status_code == 403


# ---- wsproto


class Peer:
    """A connection of wsproto's, which knows no sockets."""

    def __init__(self, server: Penstock, path: str, deflate: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        self.socket.settimeout(PATIENCE)
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.extension = PerMessageDeflate()
        self._events: Iterator[Event] = iter(())
        extensions = [self.extension] if deflate else []
        self.send(Request(host="test", target=path, extensions=extensions))
        self.answer = self.event()

    def __enter__(self) -> Peer:
        assert isinstance(self.answer, AcceptConnection)
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *events: Event) -> None:
        self.socket.sendall(b"".join(self.ws.send(event) for event in events))

    def event(self) -> Event:
        while (event := next(self._events, None)) is None:
            self.ws.receive_data(self.socket.recv(65536) or None)
            self._events = self.ws.events()
        return event

    def message(self) -> bytes | str:
        """The next, of whatever fragments."""
        whole = None
        while True:
            event = self.event()
            assert isinstance(event, Message), event
            whole = event.data if whole is None else whole + event.data
            if event.message_finished:
                return bytes(whole) if isinstance(event, BytesMessage) else whole


@pytest.mark.parametrize("deflate", [True, False])
def test_wsproto_messages(server: Penstock, deflate: bool) -> None:
    with Peer(server, "/plain", deflate) as peer:
        assert [e.name for e in peer.answer.extensions] == ["permessage-deflate"][:deflate]
        for text in TEXTS:
            peer.send(TextMessage(text))
            assert peer.message() == text
        data = os.urandom(200_000)
        peer.send(BytesMessage(data))
        assert peer.message() == data
        pieces = [TextMessage("\u20ac" * n, message_finished=n == 9) for n in range(10)]
        for piece in pieces:  # a ping may stand between them
            peer.send(piece, Ping(b"%d" % len(piece.data)))
        assert [peer.event().payload for _ in pieces] == [b"%d" % n for n in range(10)]
        assert peer.message() == "\u20ac" * 45
        peer.send(Pong(b"unasked"), TextMessage("still there"))
        assert peer.message() == "still there"
        peer.send(CloseConnection(1000, "bye"))
        closed = peer.event()
        assert isinstance(closed, CloseConnection) and closed.code == 1000
    server.wait_for("told 1000 bye$")


@pytest.mark.parametrize("code", [1000, 1003, 1011, 3999, 4000])
def test_wsproto_close_codes(server: Penstock, code: int) -> None:
    with Peer(server, "/", True) as peer:
        peer.send(TextMessage(f"close {code} so"))
        closed = peer.event()
        assert isinstance(closed, CloseConnection)
        assert (closed.code, closed.reason) == (code, "so")
        peer.send(closed.response())
        assert peer.socket.recv(1) == b""


def test_wsproto_breaks_its_own_rules(server: Penstock) -> None:
    """It sends text that is none when it is asked to."""
    with Peer(server, "/plain", False) as peer:
        peer.send(TextMessage("\ud800".encode("utf-8", "surrogatepass").decode("latin-1")))
        assert peer.message() == "\u00ed\u00a0\u0080"
        masked = bytes([0x81, 0x83, 0, 0, 0, 0]) + b"\xed\xa0\x80"
        peer.socket.sendall(masked)
        closed = peer.event()
        assert isinstance(closed, CloseConnection) and closed.code == 1007


def test_wsproto_is_denied(server: Penstock) -> None:
    peer = Peer(server, "/deny", True)
    with peer.socket:
        assert isinstance(peer.answer, RejectConnection) and peer.answer.status_code == 403
