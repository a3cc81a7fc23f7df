"""RFC 6455 and RFC 7692 to the letter, against an ASGI application that echoes.

The cases stand in the order of the Autobahn test suite, which needs Python 2: sections 1 to 7, 9
and 12. tests/unit/test_websocket.c has them byte by byte.
"""
from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import raw
from penstock import Penstock
from websocket import (
    BINARY, CLOSE, CONT, FIN, PING, PONG, RSV1, RSV2, RSV3, TEXT, Socket, closing, frame, joined,
)  # fmt: skip

APPS = Path(__file__).parent / "apps"
LIMIT = 20_000_000
Case = tuple[list[bytes], list[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    started = Penstock(tmp_path_factory.mktemp("penstock"), "sockets:app", "-k", "async",
                       "--websocket-max-message-size", str(LIMIT), cwd=APPS)  # fmt: skip
    try:
        yield started.wait_ready()
    finally:
        started.clean_up()


def socket_at(server: Penstock, *fields: str) -> Socket:
    return Socket(("127.0.0.1", server.port), "/plain", *fields)


BYE = closing(1000, "bye")
T = FIN | TEXT

ECHO = b""  # in what is sent: the answer is waited for
CASES: dict[str, Case] = {
    "1.1.1 empty text": ([frame(T), ECHO, BYE], ["text ", "close 1000"]),
    "1.1.2 text of 125": ([frame(T, b"*" * 125), ECHO, BYE], ["text " + "*" * 125, "close 1000"]),
    "1.1.3 text of 126": ([frame(T, b"*" * 126), ECHO, BYE], ["text " + "*" * 126, "close 1000"]),
    "1.2.1 empty binary": ([frame(FIN | BINARY), ECHO, BYE], ["binary ", "close 1000"]),
    "1.2.2 binary of 127": (
        [frame(FIN | BINARY, b"\xfe" * 127), ECHO, BYE], ["binary " + "\xfe" * 127, "close 1000"]),
    "2.1 empty ping": ([frame(FIN | PING), BYE], ["pong ", "close 1000"]),
    "2.2 ping with payload": ([frame(FIN | PING, b"hello"), BYE], ["pong hello", "close 1000"]),
    "2.3 ping with binary": ([frame(FIN | PING, b"\x00\xff"), BYE], ["pong \x00\xff", "close 1000"]),
    "2.4 ping of 125": ([frame(FIN | PING, b"\xfe" * 125), BYE], ["pong " + "\xfe" * 125, "close 1000"]),
    "2.5 ping of 126": ([frame(FIN | PING, b"\xfe" * 126)], ["close 1002"]),
    "2.7 unsolicited pong": ([frame(FIN | PONG), BYE], ["close 1000"]),
    "2.9 unsolicited pong, then ping": (
        [frame(FIN | PONG, b"x"), frame(FIN | PING, b"y"), BYE], ["pong y", "close 1000"]),
    "2.10 ten pings": (
        [*(frame(FIN | PING, b"%d" % n) for n in range(10)), BYE],
        [*(f"pong {n}" for n in range(10)), "close 1000"]),
    "3.1 RSV3": ([frame(T | RSV3, b"x")], ["close 1002"]),
    "3.2 RSV2 after a message": (
        [frame(T, b"x"), ECHO, frame(T | RSV2, b"y"), frame(FIN | PING)], ["text x", "close 1002"]),
    "3.4 RSV1 that was not agreed": ([frame(T | RSV1, b"x")], ["close 1002"]),
    "3.5 RSV1 of binary": ([frame(FIN | BINARY | RSV1, b"x")], ["close 1002"]),
    "3.6 RSV2 of a ping": ([frame(FIN | PING | RSV2)], ["close 1002"]),
    "3.7 all of a close": ([frame(FIN | CLOSE | RSV1 | RSV2 | RSV3)], ["close 1002"]),
    **{f"4.1 opcode {n}": ([frame(FIN | n, b"x")], ["close 1002"]) for n in (3, 4, 5, 6, 7)},
    **{f"4.2 opcode {n}": ([frame(FIN | n)], ["close 1002"]) for n in (11, 12, 13, 14, 15)},
    "5.1 ping in fragments": ([frame(PING, b"a"), frame(FIN | CONT, b"b")], ["close 1002"]),
    "5.2 pong in fragments": ([frame(PONG, b"a"), frame(FIN | CONT, b"b")], ["close 1002"]),
    "5.3 text in fragments": (
        [frame(TEXT, b"frag"), frame(FIN | CONT, b"ment"), ECHO, BYE], ["text fragment", "close 1000"]),
    "5.6 ping between fragments": (
        [frame(TEXT, b"frag"), frame(FIN | PING, b"p"), frame(FIN | CONT, b"ment"), ECHO, BYE],
        ["pong p", "text fragment", "close 1000"]),
    "5.9 continuation of nothing": ([frame(FIN | CONT, b"x"), frame(T, b"y")], ["close 1002"]),
    "5.12 continuation of nothing": ([frame(CONT, b"x"), frame(T, b"y")], ["close 1002"]),
    "5.15 continuation after the end": (
        [frame(TEXT, b"a"), frame(FIN | CONT, b"b"), ECHO, frame(CONT, b"c")], ["text ab", "close 1002"]),
    "5.18 text within a text": ([frame(TEXT, b"a"), frame(T, b"b")], ["close 1002"]),
    "5.19 pings between fragments": (
        [frame(TEXT, b"1"), frame(CONT, b"2"), frame(FIN | PING, b"p"), frame(CONT, b"3"),
         frame(FIN | PING, b"q"), frame(FIN | CONT, b"4"), ECHO, BYE],
        ["pong p", "pong q", "text 1234", "close 1000"]),
    "no mask": ([frame(T, b"x", masked=False)], ["close 1002"]),
    "length in too long a form": ([bytes([T, 0xFE, 0, 5, 0, 0, 0, 0]) + b"hello"], ["close 1002"]),
    "7.1.1 close after a message": ([frame(T, b"x"), ECHO, BYE], ["text x", "close 1000"]),
    "7.1.2 two closes": ([BYE, BYE], ["close 1000"]),
    "7.1.3 ping after the close": ([BYE, frame(FIN | PING)], ["close 1000"]),
    "7.1.4 text after the close": ([BYE, frame(T, b"x")], ["close 1000"]),
    "7.1.5 close within a message": ([frame(TEXT, b"x"), BYE, frame(FIN | CONT)], ["close 1000"]),
    "7.3.1 empty close": ([frame(FIN | CLOSE)], ["close 1005"]),
    "7.3.2 close of one byte": ([frame(FIN | CLOSE, b"\x03")], ["close 1002"]),
    "7.3.5 reason of 123": ([closing(1000, b"*" * 123)], ["close 1000"]),
    "7.3.6 reason of 124": ([closing(1000, b"*" * 124)], ["close 1002"]),
    "7.5.1 reason is not UTF-8": ([closing(1000, b"\xce\xba\xed\xa0\x80")], ["close 1007"]),
    **{f"7.7 code {code}": ([closing(code)], [f"close {code}"])
       for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)},
    **{f"7.9 code {code}": ([closing(code)], ["close 1002"])
       for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)},
}  # fmt: skip


