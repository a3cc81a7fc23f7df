"""WebSockets through the whole of an installed penstock: who is told what when one ends, limits,
waiting, draining, and nginx in front. What stands in frames is test_websocket_protocol.py's."""
from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import installed
import raw
from fcgi import (
    BEGIN_REQUEST, GET_VALUES, GET_VALUES_RESULT, PARAMS, STDIN, Connection, pairs, record,
)  # fmt: skip
from gateway import Exchange, Gateway, Worker
from penstock import Penstock, eventually, is_alive
from servers import Server, find
from test_ctl import status
from websocket import BINARY, CLOSE, CONT, FIN, PING, PONG, TEXT, Socket, closing, frame

CREDIT = 64
APPS = Path(__file__).parent / "apps"
Start = Callable[..., Penstock]


def start(penstock: Start, *options: str, workers: int = 1) -> Penstock:
    return penstock("sockets:app", "-k", "async", "-w", str(workers), "--access-logfile", "-",
                    *options, cwd=APPS)  # fmt: skip


def socket_at(server: Penstock, path: str = "/", *fields: str, receive_buffer: int = 0) -> Socket:
    return Socket(("127.0.0.1", server.port), path, *fields, receive_buffer=receive_buffer)


# ---- what is said of it


def test_scope_and_head(penstock: Start) -> None:
    server = start(penstock)
    protocols = "Sec-WebSocket-Protocol: chat, superchat"
    with socket_at(server, "/room?a=1", protocols, "X-Test: yes") as socket:
        assert socket.answer.field("Sec-WebSocket-Protocol") == "superchat"
        assert socket.answer.field("X-Socket") == "yes"
        assert socket.answer.field("Server") == "penstock"
        scope = json.loads(socket.ask("scope"))
        assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/room")
        headers = dict(map(tuple, scope["headers"]))
        assert headers["upgrade"] == "websocket" and headers["x-test"] == "yes"
        assert headers["sec-websocket-key"] == socket.key
        socket.send(closing(1000))
        assert socket.closed() == (1000, "")


def test_log_and_status(penstock: Start) -> None:
    server = start(penstock)
    with socket_at(server, "/room") as socket:
        assert socket.ask("four") == "four"
        report = json.loads(ctl(server, "status", "--json"))
        assert report["gateways"][0]["websockets"] == 1
        assert report["pools"][0]["websockets"] == 1
        assert '"GET /room HTTP/1.1" 101' not in server.access_log
        socket.send(closing(1000))
        assert socket.closed() == (1000, "")
    eventually(lambda: '"GET /room HTTP/1.1" 101 4 ' in server.access_log, "its line")
    report = json.loads(ctl(server, "status", "--json"))
    assert report["gateways"][0]["websockets"] == 0


def ctl(server: Penstock, *words: str) -> str:
    found = subprocess.run(
        [installed.PENSTOCK, "ctl", "--socket", server.runtime_directory / "penstock.ctl", *words],
        capture_output=True, text=True, check=True)  # fmt: skip
    return found.stdout


def test_denied(penstock: Start) -> None:
    server = start(penstock)
    with raw.Client(("127.0.0.1", server.port)) as client:
        for _ in range(2):
            answer = client.ask("/deny", "Connection: Upgrade", "Upgrade: websocket",
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                "Sec-WebSocket-Version: 13")  # fmt: skip
            assert (answer.status, answer.whole) == (403, True)
        # The connection is as good as before.
        assert client.ask("/").body == b"no socket\n"


def test_a_subprotocol_that_was_not_offered(penstock: Start) -> None:
    server = start(penstock)
    with raw.Client(("127.0.0.1", server.port)) as client:
        answer = client.ask("/unoffered", "Connection: Upgrade", "Upgrade: websocket",
                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                            "Sec-WebSocket-Version: 13")  # fmt: skip
        assert answer.status == 502
    server.wait_for(r"it chose a subprotocol that its client did not offer: answered 502")


def test_pools_without_websockets(tmp_path: Path) -> None:
    with Gateway(tmp_path, pools={"php": {"kind": "program"}}) as gateway:
        with gateway.client() as client:
            answer = client.ask("/", "Connection: Upgrade", "Upgrade: websocket",
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                "Sec-WebSocket-Version: 13")  # fmt: skip
            assert answer.status == 501


# ---- how it ends


