"""--gateways: several of them share the listeners, and each has its share of the workers."""
from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock import Penstock, run
from raw import Client
from test_reload import SOURCE

Start = Callable[..., Penstock]


@pytest.fixture
def shop(penstock: Start, tmp_path: Path) -> Start:
    def start(*options: str, gateways: int = 2, workers: int = 4, **how: Any) -> Penstock:
        text = SOURCE.replace("{version}", "1").replace("{more}", "")
        (tmp_path / "site_app.py").write_text(text)
        server = penstock(
            "site_app:app", "--gateways", str(gateways), "-w", str(workers), *options,
            cwd=tmp_path, env={"PYTHONDONTWRITEBYTECODE": "1"}, **how,
        )  # fmt: skip
        return server.wait_ready()

    return start


def gateways(server: Penstock) -> list[int]:
    return [pid for pid, name in server._children() if name == "gateway"]


def test_each_gateway_has_its_workers(shop: Start) -> None:
    """A connection stays with its gateway, so one sees the workers of one share only."""
    server = shop()
    assert len(gateways(server)) == 2
    shares: set[frozenset[str]] = set()
    clients = [Client(("127.0.0.1", server.port)) for _ in range(16)]
    for client in clients:
        seen = set()
        for _ in range(8):
            client.get("/")
            response = client.response()
            assert response.status == 200
            seen.add(response.field("X-Pid") or "")
        assert 1 <= len(seen) <= 2
        shares.add(frozenset(seen))
        client.close()
    assert set(map(int, frozenset().union(*shares))) <= set(server.worker_pids)
    assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends(shop: Start, number: int) -> None:
    assert shop().stop(number) == 0


def test_too_few_workers() -> None:
    for more in ([], ["--check-config"]):
        result = run("--gateways", "3", "-w", "2", *more, "shop:app")
        assert result.returncode == 2
        assert result.stderr == (
            "penstock: --gateways is 3, and --workers of pool default is 2: each gateway has to "
            "have one of the pool's workers, so it wants at least 3\n"
        )
