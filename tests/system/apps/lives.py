"""An application whose worker can be made to fail in every way; for test_arbiter.py.

LIVES_IMPORT in the environment makes its import fail: raise, exit, abort.
"""
from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

_HOW = os.environ.get("LIVES_IMPORT")
if _HOW == "raise":
    raise LookupError("a reason that the operator must see")
if _HOW == "abort":
    os.abort()
if _HOW == "once":  # the second worker of this arbiter does not load, until the file is gone
    if os.path.exists("fail"):
        raise LookupError("a broken deploy")


def _say(text: str) -> str:
    print(text, flush=True)
    return "said"


def _flood(seconds: str) -> str:
    end = time.monotonic() + float(seconds)
    line = b"x" * 199 + b"\n"
    count = 0
    while time.monotonic() < end:
        os.write(2, line * 10)
        count += 10
    return str(count)


def _last_words(text: str) -> str:
    os.write(1, text.encode())
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def _who(_: str) -> str:
    return json.dumps(
        {
            "pid": os.getpid(),
            "uid": os.getuid(),
            "gid": os.getgid(),
            "groups": os.getgroups(),
            "cwd": os.getcwd(),
            "environ": dict(os.environ),
            "path": sys.path,
        }
    )


def _sleep(seconds: str) -> str:
    print("sleeping", flush=True)
    time.sleep(float(seconds))
    return "slept"


def _orphan(_: str) -> str:
    """A subprocess that outlives the worker and prints when it is gone."""
    worker = os.getpid()
    if os.fork() == 0:
        while os.path.exists(f"/proc/{worker}") and os.getppid() == worker:
            time.sleep(0.02)
        os.write(1, b"a subprocess speaks\n")
        os._exit(0)
    return "born"


_PATHS: dict[str, Callable[[str], str]] = {
    "/pid": lambda _: str(os.getpid()),
    "/who": _who,
    "/sleep": _sleep,
    "/exit": lambda status: os._exit(int(status)),
    "/kill": lambda number: str(os.kill(os.getpid(), int(number))),
    "/say": _say,
    "/flood": _flood,
    "/last": _last_words,
    "/orphan": _orphan,
}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = _PATHS[environ["PATH_INFO"]](environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
