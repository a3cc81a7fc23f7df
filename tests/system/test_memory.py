"""--max-memory: a worker that grows is replaced before it stops, and no request is lost."""
from __future__ import annotations

import re
import time

import pytest

from figures import Show
from load import Load
from penstock import eventually
from test_recycle import Census
from test_reload import Site, site  # noqa: F401  (a fixture)

EVERY = 2.0  # seconds between two weighings


def test_nothing_is_lost_when_workers_grow(site, show: Show) -> None:
    shop: Site = site("--max-memory", "64M", workers=2)
    shop.deploy("2", "LEAK = []")  # 200 KiB with each request
    source = (shop.directory / "site_app.py").read_text()
    leaking = source.replace("    body =", "    LEAK.append(os.urandom(200 * 1024))\n    body =")
    (shop.directory / "site_app.py").write_text(leaking)
    shop.hup()
    shop.server.wait_for("has left: it exited with status 0", count=2)
    census = Census(shop.server)
    with Load(shop.server) as load:
        shop.server.wait_for("MiB, more than --max-memory allows .*: another is started", count=3)
        shop.server.wait_for("has left: it exited with status 0", count=5)
    census.stop()
    sizes = [float(n) for n in re.findall(r"uses (\S+) MiB, more than", shop.server.log)]
    show(f"{len(sizes)} workers replaced at {sizes} MiB: {load.figures}; "
         f"at most {census.most} at once")  # fmt: skip
    assert load.failures == [] and load.answered == load.sent
    assert all(size > 64 for size in sizes)
    assert census.most <= 3
    eventually(lambda: len(shop.server.worker_pids) == 2, "two workers")


def test_a_limit_below_the_application_does_not_replace_for_ever(site) -> None:
    shop: Site = site("--max-memory", "1M", workers=2)
    shop.server.wait_for(r"uses \S+ MiB when its application is just loaded, more than")
    before = shop.server.worker_pids
    time.sleep(1.5 * EVERY)
    assert shop.server.worker_pids == before
    assert shop.server.log.count("set a higher limit") == 1
