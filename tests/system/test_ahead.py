"""Requests that are sent ahead to busy workers: each runs once, none waits while a worker is free, and
those behind a slow one are called back."""
from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import hold
import installed
from figures import Show
from penstock import Answer, Penstock, eventually

APP = '''
import os, pathlib, time

HERE = pathlib.Path(__file__).parent
LOG = os.open(HERE / "begun", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    os.write(LOG, (path + "\\n").encode())
    if path.startswith("/hold"):
        while not (HERE / "go").exists() and not (HERE / ("go" + path.replace("/", "-"))).exists():
            time.sleep(0.005)
    body = f"{path} {os.getpid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]
'''


THREADS = pytest.mark.parametrize("threads", [1, 4], ids=["sync", "threaded"])


class Ahead:
    def __init__(self, directory: Path, workers: int, threads: int = 1, *options: str) -> None:
        self.directory = directory
        (directory / "ahead_app.py").write_text(APP)
        kind = ["-k", "sync"] if threads == 1 else ["-k", "threaded", "--threads", str(threads)]
        self.server = Penstock(directory, "ahead_app:application", *kind, "-w", str(workers),
                               "--control-socket", str(directory / "ctl"), "--chdir", str(directory), *options)
        self.pool = ThreadPoolExecutor(100)

    def __enter__(self) -> Ahead:
        self.server.wait_ready()
        return self

    def __exit__(self, *args: object) -> None:
        (self.directory / "go").touch()
        self.pool.shutdown()
        self.server.clean_up()

    def status(self) -> dict[str, dict[str, int]]:
        out = subprocess.run([installed.PENSTOCK, "ctl", "-s", str(self.directory / "ctl"), "status", "--json"],
                             capture_output=True, text=True, check=True).stdout
        return json.loads(out)

    def figure(self, name: str) -> int:
        return int(self.status()["pools"][0][name])  # type: ignore[index]

    def begun(self) -> Counter[str]:
        return Counter((self.directory / "begun").read_text().split())

    def hold(self, count: int) -> list[Future[Answer]]:
        """So many slow requests, which have begun."""
        held = [self.pool.submit(self.server.get, f"/hold-{n}") for n in range(count)]
        eventually(lambda: all(self.begun()[f"/hold-{n}"] for n in range(count)), "the slow ones")
        return held

    def storm(self, name: str, each: int, clients: int = 40) -> list[str]:
        """Answers to as many requests, each on a path of its own."""

        def ask(client: int) -> list[str]:
            connection = self.server.connect()
            answers = []
            for n in range(each):
                connection.request("GET", f"/{name}-{client}-{n}")
                response = connection.getresponse()
                answers.append(f"{response.status} {response.read().decode().split()[0]}")
            connection.close()
            return answers

        return [answer for answers in self.pool.map(ask, range(clients)) for answer in answers]


@THREADS
@pytest.mark.parametrize("workers", [1, 3])
def test_each_runs_once(tmp_path: Path, show: Show, workers: int, threads: int) -> None:
    with Ahead(tmp_path, workers, threads) as ahead:
        answers = ahead.storm("fast", 50)
        expected = [f"/fast-{client}-{n}" for client in range(40) for n in range(50)]
        assert answers == [f"200 {path}" for path in expected]
        assert ahead.begun() == Counter(expected)
        assert ahead.figure("sent_ahead") > 0
        show(f"{workers} workers of {threads}: {len(answers)} requests, {ahead.figure('sent_ahead')} sent ahead, "
             f"{ahead.figure('called_back')} called back, each run once")


@THREADS
def test_none_waits_behind_a_slow_one(tmp_path: Path, show: Show, threads: int) -> None:
    """While all slots but one are held, all that others ask is served by that one."""
    with Ahead(tmp_path, 2, threads) as ahead:
        ahead.storm("warm", 5)
        held = ahead.hold(2 * threads - 1)
        assert len(ahead.storm("fast", 20)) == 800
        assert not any(request.done() for request in held)
        (tmp_path / "go").touch()
        assert {request.result().status for request in held} == {200}
        assert max(ahead.begun().values()) == 1
        show(f"behind a slow one: 800 served, {ahead.figure('called_back')} called back")


