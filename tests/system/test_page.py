"""What a worker had begun with is a fact: workers, gateways and clients end at the worst of times,
and a worker writes over the page that says so. The application (apps/claims.py) counts what runs.
"""
from __future__ import annotations

import mmap
import os
import random
import re
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import installed
from figures import Show
from penstock import PATIENCE, Penstock, eventually, is_alive
from raw import Client

APPS = installed.SOURCE / "tests" / "system" / "apps"
WORDS = 128  # where they begin in the page
OFFERED = 1


class Site:
    """A running penstock with apps/claims.py."""

    def __init__(self, server: Penstock, directory: Path) -> None:
        self.server = server
        self._ran = directory / "ran"

    @property
    def ran(self) -> Counter[str]:
        """How often each path has run."""
        return Counter(self._ran.read_text().split() if self._ran.exists() else [])

    @property
    def moved(self) -> list[str]:
        """The paths that a worker was lost with and another got."""
        line = r": GET (\S+): .* had not begun with the request: it is given to the next"
        return re.findall(line, self.server.log)

    def client(self) -> Client:
        return Client(("127.0.0.1", self.server.port))

    def pages(self) -> list[bytes]:
        """What the arbiter's pages hold; one that it closes meanwhile is none of them."""
        found = []
        for name in Path(f"/proc/{self.server.pid}/fd").iterdir():
            try:
                if "memfd:penstock-page" not in os.readlink(name):
                    continue
                fd = os.open(name, os.O_RDONLY)
            except FileNotFoundError:
                continue
            with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as page:
                found.append(page[:])
            os.close(fd)
        return found

    def epochs(self) -> list[int]:
        return [struct.unpack_from("Q", page, 16)[0] for page in self.pages()]

    def offered(self) -> int:
        """How many requests are offered and not claimed."""
        words = [w for page in self.pages() for (w,) in struct.iter_unpack("Q", page[WORDS:])]
        return len([word for word in words if word & 0xFF == OFFERED])


Start = Callable[..., Site]


@pytest.fixture
def start(penstock: Callable[..., Penstock], tmp_path: Path) -> Iterator[Start]:
    def run(*options: str, workers: int = 2) -> Site:
        path = ("--pythonpath", str(APPS))
        server = penstock("claims:app", "-w", str(workers), *path, *options, cwd=tmp_path)
        server.wait_for(r"worker \d\.\d ready", count=workers)
        return Site(server, tmp_path)

    yield run


class Asking:
    """Clients that ask for one path after the other, no path twice; STATUSES by path."""

    def __init__(self, site: Site, clients: int, pause: float = 0) -> None:
        self.statuses: dict[str, int] = {}
        self.mistaken: list[str] = []
        self._site = site
        self._pause = pause  # of the application, for each
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)
        ]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, client: int) -> None:
        number = 0
        while not self._stop.is_set():
            path = f"/{client}.{number}"
            number += 1
            answer = self._site.server.get(f"{path}?{self._pause}")
            self.statuses[path] = answer.status
            if answer.status == 200 and answer.body.split()[0].decode() != path:
                self.mistaken.append(path)

    def paths(self, status: int) -> list[str]:
        return [path for path, got in self.statuses.items() if got == status]


def kill_workers(site: Site, asking: Asking) -> int:
    """Kill one after the other, half of them after they were stopped for a moment: so requests are
    given to workers that never begin with them. For some seconds, and until both kinds were seen.
    How many were killed."""
    end = time.monotonic() + 4
    killed = 0
    while time.monotonic() < end or not (site.moved and asking.paths(502)):
        assert time.monotonic() < end + PATIENCE, "one kind was not seen"
        time.sleep(0.05)
        if len(pids := site.server.worker_pids) < 3:
            continue
        pid = random.choice(pids)
        if killed % 2 == 0:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.03)
        os.kill(pid, signal.SIGKILL)
        killed += 1
        eventually(lambda pid=pid: not is_alive(pid), f"the end of {pid}")
    return killed


def test_killed_workers(start: Start, show: Show) -> None:
    site = start(workers=4)
    with Asking(site, 3, pause=0.005) as asking:
        killed = kill_workers(site, asking)
    failed, moved, ran = asking.paths(502), site.moved, site.ran
    show(
        f"{killed} workers killed: sent {len(asking.statuses)}, answered "
        f"{len(asking.paths(200))}, begun when their worker was killed {len(failed)} (502), "
        f"not begun and answered by another {len(moved)}, run twice "
        f"{len([path for path, count in ran.items() if count > 1])}",
    )
    assert set(asking.statuses.values()) == {200, 502} and asking.mistaken == []
    assert set(ran.values()) == {1}
    assert all(ran[path] == 1 for path in asking.paths(200))
    assert all(asking.statuses[path] == 200 for path in moved if path not in failed)
    assert not set(ran) - set(asking.statuses)


