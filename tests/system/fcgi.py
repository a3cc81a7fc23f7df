"""A FastCGI client for tests: it sends and shows every record, right or wrong."""
from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)
CREDIT, MESSAGE, CLOSE, TRAILERS, FILE, USAGE, DRAIN, MEMORY, SHARED = range(64, 73)
KEEP_CONN, EXTENDED = 1, 0x80


def record(kind: int, request_id: int, content: bytes = b"", padding: int = 0) -> bytes:
    header = struct.pack(">BBHHBx", 1, kind, request_id, len(content), padding)
    return header + content + bytes(padding)


def stream(kind: int, request_id: int, content: bytes, size: int = 65535) -> bytes:
    """CONTENT in records, and the empty one that ends the stream."""
    pieces = (content[at : at + size] for at in range(0, len(content), size))
    return b"".join(record(kind, request_id, piece) for piece in pieces) + record(kind, request_id)


def pairs(values: Mapping[bytes, bytes]) -> bytes:
    def length(n: int) -> bytes:
        return bytes([n]) if n < 128 else struct.pack(">I", n | 0x80000000)

    return b"".join(
        length(len(name)) + length(len(value)) + name + value for name, value in values.items()
    )


def begin(
    request_id: int = 1, role: int = RESPONDER, keep: bool = True, extended: bool = False
) -> bytes:
    flags = KEEP_CONN * keep | EXTENDED * extended
    return record(BEGIN_REQUEST, request_id, struct.pack(">HB5x", role, flags))


def head(
    path: str,
    *,
    query: str = "",
    keep: bool = True,
    extended: bool = False,
    request_id: int = 1,
    **params: str,
) -> bytes:
    """BEGIN_REQUEST and PARAMS of a request for PATH; those of PARAMS come first, as a ticket has
    to."""
    usual = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
    values = params | (usual | params)
    encoded = pairs({name.encode(): value.encode() for name, value in values.items()})
    return begin(request_id, keep=keep, extended=extended) + stream(PARAMS, request_id, encoded)


def request(
    path: str, *, body: bytes = b"", query: str = "", keep: bool = True, extended: bool = False
) -> bytes:
    return head(path, query=query, keep=keep, extended=extended) + stream(STDIN, 1, body)


@dataclass
class Response:
    """What came for one request; app_status is None when the connection closed instead."""

    stdout: bytes = b""
    stderr: bytes = b""
    app_status: int | None = None
    protocol_status: int | None = None
    records: list[int] = field(default_factory=list)
    usage: tuple[int, int, int] | None = None
    trailers: bytes = b""
    files: list[bytes] = field(default_factory=list)
    shared: int = 0  # bytes of stdout that came by shared memory

    @property
    def status(self) -> str:
        return self.head.splitlines()[0].removeprefix("Status: ")

    @property
    def head(self) -> str:
        return self.stdout.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def body(self) -> bytes:
        return self.stdout.partition(b"\r\n\r\n")[2]


class Connection:
    def __init__(self, where: str | tuple[str, int] | socket.socket) -> None:
        """To a listening socket; or one that is connected already."""
        self.descriptors: list[int] = []
        self.takes_memory = True
        self.memory: mmap.mmap | None = None
        if isinstance(where, socket.socket):
            self.socket = where
            return
        self.socket = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.socket.connect(where)  # a timeout would make it fail when the backlog is full
        self.socket.settimeout(60)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        for descriptor in self.descriptors:
            os.close(descriptor)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _exactly(self, n: int) -> bytes:
        got = bytearray()
        while len(got) < n:
            piece, descriptors, _, _ = socket.recv_fds(self.socket, n - len(got), 8)
            self.descriptors += descriptors
            if not piece:
                raise EOFError
            got += piece
        return bytes(got)

    def record(self) -> tuple[int, int, bytes]:
        """The next record: its type, request id and content."""
        _, kind, request_id, length, padding = struct.unpack(">BBHHBx", self._exactly(8))
        content = self._exactly(length)
        self._exactly(padding)
        return kind, request_id, content

    def records(self) -> Iterator[tuple[int, int, bytes]]:
        """All records until the connection closes."""
        while True:
            try:
                yield self.record()
            except (EOFError, ConnectionResetError):
                return

    def response(self) -> Response:
        """Everything up to END_REQUEST, or to the connection's end."""
        response = Response()
        for kind, _, content in self.records():
            response.records.append(kind)
            if kind == STDOUT:
                response.stdout += content
            elif kind == STDERR:
                response.stderr += content
            elif kind == TRAILERS:
                response.trailers += content
            elif kind == FILE:
                response.files.append(self.read_file(content))
            elif kind == MEMORY:
                self.map_memory(content)
            elif kind == SHARED:
                response.stdout += (piece := self.read_shared(content))
                response.shared += len(piece)
            elif kind == USAGE:
                response.usage = struct.unpack(">QQQ", content)
            elif kind == END_REQUEST:
                response.app_status, response.protocol_status = struct.unpack(">IB3x", content)
                break
        return response

    def read_file(self, content: bytes) -> bytes:
        """What a FILE record stands for."""
        stream, kind, offset, length = struct.unpack(">BB6xQQ", content)
        assert (stream, kind) == (STDOUT, 1)
        descriptor = self.descriptors.pop(0)
        got = os.pread(descriptor, length, offset)
        os.close(descriptor)
        return got

    def map_memory(self, content: bytes) -> None:
        descriptor = self.descriptors.pop(0)
        (size,) = struct.unpack(">I4x", content)
        if self.takes_memory:
            self.memory = mmap.mmap(descriptor, size)
        os.close(descriptor)
        self.send(record(MEMORY, 0, struct.pack(">I4x", size if self.takes_memory else 0)))

    def read_shared(self, content: bytes) -> bytes:
        """What a SHARED record stands for, which is given back at once."""
        assert self.memory
        offset, length, mark = struct.unpack(">IIQ", content)
        piece = self.memory[offset : offset + length]
        self.memory[:8] = struct.pack("=Q", mark)
        return piece

    def ask(self, path: str, **kwargs: object) -> Response:
        self.send(request(path, **kwargs))  # type: ignore[arg-type]
        return self.response()

    def values(self, *names: bytes) -> dict[bytes, bytes]:
        self.send(record(GET_VALUES, 0, pairs({name: b"" for name in names})))
        kind, request_id, content = self.record()
        assert (kind, request_id) == (GET_VALUES_RESULT, 0)
        result = {}
        while content:
            name_len, value_len = content[0], content[1]  # short ones only
            name, content = content[2 : 2 + name_len], content[2 + name_len :]
            result[name], content = content[:value_len], content[value_len:]
        return result

    def is_closed(self) -> bool:
        """Wait for the other side to close."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
