"""ASGI 3 in the async adapter, driven directly: scope, events, lifespan, and all that is wrong."""
from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fcgi
import installed
import pytest
import raw
from adapter import Adapter
from penstock import Penstock, eventually

APPS = Path(__file__).parent / "apps"
ASYNC = installed.LIBEXECDIR / "async"
DIR = ("--pythonpath", str(APPS), "--python", sys.executable)
ABORT = fcgi.record(fcgi.ABORT_REQUEST, 1)


def start(directory: Path, app: str, *options: str, **more: object) -> Adapter:
    return Adapter(directory, *DIR, *options, app, program=ASYNC, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def adapter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Adapter]:
    directory = tmp_path_factory.mktemp("asgi")
    with start(directory, "asgi_app:app", "--option", f"loop={request.param}") as adapter:
        yield adapter
        assert adapter.terminate() == 0, adapter.log
        assert "never retrieved" not in adapter.log
        assert "never awaited" not in adapter.log


def ask(adapter: Adapter, path: str, body: bytes = b"", query: str = "") -> fcgi.Response:
    with fcgi.Connection(adapter.path) as connection:
        return connection.ask(path, body=body, query=query)


def seen(adapter: Adapter, *expected: str) -> list[str]:
    """What handlers have told, once all that is EXPECTED was."""
    told: list[str] = []

    def complete() -> bool:
        told.extend(json.loads(ask(adapter, "/seen").body))
        return len(told) >= len(expected)

    eventually(complete, f"{expected}")
    return told


def read_until(connection: fcgi.Connection, end: bytes) -> None:
    while not connection.record()[2].endswith(end):
        pass


def scope_of(adapter: Adapter, **params: str) -> dict:
    with fcgi.Connection(adapter.path) as connection:
        path = params.pop("PATH_INFO", "/scope")
        connection.send(
            fcgi.head(path, query=params.pop("QUERY_STRING", ""), **params)
            + fcgi.stream(fcgi.STDIN, 1, b"")
        )
        return json.loads(connection.response().body)


# --- The scope ---


def test_loop(adapter: Adapter, request: pytest.FixtureRequest) -> None:
    expected = "uvloop" if "uvloop" in request.node.name else "asyncio.unix_events"
    assert json.loads(ask(adapter, "/loop").body) == expected


def test_scope(adapter: Adapter) -> None:
    scope = scope_of(
        adapter,
        REQUEST_METHOD="PUT", PATH_INFO="/a b/\u20ac/scope", QUERY_STRING="x=%20&y",
        REQUEST_URI="/a%20b/%E2%82%AC/scope?x=%20&y", SCRIPT_NAME="", SERVER_PROTOCOL="HTTP/1.1",
        REQUEST_SCHEME="http", SERVER_NAME="shop.example", SERVER_PORT="8000",
        REMOTE_ADDR="192.0.2.7", REMOTE_PORT="4711", HTTP_HOST="shop.example:8000",
        HTTP_X_A="1", CONTENT_TYPE="text/plain", CONTENT_LENGTH="0",
    )  # fmt: skip

    def octets(text: str) -> dict[str, str]:
        return {"bytes": text}

    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/a b/\u20ac/scope",
        "raw_path": octets("/a%20b/%E2%82%AC/scope"),
        "query_string": octets("x=%20&y"),
        "root_path": "",
        "headers": [
            [octets("host"), octets("shop.example:8000")],
            [octets("x-a"), octets("1")],
            [octets("content-type"), octets("text/plain")],
            [octets("content-length"), octets("0")],
        ],
        "client": ["192.0.2.7", 4711],
        "server": ["shop.example", 8000],
        "state": {"started": ["once"]},
        "extensions": {
            "http.response.early_hint": {},
            "http.response.trailers": {},
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
        },
    }


def test_scope_behind_tls(adapter: Adapter) -> None:
    assert scope_of(adapter, HTTPS="on")["scheme"] == "https"
    assert scope_of(adapter, REQUEST_SCHEME="https")["scheme"] == "https"
    assert scope_of(adapter, HTTPS="off", REQUEST_SCHEME="http")["scheme"] == "http"
    assert scope_of(adapter, SERVER_PROTOCOL="HTTP/2.0")["http_version"] == "2"


