"""Large request bodies: the gateway shows them to its workers as files rather than sends them."""
from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import fcgi
from adapter import Adapter
from penstock import Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"
KIB = 1024
SIZES = (16 * KIB - 1, 16 * KIB, 64 * KIB, 1024 * KIB - 1, 1024 * KIB, 1024 * KIB + 1, 3000 * KIB)
KINDS = {
    "sync": ("lent:app", "-k", "sync"),
    "threaded": ("lent:app", "-k", "threaded", "--threads", "3"),
    "async": ("lent:asgi", "-k", "async"),
}


def made(size: int) -> bytes:
    """Bytes with ends of lines among them."""
    return random.Random(size).randbytes(size)


def says(body: bytes) -> bytes:
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(penstock: Callable[..., Penstock], kind: str) -> Penstock:
    app, *options = KINDS[kind]
    return penstock(app, *options, cwd=APPS)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def settle(server: Penstock, before: tuple[int, int]) -> None:
    """Neither side holds more descriptors than BEFORE, but for some sheets that are kept."""

    def settled() -> bool:
        workers = server.worker_pids
        return descriptors(server.gateway_pid) <= before[0] + 5 and all(
            descriptors(worker) <= before[1] for worker in workers
        )

    eventually(settled, "descriptors to be given back")


def held(server: Penstock) -> tuple[int, int]:
    (worker,) = server.worker_pids
    return descriptors(server.gateway_pid), descriptors(worker)


def test_bodies_of_every_size(server: Penstock) -> None:
    server.request("POST", "/whole", body=made(SIZES[-1]))
    before = held(server)
    for size in SIZES:
        body = made(size)
        for _ in range(3):
            assert server.request("POST", "/whole", body=body).body == says(body)
    settle(server, before)


