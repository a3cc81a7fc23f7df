"""A FastCGI server that is none of ours, for a pool that does not start it: each connection has a
thread, and HANDLE(exchange) does as the test wants, right or wrong."""
from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import fcgi
from gateway import Exchange

Handle = Callable[[Exchange], None]


def is_held(peer: socket.socket) -> bool:
    """The other side has not closed it: what the kernel knows, before any thread here has read it."""
    poll = select.poll()
    poll.register(peer, select.POLLRDHUP)
    return not poll.poll(0)


class ForeignServer:
    """At ADDRESS: a path, or (host, port). READS false: connections are accepted only. A connection is
    kept if its client wants that, and KEEPS."""

    def __init__(
        self,
        address: Path | tuple[str, int],
        handle: Handle,
        backlog: int = 64,
        accepts: bool = True,
        reads: bool = True,
        keeps: bool = True,
    ) -> None:
        self.keeps = keeps
        self.handle = handle
        self.reads = reads
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        self.closed = False
        self.most_open = 0  # that the other side had at once
        self.connections = 0
        self.requests = 0
        self.records: list[tuple[int, int]] = []  # (type, id), of all connections
        self.flags: list[int] = []
        if isinstance(address, Path):
            self.listener = socket.socket(socket.AF_UNIX)
            address.unlink(missing_ok=True)
            self.listener.bind(str(address))
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(address)
        self.listener.listen(backlog)
        if accepts:
            self.accept()

    def __enter__(self) -> ForeignServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """As if its process ended."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            self.closed = True
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close_kept(self) -> None:
        """Close the connections of now, from which nothing is being read but a next request. Of one
        that the other side has closed, too, the thread may not know yet."""
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.closed:  # it had waited in the backlog
                    peer.close()
                    continue
                self.connections += 1
                self.open.add(peer)
                self.most_open = max(self.most_open, sum(map(is_held, self.open)))
            threading.Thread(target=self._serve, args=[peer], daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        connection = fcgi.Connection(peer)
        with contextlib.suppress(OSError, AssertionError):
            if self.reads:
                self._records(connection)
        with self.lock:
            self.open.discard(peer)
        peer.close()

    def _records(self, connection: fcgi.Connection) -> None:
        exchange = Exchange(connection, 0, b"")
        for kind, request_id, content in connection.records():
            with self.lock:
                self.records.append((kind, request_id))
            if kind == fcgi.BEGIN_REQUEST:
                exchange.id = request_id
                self.flags.append(content[2])
            elif kind == fcgi.PARAMS:
                exchange.params += content
            elif kind == fcgi.STDIN and content:
                exchange.body += content
            elif kind == fcgi.STDIN:
                with self.lock:
                    self.requests += 1
                self.handle(exchange)
                if not self.keeps or not self.flags[-1] & 1:
                    return
                exchange = Exchange(connection, 0, b"")
