"""What an adapter tells only a client that asked for it: files as descriptors, and the usage."""
from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import fcgi
from adapter import Adapter

MIB = 1 << 20


@pytest.fixture
def gateway(adapter: Adapter) -> Iterator[fcgi.Connection]:
    """A client that asked for everything."""
    with fcgi.Connection(adapter.path) as connection:
        asked = (b"PENSTOCK_VERSION", b"PENSTOCK_FILES", b"PENSTOCK_MEMORY")
        assert connection.values(*asked) == {name: b"1" for name in asked}
        yield connection


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(b"".join(b"%09d\n" % i for i in range(300000)))
    return path


def test_a_file_is_a_descriptor(gateway: fcgi.Connection, big: Path) -> None:
    response = gateway.ask("/send", query=f"10,2000000,{big}", extended=True)
    assert response.files == [big.read_bytes()[10:2000010]]
    assert (response.status, response.body) == ("200 OK", b"")
    assert response.app_status == 0
    assert gateway.descriptors == []


def test_a_small_file_is_bytes(gateway: fcgi.Connection, big: Path) -> None:
    response = gateway.ask("/send", query=f"10,16384,{big}", extended=True)
    assert response.files == []
    assert response.body == big.read_bytes()[10:16394]


def test_the_descriptors_of_an_adapter_do_not_pile_up(
    adapter: Adapter, gateway: fcgi.Connection, big: Path
) -> None:
    counts = set()
    for _ in range(5):
        assert len(gateway.ask("/send", query=f"0,20000,{big}", extended=True).files) == 1
        counts.add(len(os.listdir(f"/proc/{adapter.process.pid}/fd")))
    assert len(counts) == 1


def test_a_file_waits_for_credit(gateway: fcgi.Connection, big: Path) -> None:
    """A request that has spent its credit on bytes sends no descriptor."""
    gateway.send(fcgi.request("/file-behind", query="61500", extended=True))
    got = b""
    while len(got.partition(b"\r\n\r\n")[2]) < 61500:
        kind, _, content = gateway.record()
        assert kind == fcgi.STDOUT
        got += content
    assert gateway.values(b"FCGI_MAX_REQS").keys() == {b"FCGI_MAX_REQS"}
    gateway.send(fcgi.record(fcgi.CREDIT, 1, struct.pack(">I4x", 4096)))
    response = gateway.response()
    assert [len(file) for file in response.files] == [100000]


@pytest.mark.parametrize("asked", [(), (b"PENSTOCK_VERSION",), (b"PENSTOCK_FILES",)])
def test_nothing_for_who_did_not_ask(adapter: Adapter, big: Path, asked: tuple[bytes, ...]) -> None:
    with fcgi.Connection(adapter.path) as connection:
        if asked:
            connection.values(*asked)
        response = connection.ask("/send", query=f"10,50000,{big}", extended=True)
        assert response.files == []
        assert response.body == big.read_bytes()[10:50010]
        assert set(response.records) <= {fcgi.STDOUT, fcgi.STDERR, fcgi.END_REQUEST, fcgi.USAGE}
        assert (response.usage is not None) == (asked == (b"PENSTOCK_VERSION",))


def test_no_descriptors_over_tcp(probe: str, tmp_path: Path, big: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with Adapter(tmp_path, probe, listener=listener) as adapter:
        with fcgi.Connection(("127.0.0.1", port)) as connection:
            values = connection.values(
                b"PENSTOCK_VERSION", b"PENSTOCK_FILES", b"PENSTOCK_MEMORY"
            )
            assert values == {b"PENSTOCK_VERSION": b"1"}
        assert adapter.terminate() == 0


def test_usage(gateway: fcgi.Connection) -> None:
    spun = gateway.ask("/spin", query="30", extended=True).usage
    slept = gateway.ask("/sleep", query="30", extended=True).usage
    assert spun is not None and slept is not None
    assert spun[0] >= 30000 and spun[2] == 0
    assert slept[1] >= 29000 and slept[0] < slept[1]


def test_a_large_body_is_shared(gateway: fcgi.Connection) -> None:
    """The memory is offered once, used when it was taken, and its room is used again."""
    for times in range(100):
        response = gateway.ask("/big", query="60000", extended=True)
        assert response.body == b"x" * 60000
        assert response.shared == (60000 if times > 0 else 0)
        assert (fcgi.MEMORY in response.records) == (times == 0)
    assert gateway.descriptors == []


def test_memory_that_was_refused_is_not_used(gateway: fcgi.Connection) -> None:
    gateway.takes_memory = False
    for times in range(5):
        response = gateway.ask("/big", query="60000", extended=True)
        assert response.body == b"x" * 60000
        assert response.shared == 0
        assert (fcgi.MEMORY in response.records) == (times == 0)


@pytest.mark.parametrize(
    "asked",
    [
        (),
        (b"PENSTOCK_VERSION", b"PENSTOCK_FILES"),
        (b"PENSTOCK_VERSION", b"PENSTOCK_MEMORY"),
        (b"PENSTOCK_FILES", b"PENSTOCK_MEMORY"),
    ],
)
def test_no_memory_for_who_did_not_ask(adapter: Adapter, asked: tuple[bytes, ...]) -> None:
    with fcgi.Connection(adapter.path) as connection:
        if asked:
            assert connection.values(*asked) == {name: b"1" for name in asked}
        for _ in range(3):
            response = connection.ask("/big", query="60000", extended=True)
            assert response.body == b"x" * 60000
            assert not {fcgi.MEMORY, fcgi.SHARED} & set(response.records)
            assert connection.descriptors == []


def test_an_answer_to_no_offer_ends_the_connection(gateway: fcgi.Connection) -> None:
    gateway.send(fcgi.record(fcgi.MEMORY, 0, struct.pack(">I4x", 4096)))
    assert gateway.is_closed()


def test_a_small_body_is_not_shared(gateway: fcgi.Connection) -> None:
    response = gateway.ask("/big", query="4000", extended=True)
    assert (response.body, response.shared) == (b"x" * 4000, 0)


def test_bodies_that_find_no_room_are_sent(gateway: fcgi.Connection) -> None:
    """A client that gives nothing back gets the rest through the socket."""
    shared = []
    for _ in range(80):
        gateway.send(fcgi.request("/big", query="60000", extended=True))
        mark = gateway.memory[:8] if gateway.memory else bytes(8)
        response = gateway.response()
        assert gateway.memory is not None
        gateway.memory[:8] = mark
        assert response.body == b"x" * 60000
        shared.append(response.shared)
    assert shared[0] == 0  # it was only offered then
    assert set(shared[1:]) == {0, 60000}
    assert shared[1:].index(0) == 4194304 // 60000
