"""A request that runs until the test lets it go, however busy the machine is.

    SOURCE = f'''{hold.SOURCE}
    def app(environ, start_response):
        hold(environ)
    '''
    held = Held(tmp_path)
    client.get(held.path)  # "/hold?..."
    held.wait_begun()
    held.let_go()
"""
from __future__ import annotations

import itertools
from pathlib import Path

from penstock import PATIENCE, eventually

# For an application: a request for /hold says that it has begun, and waits.
SOURCE = f'''
import os as _os, time as _time

def hold(environ):
    if environ["PATH_INFO"] != "/hold":
        return
    name = environ["QUERY_STRING"]
    open(name + ".begun", "w").close()
    end = _time.monotonic() + {2 * PATIENCE}
    while not _os.path.exists(name) and _time.monotonic() < end:
        _time.sleep(0.01)
'''

_numbers = itertools.count()


class Held:
    """One such request, with its signs in DIRECTORY."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / f"let-go-{next(_numbers)}"

    @property
    def path(self) -> str:
        return f"/hold?{self._file}"

    def wait_begun(self) -> None:
        eventually(Path(f"{self._file}.begun").exists, "the application's work on it")

    def let_go(self) -> None:
        self._file.touch()