def test_root_path(adapter: Adapter) -> None:
    scope = scope_of(
        adapter, SCRIPT_NAME="/app", PATH_INFO="/scope/x", REQUEST_URI="/app/scope/x?y"
    )
    assert (scope["root_path"], scope["path"]) == ("/app", "/app/scope/x")
    assert scope["raw_path"] == {"bytes": "/app/scope/x"}


@pytest.mark.parametrize(
    ("target", "raw"),
    [
        ("http://h/x?y", "/x"), ("http://h", ""), ("*", "*"), ("//a?b", "//a"),
        ("/x?u=http://h/z", "/x"), ("/x:://y", "/x:://y"),
    ],
)  # fmt: skip
def test_raw_path(adapter: Adapter, target: str, raw: str) -> None:
    assert scope_of(adapter, REQUEST_URI=target)["raw_path"] == {"bytes": raw}


def test_no_client(adapter: Adapter) -> None:
    """A peer on a unix socket has no address, one without port has none."""
    assert scope_of(adapter, REMOTE_ADDR="", REMOTE_PORT="")["client"] is None
    assert scope_of(adapter, REMOTE_ADDR="::1", REMOTE_PORT="")["client"] == ["::1", None]


def test_duplicates_and_order(adapter: Adapter) -> None:
    """As they came: parameters that have one name are several headers."""
    params = [
        ("PATH_INFO", "/x"), ("HTTP_B", "1"), ("HTTP_A", "2"), ("HTTP_B", "3"),
        ("HTTP_X_LONG_NAME", "v" * 300), ("HTTP_COOKIE", "a=1"), ("HTTP_COOKIE", "b=2"),
    ]  # fmt: skip
    for _ in range(2):  # the second time from what was kept of the first
        encoded = b"".join(fcgi.pairs({n.encode(): v.encode()}) for n, v in params)
        with fcgi.Connection(adapter.path) as connection:
            connection.send(
                fcgi.begin()
                + fcgi.stream(fcgi.PARAMS, 1, encoded)
                + fcgi.stream(fcgi.STDIN, 1, b"")
            )
            headers = json.loads(connection.response().body)["headers"]
        assert [(name["bytes"], value["bytes"]) for name, value in headers] == [
            ("b", "1"), ("a", "2"), ("b", "3"), ("x-long-name", "v" * 300),
            ("cookie", "a=1"), ("cookie", "b=2"),
        ]  # fmt: skip


def test_state_is_copied(adapter: Adapter) -> None:
    for _ in range(2):
        assert json.loads(ask(adapter, "/state").body) == {"started": ["once"], "mine": True}
    assert "mine" not in scope_of(adapter)["state"]


def test_context(adapter: Adapter) -> None:
    assert [ask(adapter, "/context").body for _ in range(3)] == [b"0"] * 3


# --- receive() ---


def test_no_body(adapter: Adapter) -> None:
    assert json.loads(ask(adapter, "/events").body) == [["http.request", 0, False]]


def test_body(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head("/events", CONTENT_LENGTH="5"))
        connection.send(fcgi.stream(fcgi.STDIN, 1, b"12345"))
        assert json.loads(connection.response().body) == [["http.request", 5, False]]


def test_body_comes_in_pieces(adapter: Adapter) -> None:
    """What has come is given, before the rest came."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head("/echo"))
        got = b""
        for piece in (b"one", b"two", b"three"):
            connection.send(fcgi.record(fcgi.STDIN, 1, piece))
            while not got.endswith(piece):
                kind, _, content = connection.record()
                assert kind == fcgi.STDOUT
                got += content
        connection.send(fcgi.record(fcgi.STDIN, 1))
        assert connection.response().app_status == 0


def test_large_bodies(adapter: Adapter) -> None:
    body = bytes(range(256)) * 4096 * 5
    pieces = json.loads(ask(adapter, "/events", body).body)
    assert sum(size for _, size, _ in pieces) == len(body)
    assert max(size for _, size, _ in pieces) <= 65536
    assert [more for _, _, more in pieces] == [True] * (len(pieces) - 1) + [False]


def test_body_that_nobody_reads(adapter: Adapter) -> None:
    assert ask(adapter, "/unread", bytes(3_000_000)).body == b"unread"


def test_receive_after_the_response(adapter: Adapter) -> None:
    assert ask(adapter, "/after").body == b"done"
    assert seen(adapter, "one") == ["http.disconnect"]


def test_client_leaves(adapter: Adapter) -> None:
    """The application hears of it at once; it is not cancelled, and send() raises."""
    expected = ["http.request", "http.disconnect", "BrokenPipeError: 32", "http.disconnect"]
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/wait"))
        read_until(connection, b"waiting")
        connection.send(ABORT)
        connection.response()
    assert seen(adapter, *expected) == expected
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/wait"))
        read_until(connection, b"waiting")
    assert seen(adapter, *expected) == expected


def test_client_leaves_within_its_upload(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.head("/wait") + fcgi.record(fcgi.STDIN, 1, b"part"))
        read_until(connection, b"waiting")
    expected = ["http.request", "http.disconnect", "BrokenPipeError: 32", "http.disconnect"]
    assert seen(adapter, *expected) == expected


def test_client_leaves_within_the_answer(adapter: Adapter) -> None:
    """send() waits while the client takes nothing, and raises when it leaves."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/flood"))
        assert seen(adapter, "flood") == ["flood"]
    assert seen(adapter, "error") == ["BrokenPipeError"]
    assert "BrokenPipe" not in adapter.log


