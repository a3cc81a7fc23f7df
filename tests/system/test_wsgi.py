"""PEP 3333 to the letter: apps/rules.py, by a worker behind nginx and by a whole penstock."""
from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import rules
from worker import Nginx, Server, serving, wait_for


@pytest.fixture(scope="module", params=["nginx", "penstock", "threaded"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving("rules", request.param, tmp_path_factory.mktemp("wsgi")) as server:
        yield server


@pytest.fixture(autouse=True)
def same_process(server: Server) -> Iterator[None]:
    """Nothing that an application does ends the worker, or leaves anything behind."""
    server.get("/recorded")
    yield
    assert server.get("/process") == (200, str(server.pid()).encode())


def assert_breaks(server: Server, path: str) -> None:
    """The response breaks off; or, when nothing of it had left the server yet, there is none."""
    try:
        status, _ = server.get(path)
    except (http.client.IncompleteRead, ConnectionError):
        return
    assert status in (500, 502)


def events(server: Server, count: int = 1) -> list[str]:
    """What the application recorded, once that is COUNT events: where there are threads, a request
    need not be over when another one is answered."""
    seen: list[str] = []

    def enough() -> bool:
        seen.extend(json.loads(server.get("/recorded")[1]))
        return len(seen) >= count

    wait_for(enough, f"{count} events")
    return seen


# --- environ -------------------------------------------------------------------------------


def test_environ_has_every_variable_with_its_exact_type(
    server: Server, request: pytest.FixtureRequest
) -> None:
    response, body = server.request(
        "/environ?a=%20b&c", headers={"X-Some-Header": "caf\xe9", "Cookie": "a=1"}
    )
    environ = json.loads(body)
    assert response.status == 200
    expected = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/environ",
        "QUERY_STRING": "a=%20b&c", "REQUEST_URI": "/environ?a=%20b&c",
        "RAW_URI": "/environ?a=%20b&c", "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_X_SOME_HEADER": "caf\xe9", "HTTP_COOKIE": "a=1", "wsgi.url_scheme": "http",
    }  # fmt: skip
    for name, value in expected.items():
        assert environ[name] == ["str", value], name
    for name in ("SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "REMOTE_ADDR", "REMOTE_PORT"):
        assert environ[name][0] == "str", name
    assert environ["wsgi.version"] == ["tuple", "(1, 0)"]
    assert environ["wsgi.multithread"] == ["bool", "threaded" in request.node.name]
    # A worker by hand may have siblings that nobody tells it of.
    assert environ["wsgi.multiprocess"] == ["bool", isinstance(server, Nginx)]
    assert environ["wsgi.run_once"] == ["bool", False]
    assert environ["wsgi.input_terminated"] == ["bool", True]
    assert environ["wsgi.file_wrapper"][0] == "type"


def test_paths_are_latin1_strings_of_their_bytes(server: Server) -> None:
    environ = json.loads(server.request("/%65nviron/caf%C3%A9/%FF%20x?%C3%A9")[1])
    assert environ["PATH_INFO"][1] == "/environ/caf\xc3\xa9/\xff x"
    assert environ["QUERY_STRING"][1] == "%C3%A9"


def test_values_that_vary_are_the_requests_own(server: Server) -> None:
    """Requests much like those before: values of the same length and of others, some that always
    differ, some now and then, and those that come back."""
    for number in range(120):
        headers = {
            "X-Always": f"{number:04}",
            "X-Longer": "x" * (number % 7),
            "X-Seldom": f"{number // 40}",
            "X-Turns": "ab"[number % 2],
            "X-Long": f"{number // 30}" * 300,
            "Cookie": f"a={number // 50}",
        }
        query = f"{number // 25:02}"
        response, body = server.request(f"/environ?{query}", headers=headers)
        environ = json.loads(body)
        assert response.status == 200
        for name, value in headers.items():
            key = "HTTP_" + name.upper().replace("-", "_")
            assert environ.get(key, ["str", ""]) == ["str", value]
        assert environ["QUERY_STRING"] == ["str", query]
        assert environ["REQUEST_URI"] == environ["RAW_URI"] == ["str", f"/environ?{query}"]


def test_any_number_of_fields_arrives(server: Server) -> None:
    """Also as many as any table of them has room for."""
    for count in range(80):
        headers = {f"X-Field-{number}": f"{count} {number}" for number in range(count)}
        response, body = server.request("/environ", headers=headers)
        environ = json.loads(body)
        assert response.status == 200
        fields = {name: value for name, value in environ.items() if name.startswith("HTTP_X_FIELD")}
        assert fields == {
            "HTTP_" + name.upper().replace("-", "_"): ["str", value]
            for name, value in headers.items()
        }


def test_each_request_has_a_fresh_environ(server: Server) -> None:
    before = json.loads(server.get("/environ")[1])
    for _ in range(5):
        assert server.get("/fresh") == (200, b"false")
    after = json.loads(server.get("/environ")[1])
    assert after.keys() == before.keys()
    assert not [name for name in after if after[name][1] == "changed"]
    for name in ("wsgi.version", "wsgi.file_wrapper", "SERVER_NAME", "REQUEST_METHOD"):
        assert after[name] == before[name]


def test_fields_of_one_name_are_joined(tmp_path: Path) -> None:
    with serving("rules", "penstock", tmp_path) as server:
        connection = server.connect()
        connection.putrequest("GET", "/environ")
        for name, value in (("X-A", "1"), ("Cookie", "a=1"), ("x-a", "2"), ("Cookie", "b=2")):
            connection.putheader(name, value)
        connection.endheaders()
        environ = json.loads(connection.getresponse().read())
        connection.close()
    assert environ["HTTP_X_A"] == ["str", "1, 2"]
    assert environ["HTTP_COOKIE"] == ["str", "a=1; b=2"]


def test_multiprocess_is_true_with_several_workers(tmp_path: Path) -> None:
    with serving("rules", "penstock", tmp_path, "-w", "2") as server:
        assert json.loads(server.get("/environ")[1])["wsgi.multiprocess"] == ["bool", True]


def test_values_and_names_follow_each_request(server: Server) -> None:
    for number in range(30):
        headers = {"X-Value": str(number), f"X-Name-{number % 11}": "x" * (number * 40)}
        if number % 3 == 0:
            headers["Accept"] = "text/plain"
        environ = json.loads(server.request(f"/environ?{number}", headers=headers)[1])
        names = {name for name in environ if name.startswith("HTTP_X_") or name == "HTTP_ACCEPT"}
        expected = {"HTTP_X_VALUE": str(number), f"HTTP_X_NAME_{number % 11}": "x" * (number * 40)}
        if number % 3 == 0:
            expected["HTTP_ACCEPT"] = "text/plain"
        assert {name: environ[name][1] for name in names} == expected
        assert environ["RAW_URI"][1] == environ["REQUEST_URI"][1] == f"/environ?{number}"


def test_body_headers_have_no_http_prefix(server: Server) -> None:
    environ = json.loads(server.request("/environ", "POST", b"abc", {"Content-Type": "x/y"})[1])
    assert environ["CONTENT_LENGTH"] == ["str", "3"]
    assert environ["CONTENT_TYPE"] == ["str", "x/y"]
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert "HTTP_CONTENT_TYPE" not in environ


# --- start_response ------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(path for path in rules.APPS if path.startswith("/head-")))
def test_a_bad_head_is_refused_with_500_and_a_traceback(server: Server, path: str) -> None:
    before = len(server.errors())
    response, body = server.request(path)
    assert response.status == 500
    assert b"never sent" not in body
    assert response.getheader("X-Evil") is None and response.getheader("Set-Cookie") is None
    server.wait_logged(
        f"GET {path}: the application raised ", ": answered 500", "Error: ",
        "start_response(status, headers)", since=before,
    )  # fmt: skip


def test_a_head_that_is_too_large_is_answered_with_500(server: Server) -> None:
    before = len(server.errors())
    response, body = server.request("/huge-head")
    assert response.status == 500
    assert b"never sent" not in body
    server.wait_logged(
        "GET /huge-head: the application raised OSError: the response cannot be sent: "
        "the head is larger than 65536 bytes: answered 500",
        since=before,
    )


def test_start_response_takes_keywords(server: Server) -> None:
    response, body = server.request("/keywords")
    assert (response.status, response.reason, body) == (201, "Made", b"x")
    assert response.getheader("X-By") == "name"
    assert server.get("/arguments") == (200, b"5")


def test_headers_are_sent_in_order_with_duplicates_and_as_they_were(server: Server) -> None:
    response, _ = server.request("/duplicates")
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert response.getheader("X-Padded") == "spaced"
    assert response.getheader("X-Late") is None


def test_reasons_and_values_are_latin1(server: Server) -> None:
    assert server.request("/reason")[0].reason == "Caf\xe9 style"
    assert server.request("/latin")[0].getheader("X-Latin") == "caf\xe9"
    assert server.request("/bare-status")[0].status == 404


def test_calling_twice_without_exc_info_is_an_error(server: Server) -> None:
    assert server.get("/twice")[0] == 500
    server.wait_logged("AssertionError: start_response() was called twice")


def test_exc_info_replaces_a_head_that_was_not_sent(server: Server) -> None:
    response, body = server.request("/replaced")
    assert (response.status, body) == (503, b"sorry")
    assert response.getheader("X-First") is None
    assert response.getheader("X-Second") == "2"
    assert server.get("/replaced-in-body") == (502, b"replaced")


def test_exc_info_is_raised_again_once_the_head_was_sent(server: Server) -> None:
    assert server.get("/reraised") == (200, b"begun raised 'too late'")


@pytest.mark.parametrize("path", ["/no-start", "/no-start-empty", "/wrong-exc-info"])
def test_misuse_of_start_response_is_500(server: Server, path: str) -> None:
    assert server.get(path)[0] == 500
    server.wait_logged(f"GET {path}: the application raised ")


def test_start_response_may_be_called_by_the_iterable(server: Server) -> None:
    assert server.get("/late-start") == (200, b"started late")
    assert server.get("/failed-then-fine") == (200, b"fine")


# --- write and bodies ----------------------------------------------------------------------


def test_write_comes_before_the_iterable(server: Server) -> None:
    assert server.get("/written") == (200, b"one two three")
    assert server.get("/written-past-length") == (200, b"one two")
    assert events(server) == ["body closed"]


def test_write_and_the_iterable_are_held_against_one_length(server: Server) -> None:
    assert_breaks(server, "/written-short")
    assert events(server) == ["body closed"]
    server.wait_logged("GET /written-short: the application sent 7 bytes of body")


def test_lengths_have_64_bits(server: Server) -> None:
    response, _ = server.request("/huge-length", "HEAD")
    assert response.getheader("Content-Length") == str(5 * 2**30)


@pytest.mark.parametrize(
    ("path", "length"), [("/empty", "0"), ("/several", "6"), ("/process", None)]
)
def test_the_length_of_lists_is_said(server: Server, path: str, length: str | None) -> None:
    response, body = server.request(path)
    assert response.getheader("Content-Length") == (length or str(len(body)))


def test_empty_pieces_send_nothing(server: Server) -> None:
    assert server.get("/empty-pieces") == (200, b"end")


def test_responses_without_a_body(server: Server) -> None:
    response, body = server.request("/no-content")
    assert (response.status, body) == (204, b"")
    response, body = server.request("/not-modified")
    assert (response.status, response.getheader("ETag"), body) == (304, '"x"', b"")


def test_head_has_the_headers_of_get(server: Server) -> None:
    response, body = server.request("/several", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "6", b"")
    response, body = server.request("/too-short", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "10", b"")
    assert events(server) == ["body closed"]


@pytest.mark.parametrize(
    "path",
    ["/text-item", "/text-piece", "/bytearray-piece", "/returned-text", "/returned-bytes",
     "/returned-none", "/write-text"],
)  # fmt: skip
def test_what_is_not_bytes_is_a_type_error(server: Server, path: str) -> None:
    before = len(server.errors())
    assert server.get(path)[0] == 500
    server.wait_logged("TypeError: ", since=before)


def test_more_than_content_length_is_cut(server: Server) -> None:
    assert server.get("/too-long") == (200, b"12345")
    assert events(server) == ["body closed"]
    server.wait_logged("GET /too-long: the application sent more than")


def test_less_than_content_length_is_never_passed_off_as_whole(server: Server) -> None:
    assert_breaks(server, "/too-short")
    assert events(server) == ["body closed"]
    server.wait_logged("GET /too-short: the application sent 3 bytes of body")


def test_pieces_are_sent_before_the_next_is_asked_for(server: Server) -> None:
    connection = server.connect()
    connection.request("GET", "/paced")
    response = connection.getresponse()
    for number in range(3):
        assert response.readline() == f"piece {number}\n".encode()
        (server.directory / f"seen{number}").touch()
    assert response.read() == b""
    connection.close()


# --- close ---------------------------------------------------------------------------------


def test_close_is_called_after_the_last_piece(server: Server) -> None:
    assert server.get("/closed") == (200, b"12")
    assert events(server) == ["body closed"]


@pytest.mark.parametrize("path", ["/closed-early-error", "/closed-exit", "/iter-fails"])
def test_close_is_called_after_an_error(server: Server, path: str) -> None:
    assert server.get(path)[0] == 500
    assert events(server) == ["body closed"]


def test_an_error_after_the_head_breaks_the_response(server: Server) -> None:
    assert_breaks(server, "/closed-late-error")
    assert events(server) == ["body closed"]
    server.wait_logged(
        "GET /closed-late-error: the application raised ValueError: in the middle: "
        "the response had begun and is broken off"
    )


def test_an_error_in_close_spoils_nothing(server: Server) -> None:
    assert server.get("/close-fails") == (200, b"whole")
    assert events(server) == ["body closed"]
    level = "error: " if isinstance(server, Nginx) else "[ERROR] worker 1.1: "
    server.wait_logged(
        level + "GET /close-fails: the application raised RuntimeError: close failed: "
        "in close(), after a whole response"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/endless", ["endless closed", "generator ended"]),
     ("/endless-write", ["write raised BrokenPipeError"])],
)  # fmt: skip
def test_a_client_that_leaves_ends_the_response(
    server: Server, path: str, expected: list[str]
) -> None:
    before = len(server.errors())
    connection = server.connect()
    connection.request("GET", path)
    connection.getresponse().read(100000)
    connection.close()
    wait_for(lambda: server.get("/process")[0] == 200, "the end of that request")
    assert sorted(events(server, len(expected))) == expected
    # The log may still receive the traceback of a test before this one.
    assert f"GET {path}: the application raised" not in server.errors()[before:]


def test_close_is_called_when_the_client_left_before_the_answer(server: Server) -> None:
    connection = server.connect()
    connection.request("GET", "/deserted")
    wait_for((server.directory / "entered").exists, "the application's call")
    connection.close()
    (server.directory / "left").touch()
    assert events(server) == ["deserted closed"]


# --- exceptions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line"),
    [("/raises", "LookupError: nothing caf"), ("/exits", "SystemExit: bye"),
     ("/interrupts", "KeyboardInterrupt")],
)  # fmt: skip
def test_an_exception_ends_that_request_only(server: Server, path: str, line: str) -> None:
    before = len(server.errors())
    assert server.get(path)[0] == 500
    wait_for(lambda: server.errors()[before:].count(line) >= 2, "the end of its traceback")
    logged = server.errors()[before:]
    prefix = "" if isinstance(server, Nginx) else f"GET {path}: "
    assert logged.count(prefix + "Traceback (most recent call last)") == 1
    assert logged.count(f"GET {path}: the application ") == 1
    assert f"GET {path}: the application raised {line}" in logged


