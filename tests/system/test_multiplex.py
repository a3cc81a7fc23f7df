"""Workers that serve many requests at once over one connection: the installed gateway with the test
as its arbiter and its workers."""
from __future__ import annotations

import contextlib
from pathlib import Path

from gateway import Exchange, Gateway
from multiplexing import Multiplexing, Streamed, Streaming, turning
from penstock import eventually
from raw import Client

HEAD = b"Content-Type: text/plain\r\n\r\n"


def ask(stack: contextlib.ExitStack, gateway: Gateway, path: str) -> Client:
    client = stack.enter_context(gateway.client())
    client.get(path)
    return client


def test_a_worker_has_as_many_as_it_says(tmp_path: Path) -> None:
    running: list[Exchange] = []
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        gateway.worker("1.1", running.append, Multiplexing)
        clients = {f"/{n}": ask(stack, gateway, f"/{n}") for n in range(5)}
        eventually(lambda: len(running) == 4, "four of five")
        gateway.settle()
        assert len(running) == 4
        assert sorted(exchange.id for exchange in running) == [1, 2, 3, 4]
        running[2].answer()
        assert clients[running[2].path].response().status == 200
        eventually(lambda: len(running) == 5, "the fifth")
        assert running[4].id == running[2].id
        for n in (4, 0, 3, 1):
            running[n].answer()
            assert clients[running[n].path].response().status == 200


def test_who_does_not_multiplex_has_one_whatever_it_says(tmp_path: Path) -> None:
    class OneByOne(Multiplexing):
        extra = {b"FCGI_MPXS_CONNS": b"0"}

    running: list[Exchange] = []
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        gateway.worker("1.1", running.append, OneByOne)
        clients = [ask(stack, gateway, "/") for _ in range(2)]
        for n in range(2):
            eventually(lambda: len(running) == n + 1, "a request")
            gateway.settle()
            assert len(running) == n + 1
            running[n].answer()
        for client in clients:
            assert client.response().status == 200


def test_the_least_loaded_is_next(tmp_path: Path) -> None:
    has: dict[str, list[Exchange]] = {"1.1": [], "2.2": [], "3.3": []}
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        for name, running in has.items():
            gateway.worker(name, running.append, Multiplexing)
        for n in range(9):
            ask(stack, gateway, f"/{n}")
            eventually(lambda: sum(map(len, has.values())) == n + 1, "a request")
        assert [len(running) for running in has.values()] == [3, 3, 3]
        for exchange in has["2.2"]:
            exchange.answer()
        gateway.settle()
        for n in range(3):
            ask(stack, gateway, f"/again/{n}")
        eventually(lambda: len(has["2.2"]) == 6, "three more at the worker that has none")
        for running in has.values():
            for exchange in running:
                with contextlib.suppress(OSError):
                    exchange.answer()


# --- deadlines ------------------------------------------------------------------------------


def by_path(running: list[Streamed], path: str) -> Streamed:
    def found() -> Streamed | None:
        return next((exchange for exchange in running if exchange.path == path), None)

    return eventually(found, path)


def test_only_what_is_late_is_harmed(tmp_path: Path) -> None:
    running: list[Streamed] = []
    with Gateway(tmp_path, timeout="1") as gateway, contextlib.ExitStack() as stack:
        gateway.worker("1.1", running.append, Streaming)  # type: ignore[arg-type]
        streaming = ask(stack, gateway, "/stream")
        by_path(running, "/stream").out(HEAD + b"first")
        streaming.head()
        late = ask(stack, gateway, "/late")
        assert late.response().status == 504
        exchange = by_path(running, "/late")
        eventually(lambda: exchange.aborts == [1], "ABORT for the deadline")
        line = gateway.expect("SLOT worn 1.1 ")
        assert line == "SLOT worn 1.1 does%20not%20end%20GET%20/late,%20which%20is%20late"
        next_ = ask(stack, gateway, "/next")
        by_path(running, "/next").answer()
        assert next_.response().status == 200
        by_path(running, "/stream").out(b"last")
        by_path(running, "/stream").end_out()
        by_path(running, "/stream").end()
        assert streaming.until(b"0\r\n\r\n") == b"5\r\nfirst\r\n4\r\nlast\r\n"
        exchange.end(1)
        gateway.wait_log("GET /late: nothing came from it for 1 s (--timeout): answered 504")


def test_a_worker_that_is_full_of_late_ones_is_killed(tmp_path: Path) -> None:
    class Two(Streaming):
        capacity = 2

    running: list[Streamed] = []
    with Gateway(tmp_path, timeout="1") as gateway, contextlib.ExitStack() as stack:
        worker = gateway.worker("1.1", running.append, Two)  # type: ignore[arg-type]
        clients = [ask(stack, gateway, f"/late/{n}") for n in range(2)]
        for client in clients:
            assert client.response().status == 504
        gateway.expect("SLOT worn 1.1 ")
        gateway.expect("SLOT late 1.1 ")
        gateway.down("1.1", worker)


