"""What the gateway does with workers, right and wrong, and with clients that leave: the installed
gateway with the test as its arbiter and its workers; and a whole penstock that loses parts."""
from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fcgi
from gateway import OK, Exchange, Gateway, Worker
from penstock import Penstock, eventually, is_alive
from raw import Client

APPS = Path(__file__).parent / "apps"
CHUNKS_END = b"0\r\n\r\n"


@pytest.fixture
def gateway(tmp_path: Path):
    with Gateway(tmp_path) as gateway:
        yield gateway


def answer(exchange: Exchange) -> None:
    exchange.answer()


class Held:
    """A handler that answers when the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, exchange: Exchange) -> None:
        self.begun.release()
        assert self.go.acquire(timeout=60)
        exchange.answer()


Hold = Callable[[], Held]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Make handlers of which none waits on when the test has ended."""
    made: list[Held] = []

    def make() -> Held:
        made.append(Held())
        return made[-1]

    yield make
    for held in made:
        held.go.release(100)


# --- the access log ------------------------------------------------------------------------


def test_requests_that_never_came_whole_are_logged(gateway: Gateway) -> None:
    fields = "Host: a\r\nReferer: here\r\n"
    with gateway.client() as refused, gateway.client() as left:
        refused.send(f"GET /two HTTP/1.1\r\n{fields}Host: b\r\n\r\n")
        assert refused.response().status == 400
        left.send(f"GET /half HTTP/1.1\r\n{fields}")
        gateway.settle()
    eventually(lambda: '"GET /two HTTP/1.1" 400 - "here"' in gateway.access_log, "refused")
    eventually(lambda: '"GET /half HTTP/1.1" 499 0 "here"' in gateway.access_log, "left")


# --- dispatch ------------------------------------------------------------------------------


