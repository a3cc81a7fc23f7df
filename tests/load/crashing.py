"""An application whose every worker crashes half a second after it was loaded."""
from __future__ import annotations

import os
import threading

threading.Timer(0.5, os.abort).start()


def app(environ, start_response):  # type: ignore[no-untyped-def]
    start_response("200 OK", [])
    return [b"not yet\n"]
