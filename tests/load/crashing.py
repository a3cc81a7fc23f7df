"""An application whose every worker crashes half a second after it was loaded."""
from __future__ import annotations

import os
import signal
import threading

threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGSEGV)).start()


def app(environ, start_response):  # type: ignore[no-untyped-def]
    start_response("200 OK", [])
    return [b"not yet\n"]
