"""A real Flask application: routing, forms, files, sessions, streams and errors."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker import APPS, Server, Worker, behind_nginx, serving


@pytest.fixture(scope="module", params=["nginx", "penstock", "threaded", "gevent", "eventlet"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("flask")
    with serving("flasky:app", request.param, directory, "--python", sys.executable) as server:
        yield server


def test_templates_and_routes(server: Server) -> None:
    assert server.get("/") == (200, b"<li>a</li><li>&lt;b&gt;</li>")
    assert server.get("/hello/J%C3%BCrgen?from=M%C3%BCnchen") == (
        200, "Hello, J\xfcrgen (M\xfcnchen)".encode()
    )  # fmt: skip
    assert server.get("/absent")[0] == 404
    assert server.get("/teapot")[0] == 418
    response, _ = server.request("/form", "PUT")
    assert response.status == 405
    assert set(response.getheader("Allow", "").split(", ")) == {"OPTIONS", "POST"}


def test_forms(server: Server) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    _, body = server.request("/form", "POST", b"a=1&a=2&b=%E2%82%AC", headers)
    assert json.loads(body) == {"a": ["1", "2"], "b": ["\u20ac"]}
    _, body = server.request(
        "/json", "POST", b'{"x": [1, null]}', {"Content-Type": "application/json"}
    )
    assert json.loads(body) == {"x": [1, None]}


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_uploads(server: Server, size: int) -> None:
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="text"\r\n\r\nwords\r\n',
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
        b"Content-Type: application/x-some\r\n\r\n" + b"\r\n" * (size // 2) + b"x" * (size % 2),
        b"\r\n--edge--\r\n",
    ]
    response, body = server.request(
        "/upload", "POST", b"".join(parts), {"Content-Type": "multipart/form-data; boundary=edge"}
    )
    assert response.status == 200, server.errors()
    assert json.loads(body) == {
        "name": "f.bin", "type": "application/x-some", "size": size, "text": "words"
    }  # fmt: skip


def test_a_body_over_the_applications_limit(server: Server) -> None:
    response, _ = server.request("/json", "POST", b"x" * 5_000_000)
    assert response.status in (413, 415)


def test_sessions(server: Server) -> None:
    cookie = ""
    for number in (1, 2, 3):
        response, body = server.request("/count", headers={"Cookie": cookie} if cookie else {})
        assert json.loads(body)["count"] == number
        cookie = response.getheader("Set-Cookie", "").partition(";")[0]


def test_streams(server: Server) -> None:
    expected = "".join(f"/stream {number}\n" for number in range(5)).encode()
    assert server.get("/stream") == (200, expected)
    assert json.loads(server.get("/closed")[1])[-1] == "stream"


def test_files(server: Server) -> None:
    source = (APPS / "flasky.py").read_bytes()
    response, body = server.request("/download")
    assert (response.status, body) == (200, source)
    assert response.getheader("Content-Disposition") == "attachment; filename=flasky.py"
    response, body = server.request("/download", headers={"Range": "bytes=10-19"})
    assert response.status in (200, 206)
    response, body = server.request(
        "/download", headers={"If-None-Match": response.getheader("ETag", "")}
    )
    assert (response.status, body) == (304, b"")
    response, body = server.request("/memory", headers={"Range": "bytes=0-10"})
    assert (response.status, body) == (206, b"from memory")
    assert server.get("/static/absent")[0] == 404


def test_redirects_name_the_host(server: Server) -> None:
    response, _ = server.request("/redirect", headers={"Host": "shop.example"})
    assert response.status == 302
    assert response.getheader("Location") == "http://shop.example/hello/there"


def test_errors_and_logs(server: Server) -> None:
    assert server.get("/error")[0] == 500
    assert server.get("/log")[0] == 200
    server.wait_logged("RuntimeError: as expected", "logged by the application")


def test_head_and_options(server: Server) -> None:
    response, body = server.request("/", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "28", b"")
    response, _ = server.request("/", "OPTIONS")
    assert "GET" in response.getheader("Allow", "")


def test_the_example(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples/flask"
    worker = Worker("app", tmp_path, "--python", sys.executable, cwd=example)
    assert worker.process.wait(30) == 3
    assert "it has app (did you mean that?)" in worker.printed()
    worker = Worker("app:app", tmp_path, "--python", sys.executable, cwd=example)
    try:
        with behind_nginx(worker) as server:
            assert server.get("/")[0] == 200, server.errors()
    finally:
        worker.stop()
