"""The protocol library against the FastCGI programs that people run."""
from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from peers import Libfcgi, PhpFpm, Responder, request
from servers import Lighttpd, Nginx, Server, find

MIB = 1 << 20
BODY = bytes(range(251)) * (10 * MIB // 251)


def nginx(directory: Path, socket: Path) -> Server:
    return Nginx(directory, f"fastcgi_pass unix:{socket};")


def lighttpd(directory: Path, socket: Path) -> Server:
    return Lighttpd(directory, str(socket))


web_servers = pytest.mark.parametrize("web_server", [nginx, lighttpd])
WebServer = Callable[[Path, Path], Server]


@web_servers
def test_large_params(web_server: WebServer, tmp_path: Path) -> None:
    """Lengths around the boundary, and 6,000 bytes."""
    with Responder(tmp_path) as peer, web_server(tmp_path, peer.socket) as server:
        values = {f"x-{n}": "v" * n for n in (1, 127, 128, 129, 6000)}
        headers = [f"-H{name}: {value}" for name, value in values.items()]
        status, body = server.curl(*headers, path="/params")
    assert status == 0
    for name, value in values.items():
        assert f"HTTP_{name.upper().replace('-', '_')}={value}\n".encode() in body


@web_servers
def test_large_request_body(web_server: WebServer, tmp_path: Path) -> None:
    with Responder(tmp_path) as peer, web_server(tmp_path, peer.socket) as server:
        assert server.curl("--data-binary", "@-", path="/echo", data=BODY) == (0, BODY)


@web_servers
def test_large_response_body(web_server: WebServer, tmp_path: Path) -> None:
    with Responder(tmp_path) as peer, web_server(tmp_path, peer.socket) as server:
        assert server.curl(path=f"/bytes/{len(BODY)}") == (0, BODY)


@web_servers
def test_stderr(web_server: WebServer, tmp_path: Path) -> None:
    with Responder(tmp_path) as peer, web_server(tmp_path, peer.socket) as server:
        assert server.curl(path="/stderr") == (0, b"hello\n")
    assert "to stderr" in (tmp_path / "error.log").read_text()


def test_client_leaves(tmp_path: Path) -> None:
    """nginx sends no ABORT_REQUEST: it closes, and the next request finds us well."""
    with Responder(tmp_path) as peer, nginx(tmp_path, peer.socket) as server:
        status, _ = server.curl("--max-time", "1", path="/silent")
        assert status == 28
        assert "abort" not in peer.wait_for("end connection\n")
        assert server.curl() == (0, b"hello\n")


def test_nginx_keeps(tmp_path: Path) -> None:
    """Three requests, one connection."""
    with Responder(tmp_path) as peer:
        upstream = f"upstream peer {{ server unix:{peer.socket}; keepalive 1; }}"
        with Nginx(tmp_path, "fastcgi_pass peer; fastcgi_keep_conn on;", upstream) as server:
            for _ in range(3):
                assert server.curl("-d", "x", path="/echo") == (0, b"x")
            printed = peer.wait_for("end complete\n", 3)
    assert printed.count("accept\n") == 1
    assert printed.count("begin keep\n") == 3


@pytest.mark.parametrize("body", [b"", b"short", BODY], ids=["none", "short", "10 MiB"])
def test_cgi_fcgi(tmp_path: Path, body: bytes) -> None:
    with Responder(tmp_path) as peer:
        done = subprocess.run(
            [find("cgi-fcgi"), "-bind", "-connect", str(peer.socket)],
            env={"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
                 "REQUEST_URI": "/echo"},
            input=body, capture_output=True, timeout=60,
        )
    assert done.returncode == 0
    assert done.stdout.partition(b"\r\n\r\n")[2] == body


def php_answer(stdout: bytes) -> bytes:
    return stdout.partition(b"\r\n\r\n")[2]


def test_php_fpm(tmp_path: Path) -> None:
    with PhpFpm(tmp_path) as peer:
        done = request(peer, body=BODY)
        large = request(peer, params={"LARGE": "v" * 60000, "BYTES": str(10 * MIB)})
    assert done.returncode == 0, done.stderr
    assert php_answer(done.stdout).partition(b"\n")[2] == BODY
    assert done.stderr == b"end 0 0\n"
    answer = php_answer(large.stdout)
    assert answer.startswith(b"60000 0123456789")
    assert answer.count(b"0123456789") == MIB


def test_php_fpm_kept(tmp_path: Path) -> None:
    """Its streams have no ends, and one connection serves several requests."""
    with PhpFpm(tmp_path) as peer:
        done = request(peer, "-k", "-n", "3", body=b"posted")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"posted") == 3
    assert done.stderr == b"end 0 0\n" * 3


def test_libfcgi(tmp_path: Path) -> None:
    with Libfcgi(tmp_path) as peer:
        done = request(peer, body=BODY, params={"QUERY_STRING": "stderr", "LARGE": "v" * 100000})
    assert done.returncode == 0, done.stderr
    assert done.stdout.partition(b"\r\n\r\n")[2] == BODY
    assert done.stderr == b"to stderrend 0 5\n"


def test_libfcgi_kept(tmp_path: Path) -> None:
    with Libfcgi(tmp_path) as peer:
        done = request(peer, "-k", "-n", "3", body=b"posted")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"posted") == 3


def test_libfcgi_values(tmp_path: Path) -> None:
    """It needs padding to answer at all; its figures are those of its own library."""
    with Libfcgi(tmp_path) as peer:
        done = request(peer, "-v")
    assert done.returncode == 0, done.stderr
    values = dict(line.split(b"=") for line in done.stdout.splitlines())
    assert set(values) == {b"FCGI_MAX_CONNS", b"FCGI_MAX_REQS", b"FCGI_MPXS_CONNS"}
    assert values[b"FCGI_MPXS_CONNS"] == b"0"


def test_both_ours(tmp_path: Path) -> None:
    with Responder(tmp_path) as peer:
        kept = request(peer, "-k", "-n", "3", body=BODY, params={"REQUEST_URI": "/echo"})
        printed = peer.wait_for("end complete\n", 3)
        assert request(peer, "-v").stdout == b""
    assert kept.returncode == 0, kept.stderr
    assert kept.stdout.count(BODY) == 3
    assert printed.count("accept\n") == 1


def test_abort(tmp_path: Path) -> None:
    """Ours both ends a request that is aborted while its answer is on the way."""
    with Responder(tmp_path) as peer:
        done = request(peer, "-a", params={"REQUEST_URI": "/stderr"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"to stderrend 0 0\n"
    assert done.stdout == b""
