"""--health-path: the gateway itself tells whether it is to be sent requests."""
from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import Gateway
from hold import SOURCE, Held
from penstock import Penstock, eventually, run
from raw import Client

Start = Callable[..., Penstock]
APP = SOURCE + '''
def app(environ, start_response):
    hold(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"application"]
'''


@pytest.fixture
def start(penstock: Start, tmp_path: Path) -> Start:
    (tmp_path / "shop.py").write_text(APP)
    return lambda *options: penstock(
        "shop:app", "--health-path", "/healthz", "--access-logfile", "-", *options, cwd=tmp_path
    )


def health(server: Penstock) -> tuple[int, bytes]:
    answer = server.get("/healthz")
    return answer.status, answer.body


def test_it_is_answered_by_the_gateway(start: Start, tmp_path: Path) -> None:
    server = start()
    held = Held(tmp_path)
    with Client(("127.0.0.1", server.port)) as busy:
        busy.get(held.path)
        held.wait_begun()
        for method in ("GET", "HEAD"):
            answer = server.request(method, "/healthz?from=kubernetes")
            assert (answer.status, answer.body) == (200, b"200 OK\n" if method == "GET" else b"")
        held.let_go()
        assert busy.response().body == b"application"
    assert server.request("POST", "/healthz").body == b"application"
    for other in ("/healthz/", "/Healthz", "/"):
        assert server.get(other).body == b"application"
    assert "GET /healthz?" not in server.access_log
    assert "POST /healthz" in server.access_log
    assert server.stop() == 0


def test_no_worker(start: Start) -> None:
    server = start()
    (worker,) = server.worker_pids
    server.signal(signal.SIGSTOP)  # so that no other is started
    try:
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: health(server) == (503, b"503 Service Unavailable: pool default has no worker now\n"),
                   "503")  # fmt: skip
    finally:
        server.signal(signal.SIGCONT)
    eventually(lambda: health(server) == (200, b"200 OK\n"), "another worker")


def test_before_the_end(start: Start) -> None:
    server = start("--drain-delay", "3600")
    assert health(server)[0] == 200
    server.signal(signal.SIGTERM)
    eventually(lambda: health(server) == (503, b"503 Service Unavailable: it ends soon\n"), "503")
    assert server.get("/").body == b"application"
    assert server.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("successor", ["on", "off"])
def test_a_reload(tmp_path: Path, successor: str) -> None:
    """A gateway that follows another has no worker until they have done what that one gave them:
    what it accepts will be served. But without one afterwards it will not."""

    def status(gateway: Gateway) -> int:
        with gateway.client() as client:
            return client.ask("/healthz").status

    with Gateway(tmp_path, health_path="/healthz", successor=successor) as gateway:
        assert status(gateway) == (200 if successor == "on" else 503)
        worker = gateway.worker("1.1", lambda exchange: exchange.answer())
        assert status(gateway) == 200
        gateway.down("1.1", worker)
        gateway.settle()
        assert status(gateway) == 503


def test_there_is_none_by_default(penstock: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    assert penstock("shop:app", cwd=tmp_path).get("/healthz").body == b"application"


@pytest.mark.parametrize("path", ["healthz", "/a b", "/%41", "/?x", ""])
def test_paths_that_are_none(path: str) -> None:
    ended = run("--health-path", path, "shop:app")
    assert ended.returncode == 2
    assert "--health-path wants a path that begins with a slash" in ended.stderr
