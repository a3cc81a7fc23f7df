"""Both ends of the shared page, each alone with a test that plays the other (page.py)."""
from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fcgi
import installed
from adapter import Adapter
from gateway import OK, VALUES, Exchange, Gateway, Worker
from page import CLAIMED, CPU, DONE, EPOCH, FREE, OFFERED, STARTED, TURNED, WITHDRAWN, Page
from penstock import eventually

APPS = installed.SOURCE / "tests" / "system" / "apps"
TICKET = "PENSTOCK_TICKET"


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page()
    yield made
    made.close()


# --- the adapter ---


@pytest.fixture(params=[installed.SYNC, installed.THREADED])
def adapter(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    page: Page,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Adapter]:
    monkeypatch.chdir(tmp_path)  # apps/claims.py leaves a file there
    with Adapter(
        tmp_path, "--pythonpath", str(APPS), "claims:app", page=page.fd, program=request.param
    ) as adapter:
        yield adapter


def ask(connection: fcgi.Connection, path: str, ticket: str | None) -> fcgi.Response:
    params = {} if ticket is None else {TICKET: ticket}
    connection.send(fcgi.head(path, **params) + fcgi.stream(fcgi.STDIN, 1, b""))
    return connection.response()


def connect(adapter: Adapter) -> fcgi.Connection:
    """As a gateway of ours does."""
    connection = fcgi.Connection(adapter.path)
    assert connection.values(b"PENSTOCK_VERSION") == {b"PENSTOCK_VERSION": b"1"}
    return connection


def ran() -> list[str]:
    return Path("ran").read_text().split() if Path("ran").exists() else []


def test_a_request_is_claimed(adapter: Adapter, page: Page) -> None:
    with connect(adapter) as connection:
        ticket = page.offer()
        connection.send(fcgi.head("/slow", query="0.3", **{TICKET: ticket}))
        while page.state() == OFFERED:
            time.sleep(0.01)
        assert page.word() == int(ticket, 16) << 8 | CLAIMED
        answer = connection.response()
        assert answer.app_status == 0 and page.word() == int(ticket, 16) << 8 | DONE
        path, _, *ours = answer.body.decode().split()
        assert path == "/slow" and not ours


@pytest.mark.parametrize("state", [FREE, CLAIMED, DONE, WITHDRAWN, 5, 0xFF])
def test_what_cannot_be_claimed_does_not_run(adapter: Adapter, page: Page, state: int) -> None:
    with connect(adapter) as connection:
        ticket = page.offer()
        page.set_state(state)
        before = page.word()
        answer = ask(connection, "/vain", ticket)
        assert (answer.protocol_status, answer.records) == (fcgi.OVERLOADED, [fcgi.END_REQUEST])
        assert page.word() == before
        assert ask(connection, "/next", page.offer()).app_status == 0
        assert ran() == ["/next"]


@pytest.mark.parametrize("ticket", ["", "0", "00000000000000", "0000010000000g", "f" * 15])
def test_a_ticket_that_is_none(adapter: Adapter, page: Page, ticket: str) -> None:
    with connect(adapter) as connection:
        page.offer()
        assert ask(connection, "/vain", ticket).protocol_status == fcgi.OVERLOADED
        assert page.state() == OFFERED and ran() == []


def test_who_asked_for_no_extensions_has_no_tickets(adapter: Adapter, page: Page) -> None:
    ticket = page.offer()
    with fcgi.Connection(adapter.path) as connection:
        assert ask(connection, "/web", ticket).body.decode().split()[2:] == [TICKET]
    with connect(adapter) as connection:
        assert ask(connection, "/none", None).app_status == 0
    assert page.state() == OFFERED


def test_a_ticket_without_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Adapter(tmp_path, "--pythonpath", str(APPS), "claims:app") as adapter:
        with connect(adapter) as connection:
            refused = ask(connection, "/vain", "00000100000001")
            assert refused.protocol_status == fcgi.OVERLOADED
        assert ran() == []


def test_vitals(adapter: Adapter, page: Page) -> None:
    with connect(adapter) as connection:
        ask(connection, "/", page.offer())
    started, turned, cpu = (page.number(at) for at in (STARTED, TURNED, CPU))
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert 0 < started <= turned <= now
    assert 0 < cpu < turned


@pytest.mark.parametrize("how", [{"sealed": False}, {"version": 2}])
def test_an_adapter_wants_a_real_page(tmp_path: Path, how: dict[str, int]) -> None:
    wrong = Page(**how)
    with Adapter(tmp_path, "claims:app", page=wrong.fd) as adapter:
        assert adapter.wait() == 2
        assert "PENSTOCK_PAGE is 4, but fd 4 cannot be used as a page" in adapter.log
    wrong.close()


# --- the gateway ---


class Ours(Worker):
    """A worker that knows extensions."""

    def greet(self, content: bytes) -> bytes:
        del content
        values = VALUES | {b"PENSTOCK_VERSION": b"1"}
        return fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pairs(values))


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path) as gateway:
        yield gateway