def test_codes_of_the_application(penstock: Start) -> None:
    server = start(penstock)
    for code, reason in ((1000, ""), (1001, "going"), (3000, "x" * 123), (4999, "äöü")):
        with socket_at(server) as socket:
            socket.send_text(f"close {code} {reason}")
            assert socket.closed() == (code, reason)


def test_codes_of_the_client(penstock: Start) -> None:
    server = start(penstock)
    for code, reason in ((1000, ""), (1001, "going"), (4000, "x" * 123)):
        with socket_at(server) as socket:
            socket.send(closing(code, reason))
            assert socket.closed() == (code, "")
        server.wait_for(rf"told {code} {reason or '-'}$")
    with socket_at(server) as socket:
        socket.send(frame(FIN | CLOSE))
        assert socket.closed() == (1005, "")
    server.wait_for(r"told 1005 -$")


def test_a_client_that_breaks_the_protocol(penstock: Start) -> None:
    server = start(penstock)
    with socket_at(server) as socket:
        socket.send(frame(FIN | 3))
        assert socket.closed()[0] == 1002
    server.wait_for(r"client 127.0.0.1: GET /: its WebSocket is closed with 1002: reserved opcode")
    server.wait_for(r"told 1002 ")
    # A flood of them is no flood of lines.
    for _ in range(20):
        with socket_at(server) as socket:
            socket.send(frame(FIN | 3))
            assert socket.closed()[0] == 1002
    server.wait_for(r"\d+ more WebSockets were closed within a second as their clients broke the protocol")


@pytest.mark.parametrize("how", ["close", "reset", "end_input"])
def test_a_client_that_vanishes(penstock: Start, how: str) -> None:
    server = start(penstock)
    socket = socket_at(server)
    assert socket.ask("hello") == "hello"
    getattr(socket, how)()
    server.wait_for(r"told 1006 -$")
    socket.close()


def test_an_application_that_raises(penstock: Start) -> None:
    server = start(penstock)
    with socket_at(server) as socket:
        socket.send_text("raise")
        assert socket.closed() == (1011, "")
    server.wait_for(r"RuntimeError: asked for")
    with socket_at(server) as socket:
        assert socket.ask("still there") == "still there"


def test_a_worker_that_dies(penstock: Start) -> None:
    server = start(penstock)
    with socket_at(server) as socket:
        assert socket.ask("hello") == "hello"
        os.kill(server.worker_pids[0], signal.SIGKILL)
        assert socket.closed() == (1011, "")
    server.wait_for(r"GET /: .*: its WebSocket is closed with 1011")


def test_a_drain(penstock: Start) -> None:
    server = start(penstock)
    sockets = [socket_at(server) for _ in range(5)]
    for socket in sockets:
        assert socket.ask("hello") == "hello"
    server.signal(signal.SIGTERM)
    for socket in sockets:
        with socket:
            assert socket.closed() == (1012, "")
    assert server.wait() == 0
    assert server.log.count("told 1012") == 5


def test_a_client_that_does_not_answer_does_not_hold_up_a_drain(penstock: Start) -> None:
    server = start(penstock, "--graceful-timeout", "2")
    with socket_at(server) as socket:
        assert socket.ask("hello") == "hello"
        server.signal(signal.SIGTERM)
        found = socket.frame()
        assert found and found.code == 1012
        assert server.wait() == 0


def test_a_reload(penstock: Start) -> None:
    server = start(penstock)
    (old,) = server.worker_pids
    with socket_at(server) as socket:
        assert socket.ask("hello") == "hello"
        server.signal(signal.SIGHUP)
        assert socket.closed() == (1012, "")
    eventually(lambda: old not in server.worker_pids, "the old worker to leave")
    with socket_at(server) as socket:
        assert socket.ask("new") == "new"