def test_clients_that_vanish_leave_nothing(adapter: Adapter, tmp_path: Path) -> None:
    """In their upload, in the answer, in that of a file: tasks and descriptors are given back."""
    large = tmp_path / "large"
    large.write_bytes(bytes(8_000_000))
    before = json.loads(ask(adapter, "/held").body)
    for _ in range(10):
        connections = [fcgi.Connection(adapter.path) for _ in range(9)]
        for at, connection in enumerate(connections):
            request = [
                fcgi.head("/wait") + fcgi.record(fcgi.STDIN, 1, bytes(60_000)),
                fcgi.request("/flood"),
                fcgi.request("/pathsend", query=str(large)),
            ][at % 3]
            connection.send(request)
            connection.record()
        for connection in connections:
            connection.socket.close()
    eventually(lambda: json.loads(ask(adapter, "/held").body) == before, f"only {before}")
    ask(adapter, "/seen")


# --- send() ---


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5_000_000])
def test_large_answers(adapter: Adapter, size: int) -> None:
    response = ask(adapter, "/large", query=str(size))
    assert response.body == b"x" * size
    assert (response.status, response.app_status) == ("200 OK", 0)


def test_tasks(adapter: Adapter) -> None:
    assert json.loads(ask(adapter, "/task").body) == ["http.request", "app"]
    assert seen(adapter, *"123") == ["CancelledError", "http.disconnect", "http.disconnect"]


def test_together(adapter: Adapter) -> None:
    body = ask(adapter, "/together").body
    assert sorted([body[:300_000], body[300_000:600_000], body[600_000:]]) == [
        letter * 300_000 for letter in (b"a", b"b", b"c")
    ]


def test_background(adapter: Adapter, tmp_path: Path) -> None:
    """The response is complete before the call returned, which ends the request."""
    with fcgi.Connection(adapter.path) as connection:
        connection.send(fcgi.request("/background", query=str(tmp_path / "go")))
        body = b""
        while True:
            kind, _, content = connection.record()
            if kind == fcgi.STDOUT and not content:
                break
            body += content
        assert body.endswith(b"\r\n\r\ncomplete")
        (tmp_path / "go").touch()
        response = connection.response()
        assert (response.app_status, response.stdout) == (0, b"")
    assert seen(adapter, "one") == ["background"]


def test_files(adapter: Adapter, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"0123456789abcdefghij")
    large.write_bytes(bytes(range(256)) * 8192)
    assert ask(adapter, "/pathsend", query=str(small)).body == small.read_bytes()
    assert ask(adapter, "/pathsend", query=str(large)).body == large.read_bytes()
    assert ask(adapter, "/zerocopy", query=str(small)).body == b"abcde" + b"012" + b"fghij"
    assert ask(adapter, "/pathsend", query=str(tmp_path / "none")).status.startswith("500")


def test_dropped_headers(adapter: Adapter) -> None:
    response = ask(adapter, "/dropped")
    assert response.body == b"whole"
    assert response.head.splitlines() == ["Status: 200 OK", "x-kept: 1"]


