"""Who the client is, what it asked for, and who is believed about that.

Each case is a request over one listener of a penstock that trusts one list of proxies. What it was
taken for is read from WSGI's environ and from the FastCGI parameters that a C plugin gets.
"""
from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapter import build_plugin
from penstock import Penstock, eventually, run
from servers import Nginx
from worker import APPS, Worker, behind_nginx

DEFAULT = "127.0.0.1,::1"
LISTED = "10.0.0.0/8, 127.0.0.0/30 ,::1,2001:db8:1::/48"
UNTRUSTED = "127.0.0.9"  # where a client connects from that neither list holds


@dataclass
class Answer:
    status: int
    body: bytes
    port: int  # the client's own
    environ: dict[str, str]


class Served:
    """One penstock with a listener of each family, which trusts TRUST."""

    def __init__(self, directory: Path, trust: str | None, *app: str) -> None:
        self.unix = directory / "http.sock"
        options = [] if trust is None else ["--forwarded-allow-ips", trust]
        self.penstock = Penstock(
            directory, app[-1], "-b", "[::1]:0", "-b", f"unix:{self.unix}",
            "--access-logfile", "-", "--access-logformat", "%(h)s %(U)s", *options, *app[:-1],
            cwd=APPS,
        ).wait_ready()  # fmt: skip

    def connect(self, listener: str) -> socket.socket:
        """To LISTENER: tcp, tcp6, unix, or tcp from an ADDRESS of its own."""
        if listener == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(self.unix))
            return sock
        url = self.penstock.addresses[1 if listener == "tcp6" else 0]
        host, _, port = url.removeprefix("http://").rpartition(":")
        source = None if listener.startswith("tcp") else (listener, 0)
        return socket.create_connection((host.strip("[]"), int(port)), 30, source)

    def server_port(self, listener: str) -> int:
        return int(self.penstock.addresses[1 if listener == "tcp6" else 0].rpartition(":")[2])

    def ask(self, listener: str, head: str) -> Answer:
        """Send HEAD, lines without CR, as a whole request."""
        with self.connect(listener) as sock:
            port = 0 if listener == "unix" else sock.getsockname()[1]
            sock.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        first, _, rest = answer.partition(b"\r\n")
        body = rest.partition(b"\r\n\r\n")[2]
        status = int(first.split()[1])
        return Answer(status, body, port, self.environ_of(body) if status == 200 else {})

    path = ""

    def environ_of(self, body: bytes) -> dict[str, str]:
        raise NotImplementedError


class Wsgi(Served):
    path = "/environ"

    def __init__(self, directory: Path, trust: str | None) -> None:
        super().__init__(directory, trust, "--python", sys.executable, "rules:application")

    def environ_of(self, body: bytes) -> dict[str, str]:
        return {name: value for name, (_, value) in json.loads(body).items()}


class FastCgi(Served):
    path = "/params"

    def __init__(self, directory: Path, trust: str | None) -> None:
        super().__init__(directory, trust, str(build_plugin("probe.c", directory / "probe.so")))

    def environ_of(self, body: bytes) -> dict[str, str]:
        pairs = (item.partition("=") for item in body.decode("latin-1").split("\0") if item)
        environ = {name: value for name, _, value in pairs}
        environ["wsgi.url_scheme"] = environ["REQUEST_SCHEME"]  # what a host of WSGI makes of it
        return environ


@pytest.fixture(scope="module", params=[Wsgi, FastCgi])
def kind(request: pytest.FixtureRequest) -> type[Served]:
    return request.param


@pytest.fixture(scope="module")
def servers(
    kind: type[Served], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str | None, Served]]:
    """One server for each trust list, by that list."""
    lists = [None, "", LISTED, "*"]
    started = {trust: kind(tmp_path_factory.mktemp("served"), trust) for trust in lists}
    yield started
    for server in started.values():
        assert server.penstock.stop() == 0, server.penstock.log
        server.penstock.clean_up()


@dataclass
class Case:
    name: str
    expect: str
    """ADDRESS PORT SCHEME SERVER_NAME SERVER_PORT HTTP_HOST, in which "own" is what the connection
    itself has and - is nothing; or 400 REASON."""
    fields: str = ""
    trust: str | None = None
    listener: str = "tcp"
    host: str = "Host: shop.example\n"
    version: str = "1.1"


OWN = "own own http shop.example 80 shop.example"
XFF = "X-Forwarded-For: "
LIES = (
    XFF + "203.0.113.9\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil.example\n"
    "X-Forwarded-Port: 666\nX-Forwarded-SSL: on\nForwarded: for=203.0.113.9;proto=https\n"
)  # fmt: skip
GARBAGE = "X-Forwarded-Proto: gopher\nX-Forwarded-Host: a b\nForwarded: \"\n"