def stop_workers(site: Site) -> list[int]:
    pids = site.server.worker_pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def ask_in_vain(site: Site, path: str) -> Client:
    """A request for PATH that is offered to a stopped worker."""
    client = site.client()
    client.get(path)
    eventually(lambda: site.offered() == 1, "the offer")
    return client


def test_a_client_that_leaves_before_its_request_was_begun(start: Start) -> None:
    site = start(workers=1)
    (worker,) = stop_workers(site)
    ask_in_vain(site, "/left").reset()
    eventually(lambda: site.offered() == 0, "the withdrawal")
    os.kill(worker, signal.SIGCONT)
    answer = site.server.get("/next")
    assert answer.body.decode().split() == ["/next", str(worker)]  # and no parameter of ours
    assert site.ran == Counter(["/next"])


def test_a_request_that_is_late_before_it_was_begun(start: Start) -> None:
    site = start("--timeout", "1", workers=1)
    (worker,) = stop_workers(site)
    with ask_in_vain(site, "/late") as client:
        assert client.response("GET").status == 504
    os.kill(worker, signal.SIGCONT)
    site.server.wait_for(r"GET /late: nothing came .*; it never began .*: answered 504")
    assert site.server.get("/next").status == 200
    assert site.ran == Counter(["/next"])


def test_a_killed_gateway(start: Start) -> None:
    site = start(workers=1)
    (worker,) = stop_workers(site)
    (epoch,) = site.epochs()
    client = ask_in_vain(site, "/old")
    os.kill(site.server.gateway_pid, signal.SIGKILL)
    client.close()
    eventually(lambda: site.epochs() == [epoch + 1], "the epoch of the next gateway")
    assert site.offered() == 0
    os.kill(worker, signal.SIGCONT)
    assert site.server.get("/new").status == 200
    assert site.ran == Counter(["/new"])
    assert site.server.worker_pids == [worker]


def test_the_successor_of_a_gateway_has_the_pages(
    penstock: Callable[..., Penstock], tmp_path: Path
) -> None:
    """Changed settings bring another gateway, to which the pages go when the old one has left."""
    settings = tmp_path / "penstock.yaml"
    settings.write_text(text := f"app: claims:app\nworkers: 2\npythonpath: {APPS}\n")
    site = Site(penstock("", "-c", str(settings), cwd=tmp_path), tmp_path)
    first = site.server.gateway_pid
    settings.write_text(text + "keep_alive: 7\n")
    site.server.signal(signal.SIGHUP)
    site.server.wait_for("reload done")
    site.server.wait_for("old gateway .* has left")
    assert site.server.gateway_pid != first
    eventually(lambda: len(site.epochs()) == 2 and all(site.epochs()), "the epochs")
    site.server.rest()  # it has been told
    workers = stop_workers(site)
    with ask_in_vain(site, "/moved") as client:
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        assert client.response().status == 200
    assert site.ran == Counter(["/moved"])
    assert set(site.moved) == {"/moved"}


SPOILT = r"holds what its adapter does not write there"


@pytest.mark.parametrize("deed", ["/words", "/all"])
def test_a_page_that_is_written_over(start: Start, deed: str) -> None:
    site = start()
    gateway = site.server.gateway_pid
    worker = site.server.get(deed).body.split()[1]
    site.server.wait_for(rf"worker \S+: GET {deed}: its page, .* {SPOILT}")
    answers = [site.server.get(f"/{n}") for n in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert worker in {answer.body.split()[1] for answer in answers}
    assert set(site.ran.values()) == {1}
    assert len(re.findall(SPOILT, site.server.log)) == 1
    assert site.server.gateway_pid == gateway


def test_a_page_cannot_be_truncated(start: Start) -> None:
    site = start(workers=1)
    assert site.server.get("/truncate").status == 200
    assert site.server.get("/next").status == 200


def test_a_worker_that_spoils_its_page_and_dies(start: Start) -> None:
    site = start()
    gateway = site.server.gateway_pid
    assert site.server.get("/die").status == 502
    assert {site.server.get(f"/{n}").status for n in range(20)} == {200}
    assert set(site.ran.values()) == {1} and site.moved == []
    assert site.server.gateway_pid == gateway


def test_a_page_that_is_written_over_all_the_time(start: Start, show: Show) -> None:
    site = start()
    gateway = site.server.gateway_pid
    stormy = site.server.get("/storm").body.split()[1]
    with Asking(site, 4) as asking:
        time.sleep(1.5)
    ran, statuses = site.ran, Counter(asking.statuses.values())
    show(f"a page under fire: answers by status {dict(statuses)}")
    assert set(statuses) <= {200, 502} and statuses[200] > 0 and asking.mistaken == []
    assert set(ran.values()) == {1}
    assert all(ran[path] == 1 for path in asking.paths(200))
    assert len(re.findall(SPOILT, site.server.log)) == 1
    assert site.server.gateway_pid == gateway
    assert int(stormy) in site.server.worker_pids
