"""The hard limit of a request's time, and what is run again after a crash; the installed gateway with
the test as its arbiter and its workers, and a whole penstock. Tests of --timeout are in
test_gateway.py and test_bad_workers.py."""
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fcgi
from gateway import OK, Exchange, Gateway
from penstock import eventually

LIMIT = "it took longer than 1 s (--request-timeout)"


def trickle(exchange: Exchange) -> None:
    """Never silent for long, and never done."""

    def run() -> None:
        try:
            exchange.out(b"X: y\r\n\r\n")
            for _ in range(1000):
                exchange.out(b"piece")
                time.sleep(0.1)
        except OSError:
            pass

    threading.Thread(target=run, daemon=True).start()


def test_no_head_within_the_limit_is_504(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path, timeout="0", request_timeout="1") as gateway:
        worker = gateway.worker("1.1", running.append)
        with gateway.client() as client:
            assert client.ask("/late").status == 504
            eventually(lambda: worker.later, "ABORT")
            assert worker.later == [(fcgi.ABORT_REQUEST, running[0].id, b"")]
            assert gateway.expect("SLOT late 1.1 ") == "SLOT late 1.1 GET%20/late"
        gateway.down("1.1", worker)
        gateway.wait_log(f"[ERROR] worker 1.1: GET /late: {LIMIT}: answered 504")


def test_a_body_that_goes_on_for_too_long_is_broken(tmp_path: Path) -> None:
    with Gateway(tmp_path, timeout="30", request_timeout="1") as gateway:
        worker = gateway.worker("1.1", trickle)
        with gateway.client() as client:
            response = client.ask("/endless")
            assert response.status == 200 and not response.whole
            assert response.body.startswith(b"piecepiece")
            gateway.expect("SLOT late 1.1 GET%20/endless")
        gateway.down("1.1", worker)
        gateway.wait_log(f"worker 1.1: GET /endless: {LIMIT}: its client's connection is closed")


def test_who_ends_in_time_or_within_the_grace_is_used_again(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path, timeout="0", request_timeout="2") as gateway:
        gateway.worker("1.1", running.append)
        with gateway.client() as client:
            for n in range(4):
                client.get("/")
                eventually(lambda: len(running) > n, "the request")
                time.sleep(0.6)
                running[n].answer()
                assert client.response().status == 200
            assert client.ask("/late").status == 504
            running[4].end(1)
            client.get("/next")
            eventually(lambda: len(running) == 6, "the next request")
            running[5].answer()
            assert client.response().status == 200
        assert "SLOT late" not in " ".join(gateway.lines)


def test_nobody_waits_but_the_limit_holds(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path, timeout="0", request_timeout="1") as gateway:
        worker = gateway.worker("1.1", running.append)
        with gateway.client() as client:
            client.get("/left")
            eventually(lambda: running, "the request")
            client.reset()
        gateway.expect("SLOT late 1.1 GET%20/left")
        gateway.down("1.1", worker)
        gateway.wait_log(f"nobody waits for its answer any more, but it does not end the request: {LIMIT}")


# --- what is lost with its worker ----------------------------------------------------------


def die(exchange: Exchange) -> None:
    exchange.connection.socket.shutdown(socket.SHUT_RDWR)


def die_after(data: bytes) -> Callable[[Exchange], None]:
    def handle(exchange: Exchange) -> None:
        exchange.out(data)
        die(exchange)

    return handle


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_what_is_idempotent_is_run_again(tmp_path: Path, method: str) -> None:
    bodies: list[bytes] = []

    def serve(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        exchange.answer()

    with Gateway(tmp_path, retry="idempotent") as gateway, gateway.client() as client:
        dies = gateway.worker("1.1", die)
        gateway.worker("2.2", serve)
        client.get("/x", "Content-Length: 4", method=method)
        client.send("body")
        assert client.head().startswith("HTTP/1.1 200 ")
        assert dies.requests == 1 and bodies == [b"body"]
        gateway.wait_log(
            f"[WARNING] worker 1.1: {method} /x: it closed the connection: it is run again by the "
            "next free worker (--retry)"
        )


def test_half_a_head_is_forgotten(tmp_path: Path) -> None:
    with Gateway(tmp_path, retry="idempotent") as gateway, gateway.client() as client:
        gateway.worker("1.1", die_after(b"Status: 201\r\nX-First: yes\r\nX-Ha"))
        gateway.worker("2.2", lambda exchange: exchange.answer())
        response = client.ask("/")
        assert (response.status, response.body) == (200, b"ok")
        assert response.field("X-First") is None


NOT_AGAIN: dict[str, tuple[str, str, Callable[[Exchange], None], int]] = {
    "not asked for": ("never", "GET", die, 502),
    "POST": ("idempotent", "POST", die, 502),
    "PATCH": ("idempotent", "PATCH", die, 502),
    "lower case": ("idempotent", "get", die, 502),
    "an interim response": ("idempotent", "GET", die_after(b"Status: 103\r\n\r\n"), 103),
    "a head": ("idempotent", "GET", die_after(b"Content-Length: 3\r\n\r\n"), 200),
    "failed": ("idempotent", "GET", lambda exchange: exchange.end(1), 502),
}


@pytest.mark.parametrize("name", NOT_AGAIN)
def test_what_is_not_run_again(tmp_path: Path, name: str) -> None:
    retry, method, handle, status = NOT_AGAIN[name]
    with Gateway(tmp_path, retry=retry) as gateway, gateway.client() as client:
        gateway.worker("1.1", handle)
        other = gateway.worker("2.2", lambda exchange: exchange.answer(OK))
        client.get("/once", method=method)
        assert client.head().startswith(f"HTTP/1.1 {status} ")
        gateway.wait_log("/once: ")
        assert other.requests == 0
        assert "run again" not in gateway.log


def test_it_is_run_twice_at_most(tmp_path: Path) -> None:
    with Gateway(tmp_path, retry="idempotent") as gateway, gateway.client() as client:
        workers = [gateway.worker(f"{n}.{n}", die) for n in (1, 2, 3)]
        assert client.ask("/poison").status == 502
        assert sum(worker.requests for worker in workers) == 2
