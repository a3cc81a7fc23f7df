"""Real FastAPI applications on asyncio and uvloop, and the one of examples/fastapi."""
from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import installed
import pytest
from penstock import Penstock

from websocket import Socket, check_room, closing
from worker import APPS, Server, serving, wait_for

JSON = {"Content-Type": "application/json"}


@pytest.fixture(
    scope="module",
    params=[("nginx", "uvloop"), ("penstock", "asyncio"), ("penstock", "uvloop")],
    ids="-".join,
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("fastapi")
    kind, loop = request.param
    with serving("fast:app", kind, directory, "--python", sys.executable, loop=loop) as server:
        yield server


def noted(server: Server) -> list[str]:
    path = server.directory / "notes"
    return path.read_text().splitlines() if path.exists() else []


def test_parameters(server: Server) -> None:
    _, body = server.request("/items/7?q=%C3%BC", headers={"X-Token": "t"})
    assert json.loads(body) == {"number": 7, "q": "\xfc", "token": "t"}
    assert server.get("/items/seven")[0] == 422


def test_json(server: Server) -> None:
    item = {"name": "n", "price": 1.5, "tags": ["a"] * 20_000}
    response, body = server.request("/items", "POST", json.dumps(item).encode(), JSON)
    assert (response.status, json.loads(body)) == (200, item)
    assert server.request("/items", "POST", b'{"name": 1}', JSON)[0].status == 422
    assert json.loads(server.get("/openapi.json")[1])["info"]["title"] == "FastAPI"


def test_form(server: Server) -> None:
    body = (
        b'--e\r\nContent-Disposition: form-data; name="name"\r\n\r\nn\r\n'
        b'--e\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        + b"x" * 3_000_000 + b"\r\n--e--\r\n"
    )  # fmt: skip
    response, answer = server.request(
        "/form", "POST", body, {"Content-Type": "multipart/form-data; boundary=e"}
    )
    assert json.loads(answer) == {"name": "n", "size": 3_000_000}


def test_dependencies(server: Server) -> None:
    before = noted(server)
    assert json.loads(server.get("/sync")[1]) == {"resource": "blocking"}
    expected = [*before, "opened in a thread", "closed in a thread"]
    wait_for(lambda: noted(server) == expected, "the end of a dependency in a thread")
    response, _ = server.request("/teapot")
    assert (response.status, response.getheader("X-Pot")) == (418, "resource")
    wait_for(lambda: noted(server) == [*expected, "opened", "closed"], "the dependency's end")


@pytest.mark.parametrize("path", ["/stream", "/slow"])
def test_dependencies_are_torn_down_after_a_disconnect(server: Server, path: str) -> None:
    """The client leaves: a stream ends, an endpoint runs on; nothing is cancelled."""
    before = len(noted(server))
    connection = server.connect()
    connection.request("GET", path)
    wait_for(lambda: noted(server)[before:] == ["opened"], "the request's start")
    connection.close()
    wait_for(lambda: noted(server)[before:] == ["opened", "closed"], "the dependency's end")


def test_background(server: Server) -> None:
    before = noted(server)
    assert server.get("/background") == (200, b'"answered"')
    expected = ["in a thread afterwards"]
    wait_for(lambda: noted(server)[len(before):] == expected, "the background task")


def test_sessions_and_files(server: Server) -> None:
    response, body = server.request("/session")
    assert body == b"1"
    cookie = response.getheader("Set-Cookie", "").partition(";")[0]
    assert server.request("/session", headers={"Cookie": cookie})[1] == b"2"
    assert server.get("/static/fast.py") == (200, (APPS / "fast.py").read_bytes())
    assert server.get("/static/absent")[0] == 404


def test_websocket_broadcast(server: Server) -> None:
    if "nginx" in type(server).__name__.lower():
        pytest.skip("fastcgi_pass has no WebSockets")
    connection = server.connect()
    check_room((connection.host, connection.port), "/room")


def test_websocket(server: Server) -> None:
    """Its dependencies live as long as it does."""
    if "nginx" in type(server).__name__.lower():
        assert server.get("/items/1")[0] == 200
        pytest.skip("fastcgi_pass has no WebSockets")
    before = len(noted(server))
    connection = server.connect()
    with Socket((connection.host, connection.port), "/socket/me") as socket:
        assert json.loads(socket.ask("hello")) == {"name": "me", "said": "hello"}
        assert noted(server)[before:] == ["opened"]
        socket.send(closing(3001))
        assert socket.closed()[0] == 3001
    expected = ["opened", "disconnected 3001", "closed"]
    wait_for(lambda: noted(server)[before:] == expected, "the dependency's end")


def test_a_deadline_cancels(penstock: Callable[..., Penstock], tmp_path: Path) -> None:
    """... and what depends on it is torn down; the worker serves on."""
    server = penstock(
        "fast:app", "-k", "async", "--request-timeout", "1", "--python", sys.executable,
        cwd=APPS, env={"SCRATCH": str(tmp_path)},
    )  # fmt: skip
    server.wait_ready()
    (pid,) = server.worker_pids
    assert server.get("/stuck").status == 504
    wait_for(
        lambda: (tmp_path / "notes").read_text().splitlines() == ["opened", "cancelled", "closed"],
        "the end of what was cancelled",
    )
    assert server.get("/items/1").status == 200
    assert list(server.worker_pids) == [pid]
    assert "Traceback" not in server.log
    assert server.stop() == 0


@pytest.mark.parametrize("options", [(), ("-k", "uvicorn.workers.UvicornWorker")])
def test_root_path(
    penstock: Callable[..., Penstock], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """--root-path, below which a proxy has the application; it is found to be ASGI by itself."""
    server = penstock(
        "fast:app", *options, "--root-path", "/api", "--python", sys.executable,
        cwd=APPS, env={"SCRATCH": str(tmp_path)},
    )  # fmt: skip
    server.wait_ready()
    for path in ("/api/items/1", "/items/1"):
        assert server.get(path).status == 200
    assert b"/api/openapi.json" in server.get("/docs").body
    assert server.stop() == 0


def test_example(penstock: Callable[..., Penstock]) -> None:
    directory = installed.SOURCE / "examples" / "fastapi"
    server = penstock("app:app", "--python", sys.executable, cwd=directory)
    server.wait_ready()

    def ask(method: str, path: str, value: object = None) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(method, path, json.dumps(value) if value else None, JSON)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    listener = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    listener.request("GET", "/events")
    events = listener.getresponse()
    assert events.readline() == b": connected\n"
    assert ask("POST", "/notes", {"text": "first", "author": "me"})[0] == 201
    assert [events.readline() for _ in range(3)] == [b"\n", b"id: 0\n", b"data: first\n"]
    events.close()
    listener.close()
    assert ask("GET", "/notes/0")[1]["text"] == "first"
    assert ask("GET", "/notes/1")[0] == 404
    assert ask("POST", "/notes", {"text": ""})[0] == 422
    assert len(ask("GET", "/notes")[1]) == 1
    wait_for(lambda: "new note 0 by me" in server.log, "the background task")
    assert server.stop() == 0
