"""A sync worker by hand, behind a real nginx: no gateway between."""
from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import installed
from penstock import Penstock

APPS = Path(__file__).parent / "apps"
NGINX = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin") or "/usr/sbin/nginx"
SYSTEM = {name: os.environ[name] for name in os.environ if name.endswith("SAN_OPTIONS")}

CONFIGURATION = """
daemon off;
master_process off;
user {user};
pid {directory}/nginx.pid;
error_log {directory}/nginx.log info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    fastcgi_temp_path {directory}/fastcgi;
    proxy_temp_path {directory}/proxy;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    server {{
        listen unix:{directory}/http.sock;
        location / {{
            include /etc/nginx/fastcgi_params;
            fastcgi_pass unix:{directory}/app.sock;
            fastcgi_keep_conn on;
            # Without buffering nginx 1.22 takes a response that breaks off for whole.
            fastcgi_buffering on;
            fastcgi_max_temp_file_size 0;
        }}
    }}
}}
"""


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


class Worker:
    """One worker process; PROCESS is it, and what it prints is in the file LOG."""

    def __init__(
        self,
        app: str,
        directory: Path,
        *options: str,
        cwd: Path = APPS,
        env: dict[str, str] | None = None,
        program: Path = installed.SYNC,
    ) -> None:
        self.directory = directory
        self.log = directory / "worker.log"
        environment = {"PATH": os.environ["PATH"], "SCRATCH": str(directory)} | SYSTEM
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        with socket.socket(socket.AF_UNIX) as listener, open(self.log, "ab") as log:
            (directory / "app.sock").unlink(missing_ok=True)
            listener.bind(str(directory / "app.sock"))
            listener.listen(64)
            self.process = subprocess.Popen(
                [program, *options, app],
                stdin=listener.fileno(),
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=environment | (env or {}),
            )

    def stop(self) -> int:
        """End it as its arbiter would; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def printed(self) -> str:
        return self.log.read_text(errors="replace")


def wait_for(condition, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


class Server:
    """What tests talk to: an HTTP server with one worker behind it."""

    directory: Path

    def connect(self) -> http.client.HTTPConnection:
        raise NotImplementedError

    def pid(self) -> int:
        """The worker's."""
        raise NotImplementedError

    def errors(self) -> str:
        """What was logged about requests."""
        raise NotImplementedError

    def printed(self) -> str:
        """What the worker printed."""
        raise NotImplementedError

    def wait_logged(self, *expected: str, since: int = 0) -> str:
        """Wait until everything EXPECTED was logged; all that was, after SINCE characters."""

        def found() -> bool:
            logged = self.errors()[since:] + self.printed()
            return all(text in logged for text in expected)

        wait_for(found, f"a log of {expected}")
        return self.errors()[since:]

    def request(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request: the response, and its whole body."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        response, body = self.request(path)
        return response.status, body


class Nginx(Server):
    """nginx by its unix socket HTTP."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.directory = worker.directory
        self.http = self.directory / "http.sock"

    def connect(self) -> Connection:
        return Connection(self.http)

    def accepts(self) -> bool:
        connection = self.connect()
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        finally:
            connection.close()
        return True

    def pid(self) -> int:
        return self.worker.process.pid

    def errors(self) -> str:
        return (self.directory / "nginx.log").read_text(errors="replace")

    def printed(self) -> str:
        return self.worker.printed()


class Gateway(Server):
    """A whole penstock."""

    def __init__(self, directory: Path, app: str, *options: str) -> None:
        self.directory = directory
        self.penstock = Penstock(
            directory, app, "--log-level", "debug", *options, cwd=APPS,
            env={"SCRATCH": str(directory)},
        )  # fmt: skip
        self.penstock.wait_ready()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.penstock.port, timeout=60)

    def pid(self) -> int:
        (pid,) = self.penstock.worker_pids
        return pid

    def errors(self) -> str:
        return self.penstock.log

    def printed(self) -> str:
        return self.penstock.log


@contextlib.contextmanager
def behind_nginx(worker: Worker) -> Iterator[Nginx]:
    directory = worker.directory
    user = "root" if os.geteuid() == 0 else "nobody"
    (directory / "nginx.conf").write_text(CONFIGURATION.format(directory=directory, user=user))
    nginx = subprocess.Popen(
        [NGINX, "-p", directory, "-e", directory / "nginx.log", "-c", directory / "nginx.conf"]
    )
    try:
        server = Nginx(worker)
        wait_for(server.accepts, "nginx's start")
        yield server
    finally:
        nginx.terminate()
        nginx.wait(30)


@contextlib.contextmanager
def serving(
    app: str, kind: str, directory: Path, *options: str, loop: str = ""
) -> Iterator[Server]:
    """One of apps/ by a worker behind "nginx" or by a whole "penstock", whose worker may be a
    "threaded", "gevent" or "eventlet" one, or an async one on LOOP; they end with 0."""
    if loop and kind == "nginx":
        options = ("--option", f"loop={loop}", *options)
    elif loop:
        options = ("-k", "async", "--loop", loop, *options)
    if kind == "threaded":
        options = ("-k", "threaded", "--threads", "4", *options)
    if kind in ("gevent", "eventlet"):
        options = ("-k", kind, *options)
    if kind != "nginx":
        gateway = Gateway(directory, app, *options)
        try:
            yield gateway
            assert gateway.penstock.stop() == 0, gateway.errors()
        finally:
            gateway.penstock.clean_up()
        return
    program = installed.LIBEXECDIR / "async" if loop else installed.SYNC
    worker = Worker(app, directory, *options, program=program)
    try:
        with behind_nginx(worker) as server:
            yield server
        assert worker.stop() == 0, worker.printed()
    finally:
        worker.stop()