def test_an_exception_after_write_breaks_the_response(server: Server) -> None:
    assert_breaks(server, "/raises-after-write")


# --- input ---------------------------------------------------------------------------------

BODIES = {
    "empty": b"",
    "short": b"one line",
    "lines": b"a\nbb\n\nccc\nlast",
    "ended": b"a\n" * 5000,
    "long-line": b"x" * 50000 + b"\n" + b"y" * 50000,
    "big": bytes(range(256)) * 4096,
}


@pytest.mark.parametrize("how", [name[5:] for name in dir(rules) if name.startswith("read_")])
@pytest.mark.parametrize("body", BODIES)
def test_input_in_every_pattern(server: Server, how: str, body: str) -> None:
    response, echoed = server.request(f"/echo?{how}", "POST", BODIES[body])
    assert response.status == 200
    assert echoed == BODIES[body]


def test_input_refuses_wrong_arguments(server: Server) -> None:
    _, body = server.request("/input-arguments", "POST", b"body")
    assert json.loads(body) == [5, "body"]


def test_a_body_that_is_not_read_does_no_harm(server: Server) -> None:
    response, _ = server.request("/unread", "POST", b"x" * 3_000_000)
    assert response.status == 200


def test_objects_that_outlive_their_request_reach_nothing(server: Server) -> None:
    assert server.get("/keep") == (200, b"kept")
    raised = json.loads(server.get("/use-kept")[1])
    assert len(raised) == 6 and all("its request is over" in text for text in raised)
    server.wait_logged("written after its request")


