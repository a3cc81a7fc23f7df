"""HTTP/1.1 as a client sees it: an installed penstock, one sync worker, raw sockets and curl."""
from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock import Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("notes") / "notes"
    path.touch()
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, notes: Path) -> Iterator[Penstock]:
    directory = tmp_path_factory.mktemp("http")
    server = Penstock(
        directory, "gateway_app:app", "--access-logfile", "-", cwd=APPS, env={"NOTES": str(notes)}
    ).wait_ready()
    yield server
    assert server.stop() == 0, server.log


@pytest.fixture
def client(server: Penstock) -> Iterator[Client]:
    with Client(("127.0.0.1", server.port)) as client:
        yield client


# --- connections ---------------------------------------------------------------------------


def test_keep_alive(client: Client) -> None:
    for _ in range(3):
        response = client.ask("/")
        assert (response.status, response.body) == (200, b"hello\n")
        assert response.field("Connection") is None


def test_every_answer_has_date_and_server(client: Client) -> None:
    response = client.ask("/")
    assert response.field("Server") == "penstock"
    assert response.field("Date") and response.field("Date").endswith(" GMT")


def test_connection_close(client: Client) -> None:
    response = client.ask("/", "Connection: close")
    assert response.field("Connection") == "close"
    assert client.is_closed()


def test_http_1_0_closes_unless_it_asks(client: Client) -> None:
    assert client.ask("/", version="1.0", *("Connection: keep-alive",)).field("Connection") == (
        "keep-alive"
    )
    assert client.ask("/", version="1.0").field("Connection") == "close"
    assert client.is_closed()


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    client.send(
        "".join(f"GET /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{n:02}" for n in range(50))
    )
    assert [client.response().body for _ in range(50)] == [b"%02d" % n for n in range(50)]


def test_pipelined_requests_beyond_the_look_ahead(client: Client) -> None:
    one = "GET / HTTP/1.1\r\nHost: t\r\nX-Pad: " + "p" * 4000 + "\r\n\r\n"
    client.send(one * 40)
    for _ in range(40):
        assert client.response().status == 200


def test_request_byte_by_byte(client: Client) -> None:
    for byte in b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    assert client.response().body == b"ab"


def test_half_closed_client_is_served(client: Client) -> None:
    client.get("/")
    client.end_input()
    assert client.response().body == b"hello\n"
    assert client.is_closed()


def test_half_closed_client_that_waits_is_served(client: Client) -> None:
    client.get("/sleep?1.5")
    client.end_input()
    response = client.response()
    while response.status == 100:
        response = client.response()
    assert response.body == b"slept"


def test_lines_between_requests_are_tolerated(client: Client) -> None:
    client.ask("/")
    client.send("\r\n")
    assert client.ask("/").status == 200


