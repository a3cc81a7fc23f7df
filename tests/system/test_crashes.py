"""Workers are killed while clients ask without a pause: only what a worker had begun with may fail, and
with --retry not even that; a whole penstock, with figures."""
from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from figures import Show
from penstock import PATIENCE, Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"
CLIENTS = 8
# What a worker has at a time can be lost with it, and no more.
KINDS = {
    "sync": ((), 1),
    "threaded": (("--threads", "3"), 3),
    "gevent": (("--python", sys.executable), CLIENTS),
    "eventlet": (("--python", sys.executable), CLIENTS),
}
SECONDS = 3.0


class Crowd:
    """CLIENTS of SERVER that ask for PATH, each on one connection that must never be lost."""

    def __init__(self, server: Penstock, path: str, method: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.errors: list[str] = []
        self._address = ("127.0.0.1", server.port)
        self._ask = (path, method)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        path, method = self._ask
        try:
            with Client(self._address) as client:
                while not self._stop.is_set():
                    client.get(path, "Content-Length: 0", method=method)
                    status = client.response().status
                    with self._lock:
                        self.statuses[status] += 1
        except (OSError, AssertionError) as error:
            with self._lock:
                self.errors.append(repr(error))


def kill_workers(server: Penstock, seconds: float, seen: Callable[[], bool]) -> int:
    """Kill one after the other, as soon as another is there, and until what it costs was SEEN: how
    many."""
    killed = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not seen():
        assert time.monotonic() < end + PATIENCE, "what it costs was not seen"
        pids = eventually(lambda: len(server.worker_pids) == 2 and server.worker_pids, "two workers")
        os.kill(pids[killed % 2], signal.SIGKILL)
        killed += 1
        time.sleep(0.3)
    return killed



@pytest.mark.parametrize(
    "method, retry, kind",
    [
        ("GET", "never", "sync"),
        ("GET", "idempotent", "sync"),
        ("POST", "idempotent", "sync"),
        ("GET", "never", "threaded"),
        ("GET", "idempotent", "threaded"),
        ("GET", "never", "gevent"),
        ("GET", "idempotent", "eventlet"),
    ],
)
def test_workers_are_killed(
    penstock, tmp_path: Path, show: Show, method: str, retry: str, kind: str
) -> None:
    options, most = KINDS[kind]
    server = penstock(
        "gateway_app:app", "-w", "2", "--retry", retry, "-k", kind, *options, cwd=APPS,
        env={"NOTES": str(tmp_path / "n")},
    ).wait_ready()  # fmt: skip
    again_line = "it is run again by the next free worker (--retry)"

    def seen() -> bool:
        if (method, retry) == ("GET", "idempotent"):
            return again_line in server.log_so_far()
        return crowd.statuses[502] > 0

    with Crowd(server, "/sleep?0.01", method) as crowd:
        killed = kill_workers(server, SECONDS, seen)
    failed = crowd.statuses[502]
    again = server.log.count(again_line)
    show(
        f"{kind} workers killed, {method}, retry {retry}: sent {crowd.statuses.total()}, answered "
        f"{crowd.statuses[200]}, failed {failed}, run again {again}, workers killed {killed}"
    )
    assert not crowd.errors
    assert set(crowd.statuses) <= {200, 502}
    assert crowd.statuses[200] > 20 and killed > 2
    assert failed <= killed * most
    if (method, retry) == ("GET", "idempotent"):
        assert failed == 0 and 0 < again <= killed * most
    else:
        assert again == 0 and failed > 0
    assert server.stop() == 0
