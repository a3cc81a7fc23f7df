"""WebSockets by raw sockets: what a client sends is made frame by frame, right or wrong."""
from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from raw import Client, Response

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(first: int, payload: bytes = b"", *, masked: bool = True, length: int | None = None) -> bytes:
    """A frame whose first byte is FIRST; LENGTH, if it is to lie about that of PAYLOAD."""
    n = len(payload) if length is None else length
    head = bytes([first, (0x80 if masked else 0) | (n if n < 126 else 126 if n < 65536 else 127)])
    if n >= 126:
        head += struct.pack(">H" if n < 65536 else ">Q", n)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    long = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    body = (int.from_bytes(payload, "big") ^ long).to_bytes(len(payload), "big")
    return head + mask + body


def closing(code: int, reason: str | bytes = b"") -> bytes:
    text = reason.encode() if isinstance(reason, str) else reason
    return frame(FIN | CLOSE, struct.pack(">H", code) + text)


@dataclass(frozen=True)
class Frame:
    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        return self.first & 15

    @property
    def code(self) -> int:
        """Of a close: 1005 when it has none, as the standard calls it."""
        return struct.unpack(">H", self.payload[:2])[0] if self.payload else 1005


class Socket(Client):
    """A WebSocket at PATH, opened with FIELDS; `answer` is what the server said."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        path: str = "/",
        *fields: str,
        receive_buffer: int = 0,
    ) -> None:
        super().__init__(address, receive_buffer)
        self.key = base64.b64encode(os.urandom(16)).decode()
        self.get(path, "Connection: Upgrade", "Upgrade: websocket",
                 f"Sec-WebSocket-Key: {self.key}", "Sec-WebSocket-Version: 13",
                 *fields)  # fmt: skip
        head = self.head()
        self.answer = Response(int(head.split(" ")[1]), head, b"", True)
        assert self.answer.status == 101, head
        digest = hashlib.sha1(self.key.encode() + _GUID).digest()
        assert self.answer.field("Sec-WebSocket-Accept") == base64.b64encode(digest).decode()
        assert (self.answer.field("Upgrade") or "").lower() == "websocket"

    def send_text(self, text: str) -> None:
        self.send(frame(FIN | TEXT, text.encode()))

    def send_bytes(self, data: bytes) -> None:
        self.send(frame(FIN | BINARY, data))

    def frame(self) -> Frame | None:
        """The next frame; None at the end of the connection."""
        head, whole = self._exactly(2)
        if not whole:
            assert head == b""
            return None
        assert not head[1] & 0x80, "a server does not mask"
        n = head[1]
        if n > 125:
            more, _ = self._exactly(2 if n == 126 else 8)
            n = int.from_bytes(more, "big")
        payload, whole = self._exactly(n)
        assert whole
        return Frame(head[0], payload)

    def message(self) -> str | bytes:
        """The next message, uncompressed; pings are answered, whatever lies between is an error."""
        text, parts = None, []
        while True:
            found = self.frame()
            assert found, "the connection ended"
            if found.opcode == PING:
                self.send(frame(FIN | PONG, found.payload))
                continue
            assert found.opcode in ((TEXT, BINARY) if text is None else (CONT,)), found
            text = found.opcode == TEXT if text is None else text
            parts.append(found.payload)
            if found.first & FIN:
                data = b"".join(parts)
                return data.decode() if text else data

    def message_between(self, unsent: bytes) -> str | bytes:
        """The next message, after the rest of a frame that could not be sent."""
        if unsent:
            self.send(unsent)
        return self.message()

    def ask(self, text: str) -> str | bytes:  # type: ignore[override]
        self.send_text(text)
        return self.message()

    def closed(self) -> tuple[int, str]:
        """Code and reason of the server's close, which comes next and is answered; it closes."""
        found = self.frame()
        assert found and found.opcode == CLOSE, found
        self.send(frame(FIN | CLOSE, found.payload[:2]))
        assert self.frame() is None
        return found.code, found.payload[2:].decode()

    def words(self) -> list[str]:
        """What comes up to and with the next message, in words."""
        told = []
        while not told or not told[-1].startswith(("text", "binary")):
            found = self.frame()
            assert found, told
            told.append(_word(found))
        return told

    def story(self) -> list[str]:
        """What comes until the connection ends, in words."""
        told = []
        while found := self.frame():
            told.append(_word(found))
        return told


def _word(found: Frame) -> str:
    kinds = {TEXT: "text", BINARY: "binary", CONT: "more", PING: "ping", PONG: "pong"}
    if found.opcode == CLOSE:
        return f"close {found.code}"
    return f"{kinds[found.opcode]} {found.payload.decode('latin-1')}"


def check_room(address: tuple[str, int], path: str) -> None:
    """What is said at PATH comes to everybody there, and that somebody left, with the close code."""
    with Socket(address, path) as anna, Socket(address, path) as bert:
        with Socket(address, path) as cleo:
            for speaker in (anna, cleo):
                for number in range(20):
                    speaker.send_text(f"{number} \xfc")
                for listener in (anna, bert, cleo):
                    assert [listener.message() for _ in range(20)] == [f"{n} \xfc" for n in range(20)]
            cleo.send(closing(3005))
            assert cleo.closed()[0] == 3005
        assert [anna.message(), bert.message()] == ["left 3005"] * 2
        assert anna.ask("last") == bert.message() == "last"


def joined(frames: Iterable[bytes]) -> bytes:
    return b"".join(frames)
