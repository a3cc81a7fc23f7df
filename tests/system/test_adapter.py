"""The adapters sync and threaded as FastCGI responders, with no gateway: a plugin in C, real clients."""
from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fcgi
import installed
import process
from adapter import Adapter

MIB = 1 << 20


def start(model: str, directory: Path, *args: str, control: bool = False) -> Adapter:
    if model == "sync":
        return Adapter(directory, *args, control=control)
    return Adapter(
        directory, "--threads", "4", *args, control=control, program=installed.THREADED
    )


@pytest.fixture(params=["sync", "threaded"])
def adapter(request: pytest.FixtureRequest, probe: str, tmp_path: Path) -> Iterator[Adapter]:
    with start(request.param, tmp_path, probe) as adapter:
        yield adapter
        if adapter.process.poll() is None:
            assert adapter.terminate() == 0, adapter.log
            assert "probe: drained" in adapter.log
            assert "probe: closed" in adapter.log


# --- one connection ---


def test_answers_in_one_piece(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        response = connection.ask("/hello")
    assert response.status == "200 OK"
    assert response.body == b"hello\n"
    assert (response.app_status, response.protocol_status) == (0, fcgi.REQUEST_COMPLETE)
    assert response.records.count(fcgi.STDOUT) in (1, 2)  # the content, and maybe its end


def test_a_kept_connection_carries_many_requests(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        for _ in range(100):
            assert connection.ask("/hello").body == b"hello\n"


def test_a_connection_that_is_not_kept_is_closed_after_the_response(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/hello", keep=False).body == b"hello\n"
        assert connection.is_closed()


def test_an_unread_body_does_not_cost_the_response(adapter: Adapter) -> None:
    for keep in (True, False):
        with fcgi.Connection(adapter.path) as connection:
            response = connection.ask("/hello", body=bytes(60000), keep=keep)
            assert response.body == b"hello\n"
            if keep:
                assert connection.ask("/hello").body == b"hello\n"


def test_the_rest_of_a_large_body_that_nobody_read_is_taken(adapter: Adapter) -> None:
    """While the application slept the connection was not read."""
    with fcgi.Connection(adapter.path) as connection:
        response = connection.ask("/sleep", query="300", body=bytes(3 * MIB))
        assert response.body == b"slept\n"
        assert connection.ask("/hello").body == b"hello\n"


def test_who_goes_on_sending_after_the_response_is_parted_with(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head("/hello", keep=False))
        assert connection.response().body == b"hello\n"
        for _ in range(600):
            try:
                connection.send(b"x")
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.1)
    pytest.fail("the adapter still reads after a minute")


def test_params_arrive_whole_in_order_and_terminated(adapter: Adapter) -> None:
    params = [(f"N{i}".encode() * i, bytes([i % 255 + 1]) * (i * 7)) for i in range(1, 90)]
    encoded = fcgi.pairs({b"PATH_INFO": b"/params"} | dict(params))
    with fcgi.Connection(adapter.path) as connection:
        data = fcgi.begin() + fcgi.stream(fcgi.PARAMS, 1, encoded, size=1000)
        data += fcgi.record(fcgi.STDIN, 1)
        for at in range(0, len(data), 777):  # cut anywhere
            connection.send(data[at : at + 777])
        body = connection.response().body
    expected = [(b"PATH_INFO", b"/params"), *params]
    assert body == b"".join(name + b"=" + value + b"\0" for name, value in expected)


def test_a_nul_in_a_parameter_is_answered_400(adapter: Adapter) -> None:
    encoded = fcgi.pairs({b"PATH_INFO": b"/params", b"HTTP_X": b"a\0b"})
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.begin() + fcgi.stream(fcgi.PARAMS, 1, encoded))
        assert connection.response().status == "400 Bad Request"
        assert connection.ask("/hello").body == b"hello\n"
    assert "NUL" in adapter.log


def test_too_many_params_are_refused(adapter: Adapter) -> None:
    for encoded in (b"\0\0" * 10000, fcgi.pairs({b"A": bytes(300000)})):
        with fcgi.Connection(adapter.path) as connection:
            connection.send(fcgi.begin() + fcgi.stream(fcgi.PARAMS, 1, encoded))
            assert connection.response().protocol_status == fcgi.OVERLOADED
            assert connection.ask("/hello").body == b"hello\n"


def test_ten_mebibytes_both_ways(adapter: Adapter) -> None:
    body = os.urandom(10 * MIB)
    with fcgi.Connection(adapter.path) as connection:
        pid = os.fork()
        if pid == 0:  # a second process sends, so that both directions flow at once
            connection.send(fcgi.request("/echo", body=body))
            os._exit(0)
        response = connection.response()
        assert os.waitpid(pid, 0)[1] == 0
    assert response.body == body
    assert response.app_status == 0


def test_a_body_is_read_only_as_the_application_reads(adapter: Adapter) -> None:
    """A client that sends much to an application that sleeps is stopped, not buffered."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head("/sleep", query="1000"))
        adapter.wait_log("sleeping")
        connection.socket.setblocking(False)
        sent = 0
        data = fcgi.record(fcgi.STDIN, 1, bytes(65535)) * 16
        try:
            while sent < 64 * MIB:
                sent += connection.socket.send(data[sent % len(data) :])
        except BlockingIOError:
            pass
        assert sent < 4 * MIB


def test_a_slow_sender_is_waited_for(adapter: Adapter) -> None:
    data = fcgi.request("/echo", body=b"slowly" * 20)
    with fcgi.Connection(adapter.path) as connection:
        for byte in range(0, len(data)):
            connection.send(data[byte : byte + 1])
            if byte % 50 == 0:
                time.sleep(0.001)
        assert connection.response().body == b"slowly" * 20


def test_a_slow_sender_does_not_keep_others_waiting(adapter: Adapter) -> None:
    half = fcgi.head("/hello")
    with fcgi.Connection(adapter.path) as slow, fcgi.Connection(adapter.path) as quick:
        slow.send(half[:-5])
        for _ in range(10):
            assert quick.ask("/hello").body == b"hello\n"
        slow.send(half[-5:] + fcgi.record(fcgi.STDIN, 1))
        assert slow.response().body == b"hello\n"


# --- the protocol ---


def test_get_values(adapter: Adapter) -> None:
    names = (b"FCGI_MAX_CONNS", b"FCGI_MAX_REQS", b"FCGI_MPXS_CONNS")
    with fcgi.Connection(adapter.path) as connection:
        values = connection.values(*names, b"SOMETHING")
        assert int(values.pop(b"FCGI_MAX_CONNS")) >= 100
        most, together = (b"1", b"0") if adapter.model == "sync" else (b"4", b"1")
        assert values == {b"FCGI_MAX_REQS": most, b"FCGI_MPXS_CONNS": together}
        assert connection.values(b"PENSTOCK_VERSION") == {b"PENSTOCK_VERSION": b"1"}


def test_get_values_is_answered_while_the_application_writes(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/endless"))
        adapter.wait_log("endless began")
        connection.send(fcgi.record(fcgi.GET_VALUES, 0, fcgi.pairs({b"FCGI_MAX_REQS": b""})))
        kinds = (kind for kind, _, _ in connection.records())
        assert any(kind == fcgi.GET_VALUES_RESULT for kind in kinds)


def test_other_roles_are_refused(adapter: Adapter) -> None:
    for role in (fcgi.AUTHORIZER, fcgi.FILTER, 77):
        with fcgi.Connection(adapter.path) as connection:
            connection.send(fcgi.begin(role=role))
            assert connection.response().protocol_status == fcgi.UNKNOWN_ROLE
            assert connection.ask("/hello").body == b"hello\n"


def test_a_request_too_many_on_a_connection_is_refused(adapter: Adapter) -> None:
    most, answer = (1, fcgi.CANT_MPX_CONN) if adapter.model == "sync" else (4, fcgi.OVERLOADED)
    with fcgi.Connection(adapter.path) as connection:
        connection.send(b"".join(fcgi.begin(i) for i in range(1, most + 2)))
        kind, request_id, content = connection.record()
        assert (kind, request_id) == (fcgi.END_REQUEST, most + 1)
        assert struct.unpack(">IB3x", content)[1] == answer
        rest = fcgi.request("/hello")[len(fcgi.begin()) :]
        connection.send(rest)
        assert connection.response().body == b"hello\n"


def test_an_abort_is_answered(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/endless"))
        adapter.wait_log("endless began")
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
        response = connection.response()
        assert (response.app_status, response.protocol_status) == (1, fcgi.REQUEST_COMPLETE)
        assert connection.ask("/hello").body == b"hello\n"
    adapter.wait_log("endless ended with -1: the client is gone; a read gives -1")


def test_an_abort_before_the_application_is_entered(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.begin() + fcgi.record(fcgi.ABORT_REQUEST, 1))
        assert connection.response().protocol_status == fcgi.REQUEST_COMPLETE
        assert connection.ask("/hello").body == b"hello\n"


def test_an_abort_in_the_body(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head("/swallow") + fcgi.record(fcgi.STDIN, 1, b"12345"))
        adapter.wait_log("swallowing")
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
        assert connection.response().app_status == 1
    adapter.wait_log("swallowed 5 bytes, then -1")


@pytest.mark.parametrize("path, shown", [("/endless", "endless began"), ("/swallow", "swallowing")])
def test_a_client_that_closes_ends_its_request(adapter: Adapter, path: str, shown: str) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head(path) + fcgi.record(fcgi.STDIN, 1, b"12345"))
        adapter.wait_log(shown)
    adapter.wait_log("endless ended with -1" if path == "/endless" else "then -1")
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/hello").body == b"hello\n"


def test_a_client_that_leaves_in_the_middle_of_a_big_response(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/big", query=str(50 * MIB)))
        connection.socket.recv(1000)
    adapter.wait_log("big ended with -1")


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    bytes(64),
    b"\xff" * 100,
    fcgi.record(fcgi.BEGIN_REQUEST, 1, b"short"),
    fcgi.record(fcgi.BEGIN_REQUEST, 0, bytes(8)),
    fcgi.begin() + fcgi.record(fcgi.PARAMS, 1, b"\x05") + fcgi.record(fcgi.PARAMS, 1),
    fcgi.begin() + fcgi.record(fcgi.STDIN, 1, b"x"),
    fcgi.begin() + fcgi.begin(),
    fcgi.record(fcgi.STDOUT, 1, b"x"),
    fcgi.record(fcgi.GET_VALUES, 0, bytes(60000)),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_costs_its_own_connection_only(adapter: Adapter, garbage: bytes) -> None:
    with fcgi.Connection(adapter.path) as good, fcgi.Connection(adapter.path) as bad:
        assert good.ask("/hello").body == b"hello\n"
        bad.send(garbage)
        assert bad.is_closed()
        assert good.ask("/hello").body == b"hello\n"
    assert "disconnected: " in adapter.log


def test_questions_whose_answers_are_not_read_cost_bounded_memory(adapter: Adapter) -> None:
    question = fcgi.record(fcgi.GET_VALUES, 0, fcgi.pairs({b"FCGI_MAX_REQS": b""})) * 1000
    with fcgi.Connection(adapter.path) as connection, fcgi.Connection(adapter.path) as other:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                connection.send(question)
        assert other.ask("/hello").body == b"hello\n"
    adapter.wait_log("of answers without reading them")


# --- many connections ---


def test_a_hundred_idle_connections_pin_nothing(adapter: Adapter) -> None:
    idle = [fcgi.Connection(adapter.path) for _ in range(100)]
    for connection in idle:
        assert connection.ask("/hello").body == b"hello\n"
    with fcgi.Connection(adapter.path) as connection:
        for _ in range(20):
            assert connection.ask("/hello").body == b"hello\n"
    for connection in reversed(idle):
        assert connection.ask("/hello").body == b"hello\n"
        connection.socket.close()


def test_everybody_gets_a_turn(adapter: Adapter) -> None:
    """A client that always has the next request ready does not keep another waiting."""
    stop = threading.Event()

    def ask_on() -> None:
        with fcgi.Connection(adapter.path) as connection:
            while not stop.is_set():
                connection.ask("/sleep", query="1")

    greedy = [threading.Thread(target=ask_on) for _ in range(8)]
    for thread in greedy:
        thread.start()
    for _ in range(20):
        with fcgi.Connection(adapter.path) as modest:
            assert modest.ask("/hello").body == b"hello\n"
    stop.set()
    for thread in greedy:
        thread.join()


def test_a_request_before_the_last_one_ended_is_an_error(adapter: Adapter) -> None:
    """FastCGI has no pipelining: an id is free again after END_REQUEST only."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/hello") * 2)
        assert connection.is_closed()
    adapter.wait_log("BEGIN_REQUEST record for request 1, which is open")


