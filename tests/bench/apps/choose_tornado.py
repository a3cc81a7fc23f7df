"""The twin of choose_flask.py for Tornado."""
from __future__ import annotations

import asyncio
import hashlib

from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler, stream_request_body

from choose_work import CHUNK, CHUNKS, SHORT, WAIT, block, compute

visits = 0


class Text(RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain")

    def compute_etag(self) -> None:
        """None: the others compute none, either."""


class Index(Text):
    def get(self) -> None:
        self.write("ready")


class Cpu(Text):
    def get(self) -> None:
        self.write(f"{compute()}")


class Wait(Text):
    async def get(self) -> None:
        await asyncio.sleep(WAIT)
        self.write("waited")


class Half(Text):
    async def get(self) -> None:
        n = compute()
        await asyncio.sleep(SHORT)
        self.write(f"{n}, and waited")


class File(Text):
    async def get(self) -> None:
        await IOLoop.current().run_in_executor(None, block)
        self.write("blocked")


class Stream(Text):
    async def get(self) -> None:
        for _ in range(CHUNKS):
            self.write(CHUNK)
            await self.flush()


@stream_request_body
class Upload(Text):
    def prepare(self) -> None:
        self.digest, self.size = hashlib.sha256(), 0

    def data_received(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.size += len(piece)

    def post(self) -> None:
        self.write(f"{self.size} {self.digest.hexdigest()}")


class Visit(Text):
    async def get(self) -> None:
        global visits
        n = visits
        await asyncio.sleep(0.001)
        visits = n + 1
        self.write(f"{visits}")


app = Application([("/", Index), ("/cpu", Cpu), ("/wait", Wait), ("/half", Half), ("/file", File),
                   ("/stream", Stream), ("/upload", Upload), ("/visit", Visit)])