@THREADS
def test_what_is_answered_does_not_wait_for_the_next(tmp_path: Path, threads: int) -> None:
    """Answers of quick requests leave together, but not with that of a slow one behind them."""
    with Ahead(tmp_path, 1, threads) as ahead:
        ahead.storm("warm", 20)
        for turn in range(10):
            names = [f"/quick-{turn}-{n}" for n in range(60)]
            names.insert(30, f"/hold-{turn}")
            asked = {name: ahead.pool.submit(ahead.server.get, name) for name in names}
            eventually(lambda: ahead.begun()[f"/hold-{turn}"] == 1, "the slow one")
            before = [name for name in names if ahead.begun()[name] and not name.startswith("/hold")]
            eventually(lambda: all(asked[name].done() for name in before), "the answers before it")
            assert not asked[f"/hold-{turn}"].done()
            (tmp_path / f"go-hold-{turn}").touch()
            assert {future.result().status for future in asked.values()} == {200}


@THREADS
def test_they_count_for_the_queue_limit(tmp_path: Path, threads: int) -> None:
    """Whoever waits does, wherever: of those that come at once no more than the limit may."""
    with Ahead(tmp_path, 1, threads, "--queue-limit", "5") as ahead:
        ahead.storm("warm", 20, clients=1)
        clients = [ahead.server.connect() for _ in range(40)]
        for client in clients:
            client.connect()
        for n, client in enumerate(clients):
            client.request("GET", f"/hold-{n}")
        eventually(lambda: ahead.figure("queued") == 5, "all that wait in the queue")
        (tmp_path / "go").touch()
        statuses = Counter(client.getresponse().status for client in clients)
        assert statuses == {200: threads + 5, 503: 40 - threads - 5}
        for client in clients:
            client.close()


@THREADS
def test_behind_the_only_worker_they_wait_in_the_queue(tmp_path: Path, threads: int) -> None:
    """Where --queue-timeout, clients that leave and other workers find them."""
    with Ahead(tmp_path, 1, threads) as ahead:
        ahead.storm("warm", 5)
        asked = ahead.hold(threads)
        asked += [ahead.pool.submit(ahead.server.get, f"/behind-{n}") for n in range(10)]
        eventually(lambda: ahead.figure("queued") == 10, "all others in the queue")
        assert ahead.status()["workers"][0]["ahead"] == 0  # type: ignore[index]
        (tmp_path / "go").touch()
        assert {future.result().status for future in asked} == {200}
        assert max(ahead.begun().values()) == 1


@THREADS
def test_killed_with_requests_ahead(tmp_path: Path, show: Show, threads: int) -> None:
    """Only what had begun is lost with a worker, and nothing runs twice."""
    with Ahead(tmp_path, 2, threads) as ahead:
        ahead.storm("warm", 2)
        storm = ahead.pool.submit(ahead.storm, "fast", 60, 30)
        kills = 0
        while not storm.done():
            with contextlib.suppress(ProcessLookupError):  # the one that was killed last
                os.kill(ahead.server.wait_workers(2)[kills % 2], signal.SIGKILL)
                kills += 1
        answers = storm.result()
        statuses = Counter(answer.split()[0] for answer in answers)
        assert set(statuses) <= {"200", "502"}
        # Three answers may be held back behind those that run.
        assert statuses["502"] <= kills * (threads + 3)
        assert max(ahead.begun().values()) == 1
        show(f"{kills} workers killed: {dict(statuses)}, run twice 0")


WHOLE = f'''{hold.SOURCE}
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    yield b"wh"
    yield b"ole"
    hold(environ)
    yield b""
    environ["wsgi.errors"].write("done\\n")
'''


@pytest.mark.parametrize("kind", [("sync",), ("threaded", "--threads", "2")])
def test_a_whole_body_waits_for_nothing_that_follows_it(
    tmp_path: Path, penstock: Callable[..., Penstock], kind: tuple[str, ...]
) -> None:
    """It may leave with the end of its request, but not when that is long in coming."""
    (tmp_path / "whole_app.py").write_text(WHOLE)
    server = penstock("whole_app:application", "-k", *kind, cwd=tmp_path)
    for _ in range(5):
        assert server.get("/").body == b"whole"
    for _ in range(5):
        held = hold.Held(tmp_path)
        assert server.get(held.path).body == b"whole"
        held.wait_begun()
        held.let_go()
    assert server.get("/").body == b"whole"
    eventually(lambda: server.log_so_far().count("done") == 11, "the end of each")