def test_more_connections_than_the_limit(probe: str, tmp_path: Path) -> None:
    """The idlest connection makes room, and descriptors never run out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        adapter = Adapter(tmp_path, probe)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with adapter:
        with fcgi.Connection(adapter.path) as connection:
            assert connection.ask("/hello").body == b"hello\n"
        connections = [fcgi.Connection(adapter.path) for _ in range(300)]
        for connection in reversed(connections[-50:]):
            assert connection.ask("/hello").body == b"hello\n"
        assert connections[0].is_closed()
        for connection in connections:
            connection.socket.close()
        with fcgi.Connection(adapter.path) as connection:
            assert connection.ask("/hello").body == b"hello\n"
        assert adapter.terminate() == 0
        assert "Too many open files" not in adapter.log


# --- what an application may do ---


def test_a_failure_before_anything_was_sent_is_a_500(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        for path in ("/fail", "/fail-gathered", "/nothing"):
            response = connection.ask(path)
            assert response.status == "500 Internal Server Error"
            assert b"must not be seen" not in response.stdout
            assert response.app_status == 0
    assert "GET /nothing: the application ended without a response" in adapter.log
    assert "GET /fail: the application failed: answered 500" in adapter.log


def test_a_failure_after_the_head_is_told_to_penstock(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.values(b"PENSTOCK_VERSION")
        response = connection.ask("/fail-sent")
        assert response.body == b"part\n"
        assert response.app_status == 1
        assert connection.ask("/hello").body == b"hello\n"


def test_a_failure_after_the_head_closes_other_connections(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        response = connection.ask("/fail-sent")
        assert response.body == b"part\n"
        assert response.app_status is None
    assert "GET /fail-sent: the application failed after the head" in adapter.log


def test_a_head_that_splits_is_refused(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        response = connection.ask("/invalid")
    assert response.body == b"-2 field 1, X-Split: byte 0x0d in the value\n"


def test_calls_out_of_order(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/order").body == b"-3 -3\n"


def test_interim_responses_go_to_penstock_only(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/interim").status == "200 OK"
        connection.values(b"PENSTOCK_VERSION")
        response = connection.ask("/interim")
        assert response.head == "Status: 103 Early Hints\r\nLink: </a.css>"
        assert response.body.startswith(b"Status: 200 OK\r\n")


def test_the_error_stream(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        response = connection.ask("/error")
        assert (response.stderr, response.body) == (b"GET /error: one error\n", b"told\n")
        connection.values(b"PENSTOCK_VERSION")
        assert connection.ask("/error").stderr == b"one error\n"


def test_files(adapter: Adapter) -> None:
    expected = b"".join(b"%09d\n" % i for i in range(100000))
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/file", query="999990").body == expected[10:]
        assert connection.ask("/file", query="3").body == expected[10:13]
        assert connection.ask("/file", query="0").body == b""
        assert connection.ask("/file", query="999991").status == "500 Internal Server Error"
    assert "send_file gave -4: the file has 1000000 bytes, not the 999991 from 10" in adapter.log


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 64 MiB in which every line says where it is, up to 3,000,000 bytes."""
    path = tmp_path / "big"
    path.write_bytes(b"".join(b"%09d\n" % i for i in range(300000)))
    os.truncate(path, 64 * MIB)
    return path