# --- bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_body_with_content_length(client: Client, size: int) -> None:
    body = bytes(n * 7 % 251 for n in range(1000)) * (size // 1000 + 1)
    client.send(f"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode() + body[:size])
    response = client.response()
    assert response.body == body[:size]


@pytest.mark.parametrize("size", [1, 4096, 3_000_000])
def test_chunked_body(client: Client, size: int) -> None:
    body = b"0123456789" * (size // 10 + 1)
    body = body[:size]
    client.get("/echo", "Transfer-Encoding: chunked", method="POST")
    for at in range(0, size, 50_000):
        piece = body[at : at + 50_000]
        client.send(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
    client.send("0\r\nTrailer: ignored\r\n\r\n")
    response = client.response()
    assert response.field("X-Length") == str(size)
    assert response.body == body


def test_response_of_unknown_length_is_chunked(client: Client, tmp_path: Path) -> None:
    for step in (1, 2):
        (tmp_path / f"step{step}").touch()
    response = client.ask("/big?200000", method="POST")
    assert response.field("Transfer-Encoding") == "chunked"
    assert response.body == b"x" * 200000 and response.whole


def test_response_of_unknown_length_to_http_1_0(client: Client) -> None:
    response = client.ask("/big?200000", method="POST", version="1.0")
    assert response.field("Transfer-Encoding") is None
    assert response.field("Connection") == "close"
    assert response.body == b"x" * 200000


def test_head_has_no_body(client: Client) -> None:
    response = client.ask("/", method="HEAD")
    assert response.field("Content-Length") == "6"
    assert client.ask("/").body == b"hello\n"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(client: Client, status: int) -> None:
    assert client.ask(f"/status?{status}").status == status
    assert client.ask("/").body == b"hello\n"


def test_expect_continue(client: Client) -> None:
    client.get("/echo", "Content-Length: 4", "Expect: 100-continue", method="POST")
    assert client.response().status == 100
    client.send("body")
    assert client.response().body == b"body"


def test_no_continue_when_the_body_has_begun(client: Client) -> None:
    client.send(
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbo"
    )
    client.send("dy")
    response = client.response()
    assert (response.status, response.body) == (200, b"body")


def test_streamed_pieces_come_at_once(client: Client, tmp_path: Path, notes: Path) -> None:
    client.get(f"/steps?{tmp_path}")
    client.until(b"step 0\n")
    (tmp_path / "step1").touch()
    client.until(b"step 1\n")
    (tmp_path / "step2").touch()
    client.until(b"step 2\n")
    assert client.until(b"0\r\n\r\n") == b"\r\n"
    eventually(lambda: "closed" in notes.read_text(), "close()")


def test_curl_uploads_and_downloads(server: Penstock, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "data").write_bytes(data)
    url = f"http://127.0.0.1:{server.port}"
    for options in ([], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"]):
        run = subprocess.run(
            ["curl", "-sS", *options, "-T", tmp_path / "data", f"{url}/echo"],
            stdout=subprocess.PIPE, check=True, timeout=60,
        )
        assert run.stdout == data


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GE T / HTTP/1.1\r\nHost: t\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ("GET /" + "a" * 5000 + " HTTP/1.1\r\nHost: t\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nHost: t\r\nX: " + "a" * 9000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: t\r\nExpect: tea\r\n\r\n", 417),
        ("GET / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/3.0\r\nHost: t\r\n\r\n", 505),
    ],
)
def test_malformed_requests(server: Penstock, request_: str, status: int) -> None:
    with Client(("127.0.0.1", server.port)) as client:
        client.send(request_)
        response = client.response()
        assert response.status == status
        assert response.field("Connection") == "close"
        client.end_input()
        assert client.is_closed()


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ("GET /why HTTP/1.1\r\n\r\n", r"GET /why: it is refused: .+: answered 400"),
        ("GET /q?secret HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", r"GET /q: it is refused: .+: answered 400"),
        ("POST /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
         r"POST /big: it is refused: .+: answered 400"),
        ("\x16\x03\x01\r\n\r\n", "it is refused: TLS handshake on a plain HTTP listener: answered 400"),
    ],
)  # fmt: skip
def test_the_log_says_why_a_request_is_refused(server: Penstock, request_: str, line: str) -> None:
    with Client(("127.0.0.1", server.port)) as client:
        client.send(request_)
        assert client.response().status == 400
    server.wait_for(rf"\[INFO\] client 127\.0\.0\.1: {line}$")
    assert "secret" not in server.log and "\x16" not in server.log


def test_an_access_log_that_cannot_be_written(penstock: Callable[..., Penstock]) -> None:
    """It is said at once, in the error log; requests are answered."""
    server = penstock("shop.wsgi:application", "--access-logfile", "/dev/full", cwd=APPS)
    for _ in range(2):
        assert server.get("/hello").status == 200
        server.wait_for(
            r"\[ERROR\] 1 line of the access log was lost: writing it failed: No space left on device"
        )
    assert server.stop() == 0


def test_an_error_reaches_a_client_that_goes_on_sending(server: Penstock) -> None:
    with Client(("127.0.0.1", server.port)) as client:
        client.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
        for _ in range(20):
            client.send(b"z" * 65536)
        assert client.response().status == 400


def test_a_broken_answer_is_not_passed_off_as_whole(server: Penstock) -> None:
    for version in ("1.0", "1.1"):
        with Client(("127.0.0.1", server.port)) as client:
            client.get("/breaks", version=version)
            head = client.head()
            assert head.startswith("HTTP/1.1 200 ")
            if version == "1.1":
                assert not client.rest().endswith(b"0\r\n\r\n")
            else:
                with pytest.raises(ConnectionResetError):
                    while client.socket.recv(65536):
                        pass
    server.wait_for(r"worker \S+: GET /breaks: .*closed in the middle")


# --- logs ----------------------------------------------------------------------------------


def test_access_log(server: Penstock, client: Client) -> None:
    client.ask("/echo?logged", "User-Agent: tester", method="PUT")
    eventually(
        lambda: '"PUT /echo?logged HTTP/1.1" 200 0 "-" "tester"' in server.access_log, "the line"
    )


def test_what_a_worker_says_names_worker_and_request(server: Penstock, client: Client) -> None:
    client.ask("/says?something")
    server.wait_for(r"\[ERROR\] worker \d+\.\d+: stderr: GET /says: something$")
    assert "\x1b" not in server.log