def test_no_body_where_none_belongs(adapter: Adapter) -> None:
    for status in ("204", "304"):
        response = ask(adapter, "/status", query=status)
        assert (response.status[:3], response.body, response.app_status) == (status, b"", 0)
    with fcgi.Connection(adapter.path) as connection:
        connection.send(
            fcgi.head("/large", query="9", REQUEST_METHOD="HEAD") + fcgi.stream(fcgi.STDIN, 1, b"")
        )
        response = connection.response()
    assert (response.body, response.app_status) == (b"", 0)
    assert "Content-Length: 9" in response.head


# --- Wrong applications ---


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("raises", "ValueError: before the response"),
        ("exits", "SystemExit: 3"),
        ("nothing", "returned without a response"),
        ("wrong/body first", "http.response.start has to come first"),
        ("wrong/unknown", "unexpected event 'http.response.unknown'"),
        ("wrong/no type", "the event has no type"),
        ("wrong/no dict", "an event must be a dict, not str"),
        ("wrong/status str", "status must be an int, not str"),
        ("wrong/no status", "status must be an int, not left out"),
        ("wrong/status 99", "status 99 is not from 200 to 599"),
        ("wrong/headers None", "TypeError"),
        ("wrong/header str", "a header's name must be bytes, not str"),
        ("wrong/header three", "is not a pair of bytes"),
        ("wrong/CR", "byte 0x0d"),
        ("wrong/LF", "byte 0x0a"),
        ("wrong/NUL", "byte 0x00"),
        ("wrong/name", "byte 0x20"),
        ("wrong/length", "Content-Length is not a number"),
        ("wrong/two lengths", "two Content-Length headers"),
        ("wrong/two heads", "http.response.body has to follow"),
        ("wrong/body str", "body must be bytes, not str"),
        ("wrong/too long", "Content-Length said 3"),
        ("wrong/too short", "Content-Length said 3"),
        ("raises_started", "ValueError: after the head"),
        ("raises_early", "ValueError: behind a little of the body"),
        ("returns_early", "returned before its response was complete"),
    ],
)  # fmt: skip
def test_500(adapter: Adapter, path: str, error: str) -> None:
    """Nothing was sent yet: 500, and one traceback."""
    response = ask(adapter, f"/{path}")
    assert response.status == "500 Internal Server Error", response
    assert error in response.stderr.decode(), response
    assert response.stderr.count(b"Traceback") == (path not in ("nothing", "returns_early"))
    assert b": answered 500" in response.stderr
    assert f"GET /{path}: ".encode() in response.stderr


@pytest.mark.parametrize(
    ("path", "error"),
    [("raises_later", "ValueError: within the response"), ("unfinished", "before its response")],
)
def test_broken_off(adapter: Adapter, path: str, error: str) -> None:
    """A web server must not take what was sent for whole."""
    before = len(adapter.log)
    response = ask(adapter, f"/{path}")
    assert response.body == b"part"
    assert response.app_status is None
    told = response.stderr.decode() + adapter.log[before:]
    assert error in told
    assert "broken off" in told and "answered 500" not in told


def test_raises_after_the_response(adapter: Adapter) -> None:
    before = len(adapter.log)
    response = ask(adapter, "/raises_after")
    assert (response.body, response.app_status) == (b"whole", 0)
    adapter.wait_log("GET /raises_after: the application raised ValueError: after the response")
    assert adapter.log[before:].count("Traceback") == 1
    assert ask(adapter, "/once_more").app_status == 0
    adapter.wait_log("unexpected event 'http.response.body': the response is complete")


def test_a_right_event_after_a_wrong_one(adapter: Adapter) -> None:
    response = ask(adapter, "/again")
    assert response.status == "200 OK"
    assert b"byte 0x0a" in response.body


def test_other_threads(adapter: Adapter) -> None:
    """Only the loop's thread calls the host."""
    response = ask(adapter, "/threads")
    assert response.app_status == 0
    assert b"the event loop of their request, which another thread runs" in response.body


def test_all_tasks(adapter: Adapter) -> None:
    with fcgi.Connection(adapter.path) as connection:
        told = [json.loads(connection.ask("/all_tasks").body) for _ in range(3)]
    assert told == [[5, 0, True, False]] * 3


def test_what_the_application_watches(adapter: Adapter) -> None:
    """The loop waits for the host's descriptors and for these by turns."""
    with fcgi.Connection(adapter.path) as connection:
        told = [json.loads(connection.ask("/watches").body) for _ in range(5)]
    assert told == [["read", "written", "ECHO\n", "called", "soon"]] * 5