def together(sent: list[bytes]) -> list[bytes]:
    """Frames in one piece, up to where an echo is waited for."""
    parts = [b""]
    for piece in sent:
        if piece == ECHO:
            parts += [ECHO, b""]
        else:
            parts[-1] += piece
    return parts


@pytest.mark.parametrize("name", CASES)
def test_frames(server: Penstock, name: str) -> None:
    sent, told = CASES[name]
    for step in (100_000, 1):
        with socket_at(server) as socket:
            heard = []
            for part in together(sent):
                if part == ECHO:
                    heard += socket.words()
                for at in range(0, len(part), step):
                    try:
                        socket.send(part[at : at + step])
                    except (BrokenPipeError, ConnectionResetError):
                        break
            assert heard + socket.story() == told


VALID = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\ud7ff\ue000\ufffd", "\U0010ffff", "\0", "\x7f\x80",
         "\u07ff\u0800\uffff\U00010000", "\ufeff", "\ufffe", "\U0001fffe", "\U0001f600" * 100]  # fmt: skip
INVALID = [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", b"\x80", b"\xbf",
           b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80",
           b"\xed\xbf\xbf", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
           b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff", b"\xc3", b"\xe2\x82",
           b"\xf0\x90\x80", b"ok\xe2\x28\xa1", b"\xed\xa1\x80\xed\xb1\xbf"]  # fmt: skip


