"""Applications of Tornado under -k tornado: handlers, bodies, WebSockets, and how they end."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Penstock, eventually
from raw import Client
from websocket import BINARY, CLOSE, FIN, TEXT, Socket, closing, frame

APPS = Path(__file__).parent / "apps"
ENVIRONMENT = ("--python", sys.executable)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    server = Penstock(
        tmp_path_factory.mktemp("tornado"), "tornado_app:app", "-k", "tornado", *ENVIRONMENT,
        "--forwarded-allow-ips", "127.0.0.1", cwd=APPS,
    )  # fmt: skip
    server.wait_ready()
    try:
        yield server
        assert server.stop() == 0, server.log
        assert "never retrieved" not in server.log
    finally:
        server.clean_up()


@pytest.fixture
def client(server: Penstock) -> Iterator[Client]:
    server.request("DELETE", "/told")
    with Client(("127.0.0.1", server.port)) as client:
        yield client


def told(server: Penstock, count: int) -> list[Any]:
    """What handlers have told, once that is COUNT items."""

    def found() -> list[Any] | None:
        items = json.loads(server.get("/told").body)
        return items if len(items) >= count else None

    return eventually(found, f"{count} items")


# ---- requests


def test_hello(server: Penstock) -> None:
    got = server.get("/hello")
    assert (got.status, got.body) == (200, b"hello")
    assert got.headers["Server"].startswith("TornadoServer/")
    assert "Using worker: tornado" in server.log
    assert server.get("/hello", {"If-None-Match": got.headers["Etag"]}).status == 304
    head = server.request("HEAD", "/hello")
    assert (head.status, head.body) == (405, b"")
    assert server.get("/nowhere").status == 404
    assert server.get("/sleep").body == b"slept"


def test_what_handlers_see(server: Penstock, client: Client) -> None:
    client.get("/facts?a=%20&a=b&c=", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https",
               "X-Many: 1", "X-Many: 2")  # fmt: skip
    facts = json.loads(client.response().body)
    headers = facts.pop("headers")
    assert headers.count(["X-Many", "1"]) == headers.count(["X-Many", "2"]) == 1
    del facts["pid"], facts["tornado"]
    assert facts == {
        "method": "GET",
        "uri": "/facts?a=%20&a=b&c=",
        "path": "/facts",
        "version": "HTTP/1.1",
        "remote_ip": "192.0.2.7",
        "protocol": "https",
        "host": "test",
        "full_url": "https://test/facts?a=%20&a=b&c=",
        "arguments": {"a": ["", "b"], "c": [""]},
    }