def test_a_reload_that_replaces_the_gateway(penstock: Start, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("keep_alive: 75\n")
    server = start(penstock, "-c", str(file))
    old = server.gateway_pid
    with socket_at(server) as socket:
        assert socket.ask("hello") == "hello"
        file.write_text("keep_alive: 76\n")
        server.signal(signal.SIGHUP)
        assert socket.closed() == (1012, "")
    server.wait_for("told 1012 ")
    eventually(lambda: not is_alive(old), "the old gateway to leave")
    with socket_at(server) as socket:
        assert socket.ask("new") == "new"


# ---- limits and waiting


def test_messages_that_are_too_large(penstock: Start) -> None:
    server = start(penstock, "--websocket-max-message-size", "1K")
    with socket_at(server) as socket:
        assert socket.ask("x" * 1024) == "x" * 1024
        socket.send_text("x" * 1025)
        assert socket.closed()[0] == 1009
    server.wait_for(r"told 1009 ")


def test_pings(penstock: Start) -> None:
    """They go on beyond every deadline of requests; who does not answer is lost."""
    server = start(penstock, "--websocket-ping-interval", "1", "--timeout", "1",
                   "--request-timeout", "1", "--keep-alive", "1")  # fmt: skip
    with socket_at(server) as socket:
        for _ in range(3):
            found = socket.frame()
            assert found and found.opcode == PING
            socket.send(frame(FIN | PONG, found.payload))
        assert socket.ask("hello") == "hello"
        found = socket.frame()
        assert found and found.opcode == PING
        assert socket.frame() is None
    server.wait_for(r"it did not answer a ping for 1 s \(--websocket-ping-interval\)")
    server.wait_for(r"told 1006 -$")


def test_a_slow_client_makes_the_worker_wait(penstock: Start) -> None:
    server = start(penstock)
    before = memory_of(server.gateway_pid)
    with socket_at(server, receive_buffer=4096) as slow, socket_at(server) as other:
        slow.send_text("flood 1000")  # 64 MB
        found = slow.message()
        assert found == bytes(65536)
        # Others are served meanwhile.
        for _ in range(50):
            assert other.ask("hello") == "hello"
        assert memory_of(server.gateway_pid) - before < 8 << 20
        for number in range(1, 1000):
            assert slow.message() == number.to_bytes(4, "big") * 16384
        assert slow.ask("done") == "done"


def test_a_slow_worker_makes_the_client_wait(penstock: Start) -> None:
    server = start(penstock, "--websocket-ping-interval", "1")
    before = memory_of(server.gateway_pid)
    message = frame(FIN | BINARY, b"x" * 65536)
    with socket_at(server) as socket:
        socket.send_text("sleep 4")
        socket.socket.settimeout(1)
        sent, rest = 0, message
        with pytest.raises(TimeoutError):
            while sent < 1000:
                rest = rest[socket.socket.send(rest) :]
                if not rest:
                    sent, rest = sent + 1, message
        assert memory_of(server.gateway_pid) - before < 8 << 20
        socket.socket.settimeout(raw.PATIENCE)
        # Whoever is not read cannot answer a ping, and is not taken for dead. Its pong stands
        # behind what it had begun.
        for _ in range(sent):
            assert socket.message_between(rest) == b"x" * 65536
            rest = b""


def memory_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def test_broadcast(penstock: Start) -> None:
    server = start(penstock)
    sockets = [socket_at(server) for _ in range(100)]
    for socket in sockets:
        assert socket.ask("hello") == "hello"
    sockets[0].send_text("all news")
    for socket in sockets:
        with socket:
            assert socket.message() == "news"


def test_a_handshake_waits_for_a_place(penstock: Start) -> None:
    server = start(penstock, "--worker-connections", "2")
    first, second = socket_at(server), socket_at(server)
    with first, second, raw.Client(("127.0.0.1", server.port)) as third:
        third.get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
        eventually(lambda: status(server)["pools"][0]["queued"] == 1, "the third in the queue")
        first.send(closing(1000))
        assert first.closed()[0] == 1000
        assert third.head().startswith("HTTP/1.1 101 ")


def test_a_handshake_waits_no_longer_than_a_request(penstock: Start) -> None:
    server = start(penstock, "--worker-connections", "1", "--queue-timeout", "1")
    with socket_at(server), raw.Client(("127.0.0.1", server.port)) as second:
        second.get("/", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
        answer = second.response()
        assert (answer.status, answer.field("Retry-After") is None) == (503, False)


# ---- through nginx


class Nginx(Server):
    """nginx before a server at TARGET, as examples/nginx has it."""

    def __init__(self, directory: Path, target: int) -> None:
        self.target = target
        super().__init__(directory)

    def command(self) -> list[str]:
        d = self.directory
        params = (installed.SOURCE / "examples/nginx/penstock_proxy_params").read_text()
        # As it says, for a port that browsers name.
        params = params.replace("Host $host;", "Host $host:$server_port;")
        (d / "penstock_proxy_params").write_text(params)
        user = "user root;" if os.geteuid() == 0 else ""
        (d / "nginx.conf").write_text(f"""
            daemon off; {user} pid {d}/pid; error_log {d}/stderr;
            events {{}}
            http {{
                access_log off;
                proxy_temp_path {d}/proxy; client_body_temp_path {d}/body;
                fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
                map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
                server {{
                    listen 127.0.0.1:{self.port};
                    location / {{
                        proxy_pass http://127.0.0.1:{self.target};
                        include {d}/penstock_proxy_params;
                    }}
                }}
            }}""")  # fmt: skip
        return [find("nginx"), "-p", str(d), "-c", str(d / "nginx.conf")]


def test_through_nginx(penstock: Start, tmp_path: Path) -> None:
    server = start(penstock)
    with Nginx(tmp_path, server.port) as nginx:
        with Socket(("127.0.0.1", nginx.port), "/room") as socket:
            assert socket.ask("hello") == "hello"
            scope = json.loads(socket.ask("scope"))
            assert (scope["scheme"], scope["path"]) == ("ws", "/room")
            socket.send(frame(TEXT, b"a") + frame(FIN | CONT, b"b" * 100_000))
            assert socket.message() == "a" + "b" * 100_000
            socket.send(closing(4000, "bye"))
            assert socket.closed() == (4000, "")
        server.wait_for(r"told 4000 bye$")
        with raw.Client(("127.0.0.1", nginx.port)) as client:
            assert client.ask("/").body == b"no socket\n"


# ---- a worker that speaks WebSocket itself


class Streaming(Worker):
    """Accepts with a stream, then echoes bytes in upper case until they end."""

    def greet(self, content: bytes) -> bytes:
        values = {b"FCGI_MAX_REQS": b"4", b"FCGI_MPXS_CONNS": b"1", b"PENSTOCK_VERSION": b"1"}
        return record(GET_VALUES_RESULT, 0, pairs(values))

    def _records(self, connection: Connection) -> None:
        exchanges: dict[int, Exchange] = {}
        for kind, number, content in connection.records():
            if kind == GET_VALUES:
                connection.send(self.greet(content))
            elif kind == BEGIN_REQUEST:
                exchanges[number] = Exchange(connection, number, b"")
            elif kind == PARAMS and content:
                exchanges[number].params += content
            elif kind == PARAMS:
                self.handle(exchanges[number])
            elif kind == STDIN and content:
                exchanges[number].out(content.upper())
                exchanges[number].send(record(CREDIT, number, struct.pack(">II", len(content), 0)))
            elif kind == STDIN:
                exchanges[number].end_out()
                exchanges[number].end()
            else:
                self.later.append((kind, number, content))


def test_a_stream(tmp_path: Path) -> None:
    def accept(exchange: Exchange) -> None:
        assert exchange.param(b"PENSTOCK_UPGRADE") == "websocket"
        assert exchange.param(b"HTTP_UPGRADE") == "websocket"
        exchange.out(b"Status: 101 Switching Protocols\r\nPenstock-Upgrade: stream\r\n"
                     b"Sec-WebSocket-Accept: mine\r\n\r\nfirst ")  # fmt: skip

    with Gateway(tmp_path, timeout="1", request_timeout="1") as gateway:
        gateway.worker("1.1", accept, Streaming)
        with gateway.client() as client:
            client.get("/", "Connection: Upgrade", "Upgrade: websocket",
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                       "Sec-WebSocket-Version: 13")  # fmt: skip
            client.send("ahead ")
            head = client.head()
            assert "Sec-WebSocket-Accept: mine" in head and "Penstock-Upgrade" not in head
            assert client.until(b"AHEAD ") == b"first "
            data = os.urandom(1 << 17).hex().encode()
            for at in range(0, len(data), 8192):
                client.send(data[at : at + 8192])
                assert client.until(data[at + 8182 : at + 8192].upper()) == data[at : at + 8182].upper()
            client.send("end")
            client.end_input()
            assert client.rest() == b"END"
        assert '"GET / HTTP/1.1" 101 ' in gateway.access_log


def test_a_101_that_does_not_say_what_follows(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        gateway.worker("1.1", lambda exchange: exchange.answer(b"Status: 101 Go\r\n\r\n"), Streaming)
        with gateway.client() as client:
            answer = client.ask("/", "Connection: Upgrade", "Upgrade: websocket",
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                "Sec-WebSocket-Version: 13")  # fmt: skip
            assert answer.status == 502
        gateway.wait_log("a status of 101 that does not say what follows (Penstock-Upgrade)")