@pytest.mark.parametrize("text", VALID, ids=ascii)
def test_6_text(server: Penstock, text: str) -> None:
    data = text.encode()
    with socket_at(server) as socket:
        assert socket.ask(text) == text
        # A character may be cut anywhere.
        socket.send(frame(TEXT, data[:1]))
        for byte in data[1:]:
            socket.send(frame(CONT, bytes([byte])))
        socket.send(frame(FIN | CONT))
        assert socket.message() == text


@pytest.mark.parametrize("data", INVALID, ids=repr)
def test_6_what_is_no_text(server: Penstock, data: bytes) -> None:
    for frames in ([frame(T, data)], [frame(TEXT, b"ok"), frame(FIN | CONT, data)]):
        with socket_at(server) as socket:
            socket.send(joined(frames))
            assert socket.story() == ["close 1007"]


def test_6_4_what_is_no_text_is_known_at_once(server: Penstock) -> None:
    """Before the message, or even the frame, has ended."""
    with socket_at(server) as socket:
        socket.send(frame(TEXT, b"ab\xf4\x90", length=1000))
        assert socket.story() == ["close 1007"]


@pytest.mark.parametrize("size", [65535, 65536, 262144, 1048576, 4194304, 16777216])
def test_9_large_messages(server: Penstock, size: int) -> None:
    text, data = "*" * size, os.urandom(size)
    with socket_at(server) as socket:
        assert socket.ask(text) == text
        socket.send_bytes(data)
        assert socket.message() == data


@pytest.mark.parametrize("piece", [64, 256, 4096, 65536, 1048576])
def test_9_many_fragments(server: Penstock, piece: int) -> None:
    data = os.urandom(4194304)
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    frames = [frame(CONT if n else BINARY, part) for n, part in enumerate(pieces)]
    with socket_at(server) as socket:
        socket.send(joined(frames) + frame(FIN | CONT))
        assert socket.message() == data


@pytest.mark.parametrize("chop", [1, 7, 1000])
def test_9_chopped(server: Penstock, chop: int) -> None:
    """Frames that come in small pieces."""
    data = os.urandom(min(chop * 3000, 300_000))
    wire = frame(FIN | BINARY, data)
    with socket_at(server) as socket:
        for at in range(0, len(wire), chop):
            socket.send(wire[at : at + chop])
        assert socket.message() == data


def test_9_many_messages(server: Penstock) -> None:
    for size in (0, 16, 1024):
        with socket_at(server) as socket:
            for first in range(0, 1000, 250):
                socket.send(joined(frame(T, b"*" * size) for _ in range(250)))
                for _ in range(250):
                    assert socket.message() == "*" * size, first


