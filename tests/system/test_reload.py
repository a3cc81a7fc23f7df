"""HUP: a new version of the application takes over, and not one request is lost."""
from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from figures import Show
from hold import SOURCE as HOLD, Held
from load import Load
from penstock import Penstock, eventually
from raw import Client

Start = Callable[..., Penstock]

SOURCE = HOLD + '''
import hashlib, os, time
VERSION = "{version}"
{more}
def app(environ, start_response):
    hold(environ)
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
    head = [("Content-Type", "text/plain"), ("X-Version", VERSION), ("X-Pid", str(os.getpid()))]
    start_response("200 OK", head)
    return [body.encode()]
'''

# The same for Tornado, as far as tests of this model ask for it.
TORNADO = '''
import asyncio, hashlib, os
from tornado import web
VERSION = "{version}"
{more}
class Handler(web.RequestHandler):
    async def get(self):
        if self.request.path == "/sleep":
            await asyncio.sleep(float(self.request.query))
        self.set_header("X-Version", VERSION)
        self.write(hashlib.sha256(self.request.body).hexdigest())
    post = put = get
app = web.Application([(".*", Handler)])
'''

class Site:
    """A deployed application, and the penstock that serves it."""

    def __init__(self, directory: Path, source: str = SOURCE) -> None:
        self.directory, self.source = directory, source
        self.server: Penstock

    def begin(self, client: Client) -> Held:
        """A request of CLIENT's that a worker has begun."""
        held = Held(self.directory)
        client.get(held.path)
        held.wait_begun()
        return held

    def deploy(self, version: str, more: str = "") -> None:
        new = self.directory / "new.py"
        new.write_text(self.source.replace("{version}", version).replace("{more}", more))
        new.rename(self.directory / "site_app.py")

    def hup(self) -> None:
        self.server.signal(signal.SIGHUP)

    def hup_and_load(self, version: str, more: str) -> None:
        """Deploy VERSION, which does MORE half a second after its import began, and begin it."""
        sign = self.directory / "loading"
        self.deploy(version, f"open({str(sign)!r}, 'w'); time.sleep(0.5); {more}")
        self.hup()
        eventually(sign.exists, "the new version's import")

    def version(self) -> str:
        return self.server.get("/").headers["X-Version"]


@pytest.fixture
def site(penstock: Start, tmp_path: Path) -> Callable[..., Site]:
    def start(*options: str, workers: int = 2, source: str = SOURCE, **how: Any) -> Site:
        site = Site(tmp_path, source)
        site.deploy("1")
        site.server = penstock(
            "site_app:app", "-w", str(workers), *options, cwd=tmp_path,
            env={"PYTHONDONTWRITEBYTECODE": "1"}, **how,
        )  # fmt: skip
        site.server.wait_for("ready", count=workers)
        return site

    return start


MODELS = {
    "sync": (),
    "threaded": ("--threads", "4"),
    "gevent": ("--python", sys.executable),
    "eventlet": ("--python", sys.executable),
    "tornado": ("--python", sys.executable),
}


def of_model(site: Callable[..., Site], model: str, *options: str, **how: Any) -> Site:
    source = TORNADO if model == "tornado" else SOURCE
    return site("-k", model, *MODELS[model], *options, source=source, **how)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_lost_by_reloads(site: Callable[..., Site], show: Show, model: str) -> None:
    shop = of_model(site, model)
    before = shop.server.worker_pids
    with Load(shop.server) as load:
        for number in (2, 3, 4):
            time.sleep(0.5)
            shop.deploy(str(number))
            shop.hup()
            done = shop.server.wait_for(r"reload done: 2 workers replaced in \S+ s", number - 1)
        eventually(lambda: load.versions["4"] > 20, "answers of the last version")
    show(f"3 reloads: {load.figures}; {done.group()}")
    assert load.failures == []
    assert load.answered == load.sent
    assert set(load.versions) == {"1", "2", "3", "4"}
    shop.server.wait_for(r"worker \S+ \(pid \d+\) has left: it exited with status 0", count=6)
    assert len(shop.server.worker_pids) == 2
    assert not set(before) & set(shop.server.worker_pids)