def test_parts_of_a_file(adapter: Adapter, big: Path) -> None:
    content = big.read_bytes()
    parts = [(0, len(content) // 8), (4096, 65536), (len(content) - 100001, 100001)]
    for length in (1, 16384, 16385, 16384 + 65528, 16385 + 65528, 999999):
        parts.append((12345, length))
    with fcgi.Connection(adapter.path) as connection:
        for offset, length in parts:
            response = connection.ask("/send", query=f"{offset},{length},{big}")
            assert response.body == content[offset : offset + length]
            assert response.app_status == 0


def test_a_file_of_more_than_4_gib(adapter: Adapter, tmp_path: Path) -> None:
    path, end = tmp_path / "sparse", 4 * 1024 * MIB + 123456
    with path.open("wb") as file:
        for at, text in ((3, b"begin"), (end - 77777, b"beyond"), (end - 3, b"end")):
            file.seek(at)
            file.write(text)
    with fcgi.Connection(adapter.path) as connection:
        far = connection.ask("/send", query=f"{end - 77777},77777,{path}").body
        assert far == b"beyond" + bytes(77777 - 9) + b"end"
        connection.send(fcgi.request("/send", query=f"3,{end - 3},{path}"))
        total, seen, zeros = 0, b"", bytes(65536)
        with connection.socket.makefile("rb", MIB) as stream:
            while (header := stream.read(8))[1] != fcgi.END_REQUEST:
                length, padding = struct.unpack(">4xHBx", header)
                content = stream.read(length + padding)
                total += length
                if not zeros.startswith(content):
                    seen += content.replace(b"\0", b"")
    head, _, body = seen.partition(b"\r\n\r\n")
    assert body == b"beginbeyondend"
    assert total == len(head) + 4 + end - 3


def test_a_slow_reader_of_a_file(adapter: Adapter, big: Path) -> None:
    """Every piece waits for room; the connection is read meanwhile."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/send", query=f"1,2999999,{big}"))
        connection.send(fcgi.record(fcgi.GET_VALUES, 0, fcgi.pairs({b"FCGI_MAX_REQS": b""})))
        kinds, got = set(), b""
        for kind, _, content in connection.records():
            kinds.add(kind)
            got += content if kind == fcgi.STDOUT else b""
            time.sleep(0.002)
            if kind == fcgi.END_REQUEST:
                break
    assert got.partition(b"\r\n\r\n")[2] == big.read_bytes()[1:3000000]
    assert fcgi.GET_VALUES_RESULT in kinds


@pytest.mark.parametrize("penstock", [False, True])
def test_a_file_that_becomes_shorter(adapter: Adapter, big: Path, penstock: bool) -> None:
    """A gateway keeps the connection, to others a record that does not exist tells it."""
    with fcgi.Connection(adapter.path) as connection:
        if penstock:
            connection.values(b"PENSTOCK_VERSION")
        connection.send(fcgi.request("/send", query=f"0,{64 * MIB},{big}"))
        kind, _, content = connection.record()
        assert kind == fcgi.STDOUT
        beginning = content.partition(b"\r\n\r\n")[2] + connection.record()[2]
        assert beginning[:60000] == b"".join(b"%09d\n" % i for i in range(6000))
        os.truncate(big, 0)
        rest = connection.response()
        assert len(beginning + rest.stdout) < 2 * MIB
        assert rest.app_status == (1 if penstock else None)
        if penstock:
            assert connection.ask("/hello").body == b"hello\n"
        else:
            assert rest.records[-1] == 0
    assert "probe: send_file gave -4: the file" in adapter.log
    assert "GET /send: the application failed after the head of its response" in adapter.log


def test_an_abort_while_a_file_is_sent(adapter: Adapter, big: Path) -> None:
    """What has begun of it comes to its end, nothing more, and the connection goes on."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/send", query=f"0,{64 * MIB},{big}"))
        assert connection.record()[0] == fcgi.STDOUT
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 1))
        rest = connection.response()
        assert (rest.app_status, rest.protocol_status) == (1, fcgi.REQUEST_COMPLETE)
        assert len(rest.stdout) < 4 * MIB
        assert connection.ask("/hello").body == b"hello\n"
    assert "probe: send_file gave -1: the client is gone" in adapter.log


