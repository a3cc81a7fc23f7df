"""How clients are let go: the installed gateway with the test as its arbiter and its workers, and a
whole penstock. See test_gateway.py for what is in progress at a DRAIN."""
from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from figures import Show
from gateway import Gateway
from penstock import eventually
from raw import Client

APPS = Path(__file__).parent / "apps"


@pytest.fixture
def gateway(tmp_path: Path):
    with Gateway(tmp_path) as gateway:
        yield gateway


def test_before_a_drain_clients_are_told(gateway: Gateway) -> None:
    gateway.worker("1.1", lambda exchange: exchange.answer())
    with gateway.client() as kept, gateway.client() as silent:
        assert kept.ask("/").field("Connection") is None
        gateway.tell("CLOSING")
        gateway.settle()
        for _ in range(3):
            with gateway.client() as new:
                response = new.ask("/")
                assert (response.status, response.field("Connection")) == (200, "close")
                assert new.is_closed()
        response = kept.ask("/")
        assert (response.status, response.field("Connection")) == (200, "close")
        assert kept.is_closed()
        # A worker may still come and go, and it may be said twice.
        gateway.tell("CLOSING")
        gateway.worker("2.2", lambda exchange: exchange.answer())
        silent.get("/")
        assert silent.response().field("Connection") == "close"
    assert gateway.drain() == 0


def test_who_has_connected_is_served(gateway: Gateway) -> None:
    """Connections that the kernel has, and the gateway has not heard of."""
    gateway.worker("1.1", lambda exchange: exchange.answer())
    gateway.process.send_signal(signal.SIGSTOP)
    clients = [gateway.client() for _ in range(100)]
    for client in clients[:50]:
        client.get("/")
    gateway.tell("DRAIN")
    gateway.listener.close()
    gateway.process.send_signal(signal.SIGCONT)
    for client in clients[50:]:
        client.get("/")
    for client in clients:
        response = client.response()
        assert (response.status, response.field("Connection")) == (200, "close")
        client.close()
    assert gateway.process.wait(30) == 0


# --- a whole penstock ----------------------------------------------------------------------


class Storm:
    """Clients that connect for every request, until nobody listens. How each ended is counted: what was
    answered, who was refused before anything was sent, and what was lost."""

    def __init__(self, address: tuple[str, int] | str, clients: int = 16) -> None:
        self.answered: Counter[tuple[int, str | None]] = Counter()
        self.refused = 0
        self.lost: list[str] = []
        self._address = address
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Storm:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def figures(self) -> str:
        total = self.answered.total()
        return f"sent {total + len(self.lost)}, answered {total}, failed {len(self.lost)}"

    def _run(self) -> None:
        while True:
            try:
                client = Client(self._address)
            except (ConnectionRefusedError, FileNotFoundError):
                with self._lock:
                    self.refused += 1
                return
            with client:
                self._ask(client)

    def _ask(self, client: Client) -> None:
        try:
            client.get("/")
            response = client.response()
        except (OSError, AssertionError) as error:
            with self._lock:
                self.lost.append(repr(error))
            return
        with self._lock:
            self.answered[response.status, response.field("Connection")] += 1


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_nobody_who_connects_is_reset(
    penstock, tmp_path: Path, show: Show, kind: str
) -> None:
    bind = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path / 'http.sock'}"
    server = penstock("gateway_app:app", "-w", "2", "-b", bind, bind=None, cwd=APPS).wait_ready()
    with Storm(("127.0.0.1", server.port) if kind == "tcp" else bind[5:]) as storm:
        time.sleep(0.5)
        begun = time.monotonic()
        assert server.stop() == 0
        took = time.monotonic() - begun
    show(f"TERM, new connections to a {kind} socket: {storm.figures}; ended within {took:.1f} s")
    assert not storm.lost
    assert {status for status, _ in storm.answered} == {200} and storm.answered.total() > 20


def test_the_drain_delay(penstock, show: Show) -> None:
    server = penstock("gateway_app:app", "-w", "2", "--drain-delay", "2", cwd=APPS).wait_ready()
    with Storm(("127.0.0.1", server.port)) as storm, Client(("127.0.0.1", server.port)) as kept:
        assert kept.ask("/").field("Connection") is None
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        server.wait_for("SIGTERM from pid .*: clients are accepted for 2 s more, then requests are")
        eventually(lambda: storm.answered[200, "close"] > 0, "an answer that says close")
        response = kept.ask("/")
        assert (response.status, response.field("Connection")) == (200, "close")
        assert server.wait() == 0
        took = time.monotonic() - begun
    assert took >= 2
    told = storm.answered[200, "close"]
    show(f"TERM, drain delay 2 s: {storm.figures}, {told} of them were told to close")
    assert not storm.lost
    assert {status for status, _ in storm.answered} == {200} and told > 20
