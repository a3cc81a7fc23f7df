"""Pools whose workers are foreign FastCGI servers: the installed gateway with the test as its
arbiter, and servers that are right, wrong, down, slow or full; then the programs that people run."""
from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fcgi
from foreign import ForeignServer
from gateway import OK, Exchange, Gateway
from penstock import eventually
from process import spins
from raw import Client
from servers import free_port
from test_gateway import Held, Hold, answer, hold  # noqa: F401

MIB = 1 << 20
BODY = bytes(range(251)) * (3 * MIB // 251)

Start = Callable[..., Gateway]


def remote(directory: Path, where: Path | str, connections: int = 2, **settings: str) -> Gateway:
    """A gateway with one remote pool, `blog`."""
    fastcgi = f"unix:{where}" if isinstance(where, Path) else where
    pool = {"kind": "remote", "fastcgi": fastcgi, "connections": str(connections)}
    return Gateway(directory, pools={"blog": pool | settings})


def ask(gateway: Gateway, path: str = "/", count: int = 1) -> list[Client]:
    clients = [gateway.client() for _ in range(count)]
    for client in clients:
        client.get(path, "Connection: close")
    return clients


# --- one connection for each request -------------------------------------------------------


def test_it_speaks_fastcgi_1_0(tmp_path: Path) -> None:
    path = tmp_path / "php.sock"
    with ForeignServer(path, answer) as server, remote(tmp_path, path) as gateway:
        with gateway.client() as client:
            for _ in range(3):
                assert client.ask("/").body == b"ok"
        assert server.connections == server.requests == 3
        assert server.flags == [0, 0, 0]  # no FCGI_KEEP_CONN
        kinds = {kind for kind, _ in server.records}
        assert kinds == {fcgi.BEGIN_REQUEST, fcgi.PARAMS, fcgi.STDIN}
        assert {request_id for _, request_id in server.records} == {1}


def test_over_tcp(tmp_path: Path) -> None:
    port = free_port()
    with (
        ForeignServer(("127.0.0.1", port), lambda exchange: exchange.answer(OK)) as server,
        remote(tmp_path, f"127.0.0.1:{port}") as gateway,
        gateway.client() as client,
    ):
        for _ in range(3):
            assert client.ask("/").body == b"ok"
        assert server.connections == 3


def test_never_more_connections_than_it_may_have(tmp_path: Path) -> None:
    def slowly(exchange: Exchange) -> None:
        time.sleep(0.02)
        exchange.answer()

    path = tmp_path / "php.sock"
    with ForeignServer(path, slowly) as server, remote(tmp_path, path, 3) as gateway:
        for client in ask(gateway, count=30):
            assert client.response().status == 200
            client.close()
        assert server.requests == 30
        assert server.most_open == 3


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_large_bodies_and_a_slow_client(tmp_path: Path, tcp: bool) -> None:
    def echo(exchange: Exchange) -> None:
        length = len(exchange.body)
        exchange.answer(b"Content-Length: %d\r\n\r\n" % length + exchange.body)

    where: Path | tuple[str, int] = ("127.0.0.1", free_port()) if tcp else tmp_path / "php.sock"
    with (
        ForeignServer(where, echo),
        remote(tmp_path, where if isinstance(where, Path) else "%s:%d" % where) as gateway,
        gateway.client(receive_buffer=4096) as client,
    ):
        client.send(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n")
        client.send(BODY)
        time.sleep(0.2)
        assert client.response().body == BODY
        assert client.ask("/").status == 200


def test_an_answer_before_the_body_was_read(tmp_path: Path) -> None:
    def hasty(connection: fcgi.Connection) -> None:
        Exchange(connection, 1, b"").answer()

    path = tmp_path / "php.sock"
    with ForeignServer(path, answer) as server, remote(tmp_path, path) as gateway:
        server._records = lambda connection: [connection.record(), hasty(connection)]  # type: ignore
        with gateway.client() as client:
            client.send(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(BODY)}\r\n\r\n")
            client.send(BODY)
            assert client.response().body == b"ok"


# --- closing is the abort ------------------------------------------------------------------


def wait_for_close(exchange: Exchange) -> None:
    assert exchange.connection.socket.recv(1) == b""


def test_who_leaves_closes_the_connection(tmp_path: Path) -> None:
    path = tmp_path / "php.sock"
    begun, left = threading.Event(), threading.Event()

    def handle(exchange: Exchange) -> None:
        if exchange.path != "/leave":
            exchange.answer()
            return
        begun.set()
        wait_for_close(exchange)
        left.set()

    with ForeignServer(path, handle), remote(tmp_path, path, 1) as gateway:
        with gateway.client() as client:
            client.get("/leave")
            assert begun.wait(30)
            client.reset()
        assert left.wait(30)
        with gateway.client() as client:
            assert client.ask("/").body == b"ok"


def test_a_late_answer_is_504_and_the_connection_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "php.sock"
    left = threading.Event()

    def handle(exchange: Exchange) -> None:
        if exchange.path == "/late":
            wait_for_close(exchange)
            left.set()
        else:
            exchange.answer()

    with ForeignServer(path, handle), remote(tmp_path, path, 1, timeout="1") as gateway:
        with gateway.client() as client:
            assert client.ask("/late").status == 504
            assert left.wait(30)
            assert client.ask("/").body == b"ok"
        gateway.wait_log("worker blog: GET /late: nothing came from it for 1 s (--timeout)")


# --- down, full, and not reading -----------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_down_and_back(tmp_path: Path, tcp: bool) -> None:
    where: Path | tuple[str, int] = ("127.0.0.1", free_port()) if tcp else tmp_path / "php.sock"
    text = where if isinstance(where, Path) else "%s:%d" % where
    with remote(tmp_path, text) as gateway:
        for client in ask(gateway, count=20):
            assert client.response().status == 502
            client.close()
        with ForeignServer(where, answer), gateway.client() as client:
            eventually(lambda: client.ask("/").status == 200, "its return")
        for client in ask(gateway, count=5):
            assert client.response().status == 502
            client.close()
        assert not spins(gateway.process.pid, 0.5)
        assert gateway.log.count("cannot be reached (") == 2
        assert gateway.log.count("is there again, after ") == 1


def test_a_full_backlog_lets_wait(tmp_path: Path) -> None:
    path = tmp_path / "php.sock"
    server = ForeignServer(path, answer, backlog=0, accepts=False)
    with server, remote(tmp_path, path, 8) as gateway:
        clients = ask(gateway, count=20)
        gateway.wait_log("takes no more connections (its backlog is full): requests wait")
        assert not spins(gateway.process.pid, 0.5)
        server.accept()
        for client in clients:
            assert client.response().status == 200
            client.close()
        assert gateway.log.count("takes no more connections") == 1


def test_what_only_waited_in_a_backlog_is_not_lost(tmp_path: Path) -> None:
    """A server is replaced by another one at the same path, as in a restart; it had accepted, or
    not, but read nothing."""
    path = tmp_path / "php.sock"
    for accepts in (False, True):
        old = ForeignServer(path, answer, accepts=accepts, reads=False)
        old._serve = lambda peer: None  # type: ignore
        with remote(tmp_path, path, 4) as gateway:
            clients = ask(gateway, count=4)
            gateway.settle()
            with ForeignServer(path, answer) as new:
                old.close()
                for client in clients:
                    assert client.response().status == 200
                    client.close()
                assert new.requests == 4, gateway.log
            assert "answered 502" not in gateway.log


def test_one_that_never_reads_gets_each_request_three_times(tmp_path: Path) -> None:
    path = tmp_path / "php.sock"
    with ForeignServer(path, answer, reads=False) as server, remote(tmp_path, path) as gateway:
        with gateway.client() as client:
            assert client.ask("/").status == 502
        assert server.connections == 3
        gateway.wait_log("answered 502")


def test_overloaded(tmp_path: Path) -> None:
    def refuse_first(exchange: Exchange) -> None:
        if server.requests == 1 or exchange.path == "/never":
            exchange.end(0, fcgi.OVERLOADED)
        else:
            exchange.answer()

    path = tmp_path / "php.sock"
    with ForeignServer(path, refuse_first) as server, remote(tmp_path, path) as gateway:
        with gateway.client() as client:
            assert client.ask("/").status == 200
            assert server.requests == 2
            assert client.ask("/never").status == 502
            assert server.requests == 4


# --- hostile servers -----------------------------------------------------------------------


def test_broken_off_before_the_head(tmp_path: Path) -> None:
    wrongs: dict[str, tuple[bytes, str]] = {
        "/nothing": (b"", "it closed the connection: answered 502"),
        "/garbage": (b"HTTP/1.1 200 OK\r\n\r\n", "its FastCGI session failed: "),
        "/half": (fcgi.record(fcgi.STDOUT, 1, b"Content-Type: a")[:-3], "it closed the connection"),
        "/no-head": (
            fcgi.record(fcgi.STDOUT, 1, b"no head at all\n\nbody") + fcgi.record(fcgi.STDOUT, 1),
            "it sent no valid response: ",
        ),
        "/huge-head": (
            b"".join(fcgi.record(fcgi.STDOUT, 1, b"X: %s\r\n" % (b"x" * 60000)) for _ in range(9)),
            "it sent no valid response: ",
        ),
        "/other-id": (fcgi.record(fcgi.STDOUT, 7, b"Status: 200\r\n\r\n"), "answered 502"),
        "/failed": (
            fcgi.record(fcgi.END_REQUEST, 1, struct.pack(">IB3x", 1, 0)), "application status 1",
        ),
    }  # fmt: skip
    path = tmp_path / "php.sock"

    def wrong(exchange: Exchange) -> None:
        if exchange.path in wrongs:
            exchange.send(wrongs[exchange.path][0])
        else:
            exchange.answer()

    with ForeignServer(path, wrong), remote(tmp_path, path, 1) as gateway:
        with gateway.client() as client:
            for name, (_, line) in wrongs.items():
                assert client.ask(name).status == 502, name
                gateway.wait_log(f"worker blog: GET {name}: ")
                assert line in gateway.log, name
                assert client.ask("/").body == b"ok", name


def test_broken_off_in_the_body(tmp_path: Path) -> None:
    head = b"Content-Type: text/plain\r\n\r\nhalf"
    path = tmp_path / "php.sock"

    def wrong(exchange: Exchange) -> None:
        if exchange.path == "/":
            exchange.answer()
            return
        exchange.out(head)
        time.sleep(0.1)
        if exchange.path == "/garbage":
            exchange.send(b"garbage, which is no record")

    with ForeignServer(path, wrong), remote(tmp_path, path, 1) as gateway:
        for name in ("/closed", "/garbage"):
            with gateway.client() as client:
                response = client.ask(name)
                assert (response.status, response.whole) == (200, False), name
            gateway.wait_log(f"worker blog: GET {name}: ")
            with gateway.client() as client:
                assert client.ask("/").body == b"ok"
        assert gateway.log.count("closed in the middle of the answer") == 2


def test_no_end_request_after_a_whole_answer(tmp_path: Path) -> None:
    def forget(exchange: Exchange) -> None:
        exchange.out(OK)
        exchange.end_out()

    path = tmp_path / "php.sock"
    with ForeignServer(path, forget), remote(tmp_path, path, 1) as gateway:
        with gateway.client() as client:
            for _ in range(3):
                assert client.ask("/").body == b"ok"
        assert "worker blog" not in gateway.log


def test_endless_stderr_is_bounded_and_late(tmp_path: Path) -> None:
    def talk(exchange: Exchange) -> None:
        while True:
            exchange.send(fcgi.record(fcgi.STDERR, exchange.id, b"again and again\n" * 4000))

    path = tmp_path / "php.sock"
    with ForeignServer(path, talk), remote(tmp_path, path, 1, timeout="1") as gateway:
        with gateway.client() as client:
            assert client.ask("/talk").status == 504
        gateway.wait_log("worker blog: stderr: GET /talk: again and again")
        assert gateway.log.count("again and again") == 1000
