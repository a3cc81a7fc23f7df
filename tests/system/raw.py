"""HTTP by raw sockets: what is sent and received is seen byte by byte."""
from __future__ import annotations

import socket
from dataclasses import dataclass

PATIENCE = 30.0


@dataclass(frozen=True)
class Response:
    status: int
    head: str
    body: bytes
    whole: bool  # it ended as its framing says

    def field(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            if line.lower().startswith(name.lower() + ":"):
                return line.partition(":")[2].strip()
        return None


class Client:
    """One connection to ADDRESS: (host, port), or a path."""

    def __init__(self, address: tuple[str, int] | str, receive_buffer: int = 0) -> None:
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close in a way that the other side is told at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def get(self, path: str, *fields: str, version: str = "1.1", method: str = "GET") -> None:
        lines = [f"{method} {path} HTTP/{version}", "Host: test", *fields, "", ""]
        self.send("\r\n".join(lines))

    def end_input(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    # ---- what comes

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += piece
        return bool(piece)

    def until(self, mark: bytes) -> bytes:
        """Everything up to MARK, which is taken off, too."""
        self.wait_for(mark)
        taken, _, self.buffer = self.buffer.partition(mark)
        return taken

    def wait_for(self, mark: bytes) -> None:
        """MARK has come, and is left there."""
        while mark not in self.buffer:
            assert self._more(), f"the connection ended before {mark!r}; there was {self.buffer!r}"

    def _exactly(self, n: int) -> tuple[bytes, bool]:
        while len(self.buffer) < n:
            if not self._more():
                break
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken, len(taken) == n

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                if not self._more():
                    return body, False
            size = int(self.until(b"\r\n"), 16)
            piece, whole = self._exactly(size + 2)
            if not whole:
                return body + piece, False
            assert piece.endswith(b"\r\n")
            if size == 0:
                return body, True
            body += piece[:-2]

    def rest(self) -> bytes:
        """Everything until the connection ends."""
        while self._more():
            pass
        taken, self.buffer = self.buffer, b""
        return taken

    def is_closed(self) -> bool:
        """Wait for the other side to close; nothing more came."""
        return self.rest() == b""

    def head(self) -> str:
        return self.until(b"\r\n\r\n").decode("latin-1")

    def response(self, to: str = "GET") -> Response:
        head = self.head()
        status = int(head.split(" ")[1])
        answer = Response(status, head, b"", True)
        if to == "HEAD" or status in (204, 304) or status < 200:
            return answer
        if answer.field("Transfer-Encoding"):
            body, whole = self._chunks()
        elif (length := answer.field("Content-Length")) is not None:
            body, whole = self._exactly(int(length))
        else:
            body, whole = self.rest(), True
        return Response(status, head, body, whole)

    def ask(self, path: str, *fields: str, version: str = "1.1", method: str = "GET") -> Response:
        self.get(path, *fields, version=version, method=method)
        return self.response(method)
