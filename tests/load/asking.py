"""One request over one connection: it is answered byte for byte as it must be, or it failed."""
from __future__ import annotations

import asyncio
import hashlib
import random
import select
from dataclasses import dataclass

from content import body_of

PATIENCE = 60.0  # seconds for an answer


@dataclass(frozen=True)
class Request:
    number: int
    kind: str  # quick, page, stream, upload, slow, hang
    ms: int  # that the application takes
    size: int  # of the answer, or of what is uploaded
    rest: float = 0.0  # seconds in the middle of an upload
    prefix: str = ""  # of the path

    def expected(self) -> bytes:
        if self.kind != "upload":
            return body_of(self.number, self.size)
        digest = hashlib.sha256(body_of(self.number, self.size)).hexdigest()
        return f"{self.number} {digest}\n".encode()

    def head(self) -> bytes:
        method = "POST" if self.kind == "upload" else "GET"
        length = f"Content-Length: {self.size}\r\n" if self.kind == "upload" else ""
        return (
            f"{method} {self.prefix}/{self.kind}/{self.number}?ms={self.ms}&bytes={self.size} "
            f"HTTP/1.1\r\nHost: load\r\n{length}\r\n"
        ).encode()


def draw(kind: str, number: int, random: random.Random, prefix: str = "") -> Request:
    """A request of KIND; what differs from one to the next is drawn from RANDOM."""
    match kind:
        case "quick":
            ms, size, rest = random.randint(0, 3), random.randint(1, 2000), 0.0
        case "page":
            ms, size, rest = random.randint(1, 8), random.randint(20_000, 90_000), 0.0
        case "stream":
            ms, size, rest = random.randint(8, 24), random.randint(100_000, 400_000), 0.0
        case "upload":
            ms, size, rest = 2, random.randint(50_000, 300_000), random.uniform(0.1, 0.8)
        case "slow":
            ms, size, rest = random.randint(300, 700), 500, 0.0
        case "hang":
            ms, size, rest = 3_600_000, 1, 0.0
        case _:
            raise ValueError(kind)
    return Request(number, kind, ms, size, rest, prefix)


class Failure(Exception):
    """KIND is one column of the table: reset, truncated, silent, wrong, or a status."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass
class Answer:
    version: str
    script: str  # SCRIPT_NAME
    keeps: bool  # the connection may be used again


class Connection:
    """A keep-alive connection of one client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    @property
    def closed(self) -> bool:
        """The server has said that it takes no more; a look that every good client takes before
        it uses a connection again."""
        if self._reader.at_eof() or self._reader.exception() is not None:
            return True
        look = select.poll()
        look.register(self._writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(look.poll(0))

    def close(self, reset: bool = False) -> None:
        if reset:
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def send(self, request: Request) -> None:
        """All of the request; uploads rest half done."""
        self._writer.write(request.head())
        if request.kind == "upload":
            body = body_of(request.number, request.size)
            self._writer.write(body[: len(body) // 2])
            await self._writer.drain()
            await asyncio.sleep(request.rest)
            self._writer.write(body[len(body) // 2 :])
        await self._writer.drain()

    async def ask(self, request: Request) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ask(request)
        except TimeoutError:
            raise Failure("silent", f"no answer within {PATIENCE:g} s") from None

    async def _ask(self, request: Request) -> Answer:
        broken: OSError | None = None
        try:
            await self.send(request)
        except OSError as error:  # it may have been answered nevertheless
            broken = error
        try:
            status, fields = await self._head()
            while status < 200:
                status, fields = await self._head()
        except (OSError, EOFError) as error:
            raise Failure("reset", f"no answer: {broken or error!r}") from None
        try:
            body = await self._body(fields)
        except (OSError, EOFError, ValueError) as error:
            raise Failure("truncated", f"in the answer: {error!r}") from None
        if status != 200:
            raise Failure(str(status), body[:80].decode(errors="replace").strip())
        if body != request.expected():
            raise Failure("wrong", f"{body[:60]!r}... instead of {request.expected()[:60]!r}...")
        keeps = fields.get("connection", "").lower() != "close"
        return Answer(fields.get("x-version", ""), fields.get("x-script", ""), keeps)

    async def _head(self) -> tuple[int, dict[str, str]]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return int(first.split(" ", 2)[1]), {n.lower(): v.strip() for n, v in pairs}

    async def _body(self, fields: dict[str, str]) -> bytes:
        if "content-length" in fields:
            return await self._reader.readexactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") != "chunked":
            return await self._reader.read()
        body = bytearray()
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return bytes(body)
