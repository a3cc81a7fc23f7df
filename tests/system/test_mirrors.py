"""What the application is told is what was asked, and nothing of a request before: thousands of
requests that resemble each other, in lengths, names and order, on several connections in turns."""
from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import fcgi
import installed
import pytest
import raw
from adapter import Adapter
from penstock import Penstock

APPS = Path(__file__).parent / "apps"
DIR = ("--pythonpath", str(APPS), "--python", sys.executable)

CONNECTIONS = 4
ROUNDS = 300

Pairs = list[tuple[str, str]]
Start = Callable[..., Penstock]

NAMES = (
    "HTTP_A", "HTTP_B", "HTTP_AB", "HTTP_COOKIE", "HTTP_HOST", "HTTP_CONTENT_TYPE", "CONTENT_TYPE",
    "HTTPS", "REQUEST_SCHEME", "REMOTE_USER", "REQUEST_URI", "SCRIPT_NAME", "PATH_INFO",
    "SERVER_NAME", "QUERY_STRING", "wsgi.input", "A", "",
)  # fmt: skip
VALUES = ("", "a", "b", "on", "ab", "ba", "aaaa", "aaab", "abcdefgh", "abcdefgi", "https", "HTTPS",
          "\xe9", "a" * 17, "a" * 16 + "b", "/a", "/b", "1.1.1.1", "1.1.1.2")  # fmt: skip


class Sender:
    """Makes each request of the one before."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.usual()

    def usual(self) -> None:
        self.pairs: Pairs = [
            ("QUERY_STRING", "q=1"), ("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a?q=1"),
            ("PATH_INFO", "/a"), ("REMOTE_ADDR", "127.0.0.1"), ("REMOTE_PORT", "40000"),
            ("HTTP_HOST", "host"), ("HTTP_A", "aaaa"), ("HTTP_B", "aaab"),
        ]  # fmt: skip

    def value(self) -> str:
        kind = self.random.randrange(60)
        if kind < 2:
            return "v" * self.random.choice((126, 127, 128, 255, 256, 257, 4095, 4096, 9000))
        if kind == 2:
            return self.random.choice("\r\n") + "bcdefgh"
        return self.random.choice(VALUES)

    def change(self) -> None:
        pairs, pick = self.pairs, self.random.randrange
        at = pick(len(pairs))
        name, value = pairs[at]
        kind = pick(40)
        if kind < 12:
            pairs[at] = (name, self.value())
        elif kind < 24 and value:  # another one of its length
            where = pick(len(value))
            pairs[at] = (name, value[:where] + chr(97 + pick(3)) + value[where + 1 :])
        elif kind < 27:
            pairs.insert(at, (self.random.choice(NAMES), self.value()))
        elif kind < 30 and len(pairs) > 4:
            del pairs[at]
        elif kind < 32:
            pairs.insert(pick(len(pairs)), pairs.pop(at))
        elif kind == 32:
            pairs.append((name, self.value()))
        elif kind == 33:  # the same bytes, cut elsewhere
            whole = name + value
            pairs[at] = (whole[: (cut := pick(len(whole) + 1))], whole[cut:])
        elif kind == 34:
            pairs[at] = (name, value[:3] + "\0" + value[4:])
        elif kind == 35:
            pairs += [(f"HTTP_N{n}", self.random.choice(VALUES)) for n in range(pick(70))]
        elif kind == 36:
            self.usual()

    def next(self) -> Pairs:
        self.pairs = [pair for pair in self.pairs if "\0" not in "".join(pair)]
        for _ in range(self.random.choice((0, 0, 1, 1, 1, 2, 4))):
            self.change()
        if self.random.randrange(2):  # as another connection's
            ports = [n for n, pair in enumerate(self.pairs) if pair[0] == "REMOTE_PORT"]
            for at in ports:
                self.pairs[at] = ("REMOTE_PORT", str(self.random.randrange(10000, 60000)))
        return list(self.pairs)

    def encoded(self, pairs: Pairs, body: bytes) -> bytes:
        one = b"".join(fcgi.pairs({n.encode("latin-1"): v.encode("latin-1")}) for n, v in pairs)
        size = self.random.choice((65535, 65535, 65535, 100, 17))
        return fcgi.begin() + fcgi.stream(fcgi.PARAMS, 1, one, size) + fcgi.stream(
            fcgi.STDIN, 1, body
        )


def environ(pairs: Pairs) -> dict[str, str]:
    """PEP 3333, by hand."""
    expected = {
        "wsgi.url_scheme": "http", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "",
        "QUERY_STRING": "", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.0", "SERVER_SOFTWARE": "penstock",
    }  # fmt: skip
    own: dict[str, str] = {}
    has_path = any(name == "PATH_INFO" for name, _ in pairs)
    for name, value in pairs:
        if name.startswith("wsgi.") or name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            continue
        if name == "SCRIPT_NAME" and not has_path:
            name = "PATH_INFO"
        if name.startswith("HTTP_") and own.get(name):
            value = own[name] + ("; " if name == "HTTP_COOKIE" else ", ") + value
        own[name] = value
    if "REQUEST_URI" in own:
        own["RAW_URI"] = own["REQUEST_URI"]
    if own.get("HTTPS") in ("on", "1") or own.get("REQUEST_SCHEME") == "https":
        own["wsgi.url_scheme"] = "https"
    return expected | own


def said(response: fcgi.Response, query: str) -> object:
    """What the application said, in a head of this request's own."""
    assert response.status == "200 OK", response
    assert response.head.partition("x-query: ")[2] == query
    return json.loads(response.body)


