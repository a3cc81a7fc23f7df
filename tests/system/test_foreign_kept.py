"""Foreign FastCGI servers whose connections are kept for the next request (keep_conn)."""
from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import fcgi
from foreign import ForeignServer
from gateway import Exchange, Gateway
from peers import PhpFpm
from penstock import Penstock, eventually
from servers import free_port
from test_foreign import BODY, ask, remote, wait_for_close
from test_gateway import answer

Where = Path | tuple[str, int]


@pytest.fixture(params=["unix", "tcp"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    return tmp_path / "php.sock" if request.param == "unix" else ("127.0.0.1", free_port())


def kept(directory: Path, where: Where, connections: int = 1, **settings: str) -> Gateway:
    to = where if isinstance(where, Path) else "%s:%d" % where
    return remote(directory, to, connections, keep_conn="on", **settings)


def test_one_connection_serves_all(tmp_path: Path, where: Where) -> None:
    with ForeignServer(where, answer) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            for _ in range(5):
                assert client.ask("/").body == b"ok"
        assert (server.connections, server.requests, server.flags) == (1, 5, [1] * 5)


def test_what_must_not_run_twice(tmp_path: Path, where: Where) -> None:
    """On a unix socket the kernel tells whether it was read; over TCP it gets a connection of its own."""
    with ForeignServer(where, answer) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            assert client.ask("/").body == b"ok"
            for _ in range(3):
                assert client.ask("/", "Content-Length: 0", method="POST").body == b"ok"
        assert server.connections == (1 if isinstance(where, Path) else 4)


def test_never_more_connections_than_it_may_have(tmp_path: Path, where: Where) -> None:
    with ForeignServer(where, answer) as server, kept(tmp_path, where, 3) as gateway:
        for client in ask(gateway, count=60):
            assert client.response().status == 200
            client.close()
        assert server.requests == 60
        assert server.connections == server.most_open <= 3


def test_large_bodies(tmp_path: Path, where: Where) -> None:
    def echo(exchange: Exchange) -> None:
        length = len(exchange.body)
        exchange.answer(b"Content-Length: %d\r\n\r\n" % length + exchange.body)

    with ForeignServer(where, echo) as server, kept(tmp_path, where) as gateway:
        with gateway.client(receive_buffer=4096) as client:
            for _ in range(3):
                client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n")
                client.send(BODY)
                assert client.response().body == BODY
        assert server.connections == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_closed_while_idle(tmp_path: Path, where: Where, method: str) -> None:
    with ForeignServer(where, answer) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            for _ in range(3):
                assert client.ask("/", "Content-Length: 0", method=method).status == 200
                server.close_kept()


def test_one_that_keeps_nothing(tmp_path: Path, where: Where) -> None:
    with ForeignServer(where, answer, keeps=False) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            for _ in range(20):
                assert client.ask("/").status == 200
                assert client.ask("/", "Content-Length: 0", method="POST").status == 200
        assert server.requests == 40


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_closed_when_a_request_is_sent(tmp_path: Path, where: Where, method: str) -> None:
    """It is sent once more if it may be run twice. Any other was not sent, or is not sent again."""
    paths: list[str] = []

    def handle(exchange: Exchange) -> None:
        paths.append(exchange.path)
        if exchange.path == "/close" and len(paths) == 2:
            exchange.connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            exchange.answer()

    with ForeignServer(where, handle), kept(tmp_path, where) as gateway, gateway.client() as client:
        assert client.ask("/").status == 200
        client.send(f"{method} /close HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n")
        client.send(BODY)
        again = method != "POST"
        assert client.response().status == (200 if again else 502)
        assert paths == ["/", "/close", "/close"][: 3 if again else 2]
        if again:
            gateway.wait_log("given once more, on a fresh connection")


def test_always_closed_when_a_request_is_sent(tmp_path: Path, where: Where) -> None:
    """Nobody's request goes round for ever."""
    paths: list[str] = []

    def handle(exchange: Exchange) -> None:
        paths.append(exchange.path)
        if exchange.path == "/close":
            exchange.connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            exchange.answer()

    with ForeignServer(where, handle), kept(tmp_path, where) as gateway, gateway.client() as client:
        assert client.ask("/").status == 200
        assert client.ask("/close").status == 502
        assert paths == ["/", "/close", "/close"]


def test_closed_in_the_middle_of_an_answer(tmp_path: Path, where: Where) -> None:
    def handle(exchange: Exchange) -> None:
        if exchange.path == "/close":
            exchange.out(b"Status: 200\r\n")
            exchange.connection.socket.shutdown(socket.SHUT_RDWR)
        else:
            exchange.answer()

    with ForeignServer(where, handle) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            assert client.ask("/").status == 200
            assert client.ask("/close").status == 502
            assert client.ask("/").status == 200
            assert server.requests == 3


def test_who_leaves_closes_the_connection(tmp_path: Path, where: Where) -> None:
    begun, left = threading.Event(), threading.Event()

    def handle(exchange: Exchange) -> None:
        if exchange.path == "/leave":
            begun.set()
            wait_for_close(exchange)
            left.set()
        else:
            exchange.answer()

    with ForeignServer(where, handle) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            assert client.ask("/").status == 200
            client.get("/leave")
            assert begun.wait(30)
            client.reset()
        assert left.wait(30)
        with gateway.client() as client:
            assert client.ask("/").body == b"ok"
        assert server.connections == 2


def test_an_answer_before_the_body_was_read(tmp_path: Path) -> None:
    """What is left of the body would be taken for the next request."""
    path = tmp_path / "php.sock"
    seen = threading.Event()

    def hasty(connection: fcgi.Connection) -> None:
        connection.record()
        Exchange(connection, 1, b"").answer()
        seen.wait(30)

    with ForeignServer(path, answer) as server, kept(tmp_path, path) as gateway:
        server._records = hasty  # type: ignore[method-assign]
        with gateway.client() as client:
            for _ in range(2):
                client.send(f"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n")
                client.send(BODY)
                assert client.response().body == b"ok"
        assert server.connections == 2
        seen.set()


def test_what_nobody_asked_for(tmp_path: Path, where: Where) -> None:
    """A server that speaks between two requests is not heard."""
    spoken = threading.Event()

    def handle(exchange: Exchange) -> None:
        exchange.answer()
        if exchange.path == "/more":
            exchange.answer(b"Status: 200\r\n\r\nnot asked for")
        spoken.set()

    with ForeignServer(where, handle) as server, kept(tmp_path, where) as gateway:
        with gateway.client() as client:
            assert client.ask("/more").body == b"ok"
            assert spoken.wait(30)
            assert client.ask("/").body == b"ok"
        assert server.requests == 2


# --- the programs that people run ----------------------------------------------------------


class Fpm(PhpFpm):
    children = 3
    settings = "pm.max_requests = 50\n"


SCRIPT = '<?php echo json_encode(["pid" => getmypid(), "body" => file_get_contents("php://input")]);'


def test_php_fpm(penstock: Callable[..., Penstock], tmp_path: Path) -> None:
    """Its children end after 50 requests each; nobody sees that."""
    (tmp_path / "index.php").write_text(SCRIPT)
    with Fpm(tmp_path) as fpm:
        (tmp_path / "penstock.yaml").write_text(
            f"pools: {{php: {{fastcgi: 'unix:{fpm.socket}', root: {tmp_path}, connections: 3, "
            "keep_conn: on}}\n"
        )
        server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
        pids = set()
        for n in range(400):
            method, body = ("POST", b"%d" % n) if n % 3 == 0 else ("GET", None)
            got = server.request(method, "/", body)
            assert got.status == 200, got
            seen = json.loads(got.body)
            assert seen["body"] == (body or b"").decode()
            pids.add(seen["pid"])
        assert len(pids) > 3
        # A new gateway needs the children that the old one has kept.
        with open(tmp_path / "penstock.yaml", "a") as settings:
            settings.write("keep_alive: 5\n")
        gateway = server.gateway_pid
        server.signal(signal.SIGHUP)
        for _ in range(100):
            assert server.get("/").status == 200
        server.wait_for(rf"the old gateway \(pid {gateway}\) has left")
        assert server.get("/").status == 200
        assert server.stop() == 0


def test_a_program(penstock: Callable[..., Penstock], tmp_path: Path) -> None:
    """php-cgi has one connection at a time: gateways hand it over."""
    (tmp_path / "index.php").write_text(SCRIPT)
    text = f"pools: {{php: {{command: [php-cgi], root: {tmp_path}, workers: 2, keep_conn: on}}}}\n"
    (tmp_path / "penstock.yaml").write_text(text)
    server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
    for _ in range(20):
        assert server.get("/").status == 200
        assert json.loads(server.request("POST", "/", b"text").body)["body"] == "text"
    (tmp_path / "penstock.yaml").write_text(text + "keep_alive: 5\n")
    pids, gateway = server.worker_pids, server.gateway_pid
    server.signal(signal.SIGHUP)
    server.wait_for(r"reload done")
    server.wait_for(rf"the old gateway \(pid {gateway}\) has left")
    for _ in range(20):
        assert server.get("/").status == 200
    eventually(lambda: not set(pids) & set(server.worker_pids), "that both were replaced")
    assert server.stop() == 0
