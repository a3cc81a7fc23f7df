"""Workers that are worn are replaced before they stop, one at a time, and no request is lost."""
from __future__ import annotations

import re
import threading
import time

import pytest

from figures import Show
from load import Load
from penstock import Penstock, eventually
from test_reload import MODELS, Site, of_model, site  # noqa: F401  (a fixture)


class Census(threading.Thread):
    """Counts the workers that are there until it is stopped: MOST at once."""

    def __init__(self, server: Penstock) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._server = server
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopped.wait(0.01):
            self.most = max(self.most, len(self._server.worker_pids))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def served(server: Penstock) -> list[int]:
    """How many requests those that were replaced had served by then."""
    return [int(n) for n in re.findall(r"has served (\d+) requests: another", server.log)]


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_lost_by_recycling(site, show: Show, model: str) -> None:
    limits = ("--max-requests", "200", "--max-requests-jitter", "100")
    shop = of_model(site, model, *limits, workers=3)
    census = Census(shop.server)
    with Load(shop.server, slow=2) as load:
        for count in range(1, 7):  # each has time of its own to start
            shop.server.wait_for("has left: it exited with status 0", count=count)
    census.stop()
    time.sleep(0.5)
    worn = served(shop.server)
    show(f"{len(worn)} workers recycled: {load.figures}; at most {census.most} at once")
    assert load.failures == [] and load.answered == load.sent
    assert census.most == 4
    assert all(200 <= n <= 300 for n in worn)
    assert len(set(worn)) > 1
    eventually(lambda: len(shop.server.worker_pids) == 3, "three workers")


def test_without_a_limit_nobody_is_replaced(site) -> None:
    shop: Site = site(workers=1)
    with Load(shop.server, slow=0, uploads=0) as load:
        eventually(lambda: load.answered > 500, "500 answers")
    assert served(shop.server) == []
    assert len(re.findall("ready", shop.server.log)) == 1


def test_a_worn_worker_serves_on_while_its_replacement_fails(site) -> None:
    shop: Site = site("--max-requests", "10", workers=1)
    shop.deploy("2", "raise LookupError('a broken deploy')")
    with Load(shop.server, quick=1, slow=0, uploads=0) as load:
        shop.server.wait_for(r"the worn worker in slot 1 serves on; another try in 0\.2 s")
        assert set(load.versions) == {"1"}
        shop.deploy("3")
        eventually(lambda: load.versions["3"] > 5, "the mended version")
    assert load.failures == [] and load.answered == load.sent


def test_nothing_is_lost_when_workers_grow_old(site, show: Show) -> None:
    shop: Site = site("--max-lifetime", "1", workers=2)
    census = Census(shop.server)
    with Load(shop.server) as load:
        shop.server.wait_for(r"worker 1\.\d+ \(pid \d+\) has served for \d+ s: another", count=2)
        shop.server.wait_for(r"worker 2\.\d+ \(pid \d+\) has served for \d+ s: another", count=2)
        shop.server.wait_for("has left: it exited with status 0", count=4)
    census.stop()
    show(f"4 old workers replaced: {load.figures}; at most {census.most} at once")
    assert load.failures == [] and load.answered == load.sent
    assert census.most == 3