def test_other_threads_may_use_the_request(server: Server) -> None:
    # nginx sends no more of a body once its answer has begun: all of it has to be on its way before.
    size = 100000 if isinstance(server, Nginx) else 500000
    response, body = server.request("/threads", "POST", b"y" * size)
    assert (response.status, body) == (200, b"x" * 20 + str(size).encode())


# --- errors --------------------------------------------------------------------------------


def test_errors_takes_text_of_any_kind(server: Server) -> None:
    assert server.get("/errors") == (200, b"2")
    server.wait_logged("\\udc80", "first line", "second line", "printed in pieces", "no end")


def test_stdout_and_stderr_are_the_workers(server: Server) -> None:
    server.get("/printed")
    server.wait_logged("on stdout\n", "on stderr\n")
    if isinstance(server, Nginx):
        return
    server.wait_logged(
        "[INFO] worker 1.1: on stdout\n",
        "[WARNING] worker 1.1: with a level\n",
        "[ERROR] worker 1.1: \\r[2026-01-01 00:00:00 +0000] [1] [INFO] worker 9.9: forged\n",
    )


# --- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "offset", "how"),
    [("plain", 0, "sent"), ("unbuffered", 11, "sent"), ("buffered", 10, "sent"),
     ("exact", 13, None), ("seeked", 1000, "sent"), ("at-end", 260000, "read"),
     ("random", 7, None), ("bytes", 0, "read"), ("read-only", 0, None), ("gzip", 0, None),
     ("gzip-wrapped", 0, None), ("huge", 5, None)],
)  # fmt: skip
def test_files_are_sent_from_where_they_stand(
    server: Server, name: str, offset: int, how: str | None
) -> None:
    response, body = server.request(f"/file?{name}")
    assert response.status == 200
    assert body == (b"last words" if name == "huge" else rules.CONTENT)[offset:]
    assert events(server, 1 if how else 0) == ([how] if how else [])


