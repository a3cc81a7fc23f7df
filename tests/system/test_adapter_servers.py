"""The sync adapter behind what people put before FastCGI programs: spawn-fcgi, cgi-fcgi, nginx
and lighttpd, with no gateway of ours."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fcgi
import installed
from adapter import Adapter
from servers import Lighttpd, Nginx, Server, find

MIB = 1 << 20


@pytest.fixture
def adapter(probe: str, tmp_path: Path) -> Iterator[Adapter]:
    with Adapter(tmp_path, probe) as adapter:
        yield adapter
        assert adapter.terminate() == 0, adapter.log


# --- spawn-fcgi and cgi-fcgi ---


def cgi_fcgi(path: str, data: bytes = b"", **params: str) -> bytes:
    """What cgi-fcgi, as a CGI program of those parameters, prints."""
    return subprocess.run(
        ["cgi-fcgi", "-bind", "-connect", path],
        input=data, env=params, check=True, timeout=60, stdout=subprocess.PIPE,
    ).stdout


@pytest.fixture
def spawned(probe: str, tmp_path: Path) -> Iterator[str]:
    """The socket of an adapter that spawn-fcgi started in the background."""
    path, pid_file = tmp_path / "spawned.sock", tmp_path / "pid"
    subprocess.run(
        [find("spawn-fcgi"), "-s", str(path), "-P", str(pid_file), "-M", "0600", "--",
         str(installed.SYNC), probe],
        check=True, timeout=60, stdout=subprocess.DEVNULL,
    )
    pid = int(pid_file.read_text())
    yield str(path)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and not is_zombie(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_zombie(pid: int) -> bool:
    """Nobody may be there to reap what spawn-fcgi left behind."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_spawn_fcgi_and_cgi_fcgi(spawned: str) -> None:
    assert cgi_fcgi(spawned, REQUEST_METHOD="GET", PATH_INFO="/hello") == (
        b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nhello\n"
    )


def test_a_big_body_through_cgi_fcgi(spawned: str) -> None:
    body = os.urandom(10 * MIB)
    params = {"REQUEST_METHOD": "POST", "PATH_INFO": "/echo", "CONTENT_LENGTH": str(len(body))}
    assert cgi_fcgi(spawned, body, **params).partition(b"\r\n\r\n")[2] == body


def test_spawn_fcgi_with_several_processes(probe: str, tmp_path: Path) -> None:
    """They share a listener: all serve, and each takes only what it can do."""
    path, pid_file = tmp_path / "many.sock", tmp_path / "pids"
    subprocess.run(
        [find("spawn-fcgi"), "-s", str(path), "-P", str(pid_file), "-F", "3", "--",
         str(installed.SYNC), probe],
        check=True, timeout=60, stdout=subprocess.DEVNULL,
    )
    pids = [int(pid) for pid in pid_file.read_text().split()]
    try:
        with ThreadPoolExecutor(3) as pool:

            def slow(_: int) -> bytes:
                with fcgi.Connection(str(path)) as connection:
                    return connection.ask("/sleep", query="300").body

            assert list(pool.map(slow, range(6))) == [b"slept\n"] * 6
        seen = set()
        for _ in range(30):
            with fcgi.Connection(str(path)) as connection:
                seen.add(int(connection.ask("/pid").body))
        assert seen <= set(pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)


# --- nginx and lighttpd ---


@pytest.fixture(params=["nginx", "nginx-keep", "nginx-unbuffered", "lighttpd"])
def server(request: pytest.FixtureRequest, adapter: Adapter, tmp_path: Path) -> Iterator[Server]:
    directory = tmp_path / "server"
    directory.mkdir()
    direct = f"fastcgi_pass unix:{adapter.path};"
    server: Server
    if request.param == "lighttpd":
        server = Lighttpd(directory, adapter.path)
    elif request.param == "nginx":
        server = Nginx(directory, direct)
    elif request.param == "nginx-keep":
        upstream = f"upstream app {{ server unix:{adapter.path}; keepalive 16; }}"
        server = Nginx(directory, "fastcgi_pass app; fastcgi_keep_conn on;", upstream)
    else:
        server = Nginx(
            directory, direct + "fastcgi_buffering off; fastcgi_request_buffering off;"
        )
    with server:
        yield server


