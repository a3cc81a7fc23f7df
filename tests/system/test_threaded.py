"""What only the threaded adapter does: many requests on one connection, and all threads at once. A C
plugin and a client that sends records; then Python in a whole penstock."""
from __future__ import annotations

import json
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import fcgi
import installed
from adapter import Adapter
from penstock import eventually
from raw import Client

THREADS = 4


@pytest.fixture
def adapter(probe: str, tmp_path: Path) -> Iterator[Adapter]:
    with Adapter(
        tmp_path, "--threads", str(THREADS), probe, program=installed.THREADED
    ) as adapter:
        yield adapter
        if adapter.process.poll() is None:
            assert adapter.terminate() == 0, adapter.log
            assert "probe: all threads have stopped" in adapter.log


class Mux(fcgi.Connection):
    """A connection with several requests: what came for each, by its id."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.bodies: dict[int, bytes] = {}
        self.statuses: dict[int, int] = {}
        self.order: list[int] = []

    def begin(self, request_id: int, path: str, query: str = "", body: bytes | None = b"") -> None:
        """BODY None: it comes later."""
        data = fcgi.head(path, query=query, request_id=request_id)
        if body is not None:
            data += fcgi.stream(fcgi.STDIN, request_id, body)
        self.send(data)

    def await_end(self, *request_ids: int) -> None:
        while not all(request_id in self.statuses for request_id in request_ids):
            kind, request_id, content = self.record()
            if kind == fcgi.STDOUT:
                self.bodies[request_id] = self.bodies.get(request_id, b"") + content
            elif kind == fcgi.END_REQUEST:
                self.statuses[request_id] = struct.unpack(">IB3x", content)[0]
                self.order.append(request_id)

    def body(self, request_id: int) -> bytes:
        return self.bodies[request_id].partition(b"\r\n\r\n")[2]


@pytest.fixture
def mux(adapter: Adapter) -> Iterator[Mux]:
    with Mux(adapter.path) as connection:
        yield connection


def await_inside(adapter: Adapter, path: str, count: int) -> None:
    said = {"/sleep": "probe: sleeping", "/swallow": "probe: swallowing"}[path]
    eventually(lambda: adapter.log.count(said) == count, f"{count} requests in {path}")


def test_requests_of_one_connection_run_at_once(adapter: Adapter, mux: Mux) -> None:
    for request_id in range(1, THREADS + 1):
        mux.begin(request_id, "/swallow", body=None)
    await_inside(adapter, "/swallow", THREADS)
    for request_id in range(THREADS, 0, -1):
        mux.send(fcgi.stream(fcgi.STDIN, request_id, bytes(request_id)))
        mux.await_end(request_id)
    assert mux.order == [4, 3, 2, 1]
    assert [mux.body(i) for i in mux.order] == [b"4\n", b"3\n", b"2\n", b"1\n"]


def test_what_came_together_runs_at_once(adapter: Adapter, mux: Mux) -> None:
    """Even if one read brings all of them, and the first does not end."""
    requests = [fcgi.head("/swallow", request_id=i) for i in range(1, THREADS)]
    last = fcgi.head("/hello", request_id=THREADS) + fcgi.stream(fcgi.STDIN, THREADS, b"")
    mux.send(b"".join(requests) + last)
    mux.await_end(THREADS)
    assert mux.body(THREADS) == b"hello\n"
    await_inside(adapter, "/swallow", THREADS - 1)
    mux.send(b"".join(fcgi.record(fcgi.STDIN, i) for i in range(1, THREADS)))
    mux.await_end(*range(1, THREADS))


def test_connections_share_the_threads(adapter: Adapter, mux: Mux) -> None:
    """While all are busy others wait, and get the first that is free."""
    for request_id in range(1, THREADS + 1):
        mux.begin(request_id, "/swallow", body=None)
    await_inside(adapter, "/swallow", THREADS)
    with fcgi.Connection(adapter.path) as other:
        other.send(fcgi.request("/hello"))
        mux.send(fcgi.record(fcgi.STDIN, 3))
        assert other.response().body == b"hello\n"
    mux.send(b"".join(fcgi.record(fcgi.STDIN, i) for i in (1, 2, 4)))
    mux.await_end(1, 2, 3, 4)


def test_an_abort_ends_its_request_only(adapter: Adapter, mux: Mux) -> None:
    mux.begin(1, "/endless")
    mux.begin(2, "/swallow", body=None)
    adapter.wait_log("endless began")
    await_inside(adapter, "/swallow", 1)
    mux.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
    mux.await_end(1)
    assert mux.statuses[1] == 1
    mux.send(fcgi.stream(fcgi.STDIN, 2, b"all of it"))
    mux.await_end(2)
    assert (mux.body(2), mux.statuses[2]) == (b"9\n", 0)


def test_an_abort_of_one_that_waits_for_a_thread(adapter: Adapter, mux: Mux) -> None:
    with Mux(adapter.path) as other:
        for request_id in range(1, THREADS + 1):
            other.begin(request_id, "/swallow", body=None)
        await_inside(adapter, "/swallow", THREADS)
        mux.begin(1, "/abort")  # if it ran the worker would end
        mux.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
        mux.await_end(1)
        assert mux.statuses[1] == 1
        other.send(b"".join(fcgi.record(fcgi.STDIN, i) for i in range(1, THREADS + 1)))
        other.await_end(*range(1, THREADS + 1))


def test_a_lost_connection_ends_all_its_requests(adapter: Adapter) -> None:
    with Mux(adapter.path) as mux:
        for request_id in range(1, THREADS + 1):
            mux.begin(request_id, "/swallow", body=None)
        await_inside(adapter, "/swallow", THREADS)
    eventually(lambda: adapter.log.count("then -1") == THREADS, "the end of each")
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/hello").body == b"hello\n"


def test_big_answers_of_one_connection_come_side_by_side(adapter: Adapter, mux: Mux) -> None:
    """Also files, whose records are written by themselves."""
    for request_id in (1, 2):
        mux.begin(request_id, "/big", query="3000000")
    for request_id in (3, 4):
        mux.begin(request_id, "/file", query="900000")
    mux.await_end(1, 2, 3, 4)
    file = b"".join(b"%09d\n" % i for i in range(1, 90001))
    assert all(mux.body(i) == b"x" * 3000000 for i in (1, 2))
    assert all(mux.body(i) == file for i in (3, 4))


def test_a_crash_tells_of_all_requests(adapter: Adapter, mux: Mux) -> None:
    for request_id in (1, 2):
        mux.begin(request_id, "/swallow", body=None)
    await_inside(adapter, "/swallow", 2)
    mux.begin(3, "/abort")
    assert adapter.wait() == -signal.SIGABRT
    said = "dies by SIGABRT while it handled GET /abort, GET /swallow, GET /swallow\n"
    assert said in adapter.log
    assert "probe: dump of the stacks" in adapter.log


def test_a_drain_finishes_all_requests(adapter: Adapter, mux: Mux) -> None:
    for request_id in (1, 2, 3):
        mux.begin(request_id, "/swallow", body=None)
    await_inside(adapter, "/swallow", 3)
    adapter.process.send_signal(signal.SIGTERM)
    for request_id in (2, 1, 3):
        mux.send(fcgi.stream(fcgi.STDIN, request_id, b"x"))
        mux.await_end(request_id)
        assert mux.body(request_id) == b"1\n"
    assert adapter.wait() == 0
    assert mux.is_closed()


# --- Python ---

SOURCE = """
import json, threading, time
local = threading.local()
everybody = threading.Barrier({threads})

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/meet":
        everybody.wait(60)
    elif path == "/stuck":
        time.sleep(600)
    local.count = getattr(local, "count", 0) + 1
    said = {{"thread": threading.get_ident(), "path": path, "query": environ["QUERY_STRING"],
            "header": environ.get("HTTP_X_A"), "many": environ["wsgi.multithread"]}}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
