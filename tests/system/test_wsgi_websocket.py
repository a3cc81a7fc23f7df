"""WebSockets of WSGI programs that take a socket from the environ, under threads and greenlets."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect as ws_connect
from penstock import PATIENCE, eventually
from raw import Client
from test_websocket import Nginx
from worker import APPS, Gateway

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
KINDS = {"threaded": ("--threads", "6"), "gevent": (), "eventlet": ()}


@pytest.fixture(scope="module", params=KINDS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp(request.param)
    gateway = Gateway(
        directory, "wsgi_sockets", "-k", request.param, "--python", sys.executable,
        "--graceful-timeout", "5", *KINDS[request.param],
    )  # fmt: skip
    gateway.kind = request.param  # type: ignore[attr-defined]
    try:
        yield gateway
        assert gateway.penstock.stop() == 0, gateway.errors()
        # What these libraries return after their sockets is no mistake.
        assert "called twice" not in gateway.errors()
    finally:
        gateway.penstock.clean_up()


def connect(site: Gateway, path: str) -> ClientConnection:
    url = f"ws://127.0.0.1:{site.penstock.port}{path}"
    return ws_connect(url, open_timeout=PATIENCE, compression=None, proxy=None)


def client(site: Gateway) -> Client:
    return Client(("127.0.0.1", site.penstock.port))


def seen(site: Gateway, text: str) -> None:
    eventually(lambda: text in json.loads(site.get("/seen")[1]), text)


def test_flask_sock(site: Gateway) -> None:
    with connect(site, "/echo") as ws:
        for message in ("a", "\u20ac" * 1000, "x" * 300_000, os.urandom(100_000)):
            ws.send(message)
            assert ws.recv(PATIENCE) == message
        assert site.get("/") == (200, b"hello")
    seen(site, "echo ended")


def test_many_at_once(site: Gateway) -> None:
    with ExitStack() as stack:
        every = [stack.enter_context(connect(site, "/echo")) for _ in range(3)]
        for number, ws in enumerate(every):
            ws.send(str(number))
        assert [ws.recv(PATIENCE) for ws in every] == ["0", "1", "2"]


def test_the_application_closes(site: Gateway) -> None:
    with connect(site, "/bye") as ws:
        assert ws.recv(PATIENCE) == "bye"
        with pytest.raises(ConnectionClosed):
            ws.recv(PATIENCE)
        assert ws.close_code == 1000
    site.wait_logged("told beside the socket")


def test_a_client_that_reads_late(site: Gateway) -> None:
    with connect(site, "/pour") as ws:
        assert site.get("/") == (200, b"hello")
        for number in range(100):
            assert ws.recv(PATIENCE) == b"%d:" % number + bytes(100_000)


def test_simple_websocket(site: Gateway) -> None:
    """It pings, which this client answers."""
    with connect(site, "/simple") as ws:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                ws.recv(0.3)
        ws.send("words")
        assert ws.recv(PATIENCE) == "simple words"
    seen(site, "simple closed")


def socketio(url: str, transports: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, APPS / "socketio_client.py", url, transports], timeout=PATIENCE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("transports", ["websocket", "polling,websocket"])
def test_flask_socketio(site: Gateway, transports: str) -> None:
    """With "polling" first the connection begins by requests and is upgraded."""
    url = f"http://127.0.0.1:{site.penstock.port}"
    assert socketio(url, transports) == (0, "answer LOUD by websocket\n"), site.errors()


def test_the_mode_is_found(site: Gateway) -> None:
    mode = site.get("/mode")[1].decode()
    assert mode == {"threaded": "threading"}.get(site.kind, site.kind)  # type: ignore[attr-defined]


def test_by_hand(site: Gateway) -> None:
    with client(site) as raw:
        raw.get("/by-hand", *UPGRADE)
        head = raw.head()
        assert head.startswith("HTTP/1.1 101 ")
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert "Penstock" not in head
        raw.send(b"and this")
        assert raw.until(b"and this") == b"first:"
        raw.end_input()
        assert raw.rest() == b""
    seen(site, "by hand: the end came")


def test_a_head_that_denies(site: Gateway) -> None:
    with client(site) as raw:
        raw.get("/denied", *UPGRADE)
        response = raw.response()
        assert (response.status, response.body) == (418, b"none")


@pytest.mark.parametrize(
    "path, status, body",
    [
        ("/touched", 200, b"touched"),
        ("/plain", 200, b"offered"),
        ("/reads", 200, b"0 bytes"),
        ("/fails", 500, None),
    ],
)
def test_ordinary_answers(site: Gateway, path: str, status: int, body: bytes | None) -> None:
    with client(site) as raw:
        raw.get(path, *UPGRADE)
        response = raw.response()
        assert response.status == status
        assert body in (None, response.body)


def test_through_nginx(site: Gateway, tmp_path: Path) -> None:
    with Nginx(tmp_path, site.penstock.port) as nginx:
        url = f"ws://127.0.0.1:{nginx.port}"
        with ws_connect(url + "/echo", open_timeout=PATIENCE, proxy=None) as ws:
            for message in ("a", "x" * 300_000, bytes(100_000)):
                ws.send(message)
                assert ws.recv(PATIENCE) == message
        with Client(("127.0.0.1", nginx.port)) as raw:
            raw.get("/denied", *UPGRADE)
            assert raw.response().status == 418
        url = f"http://127.0.0.1:{nginx.port}"
        assert socketio(url, "polling,websocket") == (0, "answer LOUD by websocket\n")


# ---- the end of its worker


@pytest.fixture(params=KINDS)
def long(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """Nobody here sees the end of its graceful timeout."""
    gateway = Gateway(
        tmp_path, "wsgi_sockets", "-k", request.param, "--python", sys.executable,
        "--graceful-timeout", "3600", *KINDS[request.param],
    )  # fmt: skip
    try:
        yield gateway
    finally:
        gateway.penstock.clean_up()


def open_some(stack: ExitStack, site: Gateway) -> list[ClientConnection]:
    some = [stack.enter_context(connect(site, path)) for path in ("/echo", "/echo", "/simple")]
    for ws in some:
        ws.send("a")
        assert ws.recv(PATIENCE).endswith("a")
    return some


def all_ended(site: Gateway, some: list[ClientConnection]) -> None:
    for ws in some:
        with pytest.raises(ConnectionClosed):
            ws.recv(PATIENCE)
    site.wait_logged("told: echo ended", "told: simple closed")


def test_a_drain(long: Gateway) -> None:
    with ExitStack() as stack:
        some = open_some(stack, long)
        raw = stack.enter_context(client(long))
        raw.get("/by-hand", *UPGRADE)
        raw.until(b"first:")
        long.penstock.signal(signal.SIGTERM)
        all_ended(long, some)
        assert raw.rest() == b""
    assert long.penstock.wait() == 0
    long.wait_logged("told: by hand: the end came")
    assert "was killed" not in long.errors() and "Traceback" not in long.errors()


def test_a_reload(long: Gateway) -> None:
    with ExitStack() as stack:
        some = open_some(stack, long)
        (old,) = long.penstock.worker_pids
        long.penstock.signal(signal.SIGHUP)
        long.penstock.wait_for("reload done: 1 worker replaced")
        all_ended(long, some)
        eventually(lambda: old not in long.penstock.worker_pids, "the old worker to leave")
        open_some(stack, long)
    assert long.penstock.stop() == 0, long.errors()
    assert "was killed" not in long.errors() and "Traceback" not in long.errors()


def test_ordinary_requests_have_no_socket(site: Gateway) -> None:
    assert site.get("/plain") == (200, b"none")
