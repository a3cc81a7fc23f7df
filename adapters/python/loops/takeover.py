"""gunicorn.socket and werkzeug.socket of a WSGI environ: a WebSocket as a socket of its own.

The application owns one end of a socketpair, and what it writes there first is the head of its
response. A thread reads that at the other end and lets the host carry bytes between there and the
client (pump()). Where the host cannot, threading is patched, and greenlets do. Nothing of this is
made before the application touches the socket.
"""
from __future__ import annotations

import socket
import threading
from typing import Any

HEAD_MAX = 65536
PIECE = 65536
# Of the client's connection, which the gateway speaks of.
_HOP = {b"connection", b"upgrade", b"transfer-encoding", b"keep-alive", b"status"}


def _parse(head: bytes) -> tuple[int, str, list[tuple[bytes, bytes]]]:
    """The head of a response: its status, its reason and its fields."""
    first, *lines = head.split(b"\r\n")
    _, status, reason = (first.split(b" ", 2) + [b""])[:3]
    pairs = [line.split(b":", 1) for line in lines]
    fields = [(name.strip(), value.strip()) for name, value in pairs]
    kept = [(name, value) for name, value in fields if name.lower() not in _HOP]
    return int(status), reason.decode("latin-1"), kept


class Socket:
    """A socket, once something of it is used."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._own: socket.socket | None = None
        self._error: BaseException | None = None
        self._answered = False  # a head was written

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._open(), name)

    def send(self, data: Any, flags: int = 0) -> int:
        """All of DATA, as a blocking socket does: callers rely on it, and greenlets' do not."""
        self._open().sendall(data, flags)
        return memoryview(data).nbytes

    def get_socket(self) -> Socket:
        """As `eventlet.input` has it."""
        return self

    def _open(self) -> socket.socket:
        with self._lock:
            if self._own is None:
                self._stream.take()
                self._own, self._peer = socket.socketpair()
                self._carrier = threading.Thread(
                    target=self._carry, name="penstock-websocket", daemon=True
                )
                self._carrier.start()
            return self._own

    # --- the other end ---

    def _carry(self) -> None:
        """From the application to the client; of greenlets another carries what comes back."""
        try:
            first = self._head()
            if first is None:
                return
            self._stream.write(first)
            if self._stream.pumps:
                self._stream.pump(self._peer)
                return
            threading.Thread(target=self._carry_back, daemon=True).start()
            while data := self._peer.recv(PIECE):
                self._stream.write(data)
        except (OSError, ValueError):
            pass  # the client left, or the request is over
        finally:
            self._hang_up()

    def _carry_back(self) -> None:
        try:
            while data := self._stream.read(PIECE):
                self._peer.sendall(data)
        except (OSError, ValueError):
            pass
        self._hang_up(socket.SHUT_WR)

    def _hang_up(self, how: int = socket.SHUT_RDWR) -> None:
        try:
            self._peer.shutdown(how)
        except OSError:
            pass

    def _head(self) -> bytes | None:
        """Send the head that the application writes; what follows it, or None: there is none."""
        got = b""
        while b"\r\n\r\n" not in got:
            data = self._peer.recv(PIECE)
            if not data or len(got) > HEAD_MAX:
                return None
            got += data
        head, _, rest = got.partition(b"\r\n\r\n")
        try:
            self._stream.respond(*_parse(head))
            self._answered = True
        except Exception as error:
            self._error = error
            return None
        return rest

    # --- the application has returned ---

    def _finish(self) -> bool:
        """Whether it answered by this socket."""
        if self._own is None:
            return False
        try:
            self._own.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was closed, or the client left
        self._carrier.join()
        self._peer.close()
        if self._error:
            raise self._error
        return self._answered