def check_wsgi(response: fcgi.Response, pairs: Pairs, body: bytes) -> None:
    expected = environ(pairs)
    query = expected["QUERY_STRING"]
    if any("\0" in name + value for name, value in pairs):
        assert response.status == "400 Bad Request"
    elif "\r" in query or "\n" in query:
        assert response.status == "500 Internal Server Error"
    elif expected["REQUEST_METHOD"] == "HEAD":
        assert response.status == "200 OK"
    else:
        assert said(response, query) == [expected, body.decode("latin-1")]


def check_asgi(response: fcgi.Response, pairs: Pairs, body: bytes) -> None:
    last = dict(pairs)
    query = last.get("QUERY_STRING", "")
    if any("\0" in name + value for name, value in pairs):
        assert response.status == "400 Bad Request"
        return
    if "\r" in query or "\n" in query:
        assert response.status == "500 Internal Server Error"
        return
    scope, got = said(response, query)  # type: ignore[misc]
    assert got == body.decode("latin-1")
    assert scope["query_string"] == query
    assert scope["method"] == last.get("REQUEST_METHOD", scope["method"])
    fields = [
        [name[5:].lower().replace("_", "-"), value]
        for name, value in pairs
        if name.startswith("HTTP_") and name not in ("HTTP_", "HTTP_CONTENT_TYPE")
    ]
    assert [field for field in scope["headers"] if field[0] != "content-type"] == fields
    if last.get("REMOTE_ADDR") and last.get("REMOTE_PORT", "x").isdecimal():
        assert scope["client"] == [last["REMOTE_ADDR"], int(last["REMOTE_PORT"])]


