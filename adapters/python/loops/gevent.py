"""gevent's hub, for WSGI: everything that blocks is patched before the application is imported."""
from __future__ import annotations

import sys
from typing import Any

from . import Unusable

READ, WRITE = 1, 2


class Loop:
    def __init__(self, host: Any) -> None:
        import gevent
        import greenlet

        self._host = host
        self._hub = self.parent = gevent.get_hub()
        self.pause = self._hub.switch
        self.greenlet = greenlet.greenlet
        self.getcurrent = greenlet.getcurrent
        self._main = greenlet.getcurrent()
        self._watchers: dict[int, Any] = {}
        self._timer: Any = None
        self._stopped = False

    def run(self) -> None:
        while not self._stopped:
            self._hub.switch()

    def stop(self) -> None:
        self._stopped = True
        self._hub.loop.run_callback(self._main.switch)

    def watch(self, fd: int, events: int) -> None:
        if watcher := self._watchers.pop(fd, None):
            watcher.stop()
            watcher.close()
        if events:
            watcher = self._hub.loop.io(fd, events)
            watcher.start(self._ready, fd, pass_events=True)
            self._watchers[fd] = watcher

    def _ready(self, events: int, fd: int) -> None:
        self._host.fd_ready(fd, events & (READ | WRITE))

    def timer(self, seconds: float | None) -> None:
        if self._timer:
            self._timer.stop()
            self._timer.close()
        self._timer = None
        if seconds is not None:
            self._timer = self._hub.loop.timer(seconds)
            self._timer.start(self._host.timer_due, update=True)

    def defer(self) -> None:
        self._hub.loop.run_callback(self._host.turn)

    def close(self) -> None:
        for fd in list(self._watchers):
            self.watch(fd, 0)
        self.timer(None)


def make(name: str, host: Any) -> Loop:
    try:
        from gevent import monkey
    except ImportError as error:
        raise Unusable(
            f"-k gevent needs the package gevent in the application's environment "
            f"({sys.executable}: {error}): pip install gevent"
        ) from None
    monkey.patch_all()
    return Loop(host)
