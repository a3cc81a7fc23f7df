"""Tornado's WebSocketHandler on the gateway's messages.

The gateway speaks RFC 6455 with the client: pings, compression and limits are its own. Handlers get
whole messages, and what they call works as with Tornado's own protocol.
"""
from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol


class Socket(WebSocketProtocol):
    def __init__(self, handler: WebSocketHandler, connection: Any) -> None:
        super().__init__(handler)
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._connection = connection
        self._loop: asyncio.AbstractEventLoop = connection.server.loop
        self._readable: asyncio.Future[None] | None = None
        self._subprotocol: str | None = None
        self._limit = handler.max_message_size

    @property
    def selected_subprotocol(self) -> str | None:
        return self._subprotocol

    @staticmethod
    def closed() -> Exception:
        return WebSocketClosedError()

    # --- its life --------------------------------------------------------------------------

    async def accept_connection(self, handler: WebSocketHandler) -> None:
        offered = handler.request.headers.get("Sec-WebSocket-Protocol", "")
        subprotocols = [name.strip() for name in offered.split(",")] if offered else []
        self._subprotocol = handler.select_subprotocol(subprotocols)
        if self._subprotocol:
            assert self._subprotocol in subprotocols
            handler.set_header("Sec-WebSocket-Protocol", self._subprotocol)
        handler.clear_header("Content-Type")
        handler.set_status(101)
        self._connection.websocket = self
        handler.finish()
        handler._detach_stream()
        server = self._connection.server
        server.sockets.add(self)
        if server.draining:
            self._loop.call_soon(self.close, 1012)
        try:
            if await self._run(handler.open, *handler.open_args, **handler.open_kwargs):
                await self._receive_frame_loop()
        finally:
            server.sockets.discard(self)
            self.server_terminated = self.client_terminated = True
            try:
                handler.on_ws_connection_close(self.close_code, self.close_reason)
            except Exception:
                handler.log_exception(*sys.exc_info())

    async def _run(self, function: Any, *args: Any, **kwargs: Any) -> bool:
        """Call FUNCTION of the handler. False: it raised, and the connection is closed."""
        try:
            result = function(*args, **kwargs)
            if result is not None:
                await result
        except Exception:
            self.handler.log_exception(*sys.exc_info())
            self.close(1011)
            return False
        return True

    async def _receive_frame_loop(self) -> None:
        exchange = self._connection.exchange
        pieces: list[bytes] = []
        size = 0
        while not self.server_terminated:
            try:
                got = exchange.read_message()
            except BrokenPipeError:
                return
            if got is None:
                self._readable = self._loop.create_future()
                await self._readable
                continue
            if len(got) == 2:
                self.client_terminated = True
                code, reason = got
                if code not in (1005, 1006):
                    self.close_code, self.close_reason = code, reason or None
                return
            data, is_binary, is_end = got
            size += len(data)
            if size > self._limit:
                self.close(1009, "message too big")
                return
            if pieces or not is_end:
                pieces.append(data)
                if not is_end:
                    continue
                data = b"".join(pieces)
                pieces.clear()
            size = 0
            message = data if is_binary else data.decode("utf-8", "replace")
            if not await self._run(self.handler.on_message, message):
                return

    def wake(self) -> None:
        if self._readable and not self._readable.done():
            self._readable.set_result(None)

    # --- what the handler calls ------------------------------------------------------------

    def write_message(
        self, message: str | bytes | dict[str, Any], binary: bool = False
    ) -> asyncio.Future[None]:
        if isinstance(message, dict):
            message = json.dumps(message).replace("</", "<\\/")
        data = message.encode() if isinstance(message, str) else message
        exchange = self._connection.exchange
        if self.is_closing():
            raise WebSocketClosedError
        send = exchange.send_binary if binary else exchange.send_text
        future: asyncio.Future[None] = self._connection.send(send, data)
        return future

    def write_ping(self, data: bytes) -> None:
        """The gateway pings clients, and closes what does not answer: this one did."""
        self._loop.call_soon(self.handler.on_pong, data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        if self.is_closing():
            return
        self.server_terminated = True
        self.close_code, self.close_reason = code, reason
        if code is None:
            code = 1000 if reason else 1005
        exchange = self._connection.exchange
        self._connection.send(lambda _: exchange.close(code, reason or ""), None)
        self.wake()

    def is_closing(self) -> bool:
        return self.server_terminated or self.client_terminated or self._connection.gone

    def set_nodelay(self, x: bool) -> None:
        """The gateway never delays."""

    def on_connection_close(self) -> None:
        """The handler's, when it is over already."""

    # --- of clients, and of pings ----------------------------------------------------------

    def _process_server_headers(self, key: str | bytes, headers: Any) -> None:
        raise NotImplementedError

    def start_pinging(self) -> None:
        raise NotImplementedError


def install(connection_class: type) -> None:
    """Have handlers whose request came on a CONNECTION_CLASS use it."""
    original = WebSocketHandler.get_websocket_protocol

    def get_websocket_protocol(handler: WebSocketHandler) -> WebSocketProtocol | None:
        connection = handler.request.connection
        if isinstance(connection, connection_class):
            return Socket(handler, connection)
        return original(handler)

    WebSocketHandler.get_websocket_protocol = get_websocket_protocol  # type: ignore[method-assign]
