"""eventlet's hub, for WSGI: everything that blocks is patched before the application is imported."""
from __future__ import annotations

import sys
import warnings
from typing import Any

from . import Unusable

READ, WRITE = 1, 2


def _forget(*_: Any) -> None:
    """What eventlet calls when a descriptor was closed by somebody else."""


class Loop:
    def __init__(self, host: Any) -> None:
        import greenlet
        from eventlet import hubs

        self._host = host
        self._hub = hubs.get_hub()
        self.parent = self._hub.greenlet
        self.pause = self._hub.switch
        self.greenlet = greenlet.greenlet
        self.getcurrent = greenlet.getcurrent
        self._main = greenlet.getcurrent()
        self._listeners: dict[int, list[Any]] = {}
        self._timer: Any = None
        self._stopped = False

    def run(self) -> None:
        while not self._stopped:
            self._hub.switch()

    def stop(self) -> None:
        self._stopped = True
        self._hub.schedule_call_global(0, self._main.switch)

    def watch(self, fd: int, events: int) -> None:
        for listener in self._listeners.pop(fd, []):
            self._hub.remove(listener)
        listeners = []
        if events & READ:
            listeners.append(self._hub.add(self._hub.READ, fd, self._readable, _forget, _forget))
        if events & WRITE:
            listeners.append(self._hub.add(self._hub.WRITE, fd, self._writable, _forget, _forget))
        if listeners:
            self._listeners[fd] = listeners

    def _readable(self, fd: int) -> None:
        self._host.fd_ready(fd, READ)

    def _writable(self, fd: int) -> None:
        self._host.fd_ready(fd, WRITE)

    def timer(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = self._hub.schedule_call_global(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        self._host.timer_due()

    def defer(self) -> None:
        self._hub.schedule_call_global(0, self._host.turn)

    def close(self) -> None:
        for fd in list(self._listeners):
            self.watch(fd, 0)
        self.timer(None)


def make(name: str, host: Any) -> Loop:
    try:
        with warnings.catch_warnings():
            # Nine lines from each worker of somebody who typed -k eventlet. Our guide says it, too.
            warnings.filterwarnings("ignore", "\\s*Eventlet is deprecated")
            import eventlet
    except ImportError as error:
        raise Unusable(
            f"-k eventlet needs the package eventlet in the application's environment "
            f"({sys.executable}: {error}): pip install eventlet"
        ) from None
    eventlet.monkey_patch()
    return Loop(host)
