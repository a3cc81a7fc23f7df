"""Several pools in one gateway, and which requests go where: the installed gateway with the test as
its arbiter and its workers."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import Exchange, Gateway
from penstock import PATIENCE, eventually

POOLS = {"web": {}, "blog": {}, "live": {}, "site": {"root_path": "/shop/"}}
ROUTES = [
    "% / web plain",
    "% /blog blog mount",
    "% /blog/raw/ blog plain",
    "% /ws/ live plain",
    "www.example.org / site plain",
    "*.example.org /s/ site mount",
]


def say(pool: str) -> Callable[[Exchange], None]:
    def handle(exchange: Exchange) -> None:
        words = [pool, exchange.param(b"SCRIPT_NAME"), exchange.param(b"PATH_INFO")]
        exchange.answer(b"Content-Type: text/plain\r\n\r\n" + " ".join(words).encode())

    return handle


@pytest.fixture
def gateway(tmp_path: Path):
    with Gateway(
        tmp_path, pools=POOLS, routes=ROUTES, access_logformat="%25({pool}x)s%20%25(U)s"
    ) as gateway:
        for n, pool in enumerate(POOLS, 1):
            gateway.worker(f"{pool}.1.{n}", say(pool), pool=pool)
        yield gateway


# A target, a host, and what the application that got it saw: pool, SCRIPT_NAME, PATH_INFO.
WHERE = [
    ("/", "a", "web  /"),
    ("/bloggers", "a", "web  /bloggers"),
    ("/blog", "a", "blog /blog "),
    ("/blog/", "a", "blog /blog /"),
    ("/blog/a/b?c=/d", "a", "blog /blog /a/b"),
    ("/blog//a", "a", "blog /blog //a"),
    ("/blog/raw/a", "a", "blog  /blog/raw/a"),
    ("/ws", "a", "web  /ws"),
    ("/ws/", "a", "live  /ws/"),
    ("/WS/", "a", "web  /WS/"),
    # What is decoded is what counts, as for the application.
    ("/bl%6Fg/a", "a", "blog /blog /a"),
    ("/blog%2Fa", "a", "blog /blog /a"),
    ("/%62log%2Fraw/a", "a", "blog  /blog/raw/a"),
    # Slashes and dot segments hide no route. Who is mounted never looks above its place.
    ("//blog/a", "a", "blog /blog /a"),
    ("/./blog/a", "a", "blog /blog /a"),
    ("/x/../blog/a", "a", "blog /blog /a"),
    ("/x/%2e%2e/blog/a", "a", "blog /blog /a"),
    ("/blog/../ws/a", "a", "live  /blog/../ws/a"),
    ("/blog/x/../../blog/a", "a", "blog /blog /a"),
    ("/blog/a/..", "a", "blog /blog /"),
    ("/../ws/a", "a", "live  /../ws/a"),
    ("/ws/..%2fx", "a", "web  /ws/../x"),
    # Decoded once only.
    ("/%252e%252e/ws/", "a", "web  /%2e%2e/ws/"),
    ("//", "a", "web  //"),
    # Hosts.
    ("/a", "www.example.org", "site /shop /a"),
    ("/a", "WWW.Example.Org.:8000", "site /shop /a"),
    ("/shop/a", "www.example.org", "site /shop /a"),
    ("/blog/a", "www.example.org", "site /shop /blog/a"),
    ("/s/a", "x.y.example.org", "site /shop/s /a"),
    ("/a", "x.y.example.org", "web  /a"),
    ("/s/a", "example.org", "web  /s/a"),
    ("http://www.example.org/a", "a", "site /shop /a"),
]


def test_where_requests_go(gateway: Gateway) -> None:
    with gateway.client() as client:
        seen = []
        for target, host, _ in WHERE:
            client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            seen.append((target, host, client.response().body.decode()))
    assert seen == WHERE
    eventually(lambda: gateway.access_log.count("\n") == len(WHERE), "the access log")
    logged = [line.split()[0] for line in gateway.access_log.splitlines()]
    assert logged == [said.split()[0] for _, _, said in WHERE]


def test_options_of_the_server(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().body == b"web  *"


def test_the_host_that_a_trusted_proxy_speaks_of(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.send(
            "GET /a HTTP/1.1\r\nHost: inside\r\nX-Forwarded-For: 192.0.2.1\r\n"
            "X-Forwarded-Host: www.example.org:443\r\n\r\n"
        )
        assert client.response().body == b"site /shop /a"


def test_no_route_is_404(tmp_path: Path) -> None:
    routes = ["a.example /x/ default plain"]
    with Gateway(tmp_path, routes=routes) as gateway, gateway.client() as client:
        gateway.worker("1.1", say("default"))
        for host, path, status in (("b", "/x/", 404), ("a.example", "/", 404), ("a.example", "/x/", 200)):
            client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert client.response().status == status
        client.send("POST /y HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc")
        assert client.response().status == 404
        assert client.is_closed()
        gateway.wait_log(
            '[INFO] client 127.0.0.1: GET /x/: no route leads there (host "b"): answered 404'
        )
    assert '"GET /x/ HTTP/1.1" 404 ' in gateway.access_log


def test_pools_have_their_own_limits_and_queues(tmp_path: Path) -> None:
    pools = {"small": {"limit_request_body": "10"}, "large": {}}
    routes = ["% / small plain", "% /large/ large plain"]
    with Gateway(tmp_path, pools=pools, routes=routes) as gateway:
        gateway.worker("large.1.1", say("large"), pool="large")
        with gateway.client() as waits, gateway.client() as client:
            waits.get("/")  # nobody serves that pool yet
            for path, size, status in (("/large/", 11, 200), ("/", 11, 413)):
                client.get(path, f"Content-Length: {size}", method="POST")
                client.send(b"b" * size)
                assert client.response().status == status
            gateway.worker("small.1.2", say("small"), pool="small")
            assert waits.response().body == b"small  /"
        with gateway.client() as client:
            client.get("/", "Transfer-Encoding: chunked", method="POST")
            client.send(b"5\r\n12345\r\n6\r\n")
            assert client.response().status == 413


@pytest.mark.parametrize(
    "line, why",
    [
        ("POOL web app", "pool web: there is another one of that name"),
        ("POOL we+b app", "pool we+b: its name is none"),
        ("POOL other car", "pool other: its kind is not known"),
        ("POOL other app", "there are several pools and no routes"),
        ("ROUTE % / nowhere plain", "route / to pool nowhere: there is no such pool"),
        ("ROUTE a.b:80 / web plain", "route a.b:80/ to pool web: its host is none"),
        ("ROUTE % x web plain", "route x to pool web: its path must begin with"),
        ("ROUTE % /a/../b web plain", "route /a/../b to pool web: its path must begin with"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, line: str, why: str) -> None:
    gateway = Gateway.__new__(Gateway)
    gateway.begin(tmp_path)
    gateway.tell(f"POOL web app\n{line}\nSTART")
    assert gateway.process.wait(PATIENCE) == 2
    gateway.listener.close()
    gateway.control.close()
    assert f"[CRITICAL] the gateway cannot start: {why}" in gateway.log
