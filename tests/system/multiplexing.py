"""Workers of a test that serve many requests at once over one connection."""
from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import fcgi
from gateway import Exchange, Gateway, Worker
from page import CLAIMED, TURNED, Page
from penstock import PATIENCE

CREDIT = 64
WINDOW = 65536  # what each side may send to begin with


class Multiplexing(Worker):
    """It takes CAPACITY requests at once, each when it has come whole."""

    capacity = 4
    extra: dict[bytes, bytes] = {}

    def greet(self, content: bytes) -> bytes:
        values = {
            b"FCGI_MAX_CONNS": b"1",
            b"FCGI_MAX_REQS": str(self.capacity).encode(),
            b"FCGI_MPXS_CONNS": b"1",
        }
        return fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pairs(values | self.extra))


class Streamed(Exchange):
    """A request whose body and answer flow both ways, as credit allows."""

    def __init__(self, connection: fcgi.Connection, request_id: int) -> None:
        super().__init__(connection, request_id, b"")
        self.body = bytearray()  # type: ignore[assignment]
        self.changed = threading.Condition()
        self.ended = False  # the body is complete
        self.aborts: list[int] = []  # why
        self.credit = WINDOW
        self.granted = 0  # bytes of the body beyond the first

    @property
    def aborted(self) -> int | None:
        return self.aborts[-1] if self.aborts else None

    def grant(self, n: int) -> None:
        self.granted += n
        self.send(fcgi.record(CREDIT, self.id, struct.pack(">I4x", n)))

    def stream(self, data: bytes) -> None:
        """DATA of the answer; waits for credit."""
        while data:
            with self.changed:
                if not self.changed.wait_for(lambda: self.credit > 0, PATIENCE):
                    raise TimeoutError
                n = min(self.credit, 32768)
                piece, data = data[:n], data[n:]
                self.credit -= len(piece)
            self.out(piece)

    def see(self, kind: int, content: bytes) -> None:
        with self.changed:
            if kind == fcgi.STDIN:
                self.body += content
                self.ended = not content
            elif kind == fcgi.ABORT_REQUEST:
                self.aborts.append(content[0])
            elif kind == CREDIT:
                self.credit += struct.unpack(">I4x", content)[0]
            self.changed.notify_all()


class Streaming(Multiplexing):
    """As an async adapter: each request is handled when its head has come."""

    extra = {b"PENSTOCK_VERSION": b"1", b"PENSTOCK_STREAMS": b"1"}

    page: Page | None = None

    def __init__(self, directory: Path, name: str, handle: Callable[[Streamed], None]) -> None:
        self.open: dict[int, Streamed] = {}
        self.turns = threading.Event()  # while it is clear the loop stands still
        self.turns.set()
        super().__init__(directory, name, handle)  # type: ignore[arg-type]

    def claim(self, request_id: int) -> None:
        if self.page:
            self.page.set_state(CLAIMED, request_id)

    def turn(self) -> None:
        if self.page:
            self.page.set_number(TURNED, time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)

    def _records(self, connection: fcgi.Connection) -> None:
        for kind, request_id, content in connection.records():
            self.turns.wait(PATIENCE)
            self.turn()
            if kind == fcgi.GET_VALUES:
                connection.send(self.greet(content))
            elif kind == fcgi.BEGIN_REQUEST:
                self.open[request_id] = Streamed(connection, request_id)
            elif kind == fcgi.PARAMS:
                self.open[request_id].params += content
                if not content:
                    self.claim(request_id)
                    self.requests += 1
                    self.handle(self.open[request_id])
            else:
                self.open[request_id].see(kind, content)
            self.turn()



def turning(gateway: Gateway, name: str, handle: Callable[[Streamed], None]) -> Streaming:
    """A worker whose loop tells in a page that it comes round."""

    class Turning(Streaming):
        page = Page()
        capacity = 1000

    gateway.tell(f"SLOT page {name}", Turning.page.fd)  # type: ignore[union-attr]
    worker = gateway.worker(name, handle, Turning)  # type: ignore[arg-type]
    assert isinstance(worker, Streaming)
    return worker
