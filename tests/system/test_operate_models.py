"""What the operator and the arbiter do to workers, where a worker has many requests at a time."""
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from hold import Held
from penstock import Penstock, eventually
from raw import Client
from test_ctl import ask, status

# Each request that is told to holds on until a file is there, and says by another that it began.
WSGI = """
import os, time
VERSION = b"{version}"
def application(environ, start_response):
    sign = environ["QUERY_STRING"]
    if sign:
        open(sign + ".begun", "w").close()
        while not os.path.exists(sign):
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), 9)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION]
"""
ASGI = """
import asyncio, os
VERSION = b"{version}"
async def application(scope, receive, send):
    assert scope["type"] == "http"
    sign = scope["query_string"].decode()
    if sign:
        open(sign + ".begun", "w").close()
        while not os.path.exists(sign):
            await asyncio.sleep(0.01)
    if scope["path"] == "/die":
        os.kill(os.getpid(), 9)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": VERSION}})
"""
TORNADO = """
import asyncio, os
from tornado import web
VERSION = "{version}"
class Handler(web.RequestHandler):
    async def get(self):
        sign = self.request.query
        if sign:
            open(sign + ".begun", "w").close()
            while not os.path.exists(sign):
                await asyncio.sleep(0.01)
        if self.request.path == "/die":
            os.kill(os.getpid(), 9)
        self.write(VERSION)
application = web.Application([(".*", Handler)])
"""
MODELS = {
    "threaded": (WSGI, ("--threads", "4")),
    "async": (ASGI, ()),
    "gevent": (WSGI, ("--python", sys.executable)),
    "eventlet": (WSGI, ("--python", sys.executable)),
    "tornado": (TORNADO, ("--python", sys.executable)),
}


class Shop:
    def __init__(self, directory: Path, model: str) -> None:
        self.directory = directory
        self.source, self.options = MODELS[model]
        self.server: Penstock

    def deploy(self, version: str) -> None:
        new = self.directory / "new"
        new.write_text(self.source.format(version=version))
        new.rename(self.directory / "shop.py")

    def version(self) -> str:
        got = self.server.get("/")
        assert got.status == 200
        return got.body.decode()


Start = Callable[..., Shop]


@pytest.fixture(params=MODELS)
def shop(request, penstock, tmp_path: Path) -> Start:
    """shop(*OPTIONS): version 1 in one worker of a model that has several requests at a time."""

    def start(*options: str) -> Shop:
        shop = Shop(tmp_path, request.param)
        shop.deploy("1")
        shop.server = penstock("shop", "-k", request.param, *shop.options, *options, cwd=tmp_path,
                               env={"PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
        return shop

    return start


def begin(shop: Shop, clients: ExitStack, count: int) -> list[tuple[Client, Held]]:
    """COUNT requests that a worker has begun."""
    begun = []
    for _ in range(count):
        client = clients.enter_context(Client(("127.0.0.1", shop.server.port)))
        held = Held(shop.directory)
        client.get(held.path)
        held.wait_begun()
        begun.append((client, held))
    return begun


def finish(begun: list[tuple[Client, Held]], version: str = "1") -> None:
    for client, held in begun:
        held.let_go()
        response = client.response()
        assert (response.status, response.body) == (200, version.encode())


def test_a_reload_lets_all_finish(shop: Start) -> None:
    site = shop()
    with ExitStack() as clients:
        begun = begin(site, clients, 3)
        (old,) = site.server.worker_pids
        site.deploy("2")
        site.server.signal(signal.SIGHUP)
        site.server.wait_for("reload done: 1 worker replaced")
        assert site.version() == "2"
        assert old in site.server.worker_pids
        finish(begun)
    eventually(lambda: old not in site.server.worker_pids, "the old worker to leave")
    assert site.server.stop() == 0


def test_a_busy_worker_serves_the_next_gateway(shop: Start) -> None:
    """Unlike a sync one it answers who connects, whatever it does for another."""
    site = shop()
    with ExitStack() as clients:
        (client, held), *_ = begin(site, clients, 1)
        (worker,) = site.server.worker_pids
        os.kill(site.server.gateway_pid, signal.SIGKILL)
        site.server.wait_for(r"gateway \(pid \d+\) was killed by signal 9")
        assert site.version() == "1"
        assert site.server.worker_pids == [worker]
        held.let_go()
        with pytest.raises((OSError, AssertionError)):
            client.response()
    assert site.server.stop() == 0


def test_more_and_fewer_workers(shop: Start) -> None:
    site = shop()
    with ExitStack() as clients:
        (first,) = site.server.worker_pids
        site.server.signal(signal.SIGTTIN)
        site.server.wait_for(r"worker \S+ ready", count=2)
        begun = begin(site, clients, 4)
        site.server.signal(signal.SIGTTOU)
        site.server.wait_for("is taken away")
        assert site.version() == "1"
        finish(begun)
        site.server.wait_for(r"has left: it exited with status 0")
        assert site.server.worker_pids == [first]
    assert site.server.stop() == 0


def test_a_worn_worker_finishes_what_it_has(shop: Start) -> None:
    site = shop("--max-requests", "5")
    with ExitStack() as clients:
        begun = begin(site, clients, 2)
        (old,) = site.server.worker_pids
        for _ in range(6):
            assert site.version() == "1"
        eventually(lambda: set(site.server.worker_pids) - {old}, "a replacement")
        finish(begun)
    eventually(lambda: old not in site.server.worker_pids, "the worn worker to leave")
    assert site.server.stop() == 0
    assert "ERROR" not in site.server.log


def test_the_end_lets_all_finish(shop: Start) -> None:
    site = shop()
    with ExitStack() as clients:
        begun = begin(site, clients, 3)
        site.server.signal(signal.SIGTERM)
        site.server.wait_for("requests are finished within 30 s")
        finish(begun)
    assert site.server.wait() == 0


def test_a_crash_costs_what_had_begun(shop: Start) -> None:
    site = shop()
    with ExitStack() as clients:
        begun = begin(site, clients, 2)
        assert site.server.get("/die").status == 502
        for client, _ in begun:
            assert client.response().status == 502
        assert site.version() == "1"
    assert site.server.stop() == 0


def test_what_is_late_costs_only_itself(shop: Start) -> None:
    """One request passes its deadline and is 504; its worker leaves only if it cannot stop it."""
    site = shop("--timeout", "1")
    with ExitStack() as clients:
        (client, held), *_ = begin(site, clients, 1)
        assert client.response().status == 504
        assert site.version() == "1"
        held.let_go()
    assert site.server.stop() == 0


def test_killed_by_hand(shop: Start) -> None:
    site = shop()
    (worker,) = status(site.server)["workers"]
    with ExitStack() as clients:
        ((client, _),) = begin(site, clients, 1)
        assert ask(site.server, "kill", worker["id"]).returncode == 0
        assert client.response().status == 502
    site.server.wait_for("dumps its stacks and is killed")
    assert site.version() == "1"
    assert site.server.stop() == 0
