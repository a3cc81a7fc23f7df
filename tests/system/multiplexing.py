"""Workers of a test that serve many requests at once over one connection."""
from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path

import fcgi
from gateway import Exchange, Worker
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
        self.aborted: int | None = None  # why
        self.credit = WINDOW
        self.granted = 0  # bytes of the body beyond the first

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
                self.aborted = content[0] if content else 0
            elif kind == CREDIT:
                self.credit += struct.unpack(">I4x", content)[0]
            self.changed.notify_all()


class Streaming(Multiplexing):
    """As an async adapter: each request is handled when its head has come."""

    extra = {b"PENSTOCK_VERSION": b"1", b"PENSTOCK_STREAMS": b"1"}

    def __init__(self, directory: Path, name: str, handle: Callable[[Streamed], None]) -> None:
        self.open: dict[int, Streamed] = {}
        super().__init__(directory, name, handle)  # type: ignore[arg-type]

    def _records(self, connection: fcgi.Connection) -> None:
        for kind, request_id, content in connection.records():
            if kind == fcgi.GET_VALUES:
                connection.send(self.greet(content))
            elif kind == fcgi.BEGIN_REQUEST:
                self.open[request_id] = Streamed(connection, request_id)
            elif kind == fcgi.PARAMS:
                self.open[request_id].params += content
                if not content:
                    self.requests += 1
                    self.handle(self.open[request_id])
            else:
                self.open[request_id].see(kind, content)

