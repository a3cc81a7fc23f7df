"""examples/nginx and examples/systemd, each started for real with the commands that it names.

Only ports, paths and accounts are other ones here. The application is shop.wsgi of apps/.
"""
from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import installed
from penstock import PATIENCE, Penstock, environment, eventually, is_alive
from servers import Server, find, free_port
from worker import APPS

EXAMPLES = installed.SOURCE / "examples/nginx"
SYSTEMD = installed.SOURCE / "examples/systemd"
CLIENT = "127.0.0.9"  # an address that is not nginx's own
LIES = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Protocol": "ssl",
    "X-Forwarded-SSL": "on",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    "Proxy": "http://evil.example",
}


def commands(name: str) -> list[str]:
    """The commands that a file's head names: what is indented in its comments."""
    found: list[str] = []
    for line in (EXAMPLES / name).read_text().splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("#   "):
            found.append("")
        elif found:
            found[-1] += line.removeprefix("#   ") + "\n"
    return [command for command in found if command]


def replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, f"there is no {old!r} in\n{text}"
        text = text.replace(old, new)
    return text


class Example(Server):
    """nginx with one of the examples as its only site."""

    def __init__(self, directory: Path, name: str, changes: Mapping[str, str]) -> None:
        self.name, self.changes = name, dict(changes)
        self.tls_port = free_port()
        super().__init__(directory)

    def command(self) -> list[str]:
        d = self.directory
        changes = {"listen 80;": f"listen 127.0.0.1:{self.port};",
                   "listen [::]:80;": f"listen [::1]:{self.port};"}  # fmt: skip
        if self.name == "tcp.conf":
            changes |= {
                "listen 443 ssl;": f"listen 127.0.0.1:{self.tls_port} ssl;",
                "listen [::]:443 ssl;": f"listen [::1]:{self.tls_port} ssl;",
                "/etc/ssl/certs/": f"{d}/", "/etc/ssl/private/": f"{d}/",
            }  # fmt: skip
            certify(d)
        site = (EXAMPLES / self.name).read_text()
        (d / "site.conf").write_text(replaced(site, changes | self.changes))
        for params in ("penstock_proxy_params", "penstock_fastcgi_params"):
            (d / params).write_text((EXAMPLES / params).read_text())
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path {d}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (d / "nginx.conf").write_text(
            f"""{user} daemon off; pid {d}/nginx.pid; error_log {d}/error.log info; events {{ }}
            http {{ access_log off; {temporary} include site.conf; }}"""
        )
        return [find("nginx"), "-c", str(d / "nginx.conf"), "-e", str(d / "error.log")]

    @property
    def is_tls(self) -> bool:
        return self.name == "tcp.conf"

    def connect(self) -> http.client.HTTPConnection:
        """To where the application is, from CLIENT."""
        if not self.is_tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, PATIENCE, (CLIENT, 0))
        context = ssl.create_default_context(cafile=str(self.directory / "shop.example.pem"))
        context.check_hostname = False
        return http.client.HTTPSConnection(
            "127.0.0.1", self.tls_port, timeout=PATIENCE, source_address=(CLIENT, 0),
            context=context,
        )  # fmt: skip

    def ask(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self.connect()
        try:
            method = "GET" if body is None else "POST"
            all_headers = {"Host": "shop.example"} | dict(headers or {})
            connection.request(method, path, body, all_headers)
            self.client_port = connection.sock.getsockname()[1]
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def environ(self, **how) -> dict[str, str]:
        response, body = self.ask("/environ?x=1", **how)
        assert response.status == 200, (body, (self.directory / "error.log").read_text())
        return json.loads(body)


def certify(directory: Path) -> None:
    subprocess.run(
        [find("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=shop.example", "-keyout", "shop.example.key", "-out", "shop.example.pem"],
        cwd=directory, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


# --- what stands behind nginx ---


@contextmanager
def gateway(
    directory: Path, command: str, bind: str, *more: str
) -> Iterator[Penstock]:
    """Run COMMAND, which begins with penstock, bound to BIND."""
    words = shlex.split(command)
    assert words[0] == "penstock"
    options = words[1:-1]
    options[options.index("-b") + 1] = bind
    server = Penstock(
        directory, words[-1], *options, "--python", sys.executable, *more, bind=None, cwd=APPS,
        env={"SCRATCH": str(directory)},
    )  # fmt: skip
    try:
        yield server.wait_ready()
        assert server.stop() == 0, server.log
    finally:
        server.clean_up()


@contextmanager
def spawned(directory: Path, command: str, changes: Mapping[str, str]) -> Iterator[list[int]]:
    """Run COMMAND, which calls spawn-fcgi; the pids of the adapters."""
    accounts = {"-u shop -g www-data ": ""}
    text = replaced(
        command,
        {"/run/shop/": f"{directory}/", "/srv/shop": str(APPS),
         "/usr/local/libexec/penstock/sync": str(installed.SYNC)} | accounts | changes,
    )  # fmt: skip
    told = subprocess.run(
        ["/bin/sh", "-c", text], check=True, timeout=PATIENCE, stdout=subprocess.PIPE, text=True,
        env=environment({"PATH": os.environ["PATH"] + ":/usr/sbin", "SCRATCH": str(directory)}),
    ).stdout  # fmt: skip
    pids = [int(pid) for pid in re.findall(r"PID: (\d+)", told)]
    assert pids, told
    try:
        yield pids
    finally:
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGTERM)
        for pid in pids:
            eventually(lambda: not is_alive(pid), f"the end of adapter {pid}")


@contextmanager
def example(name: str, directory: Path) -> Iterator[Example]:
    with ExitStack() as stack:
        changes = {}
        if name == "tcp.conf":
            server = stack.enter_context(gateway(directory, commands(name)[0], "127.0.0.1:0"))
            changes = {"127.0.0.1:8000": f"127.0.0.1:{server.port}"}
        elif name == "unix.conf":
            bind = f"unix:{directory}/http.sock"
            stack.enter_context(gateway(directory, commands(name)[0], bind))
            changes = {"/run/shop/": f"{directory}/"}
        elif name == "fastcgi.conf":
            venv = {"/.venv ": "/.venv ", f"VIRTUAL_ENV={APPS}/.venv": f"VIRTUAL_ENV={sys.prefix}"}
            stack.enter_context(spawned(directory, commands(name)[0], venv))
            changes = {"/run/shop/": f"{directory}/"}
        else:
            venv = {f"{APPS}/.venv/bin/python": sys.executable}
            stack.enter_context(spawned(directory, commands(name)[0], venv))
            changes = {"/run/shop/": f"{directory}/"}
        yield stack.enter_context(Example(directory, name, changes))


PROXY = ["tcp.conf", "unix.conf"]
FASTCGI = ["fastcgi.conf", "fastcgi-several.conf"]


@pytest.fixture(scope="module", params=PROXY + FASTCGI)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Example]:
    with example(request.param, tmp_path_factory.mktemp("site")) as site:
        yield site


def test_all_examples_are_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.conf")} == set(PROXY + FASTCGI)
    listed = set(re.findall(r"\]\(([^)/]+)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == {path.name for path in EXAMPLES.iterdir()} - {"README.md"}


# --- every configuration ---


@pytest.mark.parametrize("headers", [{}, LIES], ids=["honest", "lies"])
def test_the_client_is_known(site: Example, headers: dict[str, str]) -> None:
    environ = site.environ(headers=headers)
    scheme, port = ("https", str(site.tls_port)) if site.is_tls else ("http", str(site.port))
    direct = site.name in FASTCGI
    if not direct:  # Host has no port, so it is the scheme's
        port = "443" if site.is_tls else "80"
    expected = {
        "REMOTE_ADDR": CLIENT,
        "REMOTE_PORT": str(site.client_port) if direct else "",
        "wsgi.url_scheme": scheme,
        "REQUEST_SCHEME": scheme,
        "HTTPS": "on" if site.is_tls else None,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": port,
        "HTTP_HOST": "shop.example",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ",
        "QUERY_STRING": "x=1",
        "REQUEST_URI": "/environ?x=1",
        "HTTP_X_FORWARDED_FOR": None if direct else CLIENT,
        "HTTP_X_FORWARDED_PROTO": None if direct else scheme,
        "HTTP_X_FORWARDED_HOST": None,
        "HTTP_X_FORWARDED_PORT": None,
        "HTTP_FORWARDED": None,
        "HTTP_PROXY": None,
    }
    assert {name: environ.get(name) for name in expected} == expected


def test_the_host_is_the_one_that_nginx_chose(site: Example) -> None:
    """Not what stands in Host beside an absolute request target."""
    scheme = "https" if site.is_tls else "http"
    connection = site.connect()
    try:
        connection.putrequest("GET", f"{scheme}://Shop.Example/environ", skip_host=True)
        connection.putheader("Host", "evil.example")
        connection.endheaders()
        environ = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert (environ["HTTP_HOST"], environ["SERVER_NAME"]) == ("shop.example", "shop.example")


def test_urls_that_the_application_makes(site: Example) -> None:
    response, _ = site.ask("/below/x%20y")
    scheme = "https" if site.is_tls else "http"
    assert response.status == 302
    assert response.getheader("Location") == f"{scheme}://shop.example/environ"


def test_requests_without_a_host(site: Example) -> None:
    """HTTP/1.0 allows them, and health checks send them."""
    connection = site.connect()
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    try:
        connection.putrequest("GET", "/environ", skip_host=True)
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["HTTP_HOST"]) == (200, "shop.example")
    finally:
        connection.close()


def test_bodies(site: Example) -> None:
    body = os.urandom(5 << 20)
    response, answer = site.ask("/environ", body)
    assert (response.status, json.loads(answer)["body"]) == (200, len(body))
    pieces = site.connect()
    try:
        pieces.request("POST", "/environ", iter([body[:7], body[7:]]),
                       {"Host": "shop.example"}, encode_chunked=True)  # fmt: skip
        assert json.loads(pieces.getresponse().read())["CONTENT_LENGTH"] == str(len(body))
    finally:
        pieces.close()
    assert site.ask("/environ", bytes(65 << 20))[0].status == 413


def test_answers_that_come_bit_by_bit(site: Example) -> None:
    response, body = site.ask("/stream?lines=3&pause=0.05")
    assert (response.status, len(body.splitlines())) == (200, 3)


def test_many_requests(site: Example) -> None:
    """Enough to use, keep and reuse every connection to what is behind."""
    assert all(site.environ()["REMOTE_ADDR"] == CLIENT for _ in range(60))


# --- one of them each ---


def test_plain_http_is_redirected(tmp_path: Path) -> None:
    with example("tcp.conf", tmp_path) as site:
        plain = http.client.HTTPConnection("127.0.0.1", site.port, PATIENCE)
        try:
            plain.request("GET", "/a%20b?c", headers={"Host": "shop.example"})
            response = plain.getresponse()
            assert response.status == 301
            assert response.getheader("Location") == "https://shop.example/a%20b?c"
        finally:
            plain.close()


def test_what_streams_is_seen_at_once(tmp_path: Path) -> None:
    """The first line comes while the application waits for what only that line brings about."""
    with example("tcp.conf", tmp_path) as site:
        connection = site.connect()
        try:
            connection.request("GET", "/stream/one", headers={"Host": "shop.example"})
            response = connection.getresponse()
            assert response.readline().strip().isdigit()
            (tmp_path / "one.go").touch()
            assert response.read() == b"go\n"
        finally:
            connection.close()


@pytest.mark.parametrize("name", PROXY)
def test_connections_are_kept(name: str, tmp_path: Path) -> None:
    """After twenty requests, one after the other, there is one connection, and it is open."""
    with ExitStack() as stack:
        bind = "127.0.0.1:0" if name == "tcp.conf" else f"unix:{tmp_path}/http.sock"
        server = stack.enter_context(gateway(tmp_path, commands(name)[0], bind, "-w", "1"))
        changes = {"127.0.0.1:8000": f"127.0.0.1:{server.port}"} if name == "tcp.conf" else {
            "/run/shop/": f"{tmp_path}/"}  # fmt: skip
        site = stack.enter_context(Example(tmp_path, name, changes))
        descriptors = Path(f"/proc/{server.gateway_pid}/fd")
        before = len(list(descriptors.iterdir()))
        for _ in range(20):
            site.environ()
        assert len(list(descriptors.iterdir())) == before + 1


def test_a_stuck_request_is_penstocks_504(tmp_path: Path) -> None:
    """nginx waits longer than --timeout, so the answer and the log line are Penstock's."""
    command = commands("unix.conf")[0]
    bind = f"unix:{tmp_path}/http.sock"
    with (
        gateway(tmp_path, command, bind, "-w", "2", "--timeout", "1") as server,
        Example(tmp_path, "unix.conf", {"/run/shop/": f"{tmp_path}/"}) as site,
    ):
        response, body = site.ask("/slow/30")
        assert response.status == 504
        assert b"nginx" not in body
        server.wait_for(r"worker \d+\.\d+: GET /slow/30: .*answered 504")
        assert site.environ()["REMOTE_ADDR"] == CLIENT


def test_nobody_waits_behind_a_slow_request(tmp_path: Path) -> None:
    """Of four adapters that share a socket three are busy: the fourth takes all that comes."""
    with example("fastcgi.conf", tmp_path) as site:
        slow = {str(number): site.connect() for number in range(3)}
        for name, connection in slow.items():
            connection.request("GET", f"/stream/{name}", headers={"Host": "shop.example"})
            eventually((tmp_path / f"{name}.held").exists, f"request {name}")
        (free,) = {site.environ()["pid"] for _ in range(20)}
        busy = set()
        for name, connection in slow.items():
            (tmp_path / f"{name}.go").touch()
            pid, end = connection.getresponse().read().split()
            assert end == b"go"
            busy.add(int(pid))
            connection.close()
        assert len(busy | {free}) == 4


def test_an_adapter_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    with example("fastcgi-several.conf", tmp_path) as site:
        pids = eventually(
            lambda: (found := {site.environ()["pid"] for _ in range(8)}) and len(found) == 2
            and found, "both adapters",
        )  # fmt: skip
        gone = min(pids)
        os.kill(gone, signal.SIGKILL)
        assert {site.environ()["pid"] for _ in range(20)} == pids - {gone}


# --- systemd ---


def test_the_units_are_valid(tmp_path: Path) -> None:
    for name in ("penstock.service", "penstock.socket"):
        unit = (SYSTEMD / name).read_text()
        (tmp_path / name).write_text(unit.replace("/usr/local/bin", str(installed.BINDIR)))
    verified = subprocess.run(
        [find("systemd-analyze"), "verify", "--man=no", "--recursive-errors=yes",
         "penstock.service", "penstock.socket"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


def exec_start(changes: Mapping[str, str]) -> list[str]:
    unit = (SYSTEMD / "penstock.service").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    return shlex.split(replaced(command, changes))


def ask_unix(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(str(path))
        sock.sendall(b"GET /hello HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.mark.parametrize("activated", [False, True], ids=["bind", "socket"])
def test_the_command_of_the_service(tmp_path: Path, activated: bool) -> None:
    """As the service would run it: bound by itself, or with the socket that systemd made."""
    command = exec_start(
        {"%t": str(tmp_path), "/usr/local/bin": str(installed.BINDIR),
         "/srv/shop/.venv/bin/python": sys.executable}
    )  # fmt: skip
    (tmp_path / "shop").mkdir()
    path = tmp_path / "shop/http.sock"
    if activated:
        path = tmp_path / "shop.sock"
        command = [find("systemd-socket-activate"), "-l", str(path), "--", *command]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=APPS, stdout=output, stderr=output,
            env=environment({"XDG_RUNTIME_DIR": str(tmp_path / "shop")}),
        )  # fmt: skip
    try:
        eventually(path.exists, f"{path}: {log.read_text()}")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = ask_unix(path)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
        assert b"Hello, world" in answer
        assert f"Listening at: unix:{path} " in log.read_text()
        process.terminate()
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_connections_wait_through_a_restart(tmp_path: Path) -> None:
    """A socket that somebody else holds, as systemd does, refuses nobody while Penstock is away."""
    with socket.socket(socket.AF_UNIX) as held, socket.socket(socket.AF_UNIX) as early:
        held.bind(str(tmp_path / "shop.sock"))
        held.listen()

        @contextmanager
        def service(name: str) -> Iterator[Penstock]:
            directory = tmp_path / name
            directory.mkdir()
            server = Penstock(
                directory, "shop.wsgi:application", "--python", sys.executable, cwd=APPS,
                bind=f"fd://{held.fileno()}", pass_fds=[held.fileno()],
            )  # fmt: skip
            try:
                yield server.wait_ready()
                assert server.stop() == 0, server.log
            finally:
                server.clean_up()

        with service("first"):
            assert b"Hello, world" in ask_unix(tmp_path / "shop.sock")
        early.settimeout(PATIENCE)
        early.connect(str(tmp_path / "shop.sock"))
        early.sendall(b"GET /hello HTTP/1.0\r\nHost: shop.example\r\n\r\n")
        with service("second"):
            assert b"Hello, world" in b"".join(iter(lambda: early.recv(65536), b""))