CASES = [
    # --- nobody speaks for the client ---
    Case("IPv4", OWN),
    Case("IPv6", OWN, listener="tcp6"),
    Case("unix", "- - http shop.example 80 shop.example", listener="unix"),
    Case("a port in Host", "own own http shop.example 8080 shop.example:8080",
         host="Host: shop.example:8080\n"),
    Case("IPv6 in Host", "own own http [2001:db8::1] 8080 [2001:db8::1]:8080", listener="tcp6",
         host="Host: [2001:db8::1]:8080\n"),
    Case("no Host on IPv4", "own own http 127.0.0.1 own -", host="", version="1.0"),
    Case("no Host on IPv6", "own own http [::1] own -", host="", version="1.0", listener="tcp6"),
    Case("no Host on unix", "- - http localhost 80 -", host="", version="1.0", listener="unix"),
    # --- peers that are not believed ---
    Case("lies from another address", OWN, LIES, listener=UNTRUSTED),
    Case("garbage from another address", OWN, GARBAGE, listener=UNTRUSTED),
    Case("lies where nobody is trusted", OWN, LIES, trust=""),
    Case("lies on IPv6 where nobody is trusted", OWN, LIES, trust="", listener="tcp6"),
    Case("lies from beyond the network", OWN, LIES, trust=LISTED, listener="127.0.0.4"),
    # --- peers that are ---
    Case("the default trusts 127.0.0.1", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "198.51.100.1\n"),
    Case("the default trusts ::1", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "198.51.100.1\n", listener="tcp6"),
    Case("unix is trusted", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "198.51.100.1\n", listener="unix"),
    Case("unix is trusted where nobody else is",
         "198.51.100.1 - https shop.example 443 shop.example",
         XFF + "198.51.100.1\nX-Forwarded-Proto: https\n", listener="unix", trust=""),
    Case("a network", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "198.51.100.1\n", trust=LISTED, listener="127.0.0.3"),
    Case("everybody", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "198.51.100.1\n", trust="*", listener=UNTRUSTED),
    # --- several hops, from the right ---
    Case("what the client made up stands on the left",
         "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "10.0.0.1, 203.0.113.9, 198.51.100.1\n", trust=LISTED),
    Case("trusted hops are passed over", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "203.0.113.9, 198.51.100.1, 2001:db8:1::7, 10.1.2.3\n", trust=LISTED),
    Case("from beyond an IPv6 network", "2001:db8:2::7 - http shop.example 80 shop.example",
         XFF + "203.0.113.9, 2001:db8:2::7, 10.1.2.3\n", trust=LISTED),
    Case("all are trusted: the leftmost", "10.3.2.1 - http shop.example 80 shop.example",
         XFF + "10.3.2.1, 10.1.2.3\n", trust=LISTED),
    Case("everybody is trusted: the leftmost", "203.0.113.9 - http shop.example 80 shop.example",
         XFF + "203.0.113.9, 198.51.100.1\n", trust="*"),
    Case("two lines are one list", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "203.0.113.9\nX: y\n" + XFF + "198.51.100.1,10.0.0.2\n", trust=LISTED),
    Case("empty elements", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + ", 198.51.100.1,,\n"),
    Case("a very long list", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "203.0.113.9, " * 500 + "198.51.100.1" + ", 10.0.0.1" * 100 + "\n", trust=LISTED),
    Case("long lists in many lines", "198.51.100.1 - http shop.example 80 shop.example",
         (XFF + "198.51.100.1" + ",10.0.0.1" * 500 + "\n") + (XFF + "::1," * 1000 + "\n") * 8,
         trust=LISTED),
    Case("a port with it", "198.51.100.1 4711 http shop.example 80 shop.example",
         XFF + "198.51.100.1:4711\n"),
    Case("IPv6", "2001:db8::1 - http shop.example 80 shop.example", XFF + "2001:DB8:0::1\n"),
    Case("IPv6 with a port", "2001:db8::1 4711 http shop.example 80 shop.example",
         XFF + "[2001:db8::1]:4711\n", listener="tcp6"),
    Case("IPv4 mapped in IPv6", "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "::ffff:198.51.100.1\n"),
    Case("unknown", OWN, XFF + "unknown\n"),
    Case("unknown on unix", "- - http shop.example 80 shop.example", XFF + "unknown\n",
         listener="unix"),
    Case("unknown behind a hop", "10.0.0.2 - http shop.example 80 shop.example",
         XFF + "198.51.100.1, unknown, 10.0.0.2\n", trust=LISTED),
    Case("garbage", OWN, XFF + "198.51.100.1, <script>\n"),
    Case("a port out of range", OWN, XFF + "198.51.100.1:65536\n"),
    Case("bytes above 0x7f", OWN, XFF + "\xff\xfe\n"),
    # --- scheme, host, port ---
    Case("the scheme", "own own https shop.example 443 shop.example", "X-Forwarded-Proto: https\n"),
    Case("plain, in so many words", OWN, "X-Forwarded-Proto: http\n"),
    Case("gunicorn's other two", "own own https shop.example 443 shop.example",
         "X-Forwarded-Protocol: ssl\nX-Forwarded-SSL: on\n"),
    Case("the scheme does not touch a port in Host",
         "own own https shop.example 8443 shop.example:8443", "X-Forwarded-Proto: https\n",
         host="Host: shop.example:8443\n"),
    Case("the host", "own own https www.example 443 www.example",
         "X-Forwarded-Host: www.example\nX-Forwarded-Proto: https\n", host="Host: inside:8000\n"),
    Case("the host with a port", "own own http www.example 8080 www.example:8080",
         "X-Forwarded-Host: www.example:8080\n"),
    Case("the host of an HTTP/1.0 request", "own own http www.example 80 www.example",
         "X-Forwarded-Host: www.example\n", host="", version="1.0"),
    Case("IPv6 as the host", "own own http [2001:db8::1] 8080 [2001:db8::1]:8080",
         "X-Forwarded-Host: [2001:db8::1]:8080\n"),
    Case("the port", "own own https shop.example 8443 shop.example",
         "X-Forwarded-Port: 8443\nX-Forwarded-Proto: https\n"),
    Case("the port goes before the host's", "own own http www.example 81 www.example:8080",
         "X-Forwarded-Host: www.example:8080\nX-Forwarded-Port: 81\n"),
    Case("lists side by side", "198.51.100.1 - https b.example 444 b.example",
         XFF + "203.0.113.9, 198.51.100.1, 10.0.0.2\nX-Forwarded-Proto: http, https, http\n"
         "X-Forwarded-Host: a, b.example, c\nX-Forwarded-Port: 1, 444, 3\n", trust=LISTED),
    # --- Forwarded ---
    Case("Forwarded", "198.51.100.1 - https www.example 8443 www.example:8443",
         "Forwarded: for=198.51.100.1;proto=https;host=\"www.example:8443\";by=10.0.0.1\n"),
    Case("Forwarded on unix", "2001:db8::1 4711 https shop.example 443 shop.example",
         "Forwarded: for=\"[2001:db8::1]:4711\";proto=https\n", listener="unix"),
    Case("Forwarded from the right", "198.51.100.1 - https shop.example 443 shop.example",
         "Forwarded: for=203.0.113.9;proto=http, for=198.51.100.1;proto=https\n"
         "Forwarded: for=10.0.0.2;proto=http\n", trust=LISTED),
    Case("Forwarded, unknown", "own own https shop.example 443 shop.example",
         "Forwarded: for=unknown;proto=https\n"),
    Case("Forwarded adds nothing to X-Forwarded-*",
         "198.51.100.1 - http shop.example 80 shop.example",
         XFF + "198.51.100.1\nForwarded: proto=https;host=evil.example\n"),
    Case("a very long Forwarded", "198.51.100.1 - http shop.example 80 shop.example",
         "Forwarded: " + "for=203.0.113.9," * 300 + "for=198.51.100.1\n"),
    # --- somebody trusted sends what cannot be right ---
    Case("two clients", "400 Forwarded and X-Forwarded-For name different clients",
         XFF + "198.51.100.1\nForwarded: for=203.0.113.9\n"),
    Case("two schemes", "400 X-Forwarded-Proto, -Protocol or -SSL contradict each other",
         "X-Forwarded-Proto: http\nX-Forwarded-SSL: on\n"),
    Case("no scheme", "400 a forwarded scheme that is not http or https",
         "X-Forwarded-Proto: gopher\n"),
    Case("no host", "400 a malformed X-Forwarded-Host", "X-Forwarded-Host: a b\n",
         listener="unix"),
    Case("a host with a path", "400 a malformed X-Forwarded-Host", "X-Forwarded-Host: a/b\n"),
    Case("no port", "400 a malformed X-Forwarded-Port", "X-Forwarded-Port: http\n"),
    Case("an open quote", "400 a malformed Forwarded", "Forwarded: for=\"198.51.100.1\n"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(servers: dict[str | None, Served], case: Case) -> None:
    server = servers[case.trust]
    answer = server.ask(
        case.listener,
        f"GET {server.path} HTTP/{case.version}\n{case.host}{case.fields}Connection: close\n",
    )
    if case.expect.startswith("400 "):
        assert (answer.status, case.expect[4:] in answer.body.decode()) == (400, True), answer
        server.penstock.wait_for(f"the trusted proxy .* sent {case.expect[4:]}: answered 400")
        return
    assert answer.status == 200, (answer, server.penstock.log)
    address, port, scheme, name, server_port, host = case.expect.split()
    own = {"tcp": "127.0.0.1", "tcp6": "::1"}.get(case.listener, case.listener)
    expected = {
        "REMOTE_ADDR": own if address == "own" else address.strip("-"),
        "REMOTE_PORT": str(answer.port) if port == "own" else port.strip("-"),
        "wsgi.url_scheme": scheme,
        "REQUEST_SCHEME": scheme,
        "HTTPS": "on" if scheme == "https" else None,
        "SERVER_NAME": name,
        "SERVER_PORT": str(server.server_port(case.listener))
        if server_port == "own" else server_port,
        "HTTP_HOST": host if host != "-" else None,
        "SERVER_ADDR": {"unix": "", "tcp6": "::1"}.get(case.listener, "127.0.0.1"),
    }  # fmt: skip
    assert {name: answer.environ.get(name) for name in expected} == expected


def test_the_access_log_names_the_client(servers: dict[str | None, Served]) -> None:
    server = servers[None]
    for listener, fields, expected in (
        ("tcp", "X-Forwarded-For: 198.51.100.7\n", "198.51.100.7"),
        (UNTRUSTED, "X-Forwarded-For: 198.51.100.8\n", UNTRUSTED),
        ("unix", "X-Forwarded-For: 2001:db8::7\n", "2001:db8::7"),
    ):
        path = f"/from-{expected}"
        server.ask(listener, f"GET {path} HTTP/1.0\nHost: h\n{fields}")
        eventually(lambda: f"{expected} {path}\n" in server.penstock.access_log, path)


def test_each_request_of_a_connection_is_judged(servers: dict[str | None, Served]) -> None:
    """What one request said of its client holds for no other: a proxy's connection has many."""
    server = servers[None]
    host = f"GET {server.path} HTTP/1.1\r\nHost: h\r\n"
    pipeline = [
        "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n", "",
        "X-Forwarded-For: 198.51.100.2\r\nConnection: close\r\n",
    ]  # fmt: skip
    with server.connect("tcp") as sock:
        sock.sendall("".join(f"{host}{fields}\r\n" for fields in pipeline).encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    seen = []
    for part in answer.split(b"HTTP/1.1 200 ")[1:]:
        body = part.partition(b"\r\n\r\n")[2]
        if body[:1].isalnum() and b"\r\n" in body:  # chunked
            body = body.partition(b"\r\n")[2].partition(b"\r\n0\r\n")[0]
        environ = server.environ_of(body)
        seen.append((environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]))
    assert seen == [("198.51.100.1", "https"), ("127.0.0.1", "http"), ("198.51.100.2", "http")]


@pytest.mark.parametrize("bind, client", [
    ("[::]:0", "127.0.0.1"), ("[::]:0", "::1"), ("0.0.0.0:0", "127.0.0.1"),
])  # fmt: skip
def test_all_addresses(tmp_path: Path, bind: str, client: str) -> None:
    """IPv4 on a socket of IPv6 is IPv4, also where the proxy is trusted by its address."""
    server = Penstock(
        tmp_path, "rules:application", "--python", sys.executable, "--forwarded-allow-ips", client,
        cwd=APPS, bind=bind,
    ).wait_ready()  # fmt: skip
    try:
        seen = []
        for fields in (b"", b"X-Forwarded-For: 198.51.100.1\r\n"):
            with socket.create_connection((client, server.port), 30) as sock:
                sock.sendall(b"GET /environ HTTP/1.0\r\n" + fields + b"\r\n")
                answer = b"".join(iter(lambda: sock.recv(65536), b""))
            environ = json.loads(answer.partition(b"\r\n\r\n")[2])
            seen += [(environ["REMOTE_ADDR"][1], environ["SERVER_ADDR"][1])]
            name = f"[{client}]" if ":" in client else client
            asked = (environ["SERVER_NAME"][1], environ["SERVER_PORT"][1])
            assert asked == (name, str(server.port))
        assert seen == [(client, client), ("198.51.100.1", client)]
        assert server.stop() == 0
    finally:
        server.clean_up()


# --- whom to trust, as an operator says it ---


@pytest.mark.parametrize(
    "value, reason",
    [
        ("localhost", "cannot use 'localhost': not an IP address"),
        ("127.0.0.1,,::1", "cannot use ',::1': an empty entry"),
        ("10.0.0.1/8", "cannot use '10.0.0.1/8': a network with bits set beyond its prefix"),
        ("::/129", "cannot use '::/129': a network prefix that is not a number of bits"),
    ],
)
@pytest.mark.parametrize("source", ["option", "variable"])
def test_a_list_that_is_wrong(source: str, value: str, reason: str) -> None:
    options = ["--forwarded-allow-ips", value] if source == "option" else []
    env = {"FORWARDED_ALLOW_IPS": value} if source == "variable" else {}
    ended = run("-b", "127.0.0.1:0", *options, "--chdir", str(APPS), "--python", sys.executable,
                "rules:application", env=env)  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    name = "--forwarded-allow-ips" if source == "option" else "FORWARDED_ALLOW_IPS"
    assert f"{name} {reason}" in ended.stderr


def test_the_variable_and_the_option(tmp_path: Path) -> None:
    """FORWARDED_ALLOW_IPS is read, as by gunicorn and uvicorn; the option goes before it."""
    for number, (options, expected) in enumerate(
        [((), "198.51.100.1"), (("--forwarded-allow-ips", "10.0.0.0/8"), UNTRUSTED)]
    ):
        directory = tmp_path / str(number)
        directory.mkdir()
        server = Penstock(
            directory, "rules:application", "--python", sys.executable, *options, cwd=APPS,
            env={"FORWARDED_ALLOW_IPS": "*"},
        ).wait_ready()  # fmt: skip
        try:
            with socket.create_connection(
                ("127.0.0.1", server.port), 30, source_address=(UNTRUSTED, 0)
            ) as sock:
                sock.sendall(b"GET /environ HTTP/1.0\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n")
                answer = b"".join(iter(lambda: sock.recv(65536), b""))
            environ = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert environ["REMOTE_ADDR"][1] == expected
            assert server.stop() == 0
        finally:
            server.clean_up()


# --- behind real proxies; test_nginx_examples.py has the configurations that we recommend ---


def forwarding(upstream: str) -> str:
    """A location that appends to X-Forwarded-For, as most do."""
    return f"""proxy_pass {upstream}; proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;"""


@pytest.mark.parametrize("listener", ["tcp", "unix"])
def test_two_proxies(servers: dict[str | None, Served], tmp_path: Path, listener: str) -> None:
    """The client, from an address of its own, → nginx → nginx → penstock."""
    server = servers[None]
    upstream = f"http://unix:{server.unix}:" if listener == "unix" else server.penstock.addresses[0]
    near, far = tmp_path / "near", tmp_path / "far"
    near.mkdir()
    far.mkdir()
    with (
        Nginx(near, forwarding(upstream)) as inner,
        Nginx(far, forwarding(f"http://127.0.0.1:{inner.port}")) as outer,
        socket.create_connection(
            ("127.0.0.1", outer.port), 30, source_address=(UNTRUSTED, 0)
        ) as sock,
    ):
        sock.sendall(
            f"GET {server.path} HTTP/1.0\r\nHost: shop.example\r\n"
            "X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    environ = server.environ_of(answer.partition(b"\r\n\r\n")[2])
    assert environ["HTTP_X_FORWARDED_FOR"] == f"203.0.113.9, 127.0.0.1, {UNTRUSTED}, 127.0.0.1"
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (UNTRUSTED, "")
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("shop.example", "80")


def test_nothing_is_believed_by_an_adapter(tmp_path: Path) -> None:
    """Behind fastcgi_pass it is the web server that says who the client is."""
    worker = Worker("rules:application", tmp_path, "--python", sys.executable)
    try:
        with behind_nginx(worker) as nginx:
            headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
                       "X-Forwarded-Host": "evil.example", "Host": "shop.example"}  # fmt: skip
            _, body = nginx.request("/environ", headers=headers)
            environ = {name: value for name, (_, value) in json.loads(body).items()}
            assert environ["REMOTE_ADDR"] == "unix:"  # nginx's name for a client on a unix socket
            assert environ["wsgi.url_scheme"] == "http"
            assert environ["HTTP_HOST"] == "shop.example"
    finally:
        worker.stop()