def test_one_that_retires_is_killed_when_the_rest_is_late(tmp_path: Path) -> None:
    running: list[Streamed] = []
    with Gateway(tmp_path, timeout="1") as gateway, contextlib.ExitStack() as stack:
        worker = gateway.worker("1.1", running.append, Streaming)  # type: ignore[arg-type]
        streaming = ask(stack, gateway, "/stream")
        by_path(running, "/stream").out(HEAD + b"first")
        streaming.head()
        assert ask(stack, gateway, "/late").response().status == 504
        gateway.expect("SLOT worn 1.1 ")
        gateway.tell("SLOT drain 1.1")
        gateway.settle()
        by_path(running, "/stream").end_out()
        by_path(running, "/stream").end()
        assert streaming.until(b"0\r\n\r\n") == b"5\r\nfirst\r\n"
        assert gateway.expect("SLOT late 1.1 ") == "SLOT late 1.1 GET%20/late"
        gateway.down("1.1", worker)


def test_who_goes_on_without_a_client_is_late_too(tmp_path: Path) -> None:
    running: list[Streamed] = []
    with Gateway(tmp_path, timeout="1") as gateway, gateway.client() as client:
        gateway.worker("1.1", running.append, Streaming)  # type: ignore[arg-type]
        client.get("/stream")
        exchange = by_path(running, "/stream")
        exchange.out(HEAD + b"first")
        client.head()
        client.reset()
        eventually(lambda: exchange.aborts == [0, 1], "ABORT, and once more for the deadline")
        exchange.end(1)


def test_work_after_the_answer_may_take_its_time(tmp_path: Path) -> None:
    running: list[Streamed] = []
    with Gateway(tmp_path, timeout="1") as gateway, contextlib.ExitStack() as stack:
        gateway.worker("1.1", running.append, Streaming)  # type: ignore[arg-type]
        with gateway.client() as client:
            client.get("/background")
            background = by_path(running, "/background")
            background.out(b"Content-Length: 2\r\n\r\nok")
            background.end_out()
            assert client.response().status == 200
            client.get("/next")
            by_path(running, "/next").answer()
            assert client.response().status == 200
        late = ask(stack, gateway, "/late")
        assert late.response().status == 504
        by_path(running, "/late").end()
        assert not background.aborts
        background.end()


# --- loops that stand still -----------------------------------------------------------------


def status(gateway: Gateway) -> dict[str, str]:
    """The facts of pool and worker, of the first worker."""
    gateway.tell("STATUS")
    facts: dict[str, str] = {}
    while (line := gateway.line()) != "STATUS end":
        words = line.split(" ")
        if words[:2] in (["STATUS", "pool"], ["STATUS", "worker"]):
            facts = dict(zip(words[3::2], words[4::2], strict=True)) | facts
    return facts


def test_a_loop_that_stands_still_gets_nothing_new(tmp_path: Path) -> None:
    has: dict[str, list[Streamed]] = {"1.1": [], "2.2": []}
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        first = turning(gateway, "1.1", has["1.1"].append)
        turning(gateway, "2.2", has["2.2"].append)
        for n in range(4):
            ask(stack, gateway, f"/{n}")
        eventually(lambda: [len(running) for running in has.values()] == [2, 2], "two for each")
        for exchange in has["1.1"]:
            exchange.end()
        gateway.settle()
        first.turns.clear()
        seen = len(has["2.2"])
        waiting = [ask(stack, gateway, "/waits") for _ in range(2)]

        def passes_over() -> bool:
            with gateway.client() as client:
                client.get("/probe")
                waiting.append(client)
                gateway.settle()
            return len(has["2.2"]) > seen

        eventually(passes_over, "that the worker with more to do is chosen")
        first.turns.set()
        for exchange in has["2.2"]:
            with contextlib.suppress(OSError):
                exchange.end()

        def comes_back() -> bool:
            before = len(has["1.1"])
            ask(stack, gateway, "/again")
            gateway.settle()
            return len(has["1.1"]) > before

        eventually(comes_back, "that it is chosen again")
        gateway.process.kill()
        gateway.process.wait()


def test_what_nobody_else_can_do_waits_for_the_loop(tmp_path: Path) -> None:
    running: list[Streamed] = []
    with Gateway(tmp_path) as gateway, contextlib.ExitStack() as stack:
        worker = turning(gateway, "1.1", running.append)
        worker.turns.clear()
        clients = [ask(stack, gateway, "/first")]

        def is_stalled() -> bool:
            clients.append(ask(stack, gateway, "/more"))
            return status(gateway)["activity"] == "stalled" and status(gateway)["queued"] != "0"

        eventually(is_stalled, "that it stands still")
        worker.turns.set()
        answered = 0
        while answered < len(clients):
            eventually(lambda: len(running) > answered, "the next request")
            running[answered].answer()
            answered += 1
        for client in clients:
            assert client.response().status == 200
        assert status(gateway)["activity"] == "idle"