def test_a_client_that_leaves_while_a_file_is_sent(adapter: Adapter, big: Path) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/send", query=f"0,{64 * MIB},{big}"))
        assert connection.record()[0] == fcgi.STDOUT
    adapter.wait_log("probe: send_file gave -1: the client is gone")
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/hello").body == b"hello\n"


def test_a_child_of_the_application_inherits_nothing(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, probe, control=True) as adapter:
        assert adapter.line() == "READY"
        with fcgi.Connection(adapter.path) as other, fcgi.Connection(adapter.path) as connection:
            other.ask("/hello")
            lines = connection.ask("/fds").body.decode().splitlines()
        assert "control=none" in lines
        assert not [line for line in lines if "socket:" in line], lines
        fds = {line.split()[-3]: line.split()[-1] for line in lines if " -> " in line}
        assert fds["0"] == "/dev/null"
        del fds["0"], fds["1"], fds["2"]
        assert all(target.startswith("/proc/") for target in fds.values()), lines  # of ls itself


# --- its end ---


def test_sigterm_while_idle(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/hello").status == "200 OK"
        assert adapter.terminate() == 0
        assert connection.is_closed()


def test_sigterm_in_a_request(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/sleep", query="300"))
        adapter.wait_log("sleeping")
        adapter.process.send_signal(signal.SIGTERM)
        assert connection.response().body == b"slept\n"
        assert adapter.wait() == 0
        assert connection.is_closed()


def test_what_was_sent_before_sigterm_is_answered(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as first, fcgi.Connection(adapter.path) as second:
        assert second.ask("/hello").status == "200 OK"
        first.send(fcgi.request("/sleep", query="300"))
        adapter.wait_log("sleeping")
        second.send(fcgi.request("/hello"))
        adapter.process.send_signal(signal.SIGTERM)
        assert first.response().body == b"slept\n"
        assert second.response().body == b"hello\n"
        assert adapter.wait() == 0


def test_a_second_sigterm_ends_it_at_once(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/swallow")[:-8])
        adapter.wait_log("swallowing")
        adapter.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert adapter.terminate() == -signal.SIGTERM


def test_sigint_by_hand(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, probe) as adapter:
        with fcgi.Connection(adapter.path) as connection:
            connection.ask("/hello")
        assert adapter.terminate(signal.SIGINT) == 0
    with Adapter(tmp_path, probe) as adapter:
        with fcgi.Connection(adapter.path) as connection:
            connection.send(fcgi.request("/sleep", query="60000"))
            adapter.wait_log("sleeping")
            assert adapter.terminate(signal.SIGINT) == -signal.SIGINT


def test_sigabrt_tells_the_request_and_the_stacks(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        params = {"REQUEST_URI": "/a\x1b[1m\nb?secret=1"}
        connection.send(fcgi.head("/sleep", query="60000", **params))
        adapter.wait_log("sleeping")
        assert adapter.terminate(signal.SIGABRT) == -signal.SIGABRT
    assert "dies by SIGABRT while it handled GET /a\\x1b[1m\\x0ab\n" in adapter.log
    assert "probe: dump of the stacks" in adapter.log
    assert "secret" not in adapter.log


def test_abort_by_the_application(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/abort").app_status is None
    assert adapter.wait() == -signal.SIGABRT
    assert "while it handled GET /abort" in adapter.log


# --- control ---


@pytest.fixture(params=["sync", "threaded"])
def controlled(request: pytest.FixtureRequest, probe: str, tmp_path: Path) -> Iterator[Adapter]:
    with start(request.param, tmp_path, "--worker-id", "3.17", probe, control=True) as adapter:
        assert adapter.line() == "READY"
        yield adapter


def test_ping(controlled: Adapter) -> None:
    controlled.tell("PING")
    assert controlled.line() == "PONG"


def test_ping_is_answered_in_a_request(controlled: Adapter) -> None:
    with fcgi.Connection(controlled.path) as connection:
        connection.send(fcgi.request("/swallow")[:-8])
        controlled.wait_log("swallowing")
        controlled.tell("PING")
        assert controlled.line() == "PONG"
        connection.send(fcgi.record(fcgi.STDIN, 1))
        assert connection.response().status == "200 OK"


def test_drain_while_idle(controlled: Adapter) -> None:
    with fcgi.Connection(controlled.path) as connection:
        assert connection.ask("/hello").status == "200 OK"
        controlled.tell("DRAIN")
        assert controlled.wait() == 0
    assert "probe: closed" in controlled.log


def drain_by_line(adapter: Adapter) -> None:
    adapter.tell("DRAIN")


def drain_by_eof(adapter: Adapter) -> None:
    assert adapter.control
    adapter.control.close()


@pytest.mark.parametrize("drain", [drain_by_line, drain_by_eof])
def test_drain_in_a_request(controlled: Adapter, drain: Callable[[Adapter], None]) -> None:
    with fcgi.Connection(controlled.path) as connection:
        connection.send(fcgi.request("/sleep", query="300"))
        controlled.wait_log("sleeping")
        drain(controlled)
        assert connection.response().body == b"slept\n"
    assert controlled.wait() == 0


def test_eof_in_a_request_that_never_ends(probe: str, tmp_path: Path) -> None:
    with (
        Adapter(tmp_path, "--graceful-timeout", "0", probe, control=True) as adapter,
        fcgi.Connection(adapter.path) as connection,
    ):
        assert adapter.line() == "READY"
        connection.send(fcgi.request("/sleep", query="600000"))
        adapter.wait_log("sleeping")
        drain_by_eof(adapter)
        assert adapter.wait() == -signal.SIGABRT
        assert "has not within the graceful timeout of 0 s: it is aborted" in adapter.log
        assert "dies by SIGABRT while it handled GET /sleep" in adapter.log


def test_eof_while_idle(controlled: Adapter) -> None:
    drain_by_eof(controlled)
    assert controlled.wait() == 0


def test_eof_with_a_gateway_that_has_more_to_ask(controlled: Adapter) -> None:
    """Nobody starts another worker: this one serves what waits, until the gateway has left."""
    with fcgi.Connection(controlled.path) as connection:
        assert connection.ask("/hello").status == "200 OK"
        drain_by_eof(controlled)
        for _ in range(3):
            time.sleep(0.1)
            assert connection.ask("/hello").status == "200 OK"
        assert not process.spins(controlled.process.pid)
    assert controlled.wait() == 0


def test_drain_while_the_application_loads(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, "--option", "open=hang", probe, control=True) as adapter:
        adapter.wait_log("option open=hang")
        adapter.tell("DRAIN")
        assert adapter.wait() == 0


def test_an_unknown_line_is_logged_and_ignored(controlled: Adapter) -> None:
    controlled.tell("FROBNICATE now")
    controlled.tell("PING")
    assert controlled.line() == "PONG"
    assert 'said "FROBNICATE"' in controlled.log


def test_sigint_under_control_finishes_the_request(controlled: Adapter) -> None:
    with fcgi.Connection(controlled.path) as connection:
        connection.send(fcgi.request("/sleep", query="300"))
        controlled.wait_log("sleeping")
        controlled.process.send_signal(signal.SIGINT)
        assert connection.response().body == b"slept\n"
    assert controlled.wait() == 0


# --- its start ---


def run(*args: str, environment: dict[str, str] | None = None, **kwargs: object) -> tuple[int, str]:
    done = subprocess.run(
        [str(installed.SYNC), *args],
        env=os.environ | (environment or {}),
        stderr=subprocess.PIPE,
        stdin=kwargs.get("stdin", subprocess.DEVNULL),  # type: ignore[call-overload]
        timeout=60,
        text=True,
    )
    return done.returncode, done.stderr


def test_fd_0_must_listen(probe: str) -> None:
    status, said = run(probe)
    assert status == 2
    assert said.startswith("sync: critical: fd 0 is not a listening socket")
    assert said.count("\n") == 1
    with socket.socket(socket.AF_UNIX) as not_listening:
        assert run(probe, stdin=not_listening)[0] == 2


@pytest.mark.parametrize(
    "args, said",
    [
        ((), "no APP is given"),
        (("",), "no APP is given"),
        (("a.so", "b.so"), 'but "b.so" follows "a.so"'),
        (("--option", "novalue", "a.so"), "--option novalue: NAME=VALUE is wanted"),
        (("--option", "=x", "a.so"), "NAME=VALUE is wanted"),
        (("--frobnicate", "a.so"), "unrecognized option '--frobnicate'"),
        (("--python",), "requires an argument"),
    ],
)
def test_usage_errors(args: tuple[str, ...], said: str) -> None:
    status, text = run(*args)
    assert status == 2
    assert said in text


def test_help_and_version() -> None:
    for option, expected in (("--help", "usage: sync"), ("--version", "penstock 0.1.0")):
        done = subprocess.run([str(installed.SYNC), option], stdout=subprocess.PIPE, text=True)
        assert done.returncode == 0
        assert done.stdout.startswith(expected)


def test_options_reach_the_plugin(probe: str, tmp_path: Path) -> None:
    args = ("--pythonpath", "a", "--pythonpath=b", "--option", "x.y=1=2", "--python", "py", probe)
    with Adapter(tmp_path, *args) as adapter:
        adapter.wait_log("option python=py")
        assert [line for line in adapter.log.splitlines() if "option" in line] == [
            "sync: probe: option pythonpath=a",
            "sync: probe: option pythonpath=b",
            "sync: probe: option x.y=1=2",
            "sync: probe: option python=py",
        ]


def test_control_must_be_a_socket(probe: str, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        done = subprocess.run(
            ["/bin/bash", "-c", 'exec "$@" 3</dev/null', "bash", str(installed.SYNC), probe],
            stdin=listener, env=os.environ | {"PENSTOCK_CONTROL": "3"},
            stderr=subprocess.PIPE, text=True, timeout=60,
        )
    assert done.returncode == 2
    assert "fd 3 is not a socket" in done.stderr


def test_the_application_did_not_load(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, "--option", "open=fail", probe) as adapter:
        assert adapter.wait() == 3
        assert "was not loaded" in adapter.log


def test_a_crash_while_the_application_loads(probe: str, tmp_path: Path) -> None:
    """A sanitizer would report the signal, which is meant here: it leaves that one to the adapter."""
    meant = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"}
    with Adapter(tmp_path, "--option", "open=crash", probe, environment=meant) as adapter:
        assert adapter.wait() == -signal.SIGSEGV
        assert "dies by SIGSEGV while it loaded the application" in adapter.log


# --- FCGI_WEB_SERVER_ADDRS ---


def tcp_listener(family: int = socket.AF_INET, host: str = "127.0.0.1") -> socket.socket:
    listener = socket.socket(family)
    listener.bind((host, 0))
    listener.listen()
    return listener


def tcp_hello(address: tuple[str, int], family: int = socket.AF_INET) -> bytes:
    with socket.socket(family) as client:
        client.settimeout(60)
        client.connect(address)
        try:
            client.sendall(fcgi.request("/hello", keep=False))
            return client.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b""


@pytest.mark.parametrize(
    "addresses, served",
    [("", True), ("127.0.0.1", True), ("192.0.2.1, 127.0.0.1", True), ("192.0.2.1,::1", False)],
)
def test_web_server_addrs(probe: str, tmp_path: Path, addresses: str, served: bool) -> None:
    listener = tcp_listener()
    address = listener.getsockname()
    environment = {"FCGI_WEB_SERVER_ADDRS": addresses}
    with Adapter(tmp_path, probe, listener=listener, environment=environment) as adapter:
        assert (b"hello" in tcp_hello(address)) == served
        assert adapter.terminate() == 0
        assert ("FCGI_WEB_SERVER_ADDRS does not name" in adapter.log) == (not served)


def test_web_server_addrs_that_are_none(probe: str, tmp_path: Path) -> None:
    environment = {"FCGI_WEB_SERVER_ADDRS": "127.0.0.1,localhost"}
    with Adapter(tmp_path, probe, environment=environment) as adapter:
        assert adapter.wait() == 2
        assert 'FCGI_WEB_SERVER_ADDRS: "localhost" is no IP address' in adapter.log
