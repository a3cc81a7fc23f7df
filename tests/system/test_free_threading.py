"""What a Python without a GIL has to bear: threads of an application beside those of Penstock, all at
once, in the sync, the threaded and the async model. A Python with one does the same in turns."""
from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock import Penstock

APPS = Path(__file__).parent / "apps"
MODELS = {
    "sync": ("-k", "sync", "free_threads:application"),
    "threaded": ("-k", "threaded", "--threads", "8", "free_threads:application"),
    "async": ("-k", "async", "--loop", "asyncio", "free_threads:asgi"),
}

Start = Callable[..., Penstock]


@pytest.fixture(params=MODELS)
def server(request: pytest.FixtureRequest, penstock: Start) -> Penstock:
    *options, app = MODELS[request.param]
    return penstock(app, *options, "--python", sys.executable, "--pythonpath", str(APPS))


def test_the_gil_stays_as_it_was_built(server: Penstock) -> None:
    assert server.get("/gil").body.decode() == str("t" not in sys.abiflags)


def test_a_storm(server: Penstock) -> None:
    """Every answer is right, and the worker that began with it ends it."""
    (worker,) = server.worker_pids

    def ask(number: int) -> None:
        connection = server.connect()
        for turn in range(20):
            body = bytes([number]) * (1 + 7000 * (turn % 4))
            headers = {f"X-Name-{(number + turn) % 5}": f"{number}-{turn}"}
            connection.request("POST", f"/storm?{number}-{turn}", body, headers)
            response = connection.getresponse()
            expected = f"{number}-{turn} {number}-{turn} {hashlib.md5(body).hexdigest()}\n"
            assert response.read().decode() == expected * 3
            assert response.getheader("X-Turn") == f"{number}-{turn}"
        connection.close()

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(ask, number) for number in range(16)]:
            done.result()
    assert server.worker_pids == [worker]
    assert "Traceback" not in server.log
    assert server.stop() == 0
