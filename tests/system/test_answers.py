"""What a worker tells beside the bytes of an answer, through the gateway: files that the gateway
reads by itself, trailers, what the request cost."""
from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock import Penstock, eventually

Serve = Callable[..., Penstock]

APP = """
import os

def app(environ, start_response):
    path = environ["PATH_INFO"]
    file = open(environ["QUERY_STRING"], "rb")
    head = [("Content-Type", "application/octet-stream")]
    if path == "/length":
        head.append(("Content-Length", str(os.fstat(file.fileno()).st_size)))
    if path == "/less":
        head.append(("Content-Length", "100000"))
    write = start_response("200 OK", head)
    if path.startswith("/behind/"):
        write(b"a" * int(path.removeprefix("/behind/")))
    return environ["wsgi.file_wrapper"](file)

async def asgi(scope, receive, send):
    body = b"a" * int(scope["path"].removeprefix("/behind/"))
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with open(scope["query_string"], "rb") as file:
        await send({"type": "http.response.zerocopysend", "file": file, "more_body": True})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(APP)
    return tmp_path


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(3_000_000))
    return path


# --- files ---


@pytest.mark.parametrize("path", ["/length", "/chunked"])
@pytest.mark.parametrize("kind", [("sync",), ("threaded", "--threads", "2")])
def test_file_wrapper(
    penstock: Serve, site: Path, big: Path, path: str, kind: tuple[str, ...]
) -> None:
    server = penstock("site_app:app", "-k", *kind, cwd=site)
    for _ in range(3):
        assert server.get(f"{path}?{big}").body == big.read_bytes()
        assert server.request("HEAD", f"{path}?{big}").body == b""
    small = site / "small"
    small.write_bytes(b"small\n")
    assert server.get(f"{path}?{small}").body == b"small\n"


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        ("site_app:app", ("sync",)),
        ("site_app:app", ("threaded", "--threads", "2")),
        ("site_app:asgi", ("async",)),
    ],
)
def test_a_file_behind_other_bytes(
    penstock: Serve, site: Path, big: Path, app: str, kind: tuple[str, ...]
) -> None:
    """The gateway copies neither, and keeps their order."""
    server = penstock(app, "-k", *kind, cwd=site)
    for size in (100, 9000, 20000, 60000, 200_000):
        for _ in range(5):
            body = server.get(f"/behind/{size}?{big}").body
            assert body.find(big.read_bytes()) == size
            assert body[:size] == b"a" * size
            assert body[size + 3_000_000 :] == (b"a" * size if app == "site_app:asgi" else b"")


def test_a_file_larger_than_its_content_length(penstock: Serve, site: Path, big: Path) -> None:
    server = penstock("site_app:app", cwd=site)
    assert server.get(f"/less?{big}").body == big.read_bytes()[:100000]


def test_the_gateway_reads_the_file_itself(penstock: Serve, site: Path, big: Path) -> None:
    """No byte of it crosses the socket between worker and gateway."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace")
    server = penstock("site_app:app", cwd=site)
    trace = site / "trace"
    pids = [str(server.gateway_pid), *map(str, server.worker_pids)]
    tracer = subprocess.Popen(
        [strace, "-f", "-o", str(trace), "-e", "trace=sendfile,sendmsg,sendto,write",
         *(word for pid in pids for word in ("-p", pid))],
        stderr=subprocess.PIPE, text=True,
    )
    try:
        assert tracer.stderr is not None
        attached = 0
        while attached < len(pids):
            line = tracer.stderr.readline()
            if not line or "not permitted" in line:
                pytest.skip(f"strace: {line}")
            attached += "attached" in line
        assert server.get(f"/length?{big}").body == big.read_bytes()
    finally:
        tracer.terminate()
        tracer.wait()
    lines = trace.read_text().splitlines()
    sent = sum(
        int(line.rpartition("= ")[2]) for line in lines
        if line.startswith(pids[0] + " ") and "sendfile" in line
        and "= -1" not in line and "<unfinished" not in line
    )
    assert sent == 3_000_000
    assert any("SCM_RIGHTS" in line for line in lines if line.split()[0] in pids[1:])
    assert not [line for line in lines if line.split()[0] in pids[1:] and "sendfile(" in line]


def test_many_files_at_once(penstock: Serve, site: Path, big: Path) -> None:
    """Clients that do not read: each holds a descriptor of the gateway, which gets it back."""
    server = penstock("site_app:app", "-w", "2", cwd=site)
    count = f"/proc/{server.gateway_pid}/fd"
    server.get(f"/length?{big}")
    before = len(os.listdir(count))
    clients = [server.connect() for _ in range(10)]
    for client in clients:
        client.request("GET", f"/chunked?{big}")
    for client in clients:
        assert client.getresponse().read() == big.read_bytes()
        client.close()
    eventually(lambda: len(os.listdir(count)) <= before, "the descriptors are closed")


def test_a_file_that_becomes_shorter(penstock: Serve, site: Path) -> None:
    path = site / "sparse"
    path.touch()
    os.truncate(path, 1 << 30)
    server = penstock("site_app:app", cwd=site)
    connection = server.connect()
    connection.request("GET", f"/length?{path}")
    response = connection.getresponse()
    assert response.read(1000) == bytes(1000)
    os.truncate(path, 0)
    with pytest.raises(Exception):
        while response.read(1 << 20):
            pass
    connection.close()
    server.wait_for(
        r"worker \d\.\d: GET /length: the file that it answered with cannot be sent: its file is "
        "shorter than it was: its client's connection is closed in the middle of the answer"
    )


# --- trailers ---


def ask(server: Penstock, path: str, *fields: str) -> bytes:
    """Everything that comes of a request, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        lines = [f"GET {path} HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]
        client.sendall("\r\n".join(lines).encode())
        with client.makefile("rb") as stream:
            return stream.read()


def test_trailers(penstock: Serve, probe: str) -> None:
    server = penstock(probe)
    assert ask(server, "/trailers", "TE: gzip, trailers").endswith(
        b"body\n\r\n0\r\nX-Check: sum\r\nX-Empty: \r\n\r\n"
    )
    for fields in ((), ("TE: gzip",)):
        answer = ask(server, "/trailers", *fields)
        assert answer.endswith(b"\r\n\r\nbody\n") and b"X-Check" not in answer
    answer = ask(server, "/trailers?Set-Cookie", "TE: trailers")
    assert answer.endswith(b"X-Empty: \r\n\r\n") and b"Set-Cookie" not in answer
    server.wait_for('GET /trailers: its trailer "Set-Cookie" is left out: a field that cannot')


# --- usage ---


def test_usage(penstock: Serve, probe: str) -> None:
    server = penstock(
        probe, "--access-logfile", "-",
        "--access-logformat", "%(U)s %({cpu}x)s %({waited}x)s %({lag}x)s",
    )
    server.get("/spin?40")
    server.get("/sleep?40")
    server.get("/hello")
    found = eventually(
        lambda: re.findall(r"^(/\w+) ([\d.]+) ([\d.]+) ([\d.]+)$", server.access_log, re.M)[2:]
        and re.findall(r"^(/\w+) ([\d.]+) ([\d.]+) ([\d.]+)$", server.access_log, re.M),
        "three lines",
    )
    lines = {path: (float(cpu), float(waited), float(lag)) for path, cpu, waited, lag in found}
    assert lines["/spin"][0] >= 0.04
    assert lines["/sleep"][1] >= 0.039 > lines["/sleep"][0]
    assert lines["/hello"][2] == 0
