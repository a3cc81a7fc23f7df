"""Applications that fork: the child never answers, and the worker goes on."""
from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from penstock import Penstock

APPS = Path(__file__).parent / "apps"
KINDS = {
    "sync": ("forks:app",),
    "threaded": ("forks:app", "--threads", "3"),
    "asyncio": ("forks:asgi", "-k", "async", "--loop", "asyncio"),
    "uvloop": ("forks:asgi", "-k", "async", "--loop", "uvloop"),
}


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Penstock]:
    server = Penstock(
        tmp_path_factory.mktemp("forks"), *KINDS[request.param], "--python", sys.executable,
        cwd=APPS,
    )  # fmt: skip
    server.wait_ready()
    try:
        yield server
        assert server.stop() == 0, server.log
        assert "raised SystemExit" not in server.log
    finally:
        server.clean_up()


def get(server: Penstock, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, b"a body")
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    assert response.status == 200
    return body


@pytest.mark.parametrize(
    ("what", "status"),
    [("exit", 3), ("raise", 1), ("return", 1), ("write", 1), ("yield", 1), ("read", 1),
     ("terminate", -15)],
)  # fmt: skip
def test_child(server: Penstock, what: str, status: int) -> None:
    """It ends as a process of multiprocessing would, whatever it tries with the request."""
    pid = get(server, "/pid")
    for _ in range(3):
        assert get(server, f"/{what}") == str(status)
    assert get(server, "/pid") == pid