"""


@pytest.fixture
def server(penstock, tmp_path: Path):
    (tmp_path / "meeting.py").write_text(SOURCE.format(threads=THREADS))
    return penstock(
        "meeting:app", "-k", "gthread", "--threads", str(THREADS), "--timeout", "2", cwd=tmp_path,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    ).wait_ready()  # fmt: skip


def test_python_on_all_threads_at_once(server) -> None:
    """Each gets its own environ; nobody could answer if they did not run together."""
    clients = [Client(("127.0.0.1", server.port)) for _ in range(THREADS)]
    for turn in range(20):
        for i, client in enumerate(clients):
            client.get(f"/meet?{turn}.{i}", f"X-A: {i}" if i else f"X-B: {turn}")
        said = [json.loads(client.response().body) for client in clients]
        assert [one["query"] for one in said] == [f"{turn}.{i}" for i in range(THREADS)]
        assert [one["header"] for one in said] == [None, "1", "2", "3"]
        assert len({one["thread"] for one in said}) == THREADS
        assert all(one["many"] for one in said)
    for client in clients:
        client.close()
    assert server.stop() == 0


def test_stuck_threads_cost_their_worker_and_it_says_where(server, tmp_path: Path) -> None:
    (before,) = server.worker_pids
    clients = [Client(("127.0.0.1", server.port)) for _ in range(THREADS)]
    for client in clients:
        client.get("/stuck")
    assert [client.response().status for client in clients] == [504] * THREADS
    for client in clients:
        client.close()
    server.wait_for("dies by SIGABRT while it handled GET /stuck")
    assert "meeting.py" in server.log and "in app" in server.log
    eventually(lambda: server.worker_pids and server.worker_pids != [before], "another worker")
    eventually(lambda: server.get("/quick").status == 200, "an answer of the other worker")
    assert server.stop() == 0
