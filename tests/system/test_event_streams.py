"""Streams of events have no end of their own: they end when their worker, or the gateway, leaves.
The graceful timeout is so long that nobody here sees its end."""
from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock import Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"
LONG = ("--graceful-timeout", "3600")


class Site:
    def __init__(self, start: Callable[..., Penstock], directory: Path, *options: str) -> None:
        self.held, self._seen = directory / "held", directory / "seen"
        env = {"EVENTS_HELD": str(self.held), "EVENTS_SEEN": str(self._seen)}
        self.server = start("", *options, *LONG, "--python", sys.executable, cwd=APPS, env=env)

    def client(self) -> Client:
        return Client(("127.0.0.1", self.server.port))

    def told(self) -> int:
        return self._seen.read_text().count("disconnect") if self._seen.exists() else 0


@pytest.fixture
def start(penstock: Callable[..., Penstock], tmp_path: Path) -> Callable[..., Site]:
    return lambda *options: Site(penstock, tmp_path, *options)


ASYNC = ("events:app", "-k", "async")


def stream(stack: contextlib.ExitStack, site: Site, path: str = "/events") -> Client:
    """A client that has seen some events."""
    client = stack.enter_context(site.client())
    client.get(path)
    client.wait_for(b"data: 1\n")
    return client


def ends_well(client: Client) -> bool:
    answer = client.response()
    return answer.status == 200 and answer.whole and answer.body.startswith(b"data: 0\n\n")


@pytest.mark.parametrize(
    "options",
    [ASYNC, ("events:wsgi", "--threads", "8"), ("events:wsgi", "-w", "4")],
    ids=["async", "threaded", "sync"],
)
def test_the_end(start: Callable[..., Site], options: tuple[str, ...]) -> None:
    site = start(*options)
    with contextlib.ExitStack() as stack:
        clients = [stream(stack, site) for _ in range(4)]
        site.server.signal(signal.SIGTERM)
        assert all(ends_well(client) for client in clients)
        assert site.server.wait() == 0
    assert site.told() == 4
    assert "cut off" not in site.server.log and "was killed" not in site.server.log


@pytest.mark.parametrize("path", ["/events", "/events/utf-8"])
def test_a_reload(start: Callable[..., Site], path: str) -> None:
    """They end, so that old workers do; what has an end of its own goes on to it."""
    site = start(*ASYNC, "-w", "2")
    pids = set(site.server.worker_pids)
    site.held.touch()
    with contextlib.ExitStack() as stack:
        clients = [stream(stack, site, path) for _ in range(8)]
        other = stack.enter_context(site.client())
        other.get("/other")
        other.wait_for(b"first ")
        site.server.signal(signal.SIGHUP)
        assert all(ends_well(client) for client in clients)
        eventually(lambda: site.told() == 8, "that the application is told")
        again = stack.enter_context(site.client())
        again.get(path)
        again.wait_for(b"data: 1\n")
        site.held.unlink()
        assert other.response().body == b"first last"
        eventually(lambda: not pids & set(site.server.worker_pids), "that both were replaced")
        again.wait_for(b"data: 9\n")


def test_an_old_gateway(start: Callable[..., Site], tmp_path: Path) -> None:
    """A reload that replaces the gateway, and then the streams that began with new workers there."""
    settings = tmp_path / "penstock.yaml"
    text = "app: events:app\nworker_class: async\n"
    settings.write_text(text)
    site = start("-c", str(settings))
    gateway = site.server.gateway_pid
    with contextlib.ExitStack() as stack:
        clients = [stream(stack, site) for _ in range(4)]
        settings.write_text(text + "keep_alive: 7\n")
        site.server.signal(signal.SIGHUP)
        assert all(ends_well(client) for client in clients)
        site.server.wait_for(rf"the old gateway \(pid {gateway}\) has left")
        assert site.server.get("/").body == b"ok"