def test_bodies_of_many_clients(server: Penstock) -> None:
    """Each gets its own, whatever memory served another one before."""
    server.request("POST", "/whole", body=made(100000))
    before = held(server)
    wrong = []

    def ask(number: int) -> None:
        for turn in range(10):
            body = made(20000 + 7000 * number + turn)
            if server.request("POST", "/whole", body=body).body != says(body):
                wrong.append((number, turn))

    threads = [threading.Thread(target=ask, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    settle(server, before)


def test_a_body_that_is_not_read(server: Penstock) -> None:
    server.request("POST", "/nothing", body=made(100000))
    before = held(server)
    for size in SIZES:
        for _ in range(3):
            assert server.request("POST", "/nothing", body=made(size)).body == b"nothing"
    settle(server, before)


def test_chunked(server: Penstock) -> None:
    body = made(3000 * KIB)
    pieces = (body[at : at + 100000] for at in range(0, len(body), 100000))
    with contextlib.closing(server.connect()) as connection:
        chunked = {"Transfer-Encoding": "chunked"}
        connection.request("POST", "/whole", pieces, chunked, encode_chunked=True)
        assert connection.getresponse().read() == says(body)


@pytest.mark.parametrize("kind", ["sync", "threaded"], indirect=True)
@pytest.mark.parametrize("size", [64 * KIB, 1024 * KIB + 70000])
def test_every_way_to_read(server: Penstock, size: int) -> None:
    body = made(size)
    digest = hashlib.sha256(body).hexdigest()
    count = body.count(b"\n") + (not body.endswith(b"\n"))
    assert server.request("POST", "/lines", body=body).body == f"{count} {digest}".encode()
    assert server.request("POST", "/mixed", body=body).body == digest.encode()
    assert server.request("POST", "/some", body=body).body == b"1000"


@pytest.mark.parametrize("kind", ["sync", "threaded"], indirect=True)
@pytest.mark.parametrize("size", [64 * KIB, 3000 * KIB])
def test_run_again_by_another_worker(
    penstock: Callable[..., Penstock], kind: str, size: int, tmp_path: Path
) -> None:
    app, *options = KINDS[kind]
    server = penstock(app, *options, "--retry", "idempotent", "-w", "2", cwd=APPS)
    body = made(size)
    answer = server.request("PUT", f"/die-once?{tmp_path / 'mark'}", body=body)
    assert answer.body == says(body)
    server.wait_for("it is run again by the next free worker")
    assert server.request("POST", "/whole", body=body).body == says(body)


@pytest.mark.parametrize("kind", ["sync", "threaded"], indirect=True)
def test_clients_that_leave(server: Penstock, tmp_path: Path) -> None:
    """In the middle of the body, while it waits for a worker, and while a worker has it."""
    server.request("POST", "/whole", body=made(100000))
    before = held(server)
    go = tmp_path / "go"
    for turn in range(3):
        clients = []
        for _ in range(6):
            client = Client(("127.0.0.1", server.port))
            client.send(f"POST /hold?{go} HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n")
            client.send(bytes(200000 if turn else 100000))
            clients.append(client)
        eventually(lambda: descriptors(server.gateway_pid) > before[0], "the clients to be there")
        for client in clients:
            client.reset()
        go.touch()
        body = made(100000 + turn)
        assert server.request("POST", "/whole", body=body).body == says(body)
        go.unlink()
    settle(server, before)


def test_few_descriptors(penstock: Callable[..., Penstock], kind: str) -> None:
    """Without them bodies are sent."""
    app, *options = KINDS[kind]
    few = (128, 128)
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few)  # noqa: E731
    server = penstock(app, *options, cwd=APPS, preexec_fn=limit)
    clients = []
    body = made(200000)
    for _ in range(30):
        client = Client(("127.0.0.1", server.port))
        client.send(f"POST /whole HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n")
        client.send(body[:-1])
        clients.append(client)
    for client in clients:
        client.send(body[-1:])
        assert client.response().body == says(body)
        client.close()


# ---- what an adapter bears


def file_record(offset: int, length: int, stream: int = fcgi.STDIN, kind: int = 1) -> bytes:
    return fcgi.record(fcgi.FILE, 1, struct.pack(">BB6xQQ", stream, kind, offset, length))


def gateway(adapter: Adapter) -> fcgi.Connection:
    connection = fcgi.Connection(adapter.path)
    connection.values(b"PENSTOCK_VERSION", b"PENSTOCK_FILES")
    return connection


def at_rest(adapter: Adapter) -> int:
    """Its descriptors without a client."""
    with gateway(adapter) as connection:
        during = descriptors(adapter.process.pid)
        assert connection.ask("/echo", body=b"hello", extended=True).body == b"hello"
    return during - 1


def send_with(connection: fcgi.Connection, data: bytes, *fds: int) -> None:
    assert socket.send_fds(connection.socket, [data], list(fds)) == len(data)


def test_files_among_bytes(adapter: Adapter, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"0123456789" * 1000)
    two.write_bytes(b"abcdef")
    before = at_rest(adapter)
    for _ in range(3):
        with gateway(adapter) as connection:
            connection.send(fcgi.head("/echo", extended=True) + fcgi.record(fcgi.STDIN, 1, b"<"))
            with open(one, "rb") as first, open(two, "rb") as second:
                send_with(connection, file_record(5, 9000), first.fileno())
                connection.send(fcgi.record(fcgi.STDIN, 1, b"|"))
                send_with(connection, file_record(0, 6), second.fileno())
            connection.send(fcgi.record(fcgi.STDIN, 1, b">") + fcgi.record(fcgi.STDIN, 1))
            body = connection.response().body
            assert body == b"<" + (b"0123456789" * 1000)[5:9005] + b"|abcdef>"
    eventually(lambda: descriptors(adapter.process.pid) <= before, "descriptors to be closed")


@pytest.mark.parametrize("what", ["fifo", "directory", "short"])
def test_files_that_are_none(adapter: Adapter, tmp_path: Path, what: str) -> None:
    """The request fails, others go on."""
    path = tmp_path / "it"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    else:
        path.write_bytes(bytes(100000))
    before = at_rest(adapter)
    with gateway(adapter) as connection:
        fd = os.open(path, os.O_RDWR if what == "fifo" else os.O_RDONLY)
        connection.send(fcgi.head("/echo", extended=True))
        send_with(connection, file_record(1, 100000 if what == "short" else 99999), fd)
        os.close(fd)
        connection.send(fcgi.record(fcgi.STDIN, 1))
        assert connection.response().app_status == 1
        assert connection.ask("/echo", body=b"hello", extended=True).body == b"hello"
    eventually(lambda: descriptors(adapter.process.pid) <= before, "descriptors to be closed")


@pytest.mark.parametrize(
    "wrong", ["no descriptor", "two at once", "another stream", "another kind", "no length"]
)
def test_records_that_are_wrong(adapter: Adapter, tmp_path: Path, wrong: str) -> None:
    """The connection ends, the adapter does not."""
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    before = at_rest(adapter)
    with gateway(adapter) as connection, open(path, "rb") as file:
        connection.send(fcgi.head("/echo", extended=True))
        record = {
            "another stream": file_record(0, 1000, stream=fcgi.STDOUT),
            "another kind": file_record(0, 1000, kind=2),
            "no length": file_record(0, 0),
        }.get(wrong, file_record(0, 1000))
        fds = {"no descriptor": 0, "two at once": 2}.get(wrong, 1)
        if fds:
            send_with(connection, record, *[file.fileno()] * fds)
        else:
            connection.send(record)
        assert connection.response().app_status is None
    with gateway(adapter) as connection:
        assert connection.ask("/echo", body=b"hello", extended=True).body == b"hello"
    eventually(lambda: descriptors(adapter.process.pid) <= before, "descriptors to be closed")
