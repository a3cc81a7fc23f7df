"""Event loops for Penstock's Python plugin.

A loop is a module of this package. `make(name, host)` returns its object:

    run()                until stop()
    stop()               from a callback of the loop
    watch(fd, events)    call host.fd_ready(fd, events) while FD is ready (1: read, 2: write);
                         0: no more
    timer(seconds)       call host.timer_due() once, then; None: not at all
    defer()              call host.turn() behind what is ready in the loop now
    close()              after run(), or in its place
    name                 of the library that it is from, for the log

Loops of greenlets, on which WSGI is served, have more:

    greenlet(run, parent), getcurrent()
                         of the module greenlet
    parent               the hub's greenlet
    pause()              switch to the hub, from another greenlet

HOST is the C module `_penstock`. It also has loop_class(base), which makes a class like BASE, one of
asyncio's loops: on a loop of that class tasks need not wait for its next turn when the host has told
of something, and timers(loop) is a descriptor that tells when timers_due() is to be called. If
poll(loop, selector) is true, asyncio's loop waits in the host: watch(fd, events) does what the loop's
watch() has to, for the timers' descriptor, too, and defer() is not called. What serves a request on
the loop is not the loop's business.
"""
from __future__ import annotations

import importlib
from typing import Any


class Unusable(Exception):
    """A loop cannot be had; the text says it in one line."""


# Which module has which loops.
MODULES = {
    "auto": "asyncio",
    "asyncio": "asyncio",
    "uvloop": "asyncio",
    "gevent": "gevent",
    "eventlet": "eventlet",
    "tornado": "tornado",
}


def make(name: str, host: Any) -> Any:
    try:
        module = MODULES[name]
    except KeyError:
        known = ", ".join(MODULES)
        raise Unusable(f"--loop {name}: there is no such event loop; there are {known}") from None
    return importlib.import_module(f"{__name__}.{module}").make(name, host)