def test_a_slow_request_is_finished_by_the_old_worker(site: Callable[..., Site]) -> None:
    shop = site(workers=1)
    (old,) = shop.server.worker_pids
    with Client(("127.0.0.1", shop.server.port)) as client:
        held = shop.begin(client)
        shop.deploy("2")
        shop.hup()
        shop.server.wait_for("reload done: 1 worker replaced")
        assert shop.version() == "2"
        assert old in shop.server.worker_pids
        held.let_go()
        slow = client.response()
    assert slow.status == 200 and "X-Version: 1\r\n" in slow.head
    shop.server.wait_for(rf"worker 1\.1 \(pid {old}\) has left: it exited with status 0")


def test_what_does_not_finish_in_time_is_killed(site: Callable[..., Site]) -> None:
    shop = site("--graceful-timeout", "1", workers=1)
    (old,) = shop.server.worker_pids
    with Client(("127.0.0.1", shop.server.port)) as client:
        shop.begin(client)
        shop.hup()
        assert client.response().status == 502
    shop.server.wait_for(rf"worker 1\.1 \(pid {old}\) did not finish in time \(1 s\): killing it")
    shop.server.wait_for(r"worker 1\.1: GET \S+: it had to leave, and ended before it had finished: ")
    assert shop.version() == "1"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("raise LookupError('a reason to see')", "exited with status 3"),
        ("os._exit(7)", "exited with status 7"),
        ("os.kill(os.getpid(), 9)", r"was killed by signal 9 \(Killed\)"),
    ],
)
def test_a_version_that_does_not_load_leaves_the_old_one_serving(
    site: Callable[..., Site], more: str, words: str, show: Show
) -> None:
    shop = site()
    before = sorted(shop.server.worker_pids)
    with Load(shop.server) as load:
        shop.deploy("2", more)
        shop.hup()
        shop.server.wait_for(rf"worker \S+ \(pid \d+\) {words} before it was usable")
        shop.server.wait_for("reload failed: 0 workers of the new version serve, 2 of the old one")
        time.sleep(0.5)
    show(f"a reload that fails: {load.figures}")
    assert load.failures == [] and load.answered == load.sent
    assert sorted(shop.server.worker_pids) == before
    assert set(load.versions) == {"1"}
    assert len(re.findall("before it was usable", shop.server.log)) == 1
    if "reason" in more:
        shop.server.wait_for(r"worker 1\.3: .*LookupError: a reason to see")
    shop.deploy("3")
    shop.hup()
    shop.server.wait_for("reload done: 2 workers replaced")
    assert shop.version() == "3"


def test_a_hup_during_a_reload_counts(site: Callable[..., Site]) -> None:
    """However many come: whoever has loaded before the last one is replaced, once."""
    shop = site()
    shop.hup_and_load("2", "pass")
    shop.deploy("3")
    for _ in range(3):
        shop.hup()
        time.sleep(0.02)
    shop.server.wait_for("reload done: ")
    shop.server.wait_for(r"has left", count=3)
    assert shop.version() == "3"
    time.sleep(0.3)
    assert len(re.findall(r"worker \S+ ready", shop.server.log)) == 5
    assert len(shop.server.worker_pids) == 2


def test_a_hup_mends_the_version_that_is_loading(site: Callable[..., Site]) -> None:
    shop = site()
    shop.hup_and_load("2", "raise LookupError")
    shop.deploy("3")
    shop.hup()
    shop.server.wait_for("reload done: 2 workers replaced")
    assert shop.version() == "3"
    assert "reload failed" not in shop.server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_ends_during_a_reload(site: Callable[..., Site], number: int) -> None:
    shop = site()
    shop.deploy("2", "time.sleep(60)")
    shop.hup()
    eventually(lambda: len(shop.server.worker_pids) == 3, "the first new worker")
    children = shop.server.worker_pids
    with Client(("127.0.0.1", shop.server.port)) as client:
        held = shop.begin(client)
        shop.server.signal(number)
        if number == signal.SIGTERM:
            shop.server.wait_for("SIGTERM from pid")
            held.let_go()
            assert client.response().status == 200
    assert shop.server.wait() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_a_gateway_that_dies_during_a_reload(site: Callable[..., Site]) -> None:
    shop = site()
    with Client(("127.0.0.1", shop.server.port)) as client:
        held = shop.begin(client)
        shop.deploy("2")
        shop.hup()
        shop.server.wait_for("reload done")
        os.kill(shop.server.gateway_pid, signal.SIGKILL)
        held.let_go()
        shop.server.wait_for(r"has left", count=2)
    assert shop.version() == "2"
    assert len(shop.server.worker_pids) == 2