def get(gateway: Gateway, path: str) -> int:
    with gateway.client() as client:
        client.get(path)
        return client.response("GET").status


def ticket_of(exchange: Exchange) -> int:
    text = exchange.param(TICKET.encode())
    assert re.fullmatch("[0-9a-f]{14}", text)
    return int(text, 16)


def test_a_request_is_offered(gateway: Gateway, page: Page) -> None:
    seen = []

    def handle(exchange: Exchange) -> None:
        seen.append((ticket_of(exchange), page.word(exchange.id)))
        page.set_state(CLAIMED)
        page.set_state(DONE)
        exchange.answer()

    page.set_word(0x1234)  # of an earlier epoch
    gateway.tell("SLOT page 1.1", page.fd)
    gateway.worker("1.1", handle, Ours)
    assert page.number(EPOCH) == 1 and page.word() == 0
    assert [get(gateway, f"/{n}") for n in range(3)] == [200] * 3
    assert seen == [((1 << 32 | n), (1 << 32 | n) << 8 | OFFERED) for n in (1, 2, 3)]
    eventually(lambda: page.word() == 0, "the end of the last request")


def test_whom_no_tickets_are_sent(gateway: Gateway, page: Page) -> None:
    """A worker that does not know extensions, and one whose page is no page."""

    def handle(exchange: Exchange) -> None:
        with pytest.raises(KeyError):
            exchange.param(TICKET.encode())
        exchange.answer()

    gateway.tell("SLOT page 1.1", page.fd)
    first = gateway.worker("1.1", handle)
    assert get(gateway, "/") == 200
    gateway.down("1.1", first)
    wrong = Page(sealed=False)
    gateway.tell("SLOT page 1.2", wrong.fd)
    gateway.worker("1.2", handle, Ours)
    gateway.wait_log("worker 1.2: the memory that it shares with the gateway cannot be mapped")
    wrong.close()
    assert get(gateway, "/") == 200


@pytest.mark.parametrize("state", [OFFERED, CLAIMED, DONE, FREE, 9])
def test_a_worker_that_is_lost(gateway: Gateway, page: Page, state: int) -> None:
    """What it had read of the request says nothing, the page does."""

    def die(exchange: Exchange) -> None:
        page.set_state(state)
        exchange.connection.socket.close()

    gateway.tell("SLOT page 1.1", page.fd)
    gateway.worker("1.1", die, Ours)
    gateway.worker("2.2", lambda exchange: exchange.answer())
    assert get(gateway, "/x") == (200 if state == OFFERED else 502)
    assert page.state() == (WITHDRAWN if state == OFFERED else state)
    moved = ", and had not begun with the request: it is given to the next free worker"
    gateway.wait_log(
        "worker 1.1: GET /x: it closed the connection"
        + (moved if state == OFFERED else ": answered 502")
    )


@pytest.mark.parametrize("state", [OFFERED, CLAIMED, DONE, 9])
def test_a_worker_that_refuses(gateway: Gateway, page: Page, state: int) -> None:
    """It is believed only where the page bears it out."""

    def refuse(exchange: Exchange) -> None:
        page.set_state(state)
        exchange.end(0, fcgi.OVERLOADED)

    gateway.tell("SLOT page 1.1", page.fd)
    gateway.worker("1.1", refuse, Ours)
    gateway.worker("2.2", lambda exchange: exchange.answer())
    assert get(gateway, "/x") == (200 if state == OFFERED else 502)
    doubt = "" if state == OFFERED else ", but"
    gateway.wait_log(f"worker 1.1: GET /x: it refused the request{doubt}")


def test_an_answer_without_a_claim_is_told_of_once(gateway: Gateway, page: Page) -> None:
    gateway.tell("SLOT page 1.1", page.fd)
    gateway.worker("1.1", lambda exchange: exchange.answer(OK), Ours)
    assert [get(gateway, "/") for _ in range(3)] == [200] * 3
    gateway.wait_log("holds what")
    gateway.settle()
    assert gateway.log.count("holds what its adapter does not write there") == 1


def test_a_gateway_that_is_superseded(gateway: Gateway, page: Page) -> None:
    """Another one has begun its epoch: tickets are of no use any more, and nothing is wrong."""
    tickets = []

    def handle(exchange: Exchange) -> None:
        try:
            tickets.append(ticket_of(exchange))
        except KeyError:
            tickets.append(0)
        page.set_state(DONE)
        page.bytes[EPOCH] = 2  # before anybody can ask again
        exchange.answer()

    gateway.tell("SLOT page 1.1", page.fd)
    gateway.worker("1.1", handle, Ours)
    assert [get(gateway, "/") for _ in range(3)] == [200] * 3
    assert [bool(ticket) for ticket in tickets] == [True, False, False]
    assert "does not write" not in gateway.log
