"""An application of Tornado that does what the tests of it ask for."""
from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import tornado
from tornado import ioloop, iostream, web, websocket

told: list[Any] = []  # what handlers have seen of their end
ticks = 0


def tick() -> None:
    global ticks
    ticks += 1


clock = ioloop.PeriodicCallback(tick, 10)  # begun at import, as many applications do
clock.start()


class Hello(web.RequestHandler):
    def get(self) -> None:
        self.write("hello")


class Facts(web.RequestHandler):
    def get(self) -> None:
        request = self.request
        self.write(
            {
                "method": request.method,
                "uri": request.uri,
                "path": request.path,
                "version": request.version,
                "remote_ip": request.remote_ip,
                "protocol": request.protocol,
                "host": request.host,
                "full_url": request.full_url(),
                "arguments": {name: self.get_arguments(name) for name in request.arguments},
                "headers": list(request.headers.get_all()),
                "tornado": tornado.version,
                "pid": os.getpid(),
            }
        )


class Ticks(web.RequestHandler):
    async def get(self) -> None:
        here = ioloop.IOLoop.current()
        size = await here.run_in_executor(None, lambda: len(os.listdir("/")))
        self.write({"ticks": ticks, "size": size, "same": here is clock.io_loop})


class Sleep(web.RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(0.01)
        self.write("slept")


class Form(web.RequestHandler):
    def get(self) -> None:
        self.write(self.xsrf_form_html())

    def post(self) -> None:
        names = {name: len(files[0].body) for name, files in self.request.files.items()}
        self.write({"name": self.get_body_argument("name", ""), "files": names})


class Body(web.RequestHandler):
    """A body of any size that is gathered."""

    def check_xsrf_cookie(self) -> None:
        pass

    async def post(self) -> None:
        await asyncio.sleep(0)
        self.write(str(len(self.request.body)))


@web.stream_request_body
class Upload(web.RequestHandler):
    """A body that is handled as it comes, more slowly than it does."""

    def check_xsrf_cookie(self) -> None:
        pass

    async def prepare(self) -> None:
        await asyncio.sleep(0)
        if self.get_query_argument("refuse", ""):
            raise web.HTTPError(413)
        self.size = self.pieces = self.at_once = 0
        self.request.connection.set_max_body_size(10**12)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        self.at_once += 1
        assert self.at_once == 1
        await asyncio.sleep(0)
        self.size += len(chunk)
        self.pieces += 1
        self.at_once -= 1
        if self.get_query_argument("tell", ""):
            told.append("begun")
        if self.get_query_argument("fail", ""):
            raise RuntimeError("no more of it")

    async def post(self) -> None:
        await asyncio.sleep(0)
        self.write({"size": self.size, "streamed": self.pieces > 1})

    def on_connection_close(self) -> None:
        super().on_connection_close()
        told.append(["upload closed", self.size > 0])


class Stream(web.RequestHandler):
    """COUNT pieces of SIZE, each flushed."""

    async def get(self) -> None:
        for number in range(int(self.get_argument("count", "3"))):
            self.write(bytes([97 + number % 26]) * int(self.get_argument("size", "5")))
            await self.flush()
            if self.get_argument("fail", ""):
                raise RuntimeError("in the middle of it")


class Gate(web.RequestHandler):
    """What was written is with the client before the rest is."""

    event = asyncio.Event()

    async def get(self) -> None:
        self.write("first")
        await self.flush()
        await self.event.wait()
        self.event.clear()
        self.write("second")

    def put(self) -> None:
        self.event.set()

    def check_xsrf_cookie(self) -> None:
        pass


class Forever(web.RequestHandler):
    async def get(self) -> None:
        if self.get_argument("begin", ""):
            self.write("begun")
            await self.flush()
        try:
            await asyncio.sleep(10**6)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    def on_connection_close(self) -> None:
        told.append("closed")


class Flood(web.RequestHandler):
    """It writes until the client has left."""

    async def get(self) -> None:
        try:
            while True:
                self.write(b"x" * 65536)
                await self.flush()
        except iostream.StreamClosedError:
            told.append("flood over")


class Told(web.RequestHandler):
    def get(self) -> None:
        self.write(json.dumps(told))

    def delete(self) -> None:
        told.clear()

    def check_xsrf_cookie(self) -> None:
        pass


class Fail(web.RequestHandler):
    def get(self) -> None:
        raise RuntimeError("as it was told to")


class Wrong(web.RequestHandler):
    """A field that cannot be sent."""

    def get(self) -> None:
        self._headers._as_list["X-Wrong"] = ["a\nb"]
        if "_dict" in vars(self._headers):
            self._headers._dict["X-Wrong"] = "a\nb"


class ErrorPage(web.RequestHandler):
    """An error whose page is flushed piece by piece."""

    def get(self) -> None:
        raise web.HTTPError(418)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.write("tea")
        self.flush()
        self.finish("pot")


class Short(web.RequestHandler):
    """Less than its Content-Length, or more."""

    def get(self) -> None:
        self.set_header("Content-Length", self.get_argument("length"))
        self.write("12345")


class Cookies(web.RequestHandler):
    def get(self) -> None:
        count = int(self.get_secure_cookie("count") or 0) + 1
        self.set_secure_cookie("count", str(count))
        self.set_cookie("plain", "a")
        self.write(str(count))


class Wait(web.RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(float(self.get_argument("seconds")))
        self.write(str(os.getpid()))


class Exit(web.RequestHandler):
    def get(self) -> None:
        os._exit(3)


class Echo(websocket.WebSocketHandler):
    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return "b" if "b" in subprotocols else None

    async def open(self, *args: str, **kwargs: str) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        told.append(["open", self.selected_subprotocol])

    async def on_message(self, message: str | bytes) -> None:
        if message == "raise":
            raise RuntimeError("as the message said")
        if message == "close":
            self.close(4002, "enough")
        elif message == "ping":
            self.ping(b"data")
        elif message == "dict":
            await self.write_message({"a": 1})
        else:
            await self.write_message(message, binary=isinstance(message, bytes))

    def on_pong(self, data: bytes) -> None:
        self.write_message(b"pong " + data, binary=True)

    def on_close(self) -> None:
        told.append(["close", self.close_code, self.close_reason])

    def check_origin(self, origin: str) -> bool:
        return origin == "http://friend.example"


class Small(Echo):
    @property
    def max_message_size(self) -> int:
        return 10


class Deny(websocket.WebSocketHandler):
    def prepare(self) -> None:
        self.set_status(401)
        self.finish("who are you?")


def make_app(**settings: Any) -> web.Application:
    return web.Application(
        [
            (f"/{handler.__name__.lower()}", handler)
            for handler in (
                Hello, Facts, Ticks, Sleep, Form, Body, Upload, Stream, Gate, Forever, Flood, Told,
                Fail, Short, Wrong, ErrorPage, Cookies, Wait, Exit, Echo, Small, Deny,
            )
        ],
        xsrf_cookies=True,
        cookie_secret="not one",
        static_path=str(Path(__file__).parent),
        **settings,
    )  # fmt: skip


app = make_app()
