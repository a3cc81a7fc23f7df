"""Clients that ask without a pause over real sockets, and count: nothing may be lost.

    with Load(server, quick=4, slow=1, uploads=1) as load:
        ...  # reload, recycle, kill
    assert load.failures == []
    print(load.figures)
"""
from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

from penstock import PATIENCE, Penstock

SLOW = 0.7  # seconds that a slow request sleeps, and an upload rests half done


class Load:
    """Each client keeps one connection until an answer says that it is the last there (RFC 9112,
    9.6): one that is lost is a failure."""

    def __init__(self, server: Penstock, quick: int = 4, slow: int = 1, uploads: int = 1) -> None:
        self.versions: Counter[str] = Counter()  # answers, by what the application says it is
        self.sent = self.answered = self.connections = 0
        self.failures: list[str] = []
        self._port = server.port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        kinds = [self._quick] * quick + [self._slow] * slow + [self._upload] * uploads
        self._threads = [threading.Thread(target=self._run, args=(k,), daemon=True) for k in kinds]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    @property
    def figures(self) -> str:
        return f"sent {self.sent}, answered {self.answered}, failed {len(self.failures)}"

    def _run(self, ask: Callable[[http.client.HTTPConnection], None]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        connection.auto_open = 0
        try:
            while not self._stop.is_set():
                if connection.sock is None:
                    self._connect(connection)
                with self._lock:
                    self.sent += 1
                ask(connection)
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.failures.append(f"{ask.__name__}: {error!r}")
        finally:
            connection.close()

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self.connections += 1

    def _take(self, connection: http.client.HTTPConnection, expected: str | None = None) -> None:
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        with self._lock:
            if response.status != 200 or expected not in (None, body):
                self.failures.append(f"status {response.status}: {body[:80]}")
                return
            self.answered += 1
            self.versions[response.headers["X-Version"]] += 1

    def _quick(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", "/")
        self._take(connection)

    def _slow(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", f"/sleep?{SLOW}")
        self._take(connection)

    def _upload(self, connection: http.client.HTTPConnection) -> None:
        body = os.urandom(200_000)
        connection.putrequest("POST", "/sum")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:100_000])
        time.sleep(SLOW)
        connection.send(body[100_000:])
        self._take(connection, hashlib.sha256(body).hexdigest())
