"""An application that counts what runs, for test_page.py: each request leaves its path in the file
`ran` of the working directory. It can also write over the page that its worker shares with the
gateway, which it finds as any bug would: in its own memory.
"""
from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

WORDS = 128  # where they begin in the page
STORM = 1.0  # seconds


def find_page() -> tuple[int, int]:
    """Its address and its size."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:penstock-page" in line:
            start, end = re.match(r"(\w+)-(\w+)", line).groups()
            return int(start, 16), int(end, 16) - int(start, 16)
    raise LookupError("this worker has no page")


def scribble_words() -> None:
    address, size = find_page()
    ctypes.memset(address + WORDS, 0xFF, size - WORDS)


def scribble_all() -> None:
    ctypes.memset(find_page()[0], 0xA5, find_page()[1])


def truncate() -> None:
    """What can be tried with a descriptor of it, which the worker itself does not have."""
    own = Path(f"/proc/{os.getppid()}/fd")
    for name in os.listdir(own):
        try:
            if "memfd:penstock-page" not in os.readlink(own / name):
                continue
            page = os.open(own / name, os.O_RDWR)
        except FileNotFoundError:
            continue
        for size in (0, 1 << 20):
            try:
                os.ftruncate(page, size)
            except PermissionError:
                continue
            raise AssertionError("the page can be made shorter, or longer")
        os.close(page)


def storm() -> None:
    """Write over it again and again while the worker serves on."""
    address, size = find_page()

    def blow() -> None:
        end = time.monotonic() + STORM
        while time.monotonic() < end:
            ctypes.memset(address + WORDS, os.urandom(1)[0], size - WORDS)

    threading.Thread(target=blow).start()


def die() -> None:
    scribble_words()
    os.kill(os.getpid(), signal.SIGKILL)


DEEDS: dict[str, Callable[[], None]] = {
    "/words": scribble_words,
    "/all": scribble_all,
    "/truncate": truncate,
    "/storm": storm,
    "/die": die,
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    ran = os.open("ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(ran, f"{path}\n".encode())
    os.close(ran)
    DEEDS.get(path, lambda: None)()
    time.sleep(float(environ["QUERY_STRING"] or "0"))
    extra = [name for name in environ if name.startswith("PENSTOCK")]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{path} {os.getpid()} {' '.join(extra)}".encode()]
