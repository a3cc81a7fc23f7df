"""Clients that are slow, silent, greedy or gone: each loses its connection in time, costs bounded
memory, and harms nobody else."""
from __future__ import annotations

import contextlib
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import process
from penstock import Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"
HASTY = ("--client-header-timeout", "1", "--client-body-timeout", "1", "--send-timeout", "1",
         "--min-rate", "1000")
ANSWER = 8 << 20  # more than the buffers of a connection hold


@pytest.fixture
def start(penstock: Callable[..., Penstock]) -> Callable[..., Penstock]:
    return lambda *options: penstock("bodies:app", *options, cwd=APPS)


def connect(server: Penstock, receive_buffer: int = 0) -> Client:
    return Client(("127.0.0.1", server.port), receive_buffer)


def drip(client: Client, piece: bytes = b"x") -> None:
    """Send PIECE every tenth of a second until the server has had enough."""
    client.socket.settimeout(0.1)
    end = time.monotonic() + 60
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while time.monotonic() < end:
            client.send(piece)
            with contextlib.suppress(TimeoutError):
                client.buffer += client.socket.recv(65536)
                return
    assert not "60 seconds"


# --- each in time --------------------------------------------------------------------------


def test_a_head_that_drips(start: Callable[..., Penstock]) -> None:
    server = start(*HASTY)
    with connect(server) as client:
        client.send("GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ")
        drip(client)
        assert client.response().status == 408
        assert client.is_closed()
    server.wait_for(r"\[INFO\] client 127\.0\.0\.1: its request's head was not complete within 1 s")


def test_a_client_that_says_nothing(start: Callable[..., Penstock]) -> None:
    with connect(start(*HASTY)) as client:
        assert client.is_closed()


def test_a_body_that_stops(start: Callable[..., Penstock]) -> None:
    server = start(*HASTY)
    with connect(server) as client:
        client.send("POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\nabc")
        assert client.response().status == 408
        assert client.is_closed()
    server.wait_for(r"client 127\.0\.0\.1: POST /digest: nothing more of its body came for 1 s")


@pytest.mark.parametrize(
    "framing, piece",
    [("Content-Length: 100000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")],
)
def test_a_body_that_drips(start: Callable[..., Penstock], framing: str, piece: bytes) -> None:
    server = start(*HASTY)
    with connect(server) as client:
        client.send(f"POST /digest HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n")
        drip(client, piece)
        assert client.response().status == 408
    server.wait_for(r"POST /digest: its body comes slower than 1000 bytes/s \(--min-rate\)")


def test_an_answer_that_nobody_reads(start: Callable[..., Penstock]) -> None:
    server = start(*HASTY)
    with connect(server, receive_buffer=4096) as client:
        client.get(f"/made?{ANSWER}")
        server.wait_for(r"GET /made: it took \d+ bytes of its answer in 1 s \(--send-timeout")
        assert not client.response().whole


def test_an_answer_that_is_read_byte_by_byte(start: Callable[..., Penstock]) -> None:
    server = start(*HASTY)
    with connect(server, receive_buffer=4096) as client:
        client.get(f"/made?{ANSWER}")
        line = r"GET /made: .* of its answer .*: its connection is closed"

        def read_one_byte() -> bool:
            client.socket.recv(1)
            return bool(re.search(line, server.log_so_far()))

        client.head()
        eventually(read_one_byte, "the end of the connection")
        assert len(client.rest()) < ANSWER


def test_who_is_slow_but_steady_is_served(start: Callable[..., Penstock]) -> None:
    server = start(*HASTY, "--min-rate", "10", "--client-body-timeout", "4", "--send-timeout", "4")
    body = b"x" * 3000
    with connect(server) as client:
        client.send(f"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n")
        for at in range(0, len(body), 60):
            client.send(body[at : at + 60])
            time.sleep(0.1)
        assert client.response().body.startswith(b"3000 ")
    with connect(server, receive_buffer=65536) as client:
        client.get(f"/made?{ANSWER}")
        client.head()
        read = len(client.buffer)
        while read < ANSWER:  # about 3 MiB a second
            read += len(client.socket.recv(65536))
            time.sleep(0.015)
    assert "client 127" not in server.log


def test_the_time_of_the_application_is_not_the_clients(
    penstock: Callable[..., Penstock], tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(
        "import time\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    for _ in range(3):\n"
        "        time.sleep(1.2)\n"
        "        yield b'piece\\n'\n"
    )
    server = penstock("late:app", *HASTY, cwd=tmp_path)
    assert server.get("/").body == b"piece\n" * 3


# --- many of them --------------------------------------------------------------------------


def test_two_thousand_slow_clients(start: Callable[..., Penstock]) -> None:
    server = start("--backlog", "4096")
    gateway = server.gateway_pid
    assert server.get().status == 200
    at_rest = process.descriptors(gateway)
    openings = [
        b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ",
        b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n",
        b"GET /made?300000 HTTP/1.1\r\nHost: test\r\n\r\n",
        b"",
    ]
    with process.many_descriptors(), contextlib.ExitStack() as stack:
        clients = []
        for n in range(2000):
            client = stack.enter_context(connect(server, receive_buffer=4096))
            client.send(openings[n % len(openings)])
            clients.append(client)
        for _ in range(5):
            for n, client in enumerate(clients):
                if n % len(openings) < 2:
                    client.send(b"x")
            for _ in range(10):
                assert server.get().body == b"hello\n"
        body = b"y" * 100000
        assert server.request("POST", "/digest", body).body.startswith(b"100000 ")
        assert process.descriptors(gateway) > 2000
        # What each holds at most: 64 KiB of output and as much of its spool, which is counted.
        assert process.rss_kib(gateway) < process.at_most_mib(160)
        assert not process.spins(gateway)
        assert "WARNING" not in server.log and "ERROR" not in server.log
    # Up to four sheets, in which bodies were lent, are kept for the next ones.
    at_rest += 4
    eventually(lambda: process.descriptors(gateway) <= at_rest, "their descriptors to be closed")
    assert server.get().status == 200


def test_half_closed_connections_cost_no_time(start: Callable[..., Penstock]) -> None:
    server = start()
    requests = [
        b"GET / HTTP/1.1\r\n",  # within a head: closed
        f"GET /made?{ANSWER} HTTP/1.1\r\nHost: test\r\n\r\n".encode(),  # not read
        b"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc",  # within a body
        b"",
    ]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(server, 65536)) for _ in requests]
        for client, request in zip(clients, requests):
            client.send(request)
            client.end_input()
        assert not process.spins(server.gateway_pid)
        for client, answered in zip(clients, [False, True, False, False]):
            assert bool(client.rest()) is answered
    assert server.get().status == 200


# --- without descriptors -------------------------------------------------------------------


def test_accepting_pauses_without_descriptors(start: Callable[..., Penstock]) -> None:
    server = start()
    gateway = server.gateway_pid
    assert server.get().status == 200
    few = process.descriptors(gateway) + 10
    with contextlib.ExitStack() as stack:
        with process.limited(gateway, resource.RLIMIT_NOFILE, few):
            clients = [stack.enter_context(connect(server)) for _ in range(40)]
            server.wait_for(r"\[WARNING\] no more connections are accepted while \d+ are open")
            assert process.descriptors(gateway) <= few
            assert not process.spins(gateway)
            for client in clients[:20]:  # who leaves makes room for who waits
                client.close()
            assert clients[25].ask("/").status == 200
        for client in clients[20:]:
            assert client.ask("/").status == 200
    assert len(server.log.split("no more connections")) == 2  # said once, not for each of them