ADAPTERS = {
    "sync": (installed.SYNC, "mirrors:app", check_wsgi),
    "threaded": (installed.THREADED, "--threads", "3", "mirrors:app", check_wsgi),
    "asyncio": (installed.ASYNC, "--option", "loop=asyncio", "mirrors:asgi", check_asgi),
    "uvloop": (installed.ASYNC, "--option", "loop=uvloop", "mirrors:asgi", check_asgi),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("model", ADAPTERS)
def test_by_fastcgi(model: str, seed: int, tmp_path: Path) -> None:
    program, *options, check = ADAPTERS[model]
    assert isinstance(program, Path) and callable(check)
    sender = Sender(seed)
    with Adapter(tmp_path, *DIR, *map(str, options), program=program) as adapter:
        # A thread serves one connection until it ends.
        count = 1 if model == "sync" else 3 if model == "threaded" else CONNECTIONS
        for _ in range(5):
            connections = [fcgi.Connection(adapter.path) for _ in range(count)]
            for _ in range(ROUNDS // 5):
                sent = []
                for connection in connections:
                    pairs, body = sender.next(), sender.random.randbytes(sender.random.randrange(9))
                    connection.send(sender.encoded(pairs, body))
                    sent.append((connection, pairs, body))
                for connection, pairs, body in sent:
                    response = connection.response()
                    assert response.protocol_status == fcgi.REQUEST_COMPLETE, (pairs, adapter.log)
                    check(response, pairs, body)
            for connection in connections:
                connection.socket.close()
        assert adapter.terminate() == 0, adapter.log


SERVERS = {
    "sync": ("mirrors:app", "-k", "sync", "-w", "2"),
    "threaded": ("mirrors:app", "--threads", "3"),
    "asyncio": ("mirrors:asgi", "-k", "async", "--loop", "asyncio"),
}
FIELDS = ("A", "B", "AB", "Cookie", "X-Other", "Authorization", "Content-Type")
FIELD_VALUES = ("", "a", "b", "ab", "ba", "abcdefgh", "abcdefgi", "1.1.1.1", "1.1.1.2", "v" * 5000,
                "a" * 17, "a" * 16 + "b")  # fmt: skip


@pytest.mark.parametrize("model", SERVERS)
def test_through_the_gateway(model: str, penstock: Start) -> None:
    chance = random.Random(7)
    server = penstock(*SERVERS[model], "--python", sys.executable, cwd=APPS)
    clients = [raw.Client(("127.0.0.1", server.port)) for _ in range(CONNECTIONS)]
    fields: Pairs = [("A", "aaaa"), ("B", "aaab"), ("Cookie", "a=1")]
    for _ in range(ROUNDS):
        sent = []
        for client in clients:
            for _ in range(chance.choice((0, 1, 1, 2))):  # one more, one less, or another one
                at = chance.randrange(len(fields) + 1)
                new = [(chance.choice(FIELDS), chance.choice(FIELD_VALUES))]
                fields[at : at + chance.randrange(2)] = new[len(fields) // 12 :]
            path = chance.choice(("/a", "/b", "/aa", "/%61%2f"))
            query = chance.choice(("", "a", "b", "ab", "a=1&b=2"))
            body = chance.randbytes(chance.choice((0, 0, 1, 2, 9000)))
            mine = [pair for pair in fields if pair[0] != "Content-Type"]
            mine += [pair for pair in fields if pair[0] == "Content-Type"][:1]
            chance.shuffle(mine)
            lines = [f"POST {path}?{query} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in mine]
            client.send("\r\n".join([*lines, "", ""]).encode() + body)
            sent.append((client, path, query, body, mine))
        for client, path, query, body, mine in sent:
            response = client.response()
            assert response.status == 200
            assert response.field("X-Query") == query
            port = client.socket.getsockname()[1]
            told, got = json.loads(response.body)
            assert got == body.decode("latin-1")
            if model == "asyncio":
                assert told["client"] == ["127.0.0.1", port]
                assert (told["raw_path"], told["query_string"]) == (path, query)
                heard = [
                    [name.lower(), value] for name, value in mine if value or name != "Content-Type"
                ]
                usual = ("host", "content-length")
                assert [pair for pair in told["headers"] if pair[0] not in usual] == heard
            else:
                expected: dict[str, str] = {}
                for name, value in mine:
                    key = name.upper().replace("-", "_")
                    key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
                    if key in expected:
                        value = expected[key] + ("; " if name == "Cookie" else ", ") + value
                    expected[key] = value
                expected["HTTP_HOST"] = "h"
                assert {
                    key: value for key, value in told.items()
                    if key.startswith("HTTP_") or key == "CONTENT_TYPE" and key in expected
                } == expected  # fmt: skip
                assert (told["REMOTE_ADDR"], told["REMOTE_PORT"]) == ("127.0.0.1", str(port))
                assert (told["QUERY_STRING"], told["RAW_URI"]) == (query, f"{path}?{query}")
    for client in clients:
        client.close()
    assert server.stop() == 0
