"""Requests that wait for a worker: how many may, how long, and what becomes of those that may not;
the installed gateway with the test as its arbiter and its workers."""
from __future__ import annotations

import re
import time
from contextlib import ExitStack
from pathlib import Path

from figures import Show
from gateway import Exchange, Gateway
from penstock import eventually
from raw import Client


def ask_all(gateway: Gateway, stack: ExitStack, count: int, path: str) -> list[Client]:
    clients = [stack.enter_context(gateway.client()) for _ in range(count)]
    for client in clients:
        client.get(path)
    return clients


def test_a_full_queue_is_503_at_once(tmp_path: Path, show: Show) -> None:
    pools = {"web": {"queue_limit": "20"}, "other": {}}
    routes = ["% / web plain", "% /other/ other plain"]
    running: list[Exchange] = []
    with Gateway(tmp_path, pools=pools, routes=routes) as gateway, ExitStack() as stack:
        worker = gateway.worker("web.1.1", running.append, pool="web")
        gateway.worker("other.1.2", lambda exchange: exchange.answer(), pool="other")
        served = ask_all(gateway, stack, 1, "/served")
        eventually(lambda: running, "the first")
        served += ask_all(gateway, stack, 20, "/waits")
        gateway.settle()
        gateway.tell("STATUS")
        lines = []
        while (line := gateway.line()) != "STATUS end":
            lines.append(f"{line} ")
        web = "".join(line for line in lines if line.startswith("STATUS pool web "))
        other = "".join(line for line in lines if line.startswith("STATUS pool other "))
        assert " queued 20 " in web and " queued 0 oldest_ms 0 " in other
        refused = [client.response() for client in ask_all(gateway, stack, 200, "/refused")]
        assert {(r.status, r.field("Retry-After")) for r in refused} == {(503, "10")}
        # Whoever was refused may ask again on the same connection.
        assert {r.field("Connection") for r in refused} == {None}
        with gateway.client() as client:
            assert client.ask("/other/").status == 200
        for n in range(21):
            eventually(lambda: len(running) > n, "the next")
            running[n].answer()
        assert {client.response().status for client in served} == {200}
        assert worker.requests == 21
        time.sleep(1.1)  # the second in which the rest is told of
        gateway.settle()
        log = gateway.log
    first = "pool web: the queue is full: GET /refused was answered 503: 20 requests wait"
    assert log.count(first) == 1
    more = re.findall(r"the queue is full: (\d+) more requests? within a second", log)
    assert sum(map(int, more)) == 199
    assert log.count("the queue is full") < 20
    show(f"queue limit 20: sent 221, answered 21, refused 200, lines {1 + len(more)}")


def test_who_need_not_wait_is_served_without_a_queue(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path, queue_limit="0") as gateway, ExitStack() as stack:
        for n in (1, 2):
            gateway.worker(f"{n}.{n}", running.append)
        served = ask_all(gateway, stack, 2, "/")
        eventually(lambda: len(running) == 2, "both")
        (refused,) = ask_all(gateway, stack, 1, "/")
        assert refused.response().status == 503
        for exchange in running:
            exchange.answer()
        assert [client.response().status for client in served] == [200, 200]


def test_who_waits_too_long_is_503(tmp_path: Path, show: Show) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path, queue_timeout="1") as gateway, ExitStack() as stack:
        worker = gateway.worker("1.1", running.append)
        (served,) = ask_all(gateway, stack, 1, "/served")
        eventually(lambda: running, "the first")
        begun = time.monotonic()
        late = ask_all(gateway, stack, 50, "/late")
        for client in late:
            response = client.response()
            assert (response.status, response.field("Retry-After")) == (503, "10")
        assert time.monotonic() - begun > 0.9
        running[0].answer()
        assert served.response().status == 200
        # Nobody who was told so is served all the same, and those connections go on.
        late[0].get("/next")
        eventually(lambda: len(running) == 2, "the next")
        assert running[1].path == "/next"
        running[1].answer()
        assert late[0].response().status == 200
        assert worker.requests == 2
        time.sleep(1.1)
        gateway.settle()
        log = gateway.log
    one = "pool default: no worker was free for 1 s (--queue-timeout): GET /late was answered 503"
    assert log.count(one) == 1
    more = re.findall(r"\(--queue-timeout\): (\d+) more requests? within a second", log)
    assert sum(map(int, more)) == 49
    show(f"queue timeout 1 s: sent 52, answered 2, refused 50, lines {1 + len(more)}")


def test_a_body_is_not_timed_by_the_queue(tmp_path: Path) -> None:
    with Gateway(tmp_path, queue_timeout="1") as gateway, gateway.client() as client:
        gateway.worker("1.1", lambda exchange: exchange.answer())
        client.get("/", "Content-Length: 2", method="POST")
        client.send("a")
        time.sleep(1.2)
        client.send("b")
        assert client.response().status == 200


def test_who_leaves_the_queue_makes_room(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path, queue_limit="1") as gateway, ExitStack() as stack:
        worker = gateway.worker("1.1", running.append)
        (first,) = ask_all(gateway, stack, 1, "/first")
        eventually(lambda: running, "the first")
        (leaves,) = ask_all(gateway, stack, 1, "/leaves")
        gateway.settle()
        leaves.reset()
        eventually(lambda: '"GET /leaves HTTP/1.1" 499 ' in gateway.access_log, "its line")
        (stays,) = ask_all(gateway, stack, 1, "/stays")
        running[0].answer()
        eventually(lambda: len(running) == 2, "the other")
        running[1].answer()
        assert first.response().status == stays.response().status == 200
        assert worker.requests == 2
