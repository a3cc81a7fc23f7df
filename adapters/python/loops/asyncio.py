"""asyncio's own loop, and uvloop."""
from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Coroutine
from typing import Any

from . import Unusable

READ, WRITE = 1, 2


def _class(name: str) -> type[asyncio.AbstractEventLoop]:
    if name != "asyncio":
        try:
            import uvloop
        except ImportError as error:
            if name == "uvloop":
                raise Unusable(
                    f"--loop uvloop: {error} ({sys.executable}); install the package uvloop "
                    "there, or leave --loop out"
                ) from None
        else:
            return uvloop.Loop
    return asyncio.SelectorEventLoop


def _let_host_wait(loop: asyncio.AbstractEventLoop, host: Any) -> bool:
    """Whether the host serves its descriptors in the selector's select(), without handles."""
    selector = getattr(loop, "_selector", None)
    if type(selector) is not selectors.EpollSelector or loop.get_debug():
        return False
    waits: bool = host.poll(loop, selector)
    return waits


class Loop:
    def __init__(self, loop: asyncio.AbstractEventLoop, host: Any, name: str) -> None:
        self.loop = loop
        self.name = name
        self._host = host
        self._watched: dict[int, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timers = host.timers(loop)
        self._waits_in_host = _let_host_wait(loop, host)
        if self._waits_in_host:
            host.watch(self._timers, READ)
        else:
            loop.add_reader(self._timers, host.timers_due)
        asyncio.set_event_loop(loop)

    def run(self) -> None:
        self.loop.run_forever()

    def stop(self) -> None:
        self.loop.stop()

    def watch(self, fd: int, events: int) -> None:
        if self._waits_in_host:
            self._host.watch(fd, events)
        else:
            self._watch(fd, self._watched.get(fd, 0), events)
        if events:
            self._watched[fd] = events
        else:
            self._watched.pop(fd, None)

    def _watch(self, fd: int, before: int, events: int) -> None:
        if events & READ and not before & READ:
            self.loop.add_reader(fd, self._host.fd_ready, fd, READ)
        elif before & READ and not events & READ:
            self.loop.remove_reader(fd)
        if events & WRITE and not before & WRITE:
            self.loop.add_writer(fd, self._host.fd_ready, fd, WRITE)
        elif before & WRITE and not events & WRITE:
            self.loop.remove_writer(fd)

    def timer(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self._host.timer_due)

    def defer(self) -> None:
        self.loop.call_soon(self._host.turn)

    def complete(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run the loop until COROUTINE has returned, before or after run()."""
        return self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        for fd in list(self._watched):
            self.watch(fd, 0)
        self.timer(None)
        try:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.complete(_gather(tasks))
            self.complete(self.loop.shutdown_asyncgens())
            self.complete(self.loop.shutdown_default_executor())
        finally:
            if self._waits_in_host:
                self._host.watch(self._timers, 0)
            else:
                self.loop.remove_reader(self._timers)
            asyncio.set_event_loop(None)
            self.loop.close()


async def _gather(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def make(name: str, host: Any) -> Loop:
    kind = _class(name)
    return Loop(host.loop_class(kind)(), host, kind.__module__.partition(".")[0])
