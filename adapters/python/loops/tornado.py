"""An HTTP server to applications of Tornado, on asyncio's loop.

Tornado's own server parses a socket, and calls the application with what it has read. Here the
gateway has done that: `Server.begin()` calls the application with the request of an exchange (the
host's functions for it, in C), and `Connection` is what it answers on.
"""
from __future__ import annotations

import asyncio
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from . import Unusable
from . import asyncio as loops

try:
    from tornado import httputil, web
    from tornado.iostream import StreamClosedError
    from tornado.log import gen_log
except ImportError as error:
    raise Unusable(
        "-k tornado needs the package tornado in the application's environment: install it there "
        f"({error}; {sys.executable})"
    ) from None

from .tornado_websocket import Socket, install

MAX_BODY = 100 * 1024 * 1024  # as Tornado's own server has it

Send = Callable[[Any], bool]  # False: it is to be called again when the client's side is ready


def make(_name: str, host: Any) -> loops.Loop:
    return loops.make("asyncio", host)


class Server:
    """What serves APP on the loop of GLUE."""

    def __init__(self, app: httputil.HTTPServerConnectionDelegate, glue: loops.Loop) -> None:
        self.app = app
        self.loop = glue.loop
        self.sockets: set[Socket] = set()  # that are open
        self.draining = False
        self.done = self.loop.create_future()  # what need not be waited for
        self.done.set_result(None)
        self._before: Any = None  # the loop's own task factory, within call()
        self.started: asyncio.Task[Any] | None = None
        install(Connection)

    def begin(self, exchange: Any) -> Connection:
        connection = Connection(self, exchange)
        connection.begin()
        return connection

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call FUNCTION, and keep the last task that it starts."""
        self._before = self.loop.get_task_factory()
        self.started = None
        self.loop.set_task_factory(self._create_task)
        try:
            return function(*args)
        finally:
            self.loop.set_task_factory(self._before)

    def _create_task(self, loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any]
        if self._before is None:
            task = asyncio.Task(coroutine, loop=loop, **options)
        else:
            task = self._before(loop, coroutine, **options)
        self.started = task
        return task

    def drain(self) -> None:
        """What would go on for ever is to end; not within this call."""
        self.draining = True
        for websocket in self.sockets:
            self.loop.call_soon(websocket.close, 1012)


class Connection(httputil.HTTPConnection):
    """One request, and its answer. It is its own `context`: who is connected, as Tornado asks."""

    websocket: Socket | None = None
    gone = False  # the client has left
    _delegate: Any = None
    _tasks: list[asyncio.Task[Any]] | None = None  # what handles the request
    _pump: asyncio.Task[None] | None = None  # gives the body to the delegate
    _readable: asyncio.Future[None] | None = None  # what it waits for
    _close_callback: Callable[[], None] | None = None
    _expected: int | None = None  # bytes of the answer that are still to come
    _max_body = MAX_BODY
    _body_timeout: float | None = None
    _read_finished = False
    _head_written = False
    _write_finished = False
    _completed = False  # the host has all of the answer
    _broken = False  # the answer cannot become whole

    def __init__(self, server: Server, exchange: Any) -> None:
        self.server = server
        self.exchange = exchange
        self.context = self
        self._out: deque[tuple[Send, Any, asyncio.Future[None] | None]] = deque()

    def __str__(self) -> str:
        return self.remote_ip

    @property
    def stream(self) -> Stream:
        return Stream(self)

    # --- the request -----------------------------------------------------------------------

    def begin(self) -> None:
        try:
            start_line, headers = self._read_head()
            self._delegate = self.server.app.start_request(self, self)
            waits = self._call(self._delegate.headers_received, start_line, headers)
            data = b"" if self.upgradable else self.exchange.read()
            if waits is None and data == b"":
                self._body_ended()
                return
        except Exception as error:
            self._fail(error)
            return
        self._pump = self.server.loop.create_task(self._read_body(waits, data))

    def _read_head(self) -> tuple[httputil.RequestStartLine, httputil.HTTPHeaders]:
        params, pairs = self.exchange.head()
        self.remote_ip = params.get("REMOTE_ADDR") or "0.0.0.0"
        self.address_family = socket.AF_INET6 if ":" in self.remote_ip else socket.AF_INET
        self.address = (self.remote_ip, int(params.get("REMOTE_PORT") or 0))
        secure = params.get("HTTPS") == "on" or params.get("REQUEST_SCHEME") == "https"
        self.protocol = "https" if secure else "http"
        self.method = params["REQUEST_METHOD"]
        headers = httputil.HTTPHeaders()
        # What add() checks the gateway has checked.
        add = headers.__setitem__ if len(dict(pairs)) == len(pairs) else headers.add
        for name, value in pairs:
            add(name, value)
        self.upgradable = self.exchange.upgradable()
        if self.upgradable:
            headers["Connection"] = "Upgrade"
            headers["Upgrade"] = "websocket"
        target = params.get("REQUEST_URI") or "/"
        if target[0] not in "/*":  # absolute, http://host/path
            target = "/" + target.partition("://")[2].partition("/")[2]
        version = params.get("SERVER_PROTOCOL") or "HTTP/1.1"
        return httputil.RequestStartLine(self.method, target, version), headers

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call FUNCTION of the delegate. The last task that it starts is what handles it."""
        server = self.server
        try:
            return server.call(function, *args)
        finally:
            if task := server.started:
                self._tasks = [*self._tasks, task] if self._tasks else [task]
                task.add_done_callback(self._handled)

    def _body_ended(self) -> None:
        self._read_finished = True
        if not self._write_finished:
            self._call(self._delegate.finish)

    async def _read_body(self, waits: Any, data: bytes | None) -> None:
        try:
            if waits is not None:
                await waits
            if self._body_timeout is None:
                await self._deliver(data)
            else:
                await asyncio.wait_for(self._deliver(data), self._body_timeout)
        except (BrokenPipeError, StreamClosedError) as error:
            if not (self.gone or self._write_finished):
                self._fail(error)
        except asyncio.TimeoutError:
            self._fail(httputil.HTTPInputError("Timeout reading body"))
        except Exception as error:
            self._fail(error)
        finally:
            self._end_if_over()

    async def _deliver(self, data: bytes | None) -> None:
        """The body, from DATA on if that has come."""
        total = 0
        if data is None and not self._write_finished:
            data = self.exchange.read()  # on_ready() may have come meanwhile
        while not self._write_finished:
            if data is None:
                self._readable = self.server.loop.create_future()
                await self._readable
            elif data:
                total += len(data)
                if total > self._max_body:
                    raise httputil.HTTPInputError("Content-Length too long")
                waits = self._delegate.data_received(data)
                if waits is not None:
                    await waits
            else:
                self._body_ended()
                return
            if not self._write_finished:
                data = self.exchange.read()

    def _stop_reading(self) -> None:
        if self._readable and not self._readable.done():
            self._readable.set_result(None)

    # --- what the host tells ---------------------------------------------------------------

    def on_ready(self) -> None:
        self._stop_reading()
        if self._out:
            self._send_waiting()
        if self.websocket:
            self.websocket.wake()

    def on_abort(self, late: bool) -> None:
        if not self.gone:
            self.gone = True
            self._leave()
        if late:
            for task in (self._pump, *(self._tasks or ())):
                if task and not task.done():
                    task.cancel()
        self._end_if_over()

    def _leave(self) -> None:
        while self._out:
            future = self._out.popleft()[2]
            if future:
                self._refuse(future)
        self._stop_reading()
        if self.websocket:
            self.websocket.wake()
        self._tell_closed()

    def _tell_closed(self) -> None:
        """The delegate, or the handler, learns that the connection is closed."""
        callback, self._close_callback = self._close_callback, None
        if self._delegate and not self._read_finished:
            self._read_finished = True
            callback = self._delegate.on_connection_close
        if not callback:
            return
        try:
            callback()
        except Exception as error:
            self._log(error, "its client had left")

    # --- HTTPConnection --------------------------------------------------------------------

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        self._close_callback = callback

    def set_max_body_size(self, max_body_size: int) -> None:
        self._max_body = max_body_size

    def set_body_timeout(self, timeout: float) -> None:
        self._body_timeout = timeout

    def detach(self) -> None:
        if not self.websocket:
            raise RuntimeError("the client's connection is the gateway's: it cannot be detached")

    def write_headers(
        self, start_line: Any, headers: httputil.HTTPHeaders, chunk: bytes | None = None
    ) -> asyncio.Future[None]:
        if self.gone or self._broken:
            return self._refuse(self.server.loop.create_future())
        status = start_line.code
        try:
            self.exchange.respond(status, start_line.reason or None, list(headers.get_all()))
        except BrokenPipeError:
            return self._refuse(self.server.loop.create_future())  # on_abort() follows
        except Exception:
            self._break()
            raise
        self._head_written = True
        if status in (204, 304):
            self._expected = 0
        elif self.method != "HEAD" and "Content-Length" in headers:
            self._expected = int(headers["Content-Length"])
        if chunk:
            return self.write(chunk)
        return self.send(_flush, self.exchange) if status != 101 else self.server.done

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        if self.gone or self._broken:
            return self._refuse(self.server.loop.create_future())
        if self._expected is not None:
            self._expected -= len(chunk)
            if self._expected < 0:
                self._break()
                raise httputil.HTTPOutputError("Tried to write more data than Content-Length")
        return self.send(self.exchange.write, chunk)

    def finish(self) -> None:
        self._write_finished = True
        self._stop_reading()
        if self.gone or self._broken or self.websocket:
            self._end_if_over()
        elif self._expected:
            self._break()
            raise httputil.HTTPOutputError(
                f"Tried to write {self._expected} bytes less than Content-Length"
            )
        elif self._expected is None and self.method != "HEAD" and _in_send_error():
            self._break()
        elif not self._out:
            self._complete()

    # --- what is sent ----------------------------------------------------------------------

    def send(self, function: Send, data: Any) -> asyncio.Future[None]:
        """Send DATA with FUNCTION, behind what waits; the future is done when it was taken."""
        if not self._out:
            try:
                if function(data):
                    return self.server.done
            except BrokenPipeError:
                return self._refuse(self.server.loop.create_future())
            except Exception:
                if not self.websocket:
                    self._break()
                raise
        future = self.server.loop.create_future()
        self._out.append((function, data, future))
        return future

    def _send_waiting(self) -> None:
        try:
            while self._out and self._out[0][0](self._out[0][1]):
                future = self._out.popleft()[2]
                if future and not future.done():
                    future.set_result(None)
        except BrokenPipeError:
            return  # on_abort() follows
        if not self._out and self._write_finished and not self.websocket:
            self._complete()
        self._end_if_over()

    def _refuse(self, future: asyncio.Future[None]) -> asyncio.Future[None]:
        if not future.done():
            future.set_exception(self.websocket.closed() if self.websocket else StreamClosedError())
            future.exception()  # whoever does not await it need not learn of it
        return future

    # --- the end ---------------------------------------------------------------------------

    def _complete(self) -> None:
        if self._completed:
            return
        self._completed = True
        try:
            self.exchange.complete()
        except BrokenPipeError:
            self._broken = True
        self._end_if_over()

    def _break(self) -> None:
        """What was sent of the answer is not to be taken for the whole."""
        self._broken = True
        self._out.clear()

    def _handled(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception():
            self._broken = not self._completed
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._out or not (self._completed or self._broken or self.gone or self.websocket):
            return
        if self._pump and not self._pump.done() and asyncio.current_task() is not self._pump:
            return
        for task in self._tasks or ():
            if not task.done():
                return
        whole = (self._completed or self.websocket is not None) and not self._broken
        self.exchange.finish(whole)
        delegate, self._delegate = self._delegate, None
        if delegate:
            self.server.app.on_close(self)

    def _fail(self, error: Exception) -> None:
        """The delegate raised ERROR, or the request cannot be read."""
        refused = isinstance(error, httputil.HTTPInputError)
        if refused:
            gen_log.info("Malformed HTTP message from %s: %s", self, error)
        elif self.exchange.begun():
            self._log(error, "the response had begun and is broken off")
        else:
            self._log(error, "answered 500")
        if refused and not self._head_written:
            self.exchange.respond(400, None, [("Content-Length", "0")])
            self._head_written = self._write_finished = True
            self._complete()
        else:
            self._break()
        self._tell_closed()
        self._end_if_over()

    def _log(self, error: Exception, effect: str) -> None:
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.exchange.error(
            f"the application raised {type(error).__name__}: {error}: {effect}\n{lines}"
        )


def _flush(exchange: Any) -> bool:
    return bool(exchange.flush())


def _in_send_error() -> bool:
    """Whether finish() is called because the handler raised in the middle of a response.

    Tornado ends it then as if it were whole, where its length was not known.
    """
    frame = sys._getframe(2)
    for _ in range(6):
        if frame is None or frame.f_code.co_name == "write_error":
            return False  # that one makes a whole response
        if frame.f_code is web.RequestHandler.send_error.__code__:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


class Stream:
    """What handlers may ask of a connection's stream."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def closed(self) -> bool:
        return self._connection.gone

    def set_nodelay(self, value: bool) -> None:
        """The gateway never delays."""
