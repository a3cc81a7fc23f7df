"""WSGI on the hubs of gevent and eventlet: a greenlet for each request, and nothing that blocks."""
from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import installed
from figures import Show
from penstock import PATIENCE, Penstock, environment, eventually
from process import many_descriptors
from raw import Client
from worker import APPS, Gateway

# A request of which so much has come that the gateway does not wait for the rest.
BEGUN = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(600_000)
REST = bytes(400_000)

KINDS = ["gevent", "eventlet"]


@pytest.fixture(scope="module", params=KINDS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp(request.param)
    gateway = Gateway(directory, "greenlet_app", "-k", request.param, "--python", sys.executable)
    try:
        yield gateway
        assert gateway.penstock.stop() == 0, gateway.errors()
        assert "Warning" not in gateway.errors()
        assert "Traceback" not in gateway.errors().replace("SystemExit", "").partition("raises")[0]
    finally:
        gateway.penstock.clean_up()


def client(site: Gateway) -> Client:
    return Client(("127.0.0.1", site.penstock.port))


def seen(site: Gateway, *expected: str) -> None:
    """Wait until the application has told all of EXPECTED."""

    def complete() -> bool:
        told = json.loads(site.get("/seen")[1])
        return all(told.count(text) >= expected.count(text) for text in expected)

    eventually(complete, f"{expected}")


def test_facts(site: Gateway, request: pytest.FixtureRequest) -> None:
    facts = json.loads(site.get("/facts?x=1")[1])
    assert facts["wsgi.multithread"] is True
    assert facts["wsgi.multiprocess"] is False
    assert facts["QUERY_STRING"] == "x=1"
    assert facts["patched"].split(".")[0] in request.node.name


def test_all_wait_at_once(site: Gateway) -> None:
    """A thousand requests wait on sockets in one worker; the peer answers when all are there."""
    count = 1000
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=count) as peer:
        stack.enter_context(many_descriptors())
        peer.settimeout(PATIENCE)
        clients = [stack.enter_context(client(site)) for _ in range(count)]
        for each in clients:
            each.get(f"/wait_on_a_socket?{peer.getsockname()[1]}")
        waiting = [stack.enter_context(peer.accept()[0]) for _ in range(count)]
        for connection in waiting:
            connection.sendall(b"at last")
        for each in clients:
            assert each.response().body == b"at last"


def test_a_thousand_waits_take_as_long_as_one(site: Gateway, show: Show) -> None:
    """100 ms each, on sockets, in one worker: one after the other they would take 100 s."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(b"at last")
        writer.close()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> bytes:
        writer.write(b"GET /wait_on_a_socket?%d HTTP/1.0\r\nHost: a\r\n\r\n" % port)
        answered = await reader.read()
        writer.close()
        return answered

    async def run() -> float:
        peer = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
        port = peer.sockets[0].getsockname()[1]
        address = ("127.0.0.1", site.penstock.port)
        streams = [await asyncio.open_connection(*address) for _ in range(1000)]
        begun = time.monotonic()
        answers = await asyncio.gather(*(ask(*stream, port) for stream in streams))
        took = time.monotonic() - begun
        assert all(answer.endswith(b"at last") for answer in answers)
        peer.close()
        return took

    with many_descriptors():
        took = asyncio.run(run())
    show(f"1,000 requests that wait 100 ms each: {took * 1000:.0f} ms")
    assert took < 25


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_bodies(site: Gateway, size: int) -> None:
    assert site.get(f"/pour?{size}") == (200, bytes(size))
    for path in ("/swallow", "/other_greenlet"):
        assert site.request(path, "POST", bytes(size))[1] == b"%d" % size
    assert site.request("/lines", "POST", b"1234567\n" * (size // 8))[1] == b"%d" % (size // 8)


def test_a_body_that_comes_slowly_holds_up_nobody(site: Gateway) -> None:
    with client(site) as slow:
        slow.send(BEGUN % b"/swallow?slow")
        seen(site, "swallowing slow")
        assert site.get("/pour?1") == (200, b"\0")
        slow.send(REST)
        assert slow.response().body == b"1000000"


def test_a_client_that_does_not_read_holds_up_nobody(site: Gateway) -> None:
    size = 30_000_000
    with client(site) as slow:
        slow.get(f"/pour?{size}")
        assert site.get("/pour?1") == (200, b"\0")
        assert len(slow.response().body) == size


@pytest.mark.parametrize(
    "path, told", [("/endless", "endless: closed"), ("/write_to_nobody", "BrokenPipeError")]
)
def test_a_client_leaves(site: Gateway, path: str, told: str) -> None:
    with client(site) as leaving:
        leaving.get(path)
        leaving.head()
    seen(site, told)


def test_files(site: Gateway) -> None:
    assert site.get("/a_file") == (200, b"0123456789" * 100_000)


def test_other_threads(site: Gateway) -> None:
    assert b"belongs to another thread" in site.get("/other_thread")[1]
    site.wait_logged("from another thread")


def test_a_reader_outlives_its_request(site: Gateway) -> None:
    with client(site) as slow:
        slow.send(BEGUN % b"/kept")
        seen(site, "the request was over while something was waited for")
        slow.send(REST)
        assert slow.response().body == b"answered"


def test_exceptions(site: Gateway) -> None:
    assert site.get("/raises")[0] == 500
    site.wait_logged("the application raised SystemExit: 3")
    assert site.get("/pid")[0] == 200


@pytest.mark.parametrize("kind", KINDS)
def test_a_deadline(kind: str, penstock: Callable[..., Penstock], tmp_path: Path) -> None:
    """It is raised where the request waits, `except Exception` does not catch it, and the worker
    goes on."""
    server = penstock(
        "greenlet_app", "-k", kind, "--timeout", "1", "--python", sys.executable, cwd=APPS,
        env={"SCRATCH": str(tmp_path)},
    )  # fmt: skip
    pid = server.get("/pid").body
    assert server.get("/sleep_long").status == 504
    told = eventually(lambda: json.loads(server.get("/seen").body)[1:], "what it was told")
    assert told == ["Deadline", "cleaned up"]
    server.wait_for("raised penstock.Deadline: it was late, and was ended by that$")
    assert server.get("/pid").body == pid
    assert server.stop() == 0


# --- What cannot be served ---


def refused(directory: Path, *words: str) -> str:
    """What is logged by a penstock that ends by itself."""
    ended = subprocess.run(
        [installed.PENSTOCK, "-b", "127.0.0.1:0", *words], cwd=directory, env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stdout
    return ended.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_missing(kind: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    (tmp_path / "shop.py").write_text("def application(environ, start_response): pass\n")
    log = refused(tmp_path, "-k", kind, "--python", str(bare / "bin/python"), "shop")
    assert (
        f"-k {kind} needs the package {kind} in the application's environment "
        f"({bare}/bin/python: No module named '{kind}'): pip install {kind}" in log
    )
    assert "Traceback" not in log


@pytest.mark.parametrize("kind", KINDS)
def test_an_application_of_another_kind(kind: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("async def application(scope, receive, send): pass\n")
    log = refused(tmp_path, "-k", kind, "--python", sys.executable, "shop")
    assert (
        f"it is an ASGI application, and {kind} workers serve WSGI: type 'penstock -k async" in log
    )