def test_a_request_waits_for_a_worker(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.get("/")
        gateway.worker("1.1", answer)
        assert client.response().body == b"ok"


def test_requests_are_spread(gateway: Gateway) -> None:
    workers = [gateway.worker(f"{n}.{n}", answer) for n in (1, 2, 3)]
    with gateway.client() as client:
        for _ in workers:
            assert client.ask("/").status == 200
    assert [worker.requests for worker in workers] == [1, 1, 1]


def test_a_busy_worker_gets_nothing_and_nobody_waits_for_it(gateway: Gateway, hold: Hold) -> None:
    held = hold()
    busy = gateway.worker("1.1", held)
    with gateway.client() as first, gateway.client() as second:
        first.get("/held")
        assert held.begun.acquire(timeout=60)
        gateway.worker("2.2", answer)
        for _ in range(3):
            assert second.ask("/").status == 200
        assert busy.requests == 1
        held.go.release()
        assert first.response().body == b"ok"


def test_who_leaves_the_queue_is_not_served(gateway: Gateway, hold: Hold) -> None:
    held = hold()
    worker = gateway.worker("1.1", held)
    with gateway.client() as first, gateway.client() as last:
        first.get("/first")
        assert held.begun.acquire(timeout=60)
        waiting = [gateway.client() for _ in range(4)]
        for client in waiting:
            client.get("/gone")
        last.get("/last")
        gateway.settle()
        waiting[0].close()
        waiting[1].close()
        waiting[2].reset()
        waiting[3].reset()
        eventually(lambda: gateway.access_log.count('"GET /gone HTTP/1.1" 499 ') == 4, "499s")
        held.go.release()
        held.go.release()
        assert first.response().status == 200
        assert last.response().status == 200
    assert worker.requests == 2


def test_who_leaves_a_running_request_aborts_it(gateway: Gateway) -> None:
    running: list[Exchange] = []
    worker = gateway.worker("1.1", running.append)
    with gateway.client() as client:
        client.get("/left")
        eventually(lambda: running, "the request")
        client.reset()
    eventually(lambda: worker.later, "ABORT")
    assert worker.later[0][:2] == (fcgi.ABORT_REQUEST, running[0].id)
    with gateway.client() as client:
        client.get("/next")
        gateway.settle()
        assert worker.requests == 1
        running[0].out(b"Status: 200\r\n\r\nnobody reads this")
        running[0].end()
        eventually(lambda: len(running) == 2, "the next request")
        running[1].answer()
        assert client.response().body == b"ok"


def test_a_slow_upload_takes_no_slot(gateway: Gateway) -> None:
    bodies: list[bytes] = []

    def handle(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        exchange.answer()

    gateway.worker("1.1", handle)
    body = os.urandom(3_000_000)
    with gateway.client() as slow, gateway.client() as quick:
        slow.get("/upload", f"Content-Length: {len(body)}", method="POST")
        slow.send(body[:2_000_000])
        for _ in range(3):
            assert quick.ask("/").status == 200
        slow.send(body[2_000_000:])
        assert slow.response().status == 200
    assert bodies == [b"", b"", b"", body]


def spool_files(gateway: Gateway) -> list[Path]:
    files = []
    for fd in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(gateway.directory) in os.readlink(fd) and "deleted" in os.readlink(fd):
                files.append(fd)
    return files


def spooled(gateway: Gateway) -> int:
    """Bytes in spool files."""
    total = 0
    for fd in spool_files(gateway):
        with contextlib.suppress(FileNotFoundError):
            total += fd.stat().st_size
    return total


def test_an_answer_waits_while_the_spool_is_full(tmp_path: Path) -> None:
    data = b"\r\n" + bytes(range(256)) * 30_000
    with Gateway(tmp_path, spool_size=str(4 << 20)) as gateway:
        gateway.worker("1.1", lambda exchange: exchange.answer(b"A: b\r\n" + data))
        gateway.worker("2.2", lambda exchange: exchange.answer(b"A: b\r\n" + data))
        with gateway.client(4096) as one, gateway.client(4096) as two:
            one.get("/big")
            two.get("/big")
            eventually(lambda: spooled(gateway) > 3 << 20, "a spool that is nearly full")
            gateway.settle()
            for client in (two, one):
                response = client.response()
                assert response.whole and response.body == data[2:]


def test_a_spool_file_that_is_too_short_is_told_of(gateway: Gateway) -> None:
    big = b"A: b\r\n\r\n" + bytes(range(256)) * 80_000
    gateway.worker("1.1", lambda exchange: exchange.answer(big if exchange.path == "/big" else OK))
    with gateway.client(4096) as client, gateway.client() as next_:
        client.get("/big")
        assert next_.ask("/").status == 200  # all of the first answer has come
        assert spooled(gateway) > 1 << 20
        for file in spool_files(gateway):
            os.truncate(file, 0)
        assert not client.response().whole
    gateway.wait_log(
        "[ERROR] client 127.0.0.1: GET /big: the rest of its answer cannot be read "
        f"(spool directory {gateway.directory}): "
    )
    assert gateway.log.count("GET /big") == 1


def test_a_slow_reader_holds_no_worker(gateway: Gateway) -> None:
    data = bytes(range(256)) * 80_000

    def handle(exchange: Exchange) -> None:
        if exchange.path == "/big":
            exchange.answer(b"Content-Type: text/plain\r\n\r\n" + data)
        else:
            exchange.answer()

    gateway.worker("1.1", handle)
    with gateway.client(receive_buffer=4096) as slow, gateway.client() as quick:
        slow.get("/big")
        for _ in range(3):
            assert quick.ask("/").status == 200
        response = slow.response()
        assert response.whole and response.body == data


# --- workers that go wrong -----------------------------------------------------------------


def close(exchange: Exchange) -> None:
    exchange.connection.socket.shutdown(socket.SHUT_RDWR)


def out(data: bytes, then: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    def handle(exchange: Exchange) -> None:
        exchange.out(data)
        then(exchange)

    return handle


def raw(data: bytes) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.send(data)


NO_ANSWER: dict[str, Callable[[Exchange], None]] = {
    "closes": close,
    "closes within its head": out(b"Content-Ty", close),
    "garbage": raw(b"\xff" * 1000),
    "text": raw(b"HTTP/1.1 200 OK\r\n\r\nhello"),
    "ends at once": lambda exchange: exchange.end(),
    "ends STDOUT at once": lambda exchange: exchange.answer(b""),
    "ends within its head": out(b"Content-Type: text/plain\r\n", lambda e: e.end()),
    "no colon": lambda exchange: exchange.answer(b"Status 200\r\n\r\nx"),
    "status": lambda exchange: exchange.answer(b"Status: 99\r\n\r\nx"),
    "status text": lambda exchange: exchange.answer(b"Status: OK\r\n\r\nx"),
    "NUL in a field": lambda exchange: exchange.answer(b"X: a\0b\r\n\r\nx"),
    "CR in a field": lambda exchange: exchange.answer(b"X: a\rSet-Cookie: b\r\n\r\nx"),
    "two lengths": lambda exchange: exchange.answer(
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx"
    ),
    "switches protocols": lambda exchange: exchange.answer(b"Status: 101\r\n\r\n"),
    "endless head": lambda exchange: exchange.answer(b"X: " + b"a" * 70000 + b"\r\n\r\n"),
    "fails": lambda exchange: exchange.end(1),
    "refuses": lambda exchange: exchange.end(0, fcgi.OVERLOADED),
    "cannot multiplex": lambda exchange: exchange.end(0, fcgi.CANT_MPX_CONN),
    "unknown protocol status": lambda exchange: exchange.end(0, 77),
}


@pytest.mark.parametrize("name", NO_ANSWER)
def test_no_answer_is_502(gateway: Gateway, name: str) -> None:
    gateway.worker("1.1", NO_ANSWER[name])
    with gateway.client() as client:
        assert client.ask("/wrong?query").status == 502
        gateway.wait_log("worker 1.1: GET /wrong: ")
        gateway.wait_log("[ERROR]")
        gateway.announce("2.2", answer)
        gateway.wait_line("SLOT usable 2.2")

        # The same connection goes on, and a healthy worker answers soon.
        def is_served() -> bool:
            status = client.ask("/next").status
            assert status in (200, 502)
            return status == 200

        eventually(is_served, "an answer of the healthy worker")


BROKEN: dict[str, Callable[[Exchange], None]] = {
    "closes": close,
    "garbage": raw(b"\xff" * 100),
    "fails": lambda exchange: exchange.end(1),
    "short": lambda exchange: (exchange.end_out(), exchange.end()),
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("name", BROKEN)
def test_half_an_answer_is_never_whole(gateway: Gateway, name: str, version: str) -> None:
    def handle(exchange: Exchange) -> None:
        exchange.out(b"Content-Length: 99\r\n\r\n" if name == "short" else b"X: y\r\n\r\n")
        exchange.out(b"begin")
        assert begun.wait(60)
        BROKEN[name](exchange)

    begun = threading.Event()
    gateway.worker("1.1", handle)
    with gateway.client() as client:
        client.get("/half", version=version)
        head = client.head()
        assert head.startswith("HTTP/1.1 200 ")
        begun.set()
        got = b""
        reset = False
        try:
            while piece := client.socket.recv(65536):
                got += piece
        except ConnectionResetError:
            reset = True
        assert not got.endswith(CHUNKS_END)
        # Where only the end of the connection ends the body, it must not look like an end.
        assert reset or "Content-Length" in head or "chunked" in head
    gateway.wait_log("worker 1.1: GET /half: ")
    gateway.wait_log("closed in the middle of the answer")


def test_more_than_content_length_is_cut(gateway: Gateway) -> None:
    gateway.worker(
        "1.1", lambda exchange: exchange.answer(b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n")
    )
    with gateway.client() as client:
        assert client.ask("/more").body == b"abc"
        assert client.is_closed()
    gateway.wait_log("worker 1.1: GET /more: it sent more than its Content-Length")


def test_an_interim_response_is_passed_on(gateway: Gateway) -> None:
    gateway.worker(
        "1.1", lambda exchange: exchange.answer(b"Status: 103\r\nLink: </a>\r\n\r\n" + OK)
    )
    with gateway.client() as client:
        early = client.ask("/")
        assert (early.status, early.field("Link")) == (103, "</a>")
        assert client.response().body == b"ok"
        assert client.ask("/", version="1.0").status == 200


def test_stderr_is_framed_and_bounded(gateway: Gateway) -> None:
    def handle(exchange: Exchange) -> None:
        exchange.send(fcgi.record(fcgi.STDERR, exchange.id, b"one line\nforged: [1] \x1b[0m\nha"))
        exchange.send(fcgi.record(fcgi.STDERR, exchange.id, b"lf\n" + b"flood\n" * 5000))
        exchange.answer()

    gateway.worker("1.1", handle)
    with gateway.client() as client:
        assert client.ask("/says").status == 200
    gateway.wait_log("more of its STDERR were dropped")
    assert "worker 1.1: stderr: GET /says: one line\n" in gateway.log
    assert "worker 1.1: stderr: GET /says: half\n" in gateway.log
    assert "\x1b" not in gateway.log
    assert gateway.log.count("flood") < 1100


@pytest.mark.parametrize("greeting", [b"", b"\x00" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_worker_that_does_not_speak_fastcgi(gateway: Gateway, greeting: bytes) -> None:
    class Mute(Worker):
        def greet(self, content: bytes) -> bytes:
            if not greeting:
                raise OSError
            return greeting

    worker = gateway.announce("1.1", answer, Mute)
    if not greeting:
        worker.thread.join(60)
        worker.close()
    gateway.expect("SLOT broken 1.1 ")


def test_a_worker_that_is_not_there(gateway: Gateway) -> None:
    gateway.tell("SLOT up 1.1 /nowhere/1.1.sock default")
    assert "No%20such%20file" in gateway.expect("SLOT broken 1.1 ")


def test_a_killed_worker_costs_only_its_own_request(gateway: Gateway, hold: Hold) -> None:
    held, other = hold(), hold()
    dead = gateway.worker("1.1", held)
    with gateway.client() as first, gateway.client() as second:
        first.get("/killed")
        assert held.begun.acquire(timeout=60)
        gateway.worker("2.2", other)
        second.get("/fine")
        assert other.begun.acquire(timeout=60)
        gateway.down("1.1", dead)
        assert first.response().status == 502
        other.go.release()
        assert second.response().body == b"ok"


def test_an_answer_that_was_whole_when_its_worker_died_is_sent(gateway: Gateway) -> None:
    def handle(exchange: Exchange) -> None:
        exchange.answer(b"\r\n".join([b"Content-Length: 500000", b"", b"d" * 500000]))
        exchange.connection.socket.shutdown(socket.SHUT_RDWR)

    gateway.worker("1.1", handle)
    with gateway.client() as client:
        response = client.ask("/")
        assert response.whole and len(response.body) == 500000


def test_a_request_that_no_worker_saw_is_served_by_another(gateway: Gateway) -> None:
    dead = gateway.worker("1.1", answer)
    with gateway.client() as client:
        client.ask("/")
        os.kill(gateway.process.pid, signal.SIGSTOP)
        client.get("/again")
        gateway.down("1.1", dead)
        os.kill(gateway.process.pid, signal.SIGCONT)
        gateway.announce("2.2", answer)
        assert client.response().body == b"ok"
    assert "502" not in gateway.access_log


@pytest.mark.parametrize("status", [fcgi.OVERLOADED, fcgi.CANT_MPX_CONN])
def test_a_refused_request_is_served_by_another(gateway: Gateway, status: int) -> None:
    bodies: list[bytes] = []

    def serve(exchange: Exchange) -> None:
        bodies.append(exchange.body)
        exchange.answer()

    refuses = gateway.worker("1.1", lambda exchange: exchange.end(0, status))
    gateway.worker("2.2", serve)
    with gateway.client() as client:
        client.get("/refused", "Content-Length: 4", method="POST")
        client.send("body")
        assert client.response().body == b"ok"
        assert refuses.requests == 1 and bodies == [b"body"]
        gateway.wait_log("[WARNING] worker 1.1: POST /refused: it refused the request")


def test_a_request_is_refused_twice_at_most(gateway: Gateway) -> None:
    workers = [
        gateway.worker(f"{n}.{n}", lambda exchange: exchange.end(0, fcgi.OVERLOADED))
        for n in (1, 2, 3)
    ]
    with gateway.client() as client:
        assert client.ask("/refused").status == 502
    assert sum(worker.requests for worker in workers) == 2


class Deaf(Worker):
    """Answers the first request from its head on and reads no more; then speaks of the next one,
    which cannot have been written to it, and ends."""

    def __init__(self, directory: Path, name: str, handle: Callable[[Exchange], None]) -> None:
        super().__init__(directory, name, handle)
        self.go = threading.Event()

    def _records(self, connection: fcgi.Connection) -> None:
        for kind, request_id, content in connection.records():
            if kind == fcgi.GET_VALUES:
                connection.send(self.greet(content))
            elif kind == fcgi.STDIN:
                break
        exchange = Exchange(connection, request_id, b"")
        exchange.answer()
        assert self.go.wait(60)
        self.handle(exchange)
        connection.socket.shutdown(socket.SHUT_RDWR)


def test_a_worker_that_answers_what_it_has_not_read(gateway: Gateway) -> None:
    def half(exchange: Exchange) -> None:
        exchange.out(b"Content-Length: 9\r\n\r\nhalf")

    deaf = gateway.announce("1.1", half, Deaf)
    gateway.wait_line("SLOT usable 1.1")
    with gateway.client() as first, gateway.client() as second:
        first.get("/upload", "Content-Length: 900000", method="POST")
        first.send(b"u" * 900000)
        assert first.response().status == 200
        second.get("/next")
        gateway.settle()
        deaf.go.set()
        gateway.worker("2.2", answer)
        assert not second.response().whole
    assert "worker 1.1: GET /next: " in gateway.log


# --- deadlines -----------------------------------------------------------------------------


@pytest.fixture
def hasty(tmp_path: Path):
    with Gateway(tmp_path, timeout="1") as gateway:
        yield gateway


def test_a_late_answer_is_504_and_its_worker_is_reported(hasty: Gateway) -> None:
    running: list[Exchange] = []
    worker = hasty.worker("1.1", running.append)
    with hasty.client() as client:
        assert client.ask("/late?secret=1").status == 504
        eventually(lambda: worker.later, "ABORT")
        assert worker.later == [(fcgi.ABORT_REQUEST, running[0].id, b"")]
        assert hasty.expect("SLOT late 1.1 ") == "SLOT late 1.1 GET%20/late"
        # It is not used again, although it answers now.
        client.get("/next")
        running[0].answer()
        hasty.settle()
        assert worker.requests == 1
        hasty.down("1.1", worker)
        hasty.worker("2.2", answer)
        assert client.response().body == b"ok"
    hasty.wait_log("worker 1.1: GET /late: nothing came from it for 1 s (--timeout): answered 504")


def test_a_worker_that_ends_within_the_grace_is_used_again(hasty: Gateway) -> None:
    running: list[Exchange] = []
    worker = hasty.worker("1.1", running.append)
    with hasty.client() as client:
        assert client.ask("/late").status == 504
        running[0].end(1)
        client.get("/next")
        eventually(lambda: len(running) == 2, "the next request")
        running[1].answer()
        assert client.response().body == b"ok"
    assert worker.requests == 2
    assert "SLOT late" not in " ".join(hasty.lines)


def test_each_piece_starts_the_time_anew(tmp_path: Path) -> None:
    def handle(exchange: Exchange) -> None:
        for piece in (b"X: y\r\n\r\n", b"a", b"b", b"c"):
            time.sleep(0.8)
            exchange.out(piece)
        exchange.end_out()
        exchange.end()

    with Gateway(tmp_path, timeout="3") as gateway, gateway.client() as client:
        gateway.worker("1.1", handle)
        response = client.ask("/slow")
        assert response.body == b"abc" and response.whole


def test_an_answer_that_stops_is_broken(hasty: Gateway) -> None:
    hasty.worker("1.1", lambda exchange: exchange.out(b"X: y\r\n\r\nbegin"))
    with hasty.client() as client:
        response = client.ask("/stops")
        assert response.status == 200 and not response.whole
    hasty.expect("SLOT late 1.1 GET%20/stops")


def test_close_may_hang_no_longer_than_anything_else(hasty: Gateway) -> None:
    hasty.worker("1.1", lambda exchange: (exchange.out(OK), exchange.end_out()))
    with hasty.client() as client:
        assert client.ask("/closing").body == b"ok"
        hasty.expect("SLOT late 1.1 GET%20/closing")


def test_keep_alive_timeout(tmp_path: Path) -> None:
    with Gateway(tmp_path, keep_alive="1") as gateway:
        gateway.worker("1.1", answer)
        with gateway.client() as client:
            assert client.ask("/").status == 200
            assert client.is_closed()


def test_no_keep_alive(tmp_path: Path) -> None:
    with Gateway(tmp_path, keep_alive="0") as gateway:
        gateway.worker("1.1", answer)
        with gateway.client() as client:
            assert client.ask("/").field("Connection") == "close"
            assert client.is_closed()


def test_a_refused_client_that_is_silent_does_not_linger(gateway: Gateway) -> None:
    def descriptors() -> int:
        return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))

    before = descriptors()
    with gateway.client() as sends, gateway.client() as silent:
        # What is compared is the one that was there first.
        for client in (sends, silent):
            client.send("no request\r\n\r\n")
            assert client.response().status == 400
            assert client.is_closed()
        while descriptors() > before + 1:
            sends.send(b"more")
            time.sleep(0.1)
        # A reset would come back for the first of these, and fail the second.
        for _ in range(2):
            sends.send(b"more")
            gateway.settle()
        assert descriptors() == before + 1


# --- the end -------------------------------------------------------------------------------


def test_drain_finishes_what_is_in_progress(gateway: Gateway, hold: Hold) -> None:
    held = hold()
    gateway.worker("1.1", held)
    with gateway.client() as idle, gateway.client() as busy, gateway.client() as queued:
        busy.get("/busy")
        assert held.begun.acquire(timeout=60)
        queued.get("/queued")
        gateway.settle()
        gateway.tell("DRAIN")
        assert idle.is_closed()
        gateway.listener.close()
        with pytest.raises(OSError):
            gateway.client()
        held.go.release()
        held.go.release()
        for client in (busy, queued):
            response = client.response()
            assert (response.body, response.field("Connection")) == (b"ok", "close")
            assert client.is_closed()
    assert gateway.process.wait(60) == 0


def test_a_drain_lets_those_ask_again_who_were_told_nothing(gateway: Gateway, hold: Hold) -> None:
    """Neither an idle connection nor one whose answer's head is out knows that it is to end."""
    held = hold()

    def handle(exchange: Exchange) -> None:
        if exchange.path == "/begun":
            exchange.out(OK[:-1])
            held.begun.release()
            assert held.go.acquire(timeout=60)
            exchange.out(OK[-1:])
            exchange.end_out()
            exchange.end()
        else:
            exchange.answer()

    gateway.worker("1.1", handle)
    with gateway.client() as idle, gateway.client() as busy, gateway.client() as new:
        assert idle.ask("/").field("Connection") is None
        busy.get("/begun")
        assert held.begun.acquire(timeout=60)
        head = busy.until(b"\r\n\r\n")
        gateway.tell("DRAIN")
        held.go.release()
        assert b"Connection" not in head and busy.until(b"ok") == b""
        for client in (idle, busy, new):
            client.get("/")
        for client in (idle, busy, new):
            response = client.response()
            assert (response.body, response.field("Connection")) == (b"ok", "close")
            assert client.is_closed()
    assert gateway.process.wait(60) == 0


def test_an_answer_that_needs_no_end(gateway: Gateway) -> None:
    """It is as long as it said: who made it may die, and its client stays."""

    def die(exchange: Exchange) -> None:
        exchange.out(OK)
        exchange.connection.socket.shutdown(socket.SHUT_RDWR)

    gateway.worker("1.1", die)
    gateway.worker("2.2", answer)
    with gateway.client() as client:
        for _ in range(2):
            assert client.ask("/").body == b"ok"
    gateway.wait_log("its client gets the answer, which had come whole")


def test_the_end_of_the_graceful_timeout(tmp_path: Path) -> None:
    with Gateway(tmp_path, graceful_timeout="1") as gateway:
        gateway.worker("1.1", lambda exchange: None)
        gateway.worker("2.2", lambda exchange: None)
        with gateway.client() as one, gateway.client() as two:
            one.get("/stuck")
            two.get("/stuck")
            gateway.settle()
            assert gateway.drain() == 0
        gateway.wait_log("2 requests in progress were cut off")
        gateway.wait_log(
            "client 127.0.0.1: GET /stuck: cut off, for the graceful timeout is over, and worker "
            "2.2 was not done with it"
        )


def test_the_arbiter_is_gone(tmp_path: Path, hold: Hold) -> None:
    runtime = tmp_path / "penstock-1"
    runtime.mkdir()
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(str(runtime / "1.1.sock"))
    held = hold()
    with Gateway(tmp_path, runtime_dir=str(runtime)) as gateway:
        gateway.worker("2.2", held)
        with gateway.client() as client:
            client.get("/")
            assert held.begun.acquire(timeout=60)
            gateway.control.close()
            gateway.wait_log("the arbiter is lost")
            held.go.release()
            assert client.response().body == b"ok"
        assert gateway.process.wait(60) == 0
    assert not runtime.exists()
    leftover.close()


# --- limits --------------------------------------------------------------------------------


def test_no_descriptors_left(tmp_path: Path) -> None:
    with Gateway(tmp_path, nofile=128) as gateway:
        gateway.worker("1.1", answer)
        clients = [gateway.client() for _ in range(60)]
        assert clients[0].ask("/").status == 200
        gateway.wait_log("no more connections are accepted")
        before = gateway.cpu_seconds()
        time.sleep(1)
        assert gateway.cpu_seconds() - before < 0.5
        for client in clients[:59]:
            client.close()
        assert clients[59].ask("/").status == 200
        clients[59].close()


def test_a_wrong_setting_is_said(tmp_path: Path) -> None:
    with Gateway(tmp_path, timeout="soon", nonsense="1") as gateway:
        gateway.tell("WHAT is this")
        gateway.wait_log('setting timeout of "soon" of pool default is ignored: not a number')
        gateway.wait_log('setting nonsense of "1" is ignored: no such setting')
        gateway.wait_log("not understood and ignored: WHAT is")
        gateway.tell("PING")
        gateway.expect("PONG")


# --- a whole penstock ----------------------------------------------------------------------


def test_unix_and_ipv6_listeners(penstock, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    server = penstock(
        "gateway_app:app", "-b", f"unix:{path}", "-b", "[::1]:0", bind=None, cwd=APPS,
        env={"NOTES": str(tmp_path / "notes")},
    )
    port = int(server.log.partition("[::1]:")[2].split()[0].rstrip(",)"))
    with Client(str(path)) as client:
        assert client.ask("/peer").body.startswith(b"- - test")
        client.get("/sleep?0.5")
        client.end_input()
        assert client.response().body == b"slept"
    with Client(("::1", port)) as client:
        body = client.ask("/peer").body.split()
        assert body[0] == b"::1" and body[3] == b"80" and body[4] == b"http"
    assert server.stop() == 0


def test_a_client_on_a_unix_socket_that_leaves(penstock, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    server = penstock(
        "gateway_app:app", "-b", f"unix:{tmp_path}/http.sock", "--access-logfile", "-",
        bind=None, cwd=APPS, env={"NOTES": str(notes)},
    )
    release = tmp_path / "release"
    with Client(f"{tmp_path}/http.sock") as first, Client(f"{tmp_path}/http.sock") as gone:
        first.get(f"/hold?{release}")
        eventually(lambda: notes.exists(), "the first request")
        gone.get("/marked?gone")
        time.sleep(0.1)
        gone.close()
        eventually(lambda: "499" in server.access_log, "its line")
        release.touch()
        assert first.response().body == b"held"
        assert first.ask("/marked?last").status == 200
    assert "gone" not in notes.read_text()
    assert server.stop() == 0


def test_a_worker_that_dies_is_replaced(penstock, tmp_path: Path) -> None:
    server = penstock("gateway_app:app", cwd=APPS, env={"NOTES": str(tmp_path / "notes")})
    with Client(("127.0.0.1", server.port)) as client:
        assert client.ask("/die").status == 502
        assert client.ask("/").body == b"hello\n"
    assert server.stop() == 0


def test_a_killed_gateway_is_started_again(penstock, tmp_path: Path) -> None:
    server = penstock("gateway_app:app", cwd=APPS, env={"NOTES": str(tmp_path / "notes")})
    with Client(("127.0.0.1", server.port)) as client:
        pid = client.ask("/process").body
        os.kill(server.gateway_pid, signal.SIGKILL)
        assert client.is_closed()
    with Client(("127.0.0.1", server.port)) as client:
        assert client.ask("/process").body == pid
    assert server.stop() == 0


def test_a_killed_arbiter_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    server = Penstock(
        directory, "gateway_app:app", cwd=APPS, env={"NOTES": str(tmp_path / "notes")}
    ).wait_ready()
    pids = [server.gateway_pid, *server.worker_pids]
    runtime = server.runtime_directory
    assert runtime.exists()
    with Client(("127.0.0.1", server.port)) as client:
        client.get("/sleep?0.5")
        eventually(lambda: (tmp_path / "notes").exists(), "the request")
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait()
        assert client.response().body == b"slept"
    eventually(lambda: not any(is_alive(pid) for pid in pids), "the end of all processes")
    eventually(lambda: not runtime.exists(), "the end of the runtime directory")
