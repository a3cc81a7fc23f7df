"""Workers that serve many requests at once over one connection: the installed gateway with the test
as its arbiter and its workers."""
from __future__ import annotations

import contextlib
from pathlib import Path

from gateway import Exchange, Gateway
from multiplexing import Multiplexing
from penstock import eventually
from raw import Client


def ask(stack: contextlib.ExitStack, gateway: Gateway, path: str) -> Client:
    client = stack.enter_context(gateway.client())
    client.get(path)
    return client


def test_a_worker_has_as_many_as_it_says(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        gateway.worker("1.1", running.append, Multiplexing)
        clients = {f"/{n}": ask(stack, gateway, f"/{n}") for n in range(5)}
        eventually(lambda: len(running) == 4, "four of five")
        gateway.settle()
        assert len(running) == 4
        assert sorted(exchange.id for exchange in running) == [1, 2, 3, 4]
        running[2].answer()
        assert clients[running[2].path].response().status == 200
        eventually(lambda: len(running) == 5, "the fifth")
        assert running[4].id == running[2].id
        for n in (4, 0, 3, 1):
            running[n].answer()
            assert clients[running[n].path].response().status == 200


def test_who_does_not_multiplex_has_one_whatever_it_says(tmp_path: Path) -> None:
    class OneByOne(Multiplexing):
        extra = {b"FCGI_MPXS_CONNS": b"0"}

    running: list[Exchange] = []
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        gateway.worker("1.1", running.append, OneByOne)
        clients = [ask(stack, gateway, "/") for _ in range(2)]
        for n in range(2):
            eventually(lambda: len(running) == n + 1, "a request")
            gateway.settle()
            assert len(running) == n + 1
            running[n].answer()
        for client in clients:
            assert client.response().status == 200


def test_the_least_loaded_is_next(tmp_path: Path) -> None:
    has: dict[str, list[Exchange]] = {"1.1": [], "2.2": [], "3.3": []}
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        for name, running in has.items():
            gateway.worker(name, running.append, Multiplexing)
        for n in range(9):
            ask(stack, gateway, f"/{n}")
            eventually(lambda: sum(map(len, has.values())) == n + 1, "a request")
        assert [len(running) for running in has.values()] == [3, 3, 3]
        for exchange in has["2.2"]:
            exchange.answer()
        gateway.settle()
        for n in range(3):
            ask(stack, gateway, f"/again/{n}")
        eventually(lambda: len(has["2.2"]) == 6, "three more at the worker that has none")
        for running in has.values():
            for exchange in running:
                with contextlib.suppress(OSError):
                    exchange.answer()