@pytest.mark.parametrize(
    ("name", "offset"), [("plain", 0), ("bytes", 0), ("exact", 13), ("buffered", 10)]
)
def test_files_end_at_content_length(server: Server, name: str, offset: int) -> None:
    response, body = server.request(f"/file?{name}&1000")
    assert response.getheader("Content-Length") == "1000"
    assert body == rules.CONTENT[offset : offset + 1000]


@pytest.mark.parametrize("name", ["plain", "buffered"])
def test_a_file_shorter_than_content_length_is_not_whole(server: Server, name: str) -> None:
    assert_breaks(server, f"/file?{name}&1000000")
    assert events(server) == ["sent"]


def test_files_for_head(server: Server) -> None:
    response, body = server.request("/file?plain", "HEAD")
    assert (response.getheader("Content-Length"), body) == (str(len(rules.CONTENT)), b"")
    assert events(server) == ["sent"]


def test_other_kinds_of_file(server: Server) -> None:
    assert server.get("/pipe") == (200, b"from a pipe")
    assert server.get("/file?named") == (200, b"")
    assert server.get("/file?text")[0] == 500
    assert server.get("/file?proc")[1].startswith(str(server.pid()).encode())
    assert server.get("/wrapped-file") == (200, rules.CONTENT + b"end")
    assert server.get("/file-without-close") == (200, b"no close()")
    assert server.get("/closed-file")[0] == 500


# --- validation ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nginx", "penstock"])
def test_the_standard_librarys_validator_has_no_complaint(tmp_path: Path, kind: str) -> None:
    with serving("validated", kind, tmp_path) as server:
        for method, body in (("GET", None), ("POST", b"a=1\nb=2\n"), ("HEAD", None)):
            response, _ = server.request("/some/path?x=1", method, body)
            assert response.status == 200, server.errors()
        assert server.request("/write", "POST", b"some input")[1] == b"written 10"
        assert server.request("/file")[1].startswith(b'"""')
