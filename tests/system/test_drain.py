"""How clients are let go: the installed gateway with the test as its arbiter and its workers, and a
whole penstock. See test_gateway.py for what is in progress at a DRAIN."""
from __future__ import annotations

import signal
from pathlib import Path

import pytest

from gateway import Gateway


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
