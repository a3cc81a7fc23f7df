"""The async adapter, installed, with a plugin on libevent's loop and one on a loop of its own: many
requests on one connection, as a gateway of ours sends them, and one on each, as nginx does."""
from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fcgi
import installed
from adapter import Adapter, build_plugin
from page import CLAIMED, DONE, TURNED, WITHDRAWN, Page
from penstock import Penstock, eventually
from servers import Nginx

MIB = 1 << 20
CREDIT, USAGE, DRAIN = 64, 69, 70
EXTENDED = 0x80


@pytest.fixture(scope="module", params=["libevent", "own"])
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    flags = ["-DOWN_LOOP"] if request.param == "own" else []
    target = tmp_path_factory.mktemp("probe") / "async_probe.so"
    return str(build_plugin("async_probe.c", target, *flags))


@pytest.fixture
def adapter(probe: str, tmp_path: Path) -> Iterator[Adapter]:
    with Adapter(tmp_path, probe, program=installed.ASYNC) as adapter:
        yield adapter
        assert adapter.terminate() == 0, adapter.log


class Gateway(fcgi.Connection):
    """Asks what a gateway of ours does, and has many requests at a time."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        assert self.values(b"PENSTOCK_VERSION") == {b"PENSTOCK_VERSION": b"1"}
        self.responses: dict[int, fcgi.Response] = {}
        self.read: dict[int, int] = {}  # and not granted again
        self.credit: dict[int, int] = {}  # what may be sent, beside the first 64 KiB
        self.drains = 0
        self.grants = True

    def begin(
        self, request_id: int, path: str, *, query: str = "", rest: bytes = b"", **params: str
    ) -> None:
        """REST follows in the same write. PARAMS come first, as a ticket has to."""
        usual = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query}
        values = params | (usual | params)
        pairs = fcgi.pairs({name.encode(): value.encode() for name, value in values.items()})
        flags = fcgi.KEEP_CONN | EXTENDED
        self.responses[request_id] = fcgi.Response()
        self.send(
            fcgi.record(
                fcgi.BEGIN_REQUEST, request_id, struct.pack(">HB5x", fcgi.RESPONDER, flags)
            )
            + fcgi.stream(fcgi.PARAMS, request_id, pairs)
            + rest
        )

    def ask_id(self, request_id: int, path: str, *, query: str = "", **params: str) -> None:
        rest = fcgi.record(fcgi.STDIN, request_id)
        self.begin(request_id, path, query=query, rest=rest, **params)

    def take(self) -> int:
        """One record; the id of the request that it ended, or 0."""
        kind, request_id, content = self.record()
        self.drains += kind == DRAIN
        if request_id == 0:
            return 0
        response = self.responses[request_id]
        response.records.append(kind)
        if kind == fcgi.STDOUT:
            response.stdout += content
            if self.grants:
                self.grant(request_id, len(content))
        elif kind == fcgi.STDERR:
            response.stderr += content
        elif kind == CREDIT:
            granted = struct.unpack(">I4x", content)[0]
            self.credit[request_id] = self.credit.get(request_id, 0) + granted
        elif kind == fcgi.END_REQUEST:
            response.app_status, response.protocol_status = struct.unpack(">IB3x", content)
            return request_id
        return 0

    def grant(self, request_id: int, n: int) -> None:
        self.read[request_id] = self.read.get(request_id, 0) + n
        if self.read[request_id] < 32768:
            return
        grant = struct.pack(">I4x", self.read.pop(request_id))
        self.send(fcgi.record(CREDIT, request_id, grant))

    def until_ended(self, *ids: int) -> list[int]:
        """Take records until all of IDS have ended: in which order."""
        left, order = set(ids), []
        while left:
            ended = self.take()
            if ended in left:
                left.remove(ended)
                order.append(ended)
        return order


# --- many requests at a time ---


def test_what_it_says_of_itself(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, "--capacity", "77", probe, program=installed.ASYNC) as adapter:
        with fcgi.Connection(adapter.path) as connection:
            names = (b"FCGI_MAX_REQS", b"FCGI_MPXS_CONNS", b"PENSTOCK_STREAMS", b"PENSTOCK_FILES")
            values = connection.values(*names, b"PENSTOCK_VERSION", b"PENSTOCK_MEMORY")
        assert values == {
            b"FCGI_MAX_REQS": b"77", b"FCGI_MPXS_CONNS": b"1", b"PENSTOCK_STREAMS": b"1",
            b"PENSTOCK_FILES": b"1", b"PENSTOCK_VERSION": b"1", b"PENSTOCK_MEMORY": b"1",
        }
        assert adapter.terminate() == 0
        assert "probe: open, model 2, 77 at a time" in adapter.log


def test_requests_are_interleaved(adapter: Adapter) -> None:
    with Gateway(adapter.path) as gateway:
        gateway.ask_id(1, "/hang")
        gateway.begin(2, "/count")
        gateway.ask_id(3, "/sleep", query="50")
        gateway.ask_id(4, "/hello")
        gateway.send(fcgi.record(fcgi.STDIN, 2, b"x" * 1000))
        assert gateway.until_ended(3, 4) == [4, 3]
        gateway.ask_id(4, "/open")
        gateway.until_ended(4)
        assert gateway.responses[4].body == b"3\n"
        gateway.send(fcgi.record(fcgi.STDIN, 2, b"x" * 234) + fcgi.record(fcgi.STDIN, 2))
        gateway.until_ended(2)
        assert gateway.responses[2].body == b"1234\n"
        assert gateway.responses[3].body == b"slept\n"
        assert gateway.responses[3].records.count(USAGE) == 1
        gateway.send(fcgi.record(fcgi.ABORT_REQUEST, 1, bytes(8)))
        gateway.until_ended(1)
        adapter.wait_log("probe: /hang is aborted, reason 0")


def test_a_thousand_requests_wait_on_timers(adapter: Adapter) -> None:
    with Gateway(adapter.path) as gateway:
        for request_id in range(1, 1001):
            gateway.ask_id(request_id, "/sleep", query="500")
        gateway.until_ended(*range(1, 1001))
        assert all(response.body == b"slept\n" for response in gateway.responses.values())


def test_a_deadline_is_told_and_the_id_stays(adapter: Adapter) -> None:
    with Gateway(adapter.path) as gateway:
        gateway.ask_id(1, "/stubborn")
        gateway.send(fcgi.record(fcgi.ABORT_REQUEST, 1, bytes([1]) + bytes(7)))
        adapter.wait_log("probe: /stubborn is aborted, reason 1")
        gateway.ask_id(2, "/hello")
        gateway.until_ended(2)
        assert gateway.responses[1].app_status is None
        gateway.ask_id(2, "/release")
        assert set(gateway.until_ended(1, 2)) == {1, 2}


def test_one_client_reads_nothing(adapter: Adapter) -> None:
    """1 GiB is produced for it; the others on the same connection are served."""
    with Gateway(adapter.path) as gateway:
        gateway.grants = False
        gateway.ask_id(1, "/big", query=str(1 << 30))
        before = memory(adapter)
        for _ in range(20):
            ids = range(2, 102)
            for request_id in ids:
                gateway.ask_id(request_id, "/hello")
            gateway.until_ended(*ids)
        assert len(gateway.responses[1].stdout) == 65536
        assert memory(adapter) - before < 256 * MIB  # the sanitizers keep what is freed
        gateway.send(fcgi.record(fcgi.ABORT_REQUEST, 1, bytes(8)))
        gateway.until_ended(1)


def memory(adapter: Adapter) -> int:
    status = Path(f"/proc/{adapter.process.pid}/statm").read_text()
    return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_body_of_any_size_comes_back(adapter: Adapter) -> None:
    body = os.urandom(4 * MIB)
    with Gateway(adapter.path) as gateway:
        gateway.begin(1, "/echo")
        for at in range(0, len(body), 32768):
            while at + 32768 > 65536 + gateway.credit.get(1, 0):
                gateway.take()
            gateway.send(fcgi.record(fcgi.STDIN, 1, body[at : at + 32768]))
        gateway.send(fcgi.record(fcgi.STDIN, 1))
        gateway.until_ended(1)
        assert gateway.responses[1].body == body


def test_another_thread_wakes_the_loop(adapter: Adapter) -> None:
    with Gateway(adapter.path) as gateway:
        gateway.ask_id(1, "/wake")
        gateway.until_ended(1)
        assert gateway.responses[1].body == b"woken\n"


def test_failures(adapter: Adapter) -> None:
    with Gateway(adapter.path) as gateway:
        for request_id, path in enumerate(["/fail", "/fail-late", "/nothing", "/error"], 1):
            gateway.ask_id(request_id, path)
        gateway.until_ended(1, 2, 3, 4)
        fail, late, nothing, error = (gateway.responses[i] for i in (1, 2, 3, 4))
        for response in fail, nothing, error:
            assert (response.status, response.app_status) == ("500 Internal Server Error", 0)
        assert (late.body, late.app_status) == (b"half", 1)
        assert error.stderr == b"something is wrong\nin two lines"
    assert adapter.log.count("error: ") == 3  # the one that explained itself is not in the log


def test_a_file(adapter: Adapter, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1 * MIB))
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/file", query=str(file)).body == file.read_bytes() + b"behind\n"


# --- one request on each connection ---


def test_plain_clients(adapter: Adapter) -> None:
    body = os.urandom(1 * MIB)
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/hello").body == b"hello\n"
        assert connection.ask("/count", body=body).body == f"{MIB}\n".encode()
        assert len(connection.ask("/big", query=str(10 * MIB)).body) == 10 * MIB
        assert connection.ask("/drip", query="20").body == b"one\ntwo\n"
        assert connection.ask("/hello", keep=False).body == b"hello\n"
        assert connection.is_closed()
    with fcgi.Connection(adapter.path) as connection:
        late = connection.ask("/fail-late")
        assert (late.body, late.app_status) == (b"half", None)
        assert connection.is_closed()


def test_cgi_fcgi(adapter: Adapter) -> None:
    got = subprocess.run(
        ["cgi-fcgi", "-bind", "-connect", adapter.path], check=True, timeout=60,
        input=b"12345", stdout=subprocess.PIPE,
        env={"REQUEST_METHOD": "POST", "PATH_INFO": "/count", "CONTENT_LENGTH": "5"},
    )
    assert got.stdout.endswith(b"\r\n\r\n5\n")


def test_a_client_that_leaves(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/hang"))
    adapter.wait_log("probe: /hang is aborted, reason 0")
    with fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/open").body == b"1\n"


@pytest.mark.parametrize("kept", [False, True], ids=["closed", "kept"])
def test_nginx(adapter: Adapter, tmp_path: Path, kept: bool) -> None:
    """fastcgi_pass, with a connection for each request and with kept ones."""
    body = os.urandom(3 * MIB)
    upstream = f"upstream app {{ server unix:{adapter.path}; keepalive 8; }}"
    location = "fastcgi_pass app; fastcgi_keep_conn on;"
    directory = tmp_path / "server"
    directory.mkdir()
    if not kept:
        upstream, location = "", f"fastcgi_pass unix:{adapter.path};"
    with Nginx(directory, location, upstream) as nginx:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: nginx.curl(path="/sleep?50"), range(64)))
        assert answers == [(0, b"slept\n")] * 64
        count = nginx.curl("--data-binary", "@-", path="/count", data=body)
        assert count == (0, f"{len(body)}\n".encode())
        status, got = nginx.curl(path=f"/big?{5 * MIB}")
        assert (status, len(got)) == (0, 5 * MIB)
        assert nginx.curl(path="/fail-late")[0] != 0


# --- the page ---


def test_claims_and_the_heartbeat(probe: str, tmp_path: Path) -> None:
    page = Page()
    try:
        with Adapter(tmp_path, probe, program=installed.ASYNC, page=page.fd) as adapter:
            page.bytes[16:24] = struct.pack("=Q", 1)
            with Gateway(adapter.path) as gateway:
                gateway.ask_id(1, "/hang", PENSTOCK_TICKET=page.offer(1))
                withdrawn = page.offer(2)
                page.set_state(WITHDRAWN, 2)
                gateway.ask_id(2, "/hello", PENSTOCK_TICKET=withdrawn)
                gateway.ask_id(3, "/hello", PENSTOCK_TICKET=page.offer(3))
                gateway.until_ended(2, 3)
                assert gateway.responses[2].protocol_status == fcgi.OVERLOADED
                assert (page.state(1), page.state(2), page.state(3)) == (CLAIMED, WITHDRAWN, DONE)
                # While a request is open the loop says that it turns, although nothing happens.
                turned = page.number(TURNED)
                while page.number(TURNED) == turned:
                    assert adapter.process.poll() is None
                gateway.send(fcgi.record(fcgi.ABORT_REQUEST, 1, bytes(8)))
                gateway.until_ended(1)
                assert page.state(1) == DONE
            assert adapter.terminate() == 0
    finally:
        page.close()


# --- its end ---


def test_closing(probe: str, tmp_path: Path) -> None:
    """A drain is to come: the plugin ends what would hang, and all is served until then."""
    with Adapter(tmp_path, probe, control=True, program=installed.ASYNC) as adapter:
        assert adapter.line() == "READY"
        with Gateway(adapter.path) as gateway:
            gateway.ask_id(1, "/hang")
            gateway.ask_id(2, "/hello")
            gateway.until_ended(2)
            adapter.tell("CLOSING")
            gateway.until_ended(1)
            adapter.tell("CLOSING")
            gateway.ask_id(3, "/hello")
            gateway.until_ended(3)
            with Gateway(adapter.path) as another:
                another.ask_id(1, "/hello")
                another.until_ended(1)
            assert gateway.drains == 0
            adapter.tell("DRAIN")
            assert adapter.wait() == 0
    assert adapter.log.count("probe: drain") == 1


def test_drain(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, probe, control=True, program=installed.ASYNC) as adapter:
        assert adapter.line() == "READY"
        with Gateway(adapter.path) as gateway, Gateway(adapter.path) as idle:
            gateway.ask_id(1, "/sleep", query="300")
            gateway.begin(2, "/count")
            gateway.ask_id(3, "/hang")
            gateway.ask_id(4, "/hello")
            gateway.until_ended(4)
            adapter.tell("DRAIN")
            adapter.wait_log("probe: drain")  # the plugin ends what would hang
            gateway.until_ended(3)
            assert gateway.drains == 1
            gateway.send(fcgi.record(fcgi.STDIN, 2, b"123") + fcgi.record(fcgi.STDIN, 2))
            gateway.until_ended(1, 2)
            assert gateway.responses[2].body == b"3\n"
            assert adapter.wait() == 0
            while True:
                try:
                    idle.record()
                except (EOFError, ConnectionResetError):
                    break
    assert "probe: close" in adapter.log


def test_sigterm_in_requests(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/sleep", query="300"))
        with fcgi.Connection(adapter.path) as other:
            assert other.ask("/open").body == b"2\n"
        adapter.process.send_signal(signal.SIGTERM)
        assert connection.response().body == b"slept\n"
        assert adapter.wait() == 0
        assert connection.is_closed()


def test_sigint_by_hand(probe: str, tmp_path: Path) -> None:
    with Adapter(tmp_path, probe, program=installed.ASYNC) as adapter:
        with fcgi.Connection(adapter.path) as connection:
            connection.ask("/hello")
        assert adapter.terminate(signal.SIGINT) == 0
    with Adapter(tmp_path, probe, program=installed.ASYNC) as adapter:
        with Gateway(adapter.path) as gateway:
            gateway.ask_id(1, "/hang")
            gateway.ask_id(2, "/hello")
            gateway.until_ended(2)
            assert adapter.terminate(signal.SIGINT) == -signal.SIGINT


def test_the_arbiter_dies(probe: str, tmp_path: Path) -> None:
    """It serves those that are there until they leave."""
    with Adapter(tmp_path, probe, control=True, program=installed.ASYNC) as adapter:
        assert adapter.line() == "READY"
        with Gateway(adapter.path) as gateway:
            gateway.ask_id(1, "/sleep", query="100")
            assert adapter.control
            adapter.control.close()
            gateway.until_ended(1)
            gateway.ask_id(1, "/hello")
            gateway.until_ended(1)
            assert gateway.responses[1].body == b"hello\n"
        assert adapter.wait() == 0


def test_a_crash_names_what_is_open(adapter: Adapter) -> None:
    with Gateway(adapter.path) as gateway:
        for request_id in range(1, 21):
            gateway.ask_id(request_id, "/hang", REQUEST_URI=f"/{request_id}?secret=1")
        gateway.ask_id(21, "/crash", query=str(int(signal.SIGABRT)))
        assert adapter.wait() == -signal.SIGABRT
    names = ", ".join(f"GET /{n}" for n in range(1, 9))
    assert f"dies by SIGABRT while it handled {names} and 13 more\n" in adapter.log
    assert "secret" not in adapter.log
    adapter.process.returncode = 0  # as the fixture wants it: it has ended as it was to


# --- behind the gateway ---


def test_a_worker_is_killed(probe: str, penstock: Callable[..., Penstock]) -> None:
    """What hung in it is 502, what comes then is for another one."""
    server = penstock(probe, "-k", "async")
    with ThreadPoolExecutor(50) as pool:
        hanging = [pool.submit(server.get, "/hang") for _ in range(50)]
        eventually(lambda: server.get("/open").body == b"51\n", "50 requests that hang")
        os.kill(server.worker_pids[0], signal.SIGKILL)
        assert {answer.result().status for answer in hanging} == {502}
    assert server.get("/open").body == b"1\n"
    assert server.stop() == 0


# --- a plugin that cannot be used ---


def test_a_plugin_of_another_model(tmp_path: Path) -> None:
    plugin = str(build_plugin("probe.c", tmp_path / "probe.so"))
    with Adapter(tmp_path, plugin, program=installed.ASYNC) as adapter:
        assert adapter.wait() == 1
        assert "does not support the async model" in adapter.log
