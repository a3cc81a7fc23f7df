"""Async workers under a whole penstock: what flows costs little, who leaves is told, and nothing is
lost when workers and gateways end with hundreds of requests in them."""
from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import process
from figures import Show
from penstock import Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"
FLIGHT = 100


class Site:
    def __init__(self, start: Callable[..., Penstock], directory: Path, *options: str) -> None:
        self.held, self._seen = directory / "held", directory / "seen"
        env = {"FLOWS_HELD": str(self.held), "FLOWS_SEEN": str(self._seen)}
        self.server = start(
            "flows:app", "-k", "async", "--python", sys.executable, *options, cwd=APPS, env=env
        )

    def client(self, receive_buffer: int = 0) -> Client:
        return Client(("127.0.0.1", self.server.port), receive_buffer)

    def seen(self, text: str) -> int:
        """How often the application has noted what begins so."""
        lines = self._seen.read_text().splitlines() if self._seen.exists() else []
        return sum(1 for line in lines if line.partition(" ")[2].startswith(text))

    @contextlib.contextmanager
    def flight(self, path: str = "/held", count: int = FLIGHT) -> Iterator[list[Client]]:
        """COUNT requests that workers have begun, and that wait."""
        self.held.touch()
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.client()) for _ in range(count)]
            for n, client in enumerate(clients):
                client.get(f"{path}/{n}")
            eventually(lambda: self.seen(f"began {path}/") == count, "all of them begun")
            yield clients

    def land(self) -> None:
        self.held.unlink()


@pytest.fixture
def start(penstock: Callable[..., Penstock], tmp_path: Path) -> Callable[..., Site]:
    return lambda *options: Site(penstock, tmp_path, *options)


def memory(pid: int) -> int:
    """What it holds in memory of its own, in KiB: no pages of programs."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))


def test_an_endless_answer_that_nobody_reads(start: Callable[..., Site], show: Show) -> None:
    site = start("--timeout", "30")
    server = site.server
    processes = {"gateway": server.gateway_pid, "worker": server.worker_pids[0]}
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            assert stack.enter_context(site.client()).ask("/").status == 200
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(site.client())
        for _ in range(300):
            assert other.ask("/").status == 200
        before = {name: memory(pid) for name, pid in processes.items()}
        clients = [stack.enter_context(site.client(receive_buffer=4096)) for _ in range(8)]
        for client in clients:
            client.get("/endless")
            client.head()
        for _ in range(100):
            assert other.ask("/").status == 200
        each = {name: (memory(pid) - before[name]) / 8 for name, pid in processes.items()}
        show(f"1 GiB that nobody reads: {each} KiB more for each of 8 clients")
        bound = 256 + process.quarantine_kib() / 8
        assert all(more <= bound for more in each.values()), each
        for client in clients:
            client.reset()
        eventually(lambda: site.seen("sent ") == 8, "the end of all")


def test_a_large_upload_flows(start: Callable[..., Site]) -> None:
    site = start()
    with site.client() as client:
        client.get("/sum", "Content-Length: 67108864", method="POST")
        for _ in range(64):
            client.send(bytes(1 << 20))
        assert client.response().body == b"67108864"
        assert client.ask("/").status == 200


@pytest.mark.parametrize("leave", [Client.reset, Client.close])
@pytest.mark.parametrize("path", ["/gone", "/gone/stream"])
def test_who_leaves_is_told(start: Callable[..., Site], path: str, leave: Callable) -> None:
    site = start()
    with site.flight(path, 50) as clients:
        for client in clients:
            if "stream" in path:
                client.until(b"first\r\n")
            leave(client)
        eventually(lambda: site.seen("disconnect") == 50, "that all are told")
    with site.client() as client:
        assert client.ask("/").status == 200


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_who_leaves_several_that_send(start: Callable[..., Site], loop: str) -> None:
    site = start("--loop", loop)
    pids = site.server.worker_pids
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.client(receive_buffer=4096)) for _ in range(5)]
        for client in clients:
            client.get("/together")
            client.head()
        for client in clients:
            client.reset()
        eventually(lambda: site.seen("refused ") == 5, "that all are told")
    with site.client() as client:
        assert client.ask("/").body == str(pids[0]).encode()
    assert site.seen("refused 0") == 0


def test_an_answer_is_complete_before_its_request(start: Callable[..., Site]) -> None:
    site = start()
    site.held.touch()
    with site.client() as client:
        for _ in range(20):
            assert client.ask("/background").status == 200
        assert site.seen("background") == 0
        site.land()
        eventually(lambda: site.seen("background done") == 20, "the work after the answers")


def test_a_killed_worker_loses_what_it_had_begun(start: Callable[..., Site]) -> None:
    site = start("--worker-connections", str(FLIGHT))
    with site.flight() as clients, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(site.client()) for _ in range(50)]
        for n, client in enumerate(waiting):
            client.get(f"/held/waiting/{n}")
        site.land()
        # What waits is served whichever worker is there.
        os.kill(site.server.worker_pids[0], signal.SIGKILL)
        for client in clients:
            assert client.response().status in (200, 502)
        for client in waiting:
            assert client.response().status in (200, 502)
        assert site.server.get("/").status == 200


def test_a_worker_killed_while_it_stands_still_loses_nothing(start: Callable[..., Site]) -> None:
    """It has begun with none of what it was given."""
    site = start()
    first = site.server.worker_pids[0]
    os.kill(first, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(FLIGHT)]
        for n, client in enumerate(clients):
            client.get(f"/{n}")
        site.server.rest()
        os.kill(first, signal.SIGKILL)
        for client in clients:
            assert client.response().status == 200


@pytest.mark.parametrize("how", ["reload", "recycle", "drain"])
def test_nothing_is_lost_in_flight(start: Callable[..., Site], how: str) -> None:
    site = start("-w", "2", *(["--max-requests", "60"] if how == "recycle" else []))
    server = site.server
    pids = set(server.worker_pids)
    with site.flight() as clients:
        if how == "reload":
            server.signal(signal.SIGHUP)
        elif how == "drain":
            server.signal(signal.SIGTERM)
        if how != "drain":
            with site.client() as client:
                for _ in range(100):
                    assert client.ask("/").status == 200
        site.land()
        for client in clients:
            assert client.response().status == 200
    if how == "drain":
        assert server.wait() == 0
    else:
        eventually(lambda: not pids & set(server.worker_pids), "that both were replaced")


def test_more_in_flight_than_a_small_page_has_words(start: Callable[..., Site]) -> None:
    site = start()
    with site.flight(count=600) as clients:
        site.land()
        for client in clients:
            assert client.response().status == 200


def test_a_gateway_is_killed_and_workers_serve_on(start: Callable[..., Site]) -> None:
    site = start()
    pids = site.server.worker_pids
    with site.flight("/gone"):
        os.kill(site.server.gateway_pid, signal.SIGKILL)
        eventually(lambda: site.seen("disconnect") == FLIGHT, "that all requests are aborted")
    with site.client() as client:
        assert client.ask("/").body == str(pids[0]).encode()


def test_who_swallows_its_cancellation_does_not_keep_a_place(start: Callable[..., Site]) -> None:
    site = start("--timeout", "1", "--graceful-timeout", "20")
    pids = site.server.worker_pids
    with site.client() as client, site.client() as other:
        assert client.ask("/swallow").status == 504
        assert other.ask("/").status == 200
        site.server.wait_for("does not end GET /swallow, which is late")
        eventually(lambda: set(site.server.worker_pids).isdisjoint(pids), "its replacement")
        assert other.ask("/").status == 200
    assert site.seen("swallowed")
