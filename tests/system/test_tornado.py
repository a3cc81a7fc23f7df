"""Applications of Tornado under -k tornado: handlers, bodies, WebSockets, and how they end."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tornado
from websockets import Subprotocol
from websockets.sync.client import connect

import installed
from penstock import PATIENCE, Penstock, environment, eventually
from raw import Client
from websocket import BINARY, CLOSE, FIN, TEXT, Socket, closing, frame

APPS = Path(__file__).parent / "apps"
ENVIRONMENT = ("--python", sys.executable)
VERSION = tornado.version_info[:2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Penstock]:
    server = Penstock(
        tmp_path_factory.mktemp("tornado"), "tornado_app:app", "-k", "tornado", *ENVIRONMENT,
        "--forwarded-allow-ips", "127.0.0.1", cwd=APPS,
    )  # fmt: skip
    server.wait_ready()
    try:
        yield server
        assert server.stop() == 0, server.log
        assert "never retrieved" not in server.log
    finally:
        server.clean_up()


@pytest.fixture
def client(server: Penstock) -> Iterator[Client]:
    server.request("DELETE", "/told")
    with Client(("127.0.0.1", server.port)) as client:
        yield client


def told(server: Penstock, count: int) -> list[Any]:
    """What handlers have told, once that is COUNT items."""

    def found() -> list[Any] | None:
        items = json.loads(server.get("/told").body)
        return items if len(items) >= count else None

    return eventually(found, f"{count} items")


# ---- requests


def test_hello(server: Penstock) -> None:
    got = server.get("/hello")
    assert (got.status, got.body) == (200, b"hello")
    assert got.headers["Server"].startswith("TornadoServer/")
    assert "Using worker: tornado" in server.log
    assert server.get("/hello", {"If-None-Match": got.headers["Etag"]}).status == 304
    head = server.request("HEAD", "/hello")
    assert (head.status, head.body) == (405, b"")
    assert server.get("/nowhere").status == 404
    assert server.get("/sleep").body == b"slept"


def test_the_loop(server: Penstock) -> None:
    """It is there when the application is imported."""

    def ticks() -> bool:
        got = json.loads(server.get("/ticks").body)
        assert got["same"] and got["size"] > 0
        return bool(got["ticks"] > 1)

    eventually(ticks, "a periodic callback")


def test_what_handlers_see(server: Penstock, client: Client) -> None:
    client.get("/facts?a=%20&a=b&c=", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https",
               "X-Many: 1", "X-Many: 2")  # fmt: skip
    facts = json.loads(client.response().body)
    headers = facts.pop("headers")
    assert headers.count(["X-Many", "1"]) == headers.count(["X-Many", "2"]) == 1
    del facts["pid"], facts["tornado"]
    assert facts == {
        "method": "GET",
        "uri": "/facts?a=%20&a=b&c=",
        "path": "/facts",
        "version": "HTTP/1.1",
        "remote_ip": "192.0.2.7",
        "protocol": "https",
        "host": "test",
        "full_url": "https://test/facts?a=%20&a=b&c=",
        "arguments": {"a": ["", "b"], "c": [""]},
    }


def test_forms_cookies_and_files(server: Penstock, client: Client) -> None:
    client.get("/form")
    got = client.response()
    cookie = (got.field("Set-Cookie") or "").partition(";")[0]
    token = cookie.partition("=")[2].strip('"')
    kind = "application/x-www-form-urlencoded"
    body = f"_xsrf={token.replace('|', '%7C')}&name=%C3%BC".encode()
    refused = server.request("POST", "/form", b"name=a", {"Content-Type": kind})
    assert refused.status == 403
    posted = server.request("POST", "/form", body, {"Content-Type": kind, "Cookie": cookie})
    assert json.loads(posted.body) == {"name": "\xfc", "files": {}}
    parts = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\n'
        + b"x" * 300_000
        + b"\r\n--b--\r\n"
    )
    kind = "multipart/form-data; boundary=b"
    headers = {"Content-Type": kind, "Cookie": cookie, "X-XSRFToken": token}
    posted = server.request("POST", "/form", parts, headers)
    assert json.loads(posted.body) == {"name": "", "files": {"f": 300_000}}
    first = server.get("/cookies")
    assert first.body == b"1"
    signed, plain = sorted(first.headers.get_all("Set-Cookie") or [])
    assert plain.startswith("plain=a;")
    assert server.get("/cookies", {"Cookie": signed.partition(";")[0]}).body == b"2"
    source = (APPS / "tornado_app.py").read_bytes()
    assert server.get("/static/tornado_app.py").body == source
    part = server.get("/static/tornado_app.py", {"Range": "bytes=3-9"})
    assert (part.status, part.body) == (206, source[3:10])


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_bodies(server: Penstock, client: Client, size: int, is_chunked: bool) -> None:
    """Gathered, and as they come: a handler that is slow is not given more than it asked for."""
    piece = b"x" * 50_000
    pieces = [piece] * (size // len(piece)) + [b"x" * (size % len(piece))]
    for path in ("/body", "/upload"):
        if is_chunked:
            client.send(f"POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            for data in filter(None, pieces):
                client.send(b"%x\r\n%b\r\n" % (len(data), data))
            client.send(b"0\r\n\r\n")
        else:
            client.send(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n")
            for data in pieces:
                client.send(data)
        got = client.response()
        assert got.status == 200
        if path == "/body":
            assert got.body == str(size).encode()
        else:
            upload = json.loads(got.body)
            assert upload["size"] == size
            assert upload["streamed"] or size < 1_000_000


def test_a_body_that_breaks_off(server: Penstock, client: Client) -> None:
    client.send(b"POST /upload?tell=1 HTTP/1.1\r\nHost: test\r\n")
    client.send(b"Content-Length: 100000\r\n\r\nabc")
    assert told(server, 1) == ["begun"]
    client.reset()
    assert told(server, 2)[1:] == [["upload closed", True]]


def test_a_handler_that_fails_with_a_body(server: Penstock, client: Client) -> None:
    client.send(b"POST /upload?fail=1 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
    assert client.response().status == 500
    server.wait_for(r"POST /upload: the application raised RuntimeError: no more of it: answered")
    assert told(server, 1) == [["upload closed", True]]


def test_pieces_are_flushed(server: Penstock, client: Client) -> None:
    client.get("/gate")
    client.wait_for(b"first")
    server.request("PUT", "/gate")
    got = client.response()
    assert (got.body, got.whole) == (b"firstsecond", True)
    assert got.field("Transfer-Encoding") == "chunked"
    client.get("/stream?count=40&size=100000")
    got = client.response()
    assert got.whole
    assert got.body == b"".join(bytes([97 + n % 26]) * 100_000 for n in range(40))


def test_failures(server: Penstock, client: Client) -> None:
    assert server.get("/fail").status == 500
    server.wait_for("Uncaught exception GET /fail")
    if VERSION > (6, 2):
        assert server.get("/hello", {"Host": "a,b"}).status == 400
    for path in ("/stream?fail=1", "/short?length=9"):
        with Client(("127.0.0.1", server.port)) as other:
            other.get(path)
            got = other.response()  # broken off, unless the gateway had sent nothing yet
            assert (got.status, got.whole) in ((200, False), (502, True))
    with Client(("127.0.0.1", server.port)) as other:
        other.get("/short?length=3")
        assert other.response().status == 500
    assert server.get("/wrong").status == 500
    page = server.get("/errorpage")
    assert (page.status, page.body) == (418, b"teapot")
    assert server.request("POST", "/upload?refuse=1", b"x" * 3_000_000).status == 413
    assert server.get("/hello").status == 200


# ---- clients and deadlines


def test_a_client_that_leaves(server: Penstock, client: Client) -> None:
    client.get("/forever?begin=1")
    client.wait_for(b"begun")
    client.reset()
    assert told(server, 1) == ["closed"]


def test_a_client_that_leaves_while_it_is_behind(server: Penstock, client: Client) -> None:
    client.get("/flood")
    client.wait_for(b"x" * 10_000)
    client.reset()
    assert told(server, 1) == ["flood over"]


def test_a_deadline_cancels_the_handler(tmp_path: Path) -> None:
    server = Penstock(tmp_path, "tornado_app:app", "-k", "tornado", *ENVIRONMENT,
                      "--request-timeout", "2", cwd=APPS)  # fmt: skip
    try:
        server.wait_ready()
        (pid,) = server.worker_pids
        assert server.get("/forever").status == 504
        assert told(server, 2) == ["closed", "cancelled"]
        assert server.worker_pids == [pid]
        with Client(("127.0.0.1", server.port)) as client:
            client.get("/forever?begin=1")
            assert not client.response().whole
        assert told(server, 4)[2:] == ["closed", "cancelled"]
        assert server.stop() == 0
        # Debian's looks at the result of what was cancelled, and says so.
        assert "Traceback" not in server.log or VERSION == (6, 2)
    finally:
        server.clean_up()


# ---- WebSockets


def socket_at(server: Penstock, path: str, *fields: str) -> Socket:
    return Socket(("127.0.0.1", server.port), path, *fields)


def test_echo(server: Penstock, client: Client) -> None:
    with socket_at(server, "/echo", "Sec-WebSocket-Protocol: a, b") as socket:
        assert socket.answer.field("Sec-WebSocket-Protocol") == "b"
        assert socket.ask("\xfc") == "\xfc"
        for size in (0, 1, 65_536, 65_537, 900_000):
            socket.send(frame(FIN | BINARY, b"b" * size))
            assert socket.message() == b"b" * size
        socket.send(frame(TEXT, b"a") + frame(0, b"b") + frame(FIN, b"c"))
        assert socket.message() == "abc"
        assert socket.ask("dict") == '{"a": 1}'
        assert socket.ask("ping") == b"pong data"
        socket.send(closing(4001, "done"))
        assert socket.closed()[0] == 4001
    assert told(server, 2) == [["open", "b"], ["close", 4001, "done"]]


def test_a_common_client(server: Penstock) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/echo", subprotocols=[Subprotocol("b")]) as socket:
        assert socket.subprotocol == "b"
        for message in ("\u20ac" * 100_000, b"\0" * 500_000, ""):
            socket.send(message)
            assert socket.recv() == message
        socket.close(3000, "over")
        assert socket.close_code == 3000


def test_many_messages_wait_their_turn(server: Penstock, client: Client) -> None:
    with socket_at(server, "/echo") as socket:
        for number in range(500):
            socket.send_text(f"{number} " + "x" * 2000)
        for number in range(500):
            assert str(socket.message()).startswith(f"{number} ")


def test_closes(server: Penstock, client: Client) -> None:
    for text, code in (("close", (4002, "enough")), ("raise", (1011, ""))):
        with socket_at(server, "/echo") as socket:
            socket.send_text(text)
            assert socket.closed() == code
    with socket_at(server, "/small") as socket:
        assert socket.ask("0123456789") == "0123456789"
        socket.send_text("01234567890")
        assert socket.closed() == (1009, "message too big")
    with socket_at(server, "/echo") as socket:
        socket.send(frame(FIN | CLOSE))
        assert socket.closed()[0] == 1005
    with socket_at(server, "/echo") as socket:
        socket.ask("a")
        socket.reset()
    assert [item for item in told(server, 10) if item[0] == "close"] == [
        ["close", 4002, "enough"],
        ["close", 1011, None],
        ["close", 1009, "message too big"],
        ["close", None, None],
        ["close", None, None],
    ]
    server.wait_for("RuntimeError: as the message said")


def test_handshakes_that_are_refused(server: Penstock) -> None:
    words = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
    for path, origin, status in (
        ("/echo", "http://enemy.example", 403), ("/deny", "http://test", 401),
    ):  # fmt: skip
        with Client(("127.0.0.1", server.port)) as client:
            client.get(path, *words, f"Origin: {origin}")
            assert client.response().status == status
    with socket_at(server, "/echo", "Origin: http://friend.example") as socket:
        assert socket.ask("a") == "a"
    assert server.get("/echo").status == 400


# ---- the life of workers


def test_operations(tmp_path: Path) -> None:
    """A reload and a drain let requests finish and close WebSockets; a crash costs its requests."""
    server = Penstock(tmp_path, "tornado_app:app", "-k", "tornado", *ENVIRONMENT, cwd=APPS)
    try:
        server.wait_ready()
        (old,) = server.worker_pids
        socket = socket_at(server, "/echo")
        socket.ask("a")
        with Client(("127.0.0.1", server.port)) as client:
            client.get("/wait?seconds=1")
            server.wait_ready()
            server.signal(1)
            assert socket.closed()[0] == 1012
            assert client.response().body == str(old).encode()
        socket.close()
        server.wait_for(r"worker \S+ ready", 2)
        (new,) = eventually(lambda: [p for p in server.worker_pids if p != old], "a new worker")
        assert json.loads(server.get("/facts").body)["pid"] == new
        assert server.get("/exit").status == 502
        server.wait_for(r"worker \S+ ready", 3)
        socket = socket_at(server, "/echo")
        socket.ask("a")
        with Client(("127.0.0.1", server.port)) as client:
            client.get("/wait?seconds=1")
            server.get("/hello")
            server.signal(15)
            assert socket.closed()[0] in (1001, 1012)
            assert client.response().whole
        socket.close()
        assert server.wait() == 0, server.log
    finally:
        server.clean_up()


def test_recycling(tmp_path: Path) -> None:
    server = Penstock(tmp_path, "tornado_app:app", "-k", "tornado", *ENVIRONMENT,
                      "--max-requests", "10", cwd=APPS)  # fmt: skip
    try:
        server.wait_ready()
        (old,) = server.worker_pids

        def replaced() -> bool:
            return bool(json.loads(server.get("/facts").body)["pid"] != old)

        eventually(replaced, "another worker")
        assert server.stop() == 0
        assert "ERROR" not in server.log
    finally:
        server.clean_up()


# ---- which application, and which worker


def test_the_application_decides(tmp_path: Path) -> None:
    server = Penstock(tmp_path, "tornado_app:make_app()", *ENVIRONMENT, cwd=APPS)
    try:
        assert server.wait_ready().get("/hello").body == b"hello"
        assert "Using worker: async (Tornado)\n" in server.log
        assert server.stop() == 0
    finally:
        server.clean_up()


def end(directory: Path, *words: str) -> str:
    """What a penstock says that does not start."""
    ended = subprocess.run(
        [installed.PENSTOCK, "-b", "127.0.0.1:0", "-k", "tornado", *words], cwd=directory,
        env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert ended.returncode == 3, ended.stderr
    return ended.stderr


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def app(environ, start_response): pass",
         "it is a WSGI application, and tornado workers serve Tornado applications: type "
         "'penstock -k sync shop:app', or -k threaded, gevent or eventlet for many requests"),
        ("async def app(scope, receive, send): pass",
         "it is an ASGI application, and tornado workers serve Tornado applications: type "
         "'penstock -k async shop:app'"),
    ],
    ids=["WSGI", "ASGI"],
)  # fmt: skip
def test_other_applications_are_refused(tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "shop.py").write_text(source)
    assert line in end(tmp_path, *ENVIRONMENT, "shop:app")


def test_the_package_is_missing(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def app(environ, start_response): pass")
    bare = [sys.executable, "-m", "venv", "--without-pip", "bare"]
    subprocess.run(bare, cwd=tmp_path, check=True)
    said = end(tmp_path, "--python", "bare/bin/python", "shop:app")
    assert "-k tornado needs the package tornado in the application's environment" in said
    assert "Traceback" not in said


DEBIAN = Path("/usr/lib/python3/dist-packages/tornado")


@pytest.mark.skipif(not DEBIAN.exists(), reason="python3-tornado is not there")
def test_debian(tmp_path: Path) -> None:
    """The version that Debian has."""
    (tmp_path / "tornado").symlink_to(DEBIAN)
    server = Penstock(tmp_path, "tornado_app:app", "-k", "tornado", *ENVIRONMENT, "--pythonpath",
                      str(tmp_path), "--request-timeout", "2", cwd=APPS)  # fmt: skip
    try:
        assert json.loads(server.wait_ready().get("/facts").body)["tornado"].startswith("6.2")
        assert server.get("/sleep").body == b"slept"
        assert server.request("POST", "/upload", b"x" * 300_000).status == 200
        assert len(server.get("/stream?count=40&size=100000").body) == 4_000_000
        assert server.get("/fail").status == 500
        with socket_at(server, "/echo") as socket:
            assert socket.ask("a") == "a"
            assert socket.ask("ping") == b"pong data"
            socket.send_text("raise")
            assert socket.closed()[0] == 1011
        assert server.get("/forever").status == 504
        assert "cancelled" in told(server, 4)
        assert server.stop() == 0
    finally:
        server.clean_up()
