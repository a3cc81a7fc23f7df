"""Requests and answers that flow both ways under credit, between clients and a worker that streams:
the installed gateway with the test as its arbiter and its workers."""
from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import Gateway
from multiplexing import WINDOW, Streamed, Streaming
from penstock import eventually
from process import at_most_mib
from raw import Client

HEAD = b"Content-Type: text/plain\r\n\r\n"
MIB = 1 << 20


class Site:
    def __init__(self, gateway: Gateway, kind: type[Streaming] = Streaming) -> None:
        self.gateway = gateway
        self.running: list[Streamed] = []
        self.worker = gateway.worker("1.1", self.running.append, kind)  # type: ignore[arg-type]

    def next(self, n: int = 1) -> Streamed:
        """The Nth request, when its head has come."""
        eventually(lambda: len(self.running) >= n, f"request {n}")
        return self.running[n - 1]

    def post(self, path: str, length: int | None, *fields: str) -> Client:
        client = self.gateway.client()
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        client.get(path, framing, *fields, method="POST")
        return client

    def rss(self) -> int:
        """The gateway's memory, in KiB."""
        return rss(self.gateway.process.pid)


def rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Gateway(tmp_path) as gateway:
        yield Site(gateway)


def fill(client: Client, most: int = 64 * MIB) -> int:
    """Send until the other side takes no more: how much went out."""
    client.socket.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += client.socket.send(bytes(65536))
    client.socket.settimeout(30)
    return sent


# --- bodies ---------------------------------------------------------------------------------


def test_a_short_body_is_read_before_a_worker_gets_it(site: Site) -> None:
    with site.post("/short", WINDOW) as client:
        client.send(bytes(WINDOW - 1))
        site.gateway.settle()
        assert not site.running
        client.send(b"x")
        exchange = site.next()
        eventually(lambda: exchange.ended, "all of the body")
        exchange.answer()
        assert client.response().status == 200


@pytest.mark.parametrize("length", [WINDOW + 1, None])
def test_any_other_body_is_streamed(site: Site, length: int | None) -> None:
    with site.post("/long", length) as client:
        exchange = site.next()
        assert exchange.body == b""
        exchange.grant(WINDOW)
        client.send(b"first" if length else b"5\r\nfirst\r\n")
        eventually(lambda: exchange.body == b"first", "what was sent so far")
        exchange.out(HEAD + b"early")
        assert "Transfer-Encoding: chunked" in client.head()
        client.send(bytes(WINDOW - 4) if length else b"0\r\n\r\n")
        eventually(lambda: exchange.ended, "the end of the body")
        exchange.end_out()
        exchange.end()
        assert client.until(b"0\r\n\r\n") == b"5\r\nearly\r\n"


def test_the_client_is_not_read_while_its_worker_asks_for_nothing(site: Site) -> None:
    length = 256 * MIB
    with site.post("/slow", length) as client:
        exchange = site.next()
        before = site.rss()
        sent = fill(client, length)
        assert sent < 32 * MIB
        assert len(exchange.body) == WINDOW
        assert site.rss() - before < 512 + at_most_mib(0)
        exchange.grant(3 * WINDOW)
        eventually(lambda: len(exchange.body) == 4 * WINDOW, "what was asked for")
        site.gateway.settle()
        assert len(exchange.body) == 4 * WINDOW
        client.reset()
        eventually(lambda: exchange.aborted == 0, "ABORT")
        exchange.end()


