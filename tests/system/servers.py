"""The web servers that tests start for themselves: nginx and lighttpd, on ports of their own."""
from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path


_taken: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that nobody else is given: it is below those that the
    kernel hands out, and an abstract unix socket, which all test runs of this machine see, takes it
    for as long as this process lives."""
    while True:
        port = random.randrange(16384, 32768)
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0penstock-test-port-{port}")
            with socket.socket() as sock:
                sock.bind(("0.0.0.0", port))
        except OSError:
            mark.close()
            continue
        _taken.append(mark)
        return port


def find(program: str) -> str:
    """Debian's servers are in /usr/sbin, which is not in everybody's PATH."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert path, f"{program} is not installed: scripts/deps all"
    return path


class Server:
    """One server with its configuration in DIRECTORY, listening on self.port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process = subprocess.Popen(self.command(), stderr=(directory / "stderr").open("wb"))
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (directory / "stderr").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def command(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def curl(self, *args: str, path: str = "/", data: bytes = b"") -> tuple[int, bytes]:
        """curl's exit status and what it printed."""
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", *args, f"http://127.0.0.1:{self.port}{path}"],
            input=data, stdout=subprocess.PIPE,
        )
        return done.returncode, done.stdout


class Nginx(Server):
    """nginx whose only location is LOCATION, with UPSTREAM (directives) around it."""

    def __init__(self, directory: Path, location: str, upstream: str = "") -> None:
        self.location, self.upstream = location, upstream
        super().__init__(directory)

    @property
    def error_log(self) -> str:
        return (self.directory / "error.log").read_text()

    def command(self) -> list[str]:
        d = self.directory
        user = "user root;" if os.geteuid() == 0 else ""
        temp = "".join(
            f"{name}_temp_path {d}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (d / "nginx.conf").write_text(
            f"""{user} daemon off; master_process off; pid {d}/nginx.pid;
            error_log {d}/error.log info; events {{ }}
            http {{ access_log off; client_max_body_size 64m; {temp} {self.upstream}
              server {{ listen 127.0.0.1:{self.port}; location / {{
                include /etc/nginx/fastcgi_params; {self.location} }} }} }}"""
        )
        return [find("nginx"), "-c", str(d / "nginx.conf"), "-e", str(d / "error.log")]


class Lighttpd(Server):
    """lighttpd that sends everything to the FastCGI program at SOCKET."""

    def __init__(self, directory: Path, backend: str) -> None:
        self.backend = backend
        super().__init__(directory)

    def command(self) -> list[str]:
        (self.directory / "lighttpd.conf").write_text(
            f"""server.port = {self.port}
            server.bind = "127.0.0.1"
            server.document-root = "{self.directory}"
            server.stream-response-body = 2
            server.errorlog = "{self.directory}/error.log"
            server.upload-dirs = ( "{self.directory}" )
            server.modules = ( "mod_fastcgi" )
            fastcgi.server = ( "/" => ((
              "socket" => "{self.backend}", "check-local" => "disable", "fix-root-scriptname" =>
              "enable" )) )"""
        )
        return [find("lighttpd"), "-D", "-f", str(self.directory / "lighttpd.conf")]