def test_an_event_that_changes_while_it_is_read(adapter: Adapter) -> None:
    response = ask(adapter, "/changes")
    assert (response.status, response.app_status) == ("200 OK", 0), response


def test_early_hints(adapter: Adapter) -> None:
    """A web server does not know them; the response follows all the same."""
    assert ask(adapter, "/hints").body == b"hinted"
    assert ask(adapter, "/trailing").body == b"text"


# --- Loading, lifespan and the end ---


def run(directory: Path, app: str, *options: str, source: str = "") -> Adapter:
    (directory / "program.py").write_text(source)
    return Adapter(
        directory, "--pythonpath", str(directory), "--python", sys.executable, *options, app,
        program=ASYNC,
    )  # fmt: skip


LIFESPAN = """
import sys
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"served"})
        return
    await receive()
    %s
    await receive()
"""
FAILS = 'return await send({"type": "lifespan.startup.failed", "message": "no database"})'
STARTS = 'await send({"type": "lifespan.startup.complete"})'


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_failed_startup(tmp_path: Path, mode: str) -> None:
    with run(
        tmp_path, "program:app", "--option", f"lifespan={mode}", source=LIFESPAN % FAILS
    ) as adapter:
        assert adapter.wait() == 3
        assert "lifespan startup failed: no database" in adapter.log


def test_lifespan_on_but_unsupported(tmp_path: Path) -> None:
    with run(
        tmp_path, "program:app", "--option", "lifespan=on", source=LIFESPAN % "raise KeyError(7)"
    ) as adapter:
        assert adapter.wait() == 3
        assert "lifespan startup failed: it raised KeyError: 7" in adapter.log


@pytest.mark.parametrize(
    ("mode", "line"),
    [("off", "sys.exit(7)"), ("auto", "return"), ("on", STARTS)],
)
def test_served_without_lifespan(tmp_path: Path, mode: str, line: str) -> None:
    with run(
        tmp_path, "program:app", "--option", f"lifespan={mode}", source=LIFESPAN % line
    ) as adapter:
        assert ask(adapter, "/").body == b"served"
        assert adapter.terminate() == 0
        assert "Traceback" not in adapter.log


def test_startup_that_raises(tmp_path: Path) -> None:
    source = LIFESPAN % 'raise OSError("no database")'
    with run(tmp_path, "program:app", source=source) as adapter:
        assert ask(adapter, "/").body == b"served"
        assert adapter.terminate() == 0
        assert adapter.log.count("OSError: no database") == 1
        assert adapter.log.count("the lifespan's startup raised that") == 1


def test_no_lifespan(tmp_path: Path) -> None:
    source = (LIFESPAN % "return").replace("await receive()", 'raise KeyError("lifespan")', 1)
    with run(tmp_path, "program:app", source=source) as adapter:
        assert ask(adapter, "/").body == b"served"
        assert adapter.terminate() == 0
        assert "Traceback" not in adapter.log


def test_shutdown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with start(tmp_path, "asgi_app:app") as adapter:
        assert ask(adapter, "/unread").body == b"unread"
        assert adapter.terminate() == 0
    assert capfd.readouterr().out == "shut down\n"


def test_failed_shutdown(tmp_path: Path) -> None:
    failing = STARTS + """
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "still busy"})"""
    with run(tmp_path, "program:app", source=LIFESPAN % failing) as adapter:
        assert ask(adapter, "/").body == b"served"
        assert adapter.terminate() == 0
        assert "lifespan shutdown failed: still busy" in adapter.log


def test_requests_are_finished_before_the_shutdown(tmp_path: Path) -> None:
    source = """
import asyncio
down = False
async def app(scope, receive, send):
    global down
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        down = True
        return await send({"type": "lifespan.shutdown.complete"})
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await receive()
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.body", "body": str(down).encode()})
"""
    with run(tmp_path, "program:app", source=source) as adapter:
        with fcgi.Connection(adapter.path) as connection:
            connection.send(fcgi.head("/") + fcgi.record(fcgi.STDIN, 1, b"x"))
            read_until(connection, b"begun")
            adapter.process.terminate()
            connection.send(fcgi.record(fcgi.STDIN, 1, b"y") + fcgi.record(fcgi.STDIN, 1))
            assert connection.response().stdout == b"False"
        assert adapter.wait() == 0, adapter.log