def test_a_large_body_arrives_as_it_was_sent(site: Site) -> None:
    length = 16 * MIB
    pattern = bytes(range(251)) * 1024
    with site.post("/upload", length) as client:
        exchange = site.next()
        exchange.grant(length)
        before = site.rss()
        left = length
        while left > 0:
            piece = pattern[:left]
            client.send(piece)
            left -= len(piece)
        eventually(lambda: exchange.ended, "all of the body")
        assert site.rss() - before < 1024 + at_most_mib(0)
        repeated = pattern * (length // len(pattern) + 1)
        assert exchange.body == repeated[:length]
        exchange.answer()
        assert client.response().status == 200


def test_who_expects_100_is_asked_when_a_worker_has_it(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:

        class One(Streaming):
            capacity = 1

        site = Site(gateway, One)
        with site.post("/100", None, "Expect: 100-continue") as client:
            assert client.head().startswith("HTTP/1.1 100")
            site.next()
            with site.post("/waits", None, "Expect: 100-continue") as second:
                gateway.settle()
                second.socket.setblocking(False)
                with pytest.raises(BlockingIOError):
                    second.socket.recv(1)
                second.socket.settimeout(30)
                client.send(b"0\r\n\r\n")
                site.next().answer()
                assert client.response().status == 200
                assert second.head().startswith("HTTP/1.1 100")
                second.send(b"2\r\nok\r\n0\r\n\r\n")
                exchange = site.next(2)
                eventually(lambda: exchange.ended, "the body")
                assert exchange.body == b"ok"
                exchange.answer()
                assert second.response().status == 200


def test_a_body_that_becomes_too_long_is_413(tmp_path: Path) -> None:
    with Gateway(tmp_path, limit_request_body="100000") as gateway:
        site = Site(gateway)
        with site.post("/", None) as client:
            client.send(b"c350\r\n" + bytes(50000) + b"\r\n")
            exchange = site.next()
            eventually(lambda: len(exchange.body) == 50000, "what is not too long")
            client.send(b"c351\r\n" + bytes(50001) + b"\r\n")
            assert client.response().status == 413
            eventually(lambda: exchange.aborted == 0, "ABORT")
            exchange.end()
        with site.post("/", None) as client:
            client.send(b"c350\r\n" + bytes(50000) + b"\r\n")
            exchange = site.next(2)
            exchange.out(HEAD + b"begun")
            client.head()
            client.send(b"c351\r\n" + bytes(50001) + b"\r\n")
            assert client.rest() == b"5\r\nbegun\r\n"
            eventually(lambda: exchange.aborted == 0, "ABORT")
            exchange.end()
        gateway.wait_log("body is larger than the limit: its connection is closed")


def test_a_body_that_is_no_valid_one_is_400(site: Site) -> None:
    with site.post("/", None) as client:
        client.send(b"5\r\nhello\r\n")
        exchange = site.next()
        client.send(b"no number\r\n")
        assert client.response().status == 400
        eventually(lambda: exchange.aborted == 0, "ABORT")
        exchange.end()


def test_a_client_that_stops_in_its_body_is_late(tmp_path: Path) -> None:
    with Gateway(tmp_path, client_body_timeout="1", timeout="0") as gateway:
        site = Site(gateway)
        with site.post("/", None) as client:
            client.send(b"5\r\nhello\r\n")
            exchange = site.next()
            assert client.response().status == 408
            eventually(lambda: exchange.aborted == 0, "ABORT")
            exchange.end()


def test_a_worker_that_does_not_ask_makes_no_client_late(tmp_path: Path) -> None:
    with Gateway(tmp_path, client_body_timeout="1", timeout="0") as gateway:
        site = Site(gateway)
        with site.post("/", 8 * WINDOW) as client:
            client.send(bytes(8 * WINDOW))
            exchange = site.next()
            eventually(lambda: len(exchange.body) == WINDOW, "what may be sent without asking")
            with site.post("/", None) as late:
                assert late.response().status == 408
            eventually(lambda: site.next(2).aborted == 0, "ABORT")
            site.next(2).end()
            exchange.grant(8 * WINDOW)
            eventually(lambda: exchange.ended, "the rest of the body")
            exchange.answer()
            assert client.response().status == 200


def test_who_leaves_in_the_body_is_told_to_the_worker(site: Site) -> None:
    for n, end in enumerate((Client.reset, Client.end_input, Client.close)):
        client = site.post("/", None)
        client.send(b"5\r\nhello\r\n")
        exchange = site.next(n + 1)
        eventually(lambda: exchange.body == b"hello", "some of the body")
        end(client)
        eventually(lambda: exchange.aborted == 0, "ABORT")
        exchange.end()
        client.close()


@pytest.mark.parametrize("end", [Client.reset, Client.end_input])
def test_who_leaves_while_nothing_is_read_is_told_to_the_worker(site: Site, end: Callable) -> None:
    with site.post("/", 256 * MIB) as client:
        exchange = site.next()
        client.send(bytes(WINDOW + 5000))
        eventually(lambda: len(exchange.body) == WINDOW, "what may be sent without asking")
        end(client)
        eventually(lambda: exchange.aborted == 0, "ABORT")
        exchange.end()


def test_a_short_rest_of_a_body_is_dropped_and_the_connection_kept(site: Site) -> None:
    with site.post("/ignored", 3 * WINDOW) as client:
        site.next().answer()
        assert client.response().status == 200
        client.send(bytes(3 * WINDOW))
        client.get("/next")
        site.next(2).answer()
        assert client.response().status == 200


def test_a_long_rest_ends_the_connection(site: Site) -> None:
    with site.post("/ignored", 100 * MIB) as client:
        site.next().answer()
        assert client.response().status == 200
        assert client.is_closed()


def test_background_work_does_not_need_the_body(site: Site) -> None:
    """The answer is whole, the worker has not ended the request and reads no more."""
    with site.post("/background", 3 * WINDOW) as client:
        exchange = site.next()
        exchange.out(b"Content-Length: 2\r\n\r\nok")
        exchange.end_out()
        assert client.response().status == 200
        eventually(lambda: exchange.aborted == 0, "ABORT")
        client.send(bytes(3 * WINDOW))
        client.get("/next")
        site.next(2).answer()
        assert client.response().status == 200
        exchange.end()


# --- answers --------------------------------------------------------------------------------


class Producer(threading.Thread):
    """Streams LENGTH bytes as an answer to EXCHANGE."""

    def __init__(self, exchange: Streamed, length: int) -> None:
        super().__init__(daemon=True)
        self.exchange = exchange
        self.left = length
        self.start()

    def run(self) -> None:
        try:
            self.exchange.stream(HEAD)
            while self.left > 0:
                n = min(self.left, MIB)
                self.exchange.stream(bytes(n))
                self.left -= n
            self.exchange.end_out()
            self.exchange.end()
        except (OSError, TimeoutError):
            pass


def test_an_answer_that_nobody_reads_costs_little_and_slows_nobody(site: Site) -> None:
    with site.gateway.client(receive_buffer=4096) as client:
        client.get("/endless")
        exchange = site.next()
        before = site.rss()
        exchange.stream(HEAD)
        sent = 0
        while exchange.credit > 0:
            exchange.stream(bytes(16384))
            sent += 16384
            site.gateway.settle()
            assert sent < 32 * MIB
        assert exchange.credit == 0
        assert site.rss() - before < 256 + at_most_mib(0)
        with contextlib.ExitStack() as stack:
            for n in range(100):
                other = stack.enter_context(site.gateway.client())
                other.get(f"/{n}")
                site.next(n + 2).answer()
                assert other.response().status == 200
        assert not list(site.gateway.directory.glob("penstock-body*"))
        client.reset()
        eventually(lambda: exchange.aborted == 0, "ABORT")
        exchange.end()


def test_who_only_shut_its_sending_side_gets_the_whole_answer(site: Site) -> None:
    with site.gateway.client() as client:
        client.get("/half")
        exchange = site.next()
        exchange.out(HEAD + b"first")
        client.head()
        assert client.until(b"first\r\n") == b"5\r\n"
        client.end_input()
        assert client.socket.recv(1) == b"0"  # of the size of the next chunk
        exchange.out(b"second")
        exchange.end_out()
        exchange.end()
        assert client.rest() == b"6\r\nsecond\r\n0\r\n\r\n"


def test_a_large_answer_arrives_as_it_was_written(site: Site) -> None:
    with site.gateway.client() as client:
        client.get("/large")
        producer = Producer(site.next(), 16 * MIB)
        response = client.response()
        assert response.whole and response.body == bytes(16 * MIB)
        producer.join()
