"""What choose_flask.py, choose_starlette.py and choose_tornado.py do for their requests."""
from __future__ import annotations

import ctypes

LOOPS = 21_000  # about 2 ms of Python on a core of 2.8 GHz
CHUNK = b"x" * 4096
CHUNKS = 16
WAIT = 0.01  # seconds
SHORT = 0.002

_usleep = ctypes.CDLL(None).usleep


def compute() -> int:
    n = 0
    for i in range(LOOPS):
        n = (n * 31 + i) & 0xFFFF
    return n


def block() -> None:
    """Wait as for a slow file, or within a library in C: the GIL is let go, and neither gevent nor
    an event loop can see it."""
    _usleep(int(WAIT * 1e6))