def test_a_web_server_is_answered(server: Server) -> None:
    for _ in range(20):
        assert server.curl("-i", path="/hello")[1].startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.curl("-o", "/dev/null", "-w", "%{http_code}", path="/none") == (0, b"404")
    assert server.curl("-o", "/dev/null", "-w", "%{http_code}", path="/fail") == (0, b"500")


def test_parameters_of_a_web_server(server: Server) -> None:
    status, body = server.curl("-H", "X-Test: a b", path="/params?x=1")
    params = dict(pair.split(b"=", 1) for pair in body.split(b"\0") if pair)
    assert status == 0
    assert params[b"REQUEST_METHOD"] == b"GET"
    assert params[b"REQUEST_URI"] == b"/params?x=1"
    assert params[b"QUERY_STRING"] == b"x=1"
    assert params[b"HTTP_X_TEST"] == b"a b"


def test_big_bodies_through_a_web_server(server: Server) -> None:
    """nginx sends no more of a body once a response begins, so all of it is read before."""
    body = os.urandom(10 * MIB)
    status, echoed = server.curl("--data-binary", "@-", path="/collect", data=body)
    assert (status, echoed == body) == (0, True)
    status, big = server.curl(path=f"/big?{10 * MIB}")
    assert (status, len(big)) == (0, 10 * MIB)


def test_an_unread_body_through_a_web_server(server: Server) -> None:
    for _ in range(5):
        data = bytes(5 * MIB)
        status, body = server.curl("--data-binary", "@-", path="/hello", data=data)
        assert (status, body) == (0, b"hello\n")


def test_many_clients_of_a_web_server(server: Server) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: server.curl(path="/hello"), range(200))
        assert list(answers) == [(0, b"hello\n")] * 200


def test_a_client_that_leaves_a_web_server(server: Server, adapter: Adapter) -> None:
    with subprocess.Popen(
        ["curl", "-sN", f"http://127.0.0.1:{server.port}/endless"], stdout=subprocess.DEVNULL
    ) as curl:
        adapter.wait_log("endless began")
        curl.kill()
    adapter.wait_log("endless ended with -1: the client is gone")
    assert server.curl(path="/hello") == (0, b"hello\n")


def test_a_broken_response_is_not_passed_off_as_whole(server: Server) -> None:
    status, body = server.curl(path="/fail-sent")
    assert body in (b"", b"part\n")
    if isinstance(server, Nginx):  # lighttpd ends it as if it were whole
        assert status != 0
    assert server.curl(path="/hello") == (0, b"hello\n")


def test_a_file_through_a_web_server(server: Server, tmp_path: Path) -> None:
    content = os.urandom(10 * MIB + 4321)
    (tmp_path / "file").write_bytes(content)
    for offset, length in ((0, len(content)), (999, 8 * MIB), (5, 40000)):
        status, body = server.curl(path=f"/send?{offset},{length},{tmp_path}/file")
        assert (status, body == content[offset : offset + length]) == (0, True)


def test_a_file_that_becomes_shorter_behind_a_web_server(
    server: Server, adapter: Adapter, tmp_path: Path
) -> None:
    """It is too large for any buffer on the way, so it is cut while it is sent."""
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, 4096 * MIB)
    with subprocess.Popen(
        ["curl", "-sN", f"http://127.0.0.1:{server.port}/send?0,{4096 * MIB},{path}"],
        stdout=subprocess.PIPE,
    ) as curl:
        assert curl.stdout
        assert curl.stdout.read(1000) == bytes(1000)
        os.truncate(path, 0)
        while curl.stdout.read(MIB):
            pass
    adapter.wait_log("probe: send_file gave -4: the file")
    if isinstance(server, Nginx):  # lighttpd ends it as if it were whole
        assert curl.returncode != 0
    assert server.curl(path="/hello") == (0, b"hello\n")


def test_the_error_stream_reaches_the_log_of_nginx(adapter: Adapter, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with Nginx(tmp_path / "server", f"fastcgi_pass unix:{adapter.path};") as nginx:
        assert nginx.curl(path="/error") == (0, b"told\n")
        assert 'FastCGI sent in stderr: "GET /error: one error' in nginx.error_log  # type: ignore[attr-defined]