def test_uvloop_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvloop'] = None\n")
    options = ("--option", "loop=uvloop")
    environment = {"PYTHONPATH": str(tmp_path)}
    with start(tmp_path, "asgi_app:app", *options, environment=environment) as adapter:
        assert adapter.wait() == 3
        assert "--loop uvloop: " in adapter.log
        assert "install the package uvloop" in adapter.log
        assert "Traceback" not in adapter.log
    with start(tmp_path, "asgi_app:app", environment=environment) as adapter:
        assert json.loads(ask(adapter, "/loop").body) == "asyncio.unix_events"
        assert adapter.terminate() == 0


def test_wsgi_application(tmp_path: Path) -> None:
    source = "def app(environ, start_response): ...\n"
    with run(tmp_path, "program:app", source=source) as adapter:
        assert adapter.wait() == 3
        assert "WSGI" in adapter.log
        assert "Traceback" not in adapter.log


# --- Deadlines ---


def test_a_deadline_cancels(adapter: Adapter) -> None:
    """Of a gateway of ours, which says why it aborts."""
    before = len(adapter.log)
    with fcgi.Connection(adapter.path) as connection:
        connection.values(b"PENSTOCK_VERSION")
        begin = bytearray(fcgi.request("/sleep", query="x"))
        begin[10] |= 0x80  # EXTENDED
        connection.send(bytes(begin))
        assert seen(adapter, "sleeping") == ["sleeping"]
        connection.send(fcgi.record(fcgi.ABORT_REQUEST, 1, b"\1" + bytes(7)))
        assert connection.response().app_status is not None
    assert seen(adapter, "cancelled") == ["cancelled"]
    said = adapter.log[before:]
    assert "Traceback" not in said
    # Where it was, the application's own frame and what it awaited.
    assert "GET /sleep: it is over its deadline and is cancelled, here:" in said
    places = [said.index(text) for text in (", in app", "await asyncio.sleep(60)")]
    assert places[0] < places[1] < said.rindex(", in sleep")


def test_a_replaced_reader(adapter: Adapter, tmp_path: Path) -> None:
    """A request finds a descriptor of the application's ready, as the loop does in the same turn, and
    has it read by somebody else: who waits for it now is not forgotten."""
    os.mkfifo(gate := tmp_path / "gate")
    with fcgi.Connection(adapter.path) as first, fcgi.Connection(adapter.path) as second:
        assert second.ask("/loop").app_status == 0
        first.send(fcgi.request("/ready_and_blocked", query=str(gate)))
        with open(gate, "w"):  # it is blocked until this is closed
            second.send(fcgi.request("/replaced"))
        assert first.response().body == b"unblocked"
        assert second.response().body == b"x"


# --- Through a whole Penstock ---


def test_through_the_gateway(penstock: Callable[..., Penstock]) -> None:
    """Fields in their order and one by one, lengths of streamed bodies, 103 and trailers."""
    server = penstock("asgi_app:app", "--python", sys.executable, cwd=APPS)
    server.wait_ready()
    with raw.Client(("127.0.0.1", server.port)) as client:
        client.send(
            "POST /scope?x HTTP/1.1\r\nX-B: 1\r\nHost: h:81\r\nx-a: 2\r\nX-B: 3\r\n"
            "Cookie: a=1\r\nContent-Length: 100000\r\nConnection: keep-alive\r\n"
            "cookie: b=2\r\nContent-Type: t/p\r\n\r\n" + "x" * 100_000
        )
        scope = json.loads(client.response().body)
    assert [(name["bytes"], value["bytes"]) for name, value in scope["headers"]] == [
        ("x-b", "1"), ("host", "h:81"), ("x-a", "2"), ("x-b", "3"), ("cookie", "a=1"),
        ("content-length", "100000"), ("cookie", "b=2"), ("content-type", "t/p"),
    ]  # fmt: skip
    assert (scope["server"], scope["http_version"]) == (["h", 81], "1.1")
    with raw.Client(("127.0.0.1", server.port)) as client:
        client.get("/hints")
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload"
        assert client.until(b"\r\n\r\n") == hints
        assert client.response().body == b"hinted"
        client.get("/trailing", "TE: trailers", "Connection: TE")
        assert client.until(b"x-b: 2\r\n\r\n").endswith(b"4\r\ntext\r\n0\r\nx-a: 1\r\n")
    assert server.stop() == 0
