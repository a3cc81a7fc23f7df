"""The servers that are compared, each answering with what it took a request to be.

An answer's body is "METHOD target host length-of-body"; the answer to HEAD, which has none, says it
in a field X-Seen instead, with a full stop behind it. All are real and listen on loopback.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

Outcome = tuple[str, ...]
"""What became of a connection: a line for each request served, then at most one "refused"."""

NODE = """
const server = require('http').createServer((request, response) => {
  let length = 0;
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', () => {
    const seen = Buffer.from(
      `${request.method} ${request.url} ${request.headers.host ?? ''} ${length}`, 'latin1');
    response.setHeader('Content-Length', seen.length);
    if (request.method === 'HEAD') response.setHeader('X-Seen', seen.toString('latin1') + '.');
    response.end(seen);
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
"""

# The first server does what a front does: it reads the whole request and hands on what it
# understood. The second tells what came out of that.
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  merge_slashes off;
  lingering_close off;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://unix:{folder}/echo.sock;
      proxy_set_header Host echo;
      proxy_set_header X-Host $host;
      proxy_ignore_client_abort on;
    }}
  }}
  server {{
    listen unix:{folder}/echo.sock;
    location / {{
      if ($request_method = HEAD) {{
        add_header X-Seen "$request_method $request_uri $http_x_host $content_length.";
      }}
      return 200 "$request_method $request_uri $http_x_host $content_length";
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def _read_all(connection: socket.socket) -> bytes:
    """Everything up to the end; when nothing comes for a while, we say that no more will follow."""
    received = b""
    said = False
    connection.settimeout(0.25)
    while True:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            if said:
                return received
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            said = True
            connection.settimeout(2)
            continue
        except OSError:
            return received
        if not piece:
            return received
        received += piece


_RESPONSE = re.compile(rb"HTTP/1\.[01] (\d\d\d)[^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


def _responses(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Status and body of each final response."""
    at = 0
    while match := _RESPONSE.match(received, at):
        status, head = int(match[1]), match[2].lower()
        seen = re.search(rb"(?im)^x-seen: *([^\r]*)\.\r", match[2])
        at = match.end()
        if status < 200:
            continue
        body = b""
        if seen:
            body = seen[1]
        elif length := re.search(rb"content-length: *(\d+)", head):
            body = received[at:at + int(length[1])]
            at += int(length[1])
        elif b"transfer-encoding: chunked" in head:
            while (end := received.find(b"\r\n", at)) > 0:
                size = int(received[at:end], 16)
                body += received[end + 2:end + 2 + size]
                at = end + 2 + size + 2
                if size == 0:
                    break
        yield status, body


def normalise(line: bytes) -> str:
    """Differences that are no disagreement: the authority of an absolute target is told in the
    host, hosts have no case, and whether the port is part of the host."""
    method, _, rest = line.partition(b" ")
    target, host, length = rest.rsplit(b" ", 2) if rest.count(b" ") >= 2 else (rest, b"", b"")
    target = re.sub(rb"(?i)^https?://[^/?]*", b"", target)
    if not target.startswith((b"/", b"*")):
        target = b"/" + target
    host = re.sub(rb":\d*$", b"", host.lower())
    return b" ".join([method, target, host, length or b"0"]).decode("latin1")


def talk(port: int, wire: bytes) -> tuple[Outcome, int]:
    """Send WIRE over a connection; what was served, and the status of the refusal (0: none)."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(wire)
        received = _read_all(connection)
    served: list[str] = []
    for status, body in _responses(received):
        if status != 200:
            return (*served, "refused"), status
        served.append(normalise(body))
    return tuple(served), 0


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def node() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "echo.js")
        script.write_text(NODE)
        port = free_port()
        with _running(["node", str(script), str(port)], port):
            yield port


@contextlib.contextmanager
def nginx() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        port = free_port()
        conf = Path(folder, "nginx.conf")
        conf.write_text(NGINX.format(folder=folder, port=port))
        with _running(["nginx", "-c", str(conf), "-p", folder, "-e", f"{folder}/error.log"], port):
            yield port


@contextlib.contextmanager
def penstock(program: str) -> Iterator[int]:
    """The installed gateway in front of echo.py."""
    port = free_port()
    command = [program, "-b", f"127.0.0.1:{port}", "--chdir", str(Path(__file__).parent),
               "--log-level", "error", "echo:application"]
    with _running(command, port):
        yield port
