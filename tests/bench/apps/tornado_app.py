"""The applications of the scenarios for Tornado."""
from __future__ import annotations

import asyncio

from tornado.web import Application, RequestHandler

BODY = b"Hello, World!"


class Hello(RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "text/plain")
        self.write(BODY)


class Io(Hello):
    async def get(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0.01)
        super().get()


hello = Application([("/", Hello)])
io = Application([("/", Io)])
