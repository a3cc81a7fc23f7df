"""The lifespan of an ASGI application: startup before the first request, shutdown after the last.

MODE is "auto", "on" or "off". With "auto" an application that raises before it answered the
startup has no lifespan; with "on" that is a failure. One that had taken the startup's event has a
lifespan, and what it raises would be missed: it is printed, and the application served as ASGI
wants it.
"""
from __future__ import annotations

import asyncio
import sys
import traceback
from typing import Any


class Failed(Exception):
    """The application said that its startup failed, and why."""


class Lifespan:
    def __init__(self, app: Any, mode: str) -> None:
        self.state: dict[str, Any] = {}
        self.supported = False
        self.error: str | None = None  # of the shutdown
        self._app = app
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._taken = False  # lifespan.startup, by the application
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def startup(self) -> bool:
        """Whether the application has a lifespan. Failed: it cannot be served."""
        if self._mode == "off":
            return False
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(_retrieve)
        await asyncio.wait([self._task, self._started], return_when=asyncio.FIRST_COMPLETED)
        if self._started.done():
            self._started.result()
            return True
        error = self._task.exception()
        self._task = None
        if self._mode == "auto":
            if error and self._taken:
                traceback.print_exception(error)
                print(
                    "the lifespan's startup raised that: the application is served without one "
                    "(--lifespan on ends the worker then, --lifespan off does not start it)",
                    file=sys.stderr,
                )
            return False
        if error:
            traceback.print_exception(error)
            raise Failed(f"it raised {type(error).__name__}: {error}")
        raise Failed("it returned without lifespan.startup.complete")

    async def shutdown(self) -> str | None:
        """Why it failed, if it did."""
        task = self._task
        if task is None or task.done():
            return None
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait([task, self._stopped], return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.done():
            await asyncio.wait([task], timeout=1)  # what it does behind that event
        if task.done() and not task.cancelled() and (error := task.exception()):
            traceback.print_exception(error)
            return self.error or f"it raised {type(error).__name__}: {error}"
        return self.error

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, str]:
        event = await self._events.get()
        self._taken = True
        return event

    async def _send(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind.startswith("lifespan.startup.") and not self._started.done():
            if kind == "lifespan.startup.complete":
                self._started.set_result(None)
                return
            if kind == "lifespan.startup.failed":
                self._started.set_exception(Failed(event.get("message") or "it gave no message"))
                return
        elif kind.startswith("lifespan.shutdown.") and self._started.done():
            if kind == "lifespan.shutdown.failed":
                self.error = event.get("message") or "it gave no message"
            if not self._stopped.done():
                self._stopped.set_result(None)
            return
        raise RuntimeError(f"unexpected event {kind!r} in the lifespan")


def _retrieve(task: asyncio.Task[None]) -> None:
    """What it raises behind lifespan.startup.failed was told by that."""
    if not task.cancelled():
        task.exception()


def start(glue: Any, app: Any, mode: str) -> Lifespan:
    """Start the application on the loop of GLUE. Failed says why it cannot be."""

    async def begin() -> Lifespan:
        lifespan = Lifespan(app, mode)
        lifespan.supported = await lifespan.startup()
        return lifespan

    return glue.complete(begin())


def stop(glue: Any, lifespan: Lifespan) -> str | None:
    return glue.complete(lifespan.shutdown())