def test_too_large(server: Penstock) -> None:
    with socket_at(server) as socket:
        socket.send(frame(FIN | BINARY, b"", length=LIMIT + 1) + b"x")
        assert socket.story() == ["close 1009"]
    with socket_at(server) as socket:
        socket.send(frame(BINARY, b"x" * (LIMIT // 2)))
        socket.send(frame(CONT, b"x" * 100, length=LIMIT // 2 + 1))
        assert socket.story() == ["close 1009"]


def test_too_many_fragments(server: Penstock) -> None:
    with socket_at(server) as socket:
        empty = frame(CONT)
        socket.send(frame(TEXT) + empty * 200_000)
        assert socket.story() == ["close 1009"]


# ---- compression

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


def pack(data: bytes, bits: int = 12) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


def unpacked(socket: Socket) -> tuple[bytes, bool]:
    """The next message, and whether it was compressed."""
    parts, packed = [], None
    while True:
        found = socket.frame()
        assert found
        packed = bool(found.first & RSV1) if packed is None else packed
        parts.append(found.payload)
        if found.first & FIN:
            break
    data = b"".join(parts)
    return (zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff") if packed else data), packed


@pytest.mark.parametrize("size", [0, 1, 16, 255, 256, 1000, 65536, 131072, 4194304])
def test_12_compressed_messages(server: Penstock, size: int) -> None:
    texts = b"".join(b"%d bottles of beer, " % n for n in range(size // 8 + 1))[:size]
    with socket_at(server, OFFER) as socket:
        assert socket.answer.field("Sec-WebSocket-Extensions") == (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "client_max_window_bits=12")  # fmt: skip
        for _ in range(3):
            socket.send(frame(T | RSV1, pack(texts)))
            data, packed = unpacked(socket)
            assert (data, packed) == (texts, size >= 256)
        # Not all need to be, and what cannot be compressed may be sent so, too.
        noise = os.urandom(size)
        wire = pack(noise)
        parts = [wire[at : at + 5000] for at in range(0, len(wire), 5000)]
        socket.send(joined(frame(CONT if n else BINARY | RSV1, part) for n, part in enumerate(parts)))
        socket.send(frame(FIN | CONT))
        assert unpacked(socket)[0] == noise
        socket.send(frame(T, texts))
        assert unpacked(socket)[0] == texts


def test_12_faults(server: Penstock) -> None:
    for wire, code in (
        (frame(T | RSV1, b"\xff\xff\xff"), 1007),
        (frame(T | RSV1, pack(b"\xff")), 1007),
        (frame(TEXT | RSV1, pack(b"a" * 1000)[:3]) + frame(CONT | RSV1, b"x"), 1002),
        (frame(FIN | PING | RSV1), 1002),
        (frame(T | RSV1, pack(b"\0" * (LIMIT + 1))), 1009),
    ):
        with socket_at(server, OFFER) as socket:
            socket.send(wire)
            assert socket.story()[-1] == f"close {code}"


def test_it_can_be_switched_off(penstock) -> None:
    server = penstock("sockets:app", "-k", "async", "--websocket-deflate", "off", cwd=APPS)
    with socket_at(server, OFFER) as socket:
        assert socket.answer.field("Sec-WebSocket-Extensions") is None
        socket.send(frame(T | RSV1, pack(b"x")))
        assert socket.story() == ["close 1002"]


# ---- the handshake

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
V13 = "Sec-WebSocket-Version: 13"
ASK = ("Connection: keep-alive, Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((*ASK, KEY, V13), 101),
        ((*ASK, KEY), 426),
        ((*ASK, KEY, "Sec-WebSocket-Version: 8"), 426),
        ((*ASK, V13), 400),
        ((*ASK, V13, "Sec-WebSocket-Key: short"), 400),
        ((*ASK, KEY, KEY, V13), 400),
        ((*ASK, KEY, V13, "Sec-WebSocket-Extensions: ;"), 400),
        ((*ASK, KEY, V13, "Content-Length: 3"), 400),
        # These ask for nothing.
        (("Upgrade: websocket", KEY, V13), 200),
        (("Connection: upgrade", "Upgrade: h2c", KEY, V13), 200),
    ],
)
def test_handshake(server: Penstock, fields: tuple[str, ...], status: int) -> None:
    with raw.Client(("127.0.0.1", server.port)) as client:
        client.get("/", *fields)
        head = client.head()
        answer = raw.Response(int(head.split(" ")[1]), head, b"", True)
        assert answer.status == status
        if status == 101:
            assert answer.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert (answer.field("Connection") or "").lower() == "upgrade"
        if status == 426:
            assert answer.field("Sec-WebSocket-Version") == "13"
            assert answer.field("Upgrade") == "websocket"


def test_handshake_methods_and_versions(server: Penstock) -> None:
    with raw.Client(("127.0.0.1", server.port)) as client:
        assert client.ask("/", *ASK, KEY, V13, method="PUT").status == 400
    with raw.Client(("127.0.0.1", server.port)) as client:
        assert client.ask("/", *ASK, KEY, V13, version="1.0").status == 200


def test_what_is_sent_ahead_is_heard(server: Penstock) -> None:
    """A client that does not wait for the answer."""
    with raw.Client(("127.0.0.1", server.port)) as client:
        client.get("/", *ASK, KEY, V13)
        client.send(frame(T, b"early") * 3)
        assert " 101 " in client.head()
        echoes = b"\x81\x05early" * 3
        assert client.until(echoes) == b""
        client.send(BYE)
        assert client.rest() == b"\x88\x02\x03\xe8"
