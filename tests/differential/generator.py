"""Requests that tempt parsers to disagree: well-formed ones, bent by named mutations.

A mutation changes one thing that an RFC speaks about; its name is what a disagreement between
servers is explained by. Everything random comes from the generator given, so a seed names a run.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator

CANARY = b"GET /canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass
class Request:
    method: bytes = b"GET"
    target: bytes = b"/path?query"
    version: bytes = b"HTTP/1.1"
    fields: list[bytes] = dataclasses.field(default_factory=lambda: [b"Host: host"])
    body: bytes = b""
    before: bytes = b""
    space: bytes = b" "
    line_end: bytes = b"\r\n"
    field_end: bytes = b"\r\n"
    head_end: bytes = b"\r\n"

    def encode(self) -> bytes:
        line = self.method + self.space + self.target + self.space + self.version
        fields = b"".join(field + self.field_end for field in self.fields)
        return self.before + line + self.line_end + fields + self.head_end + self.body

    def drop(self, name: bytes) -> None:
        self.fields = [field for field in self.fields if not field.lower().startswith(name)]


@dataclasses.dataclass
class Case:
    tags: tuple[str, ...]
    wire: bytes  # the request, with the canary behind it


Mutation = Callable[[Request, random.Random], None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(name: str) -> Callable[[Mutation], Mutation]:
    def add(function: Mutation) -> Mutation:
        MUTATIONS[name] = function
        return function

    return add


def _choices(name: str, attribute: str, values: list[bytes]) -> None:
    def apply(request: Request, rng: random.Random) -> None:
        setattr(request, attribute, rng.choice(values))

    MUTATIONS[name] = apply


def _fields(name: str, values: list[list[bytes]], drop: bytes = b"") -> None:
    def apply(request: Request, rng: random.Random) -> None:
        if drop:
            request.drop(drop)
        for field in rng.choice(values):
            request.fields.insert(rng.randrange(len(request.fields) + 1), field)

    MUTATIONS[name] = apply


def _chunked(name: str, bodies: list[bytes]) -> None:
    def apply(request: Request, rng: random.Random) -> None:
        request.method = b"POST"
        request.drop(b"content-length")
        request.drop(b"transfer-encoding")
        request.fields.append(b"Transfer-Encoding: chunked")
        request.body = rng.choice(bodies)

    MUTATIONS[name] = apply


def _length(name: str, values: list[list[bytes]]) -> None:
    """Content-Length fields of these values in front of a body of five bytes."""

    def apply(request: Request, rng: random.Random) -> None:
        request.method = b"POST"
        request.drop(b"content-length")
        request.drop(b"transfer-encoding")
        request.fields += [b"Content-Length:" + value for value in rng.choice(values)]
        request.body = b"hello"

    MUTATIONS[name] = apply


def _coding(name: str, values: list[list[bytes]]) -> None:
    """Transfer-Encoding fields of these values in front of a chunked body."""

    def apply(request: Request, rng: random.Random) -> None:
        request.method = b"POST"
        request.drop(b"content-length")
        request.drop(b"transfer-encoding")
        request.fields += [b"Transfer-Encoding:" + value for value in rng.choice(values)]
        request.body = b"5\r\nhello\r\n0\r\n\r\n"

    MUTATIONS[name] = apply


_choices("method: HEAD", "method", [b"HEAD"])
_choices("method: lower case", "method", [b"get", b"Get"])
_choices("method: unknown token", "method", [b"BREW", b"M-SEARCH", b"A1"])
_choices("method: rare token characters", "method", [b"A!", b"B'C", b"X|Y", b"Q~", b"G.T", b"A^"])
_choices("method: not a token", "method", [b"G(T", b"G{T", b"G@T", b"G:T", b"\xc9T", b"G\"T"])
_choices("method: empty", "method", [b""])
_choices("method: longer than 32", "method", [b"A" * 33, b"POST" * 20])
_choices("method: CONNECT", "method", [b"CONNECT"])

_choices("version: 1.0", "version", [b"HTTP/1.0"])
_choices("version: higher minor", "version", [b"HTTP/1.2", b"HTTP/1.9"])
_choices("version: other major", "version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9"])
_choices("version: malformed", "version",
         [b"http/1.1", b"HTTP/1", b"HTTP/1.", b"HTTP/1,1", b"HTTP/1.1x", b"HTCPCP/1.0", b"HTTP/+1.1"])
_choices("version: too many digits", "version", [b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.01"])
_choices("version: whitespace behind", "version", [b"HTTP/1.1 ", b"HTTP/1.1  "])
_choices("version: none", "version", [b""])
_choices("line: two spaces", "space", [b"  "])
_choices("line: tab for a space", "space", [b"\t", b" \t"])
_choices("line: ends with LF", "line_end", [b"\n"])
_choices("line: ends with CR", "line_end", [b"\r"])
_choices("line: ends with CR CR LF", "line_end", [b"\r\r\n"])
_choices("line: one empty line before", "before", [b"\r\n"])
_choices("line: several empty lines before", "before", [b"\r\n\r\n", b"\r\n" * 5])
_choices("line: LF before", "before", [b"\n", b"\n\n"])
_choices("line: CR before", "before", [b"\r"])
_choices("line: whitespace before", "before", [b" ", b"\t"])
_choices("field: ends with LF", "field_end", [b"\n"])
_choices("field: ends with CR", "field_end", [b"\r"])
_choices("field: ends with CR CR LF", "field_end", [b"\r\r\n"])
_choices("head: ends with LF", "head_end", [b"\n"])
_choices("head: ends with CR", "head_end", [b"\r"])

_choices("target: absolute form", "target",
         [b"http://other/path?query", b"http://other:81/", b"HTTP://other/x", b"https://other/x"])
_choices("target: absolute form without a path", "target", [b"http://other", b"http://other?q"])
_choices("target: userinfo", "target", [b"http://u@other/x", b"http://u:p@other/x"])
_choices("target: another scheme", "target", [b"ftp://other/x", b"file:///x", b"javascript:x"])
_choices("target: empty host", "target", [b"http:///x", b"http://:80/x"])
_choices("target: malformed host", "target", [b"http://a\"b/x", b"http://[::1/x", b"http://a:b/x"])
_choices("target: no slash", "target", [b"path", b"?query", b"../x"])
_choices("target: authority form", "target", [b"host:80", b"host"])
_choices("target: asterisk", "target", [b"*"])
_choices("target: fragment", "target", [b"/a#b", b"/#", b"/a?b#c"])
_choices("target: byte above 0x7f", "target", [b"/\xc3\xa9", b"/?\xff"])
_choices("target: control character", "target", [b"/a\x01", b"/\x7f", b"/a\vb", b"/a\tb"])
_choices("target: NUL", "target", [b"/a\0b"])
_choices("target: bare CR", "target", [b"/a\rb"])
_choices("target: space", "target", [b"/a b", b"/a HTTP/1.1 "])
_choices("target: visible but not in RFC 3986", "target",
         [b"/a|b", b"/{a}", b"/a^b", b"/\"a\"", b"/<a>", b"/a\\b", b"/`"])
_choices("target: malformed percent-encoding", "target", [b"/%zz", b"/%", b"/%4", b"/%%41"])
_choices("target: %00", "target", [b"/a%00b"])
_choices("target: malformed percent-encoding in the query", "target", [b"/?%zz", b"/?100%", b"/?%00"])
_choices("target: encoded", "target", [b"/%41%2f%2e%2e/b", b"/%e2%82%ac", b"/%25"])
_choices("target: dot segments", "target", [b"/a/../b", b"/./a", b"//a//b"])
_choices("target: dot segments above the root", "target", [b"/../a", b"/a/../../b", b"/%2e%2e/a"])
_choices("target: line longer than 4094", "target", [b"/" + b"a" * 4094, b"/" + b"a" * 5000])

_fields("host: none", [[]], drop=b"host")
_fields("host: empty", [[b"Host:"]], drop=b"host")
_fields("host: two equal", [[b"Host: host"]])
_fields("host: two unequal", [[b"Host: evil"]])
_fields("host: with a port", [[b"Host: host:8000"], [b"Host: [::1]:80"], [b"Host: host:"]], drop=b"host")
_fields("host: malformed", [[b"Host: a b"], [b"Host: a/b"], [b"Host: a\"b"], [b"Host: a<b"], [b"Host: a\\b"]],
        drop=b"host")
_fields("host: malformed port", [[b"Host: a:b"], [b"Host: a:80:80"], [b"Host: a:99999"], [b"Host: :80"]],
        drop=b"host")
_fields("host: malformed address", [[b"Host: [::1"], [b"Host: [:::1]"], [b"Host: []"], [b"Host: ::1"]],
        drop=b"host")
_fields("host: userinfo", [[b"Host: u@host"]], drop=b"host")
_fields("host: list", [[b"Host: host, host"], [b"Host: host,evil"]], drop=b"host")
_fields("host: byte above 0x7f", [[b"Host: h\xc3\xb6st"]], drop=b"host")

_fields("field: obs-fold", [[b"A: b\r\n c"], [b"A: b\r\n\tc"], [b"A:\r\n b"]])
_fields("field: space before the colon", [[b"A : b"], [b"A\t: b"]])
_fields("field: space before the colon of a length", [[b"Content-Length : 0"]], drop=b"content-length")
_fields("field: no colon", [[b"A"], [b"A b"]])
_fields("field: empty name", [[b": b"]])
_fields("field: name not a token", [[b"A(B: c"], [b"A B: c"], [b"A\"B: c"], [b"A@B: c"], [b"\xc9: c"], [b"A/B: c"]])
_fields("field: rare token characters", [[b"A!: b"], [b"A.B: c"], [b"A|B: c"], [b"A~: b"], [b"'A: b"]])
_fields("field: NUL in a value", [[b"A: b\0c"]])
_fields("field: NUL in a name", [[b"A\0B: c"]])
_fields("field: bare CR in a value", [[b"A: b\rc"], [b"A: \r b"]])
_fields("field: bare CR in a name", [[b"A\rB: c"]])
_fields("field: control character in a value", [[b"A: b\x01"], [b"A: \x7f"], [b"A: \v"], [b"A:\fb"], [b"A: \x1b[2J"]])
_fields("field: byte above 0x7f in a value", [[b"A: \xc3\xa9"], [b"A: \xff"]])
_fields("field: empty value", [[b"A:"], [b"A: \t"]])
_fields("field: underscore", [[b"X_A: b"], [b"Content_Length: 7"], [b"Transfer_Encoding: chunked"]])
_fields("field: more than 100", [[b"X-%d: y" % i for i in range(101)]])
_fields("field: longer than 8190", [[b"X: " + b"y" * 8190]])


@mutation("field: whitespace before the first")
def _first(request: Request, rng: random.Random) -> None:
    request.fields[0] = rng.choice([b" ", b"\t"]) + request.fields[0]


_length("length: plain", [[b" 5"], [b"5"], [b"  5 "]])
_length("length: tabs around", [[b"\t5"], [b" 5\t"]])
_length("length: leading zeros", [[b" 05"], [b" 000000000000000000000000000005"]])
_length("length: equal twice", [[b" 5", b" 5"], [b" 5", b" 05"]])
_length("length: unequal twice", [[b" 5", b" 0"], [b" 0", b" 5"], [b" 5", b" 6"]])
_length("length: list of equals", [[b" 5, 5"], [b" 5,5"]])
_length("length: list of unequals", [[b" 5, 0"], [b" 0,5"]])
_length("length: list with an empty element", [[b" 5,"], [b" ,5"]])
_length("length: sign", [[b" +5"], [b" -5"], [b" -0"]])
_length("length: other notations", [[b" 0x5"], [b" 5.0"], [b" 5_0"], [b" 1e1"], [b" five"], [b" 5;5"], [b" \"5\""]])
_length("length: empty", [[b""], [b" "]])
_length("length: space within", [[b" 5 5"], [b" 0 5"]])
_length("length: overflow", [[b" 18446744073709551621"], [b" 4294967296000000000000005"], [b" 9223372036854775808"]])
_length("length: control character", [[b"\v5"], [b"5\x01"], [b"5\f"]])
_length("length: CR within", [[b" 5\r5"], [b"\r5"]])
_length("length: shorter than the body", [[b" 0"], [b" 3"]])
_length("length: longer than the body", [[b" 1000"]])



@mutation("method: HEAD with a body")
def _head_with_body(request: Request, rng: random.Random) -> None:
    MUTATIONS[rng.choice(["length: plain", "chunk: plain"])](request, rng)
    request.method = b"HEAD"


_coding("coding: chunked", [[b" chunked"], [b"chunked"], [b"  chunked "]])
_coding("coding: tabs around", [[b"\tchunked"], [b" chunked\t"]])
_coding("coding: other case", [[b" Chunked"], [b" CHUNKED"]])
_coding("coding: twice", [[b" chunked", b" chunked"], [b" chunked, chunked"]])
_coding("coding: another before", [[b" gzip, chunked"], [b" identity, chunked"], [b" x,chunked"]])
_coding("coding: another before in a field of its own", [[b" gzip", b" chunked"], [b" identity", b" chunked"]])
_coding("coding: another behind", [[b" chunked, gzip"], [b" chunked, identity"]])
_coding("coding: another behind in a field of its own", [[b" chunked", b" identity"], [b" chunked", b" gzip"]])
_coding("coding: another", [[b" gzip"], [b" x"], [b" chunkedx"], [b" xchunked"], [b" chun\xe2\x84\xaaed"]])
_coding("coding: identity", [[b" identity"]])
_coding("coding: parameters", [[b" chunked;a=b"], [b" chunked; q=1"]])
_coding("coding: quoted", [[b" \"chunked\""], [b" 'chunked'"]])
_coding("coding: empty elements", [[b" ,chunked"], [b" chunked,"], [b" , , chunked"]])
_coding("coding: empty", [[b""], [b" "]])
_coding("coding: control character", [[b"\vchunked"], [b" chunked\f"], [b" \x01chunked"], [b" chunked\0"]])
_coding("coding: CR within", [[b" \rchunked"], [b" chun\rked"]])


@mutation("coding: with a length")
def _both(request: Request, rng: random.Random) -> None:
    MUTATIONS["coding: chunked"](request, rng)
    length = rng.choice([b"0", b"5", b"15", b"100"])
    request.fields.insert(rng.randrange(len(request.fields) + 1), b"Content-Length: " + length)


@mutation("coding: another with a length")
def _other_with_length(request: Request, rng: random.Random) -> None:
    MUTATIONS["coding: another"](request, rng)
    request.fields.append(b"Content-Length: 15")


@mutation("coding: in 1.0")
def _coding_in_old(request: Request, rng: random.Random) -> None:
    MUTATIONS["coding: chunked"](request, rng)
    request.version = b"HTTP/1.0"
    request.fields.append(b"Connection: keep-alive")


@mutation("coding: field name with whitespace or folded")
def _coding_name(request: Request, rng: random.Random) -> None:
    MUTATIONS["length: plain"](request, rng)
    request.fields.append(rng.choice([
        b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"Transfer-Encoding:\r\n chunked",
        b" Transfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"X: y\nTransfer-Encoding: chunked"]))


_chunked("chunk: plain", [b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"])
_chunked("chunk: capital digits", [b"A\r\n0123456789\r\n0\r\n\r\n"])
_chunked("chunk: leading zeros", [b"0005\r\nhello\r\n000\r\n\r\n"])
_chunked("chunk: more than 16 digits", [b"0" * 20 + b"5\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: size overflow", [b"10000000000000005\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: size malformed", [b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
                                  b"5g\r\nhello\r\n0\r\n\r\n", b"5_0\r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: whitespace before the size", [b" 5\r\nhello\r\n0\r\n\r\n", b"\t5\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: whitespace behind the size", [b"5 \r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: extension", [b"5;a\r\nhello\r\n0;b\r\n\r\n", b"5;a=b;c=d\r\nhello\r\n0\r\n\r\n", b"5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: extension with whitespace", [b"5 ; a = b\r\nhello\r\n0\r\n\r\n", b"5;\ta\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: extension malformed", [b"5;\r\nhello\r\n0\r\n\r\n", b"5;a=\r\nhello\r\n0\r\n\r\n", b"5;=b\r\nhello\r\n0\r\n\r\n",
                                       b"5;a=\"b\r\nhello\r\n0\r\n\r\n", b"5;a b\r\nhello\r\n0\r\n\r\n", b"5;(\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: LF in an extension", [b"5;a\nhello\r\n0\r\n\r\n", b"5;\nhello\r\n0\r\n\r\n", b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: CR in an extension", [b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5;\r;\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: control character in an extension", [b"5;a\x01\r\nhello\r\n0\r\n\r\n", b"5;a\0\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: size ends with LF", [b"5\nhello\r\n0\r\n\r\n"])
_chunked("chunk: size ends with CR", [b"5\rhello\r\n0\r\n\r\n", b"5\r\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: data end with LF", [b"5\r\nhello\n0\r\n\r\n"])
_chunked("chunk: data end with CR or nothing", [b"5\r\nhello0\r\n\r\n", b"5\r\nhello\r0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n"])
_chunked("chunk: longer or shorter than its size", [b"4\r\nhello\r\n0\r\n\r\n", b"6\r\nhello\r\n0\r\n\r\n"])
_chunked("chunk: last one ends with LF", [b"5\r\nhello\r\n0\n\n", b"5\r\nhello\r\n0\r\n\n", b"5\r\nhello\r\n0\n\r\n"])
_chunked("chunk: last one ends with CR", [b"5\r\nhello\r\n0\r\n\r", b"5\r\nhello\r\n0\r\r"])
_chunked("trailer: plain", [b"0\r\nA: b\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n"])
_chunked("trailer: framing field", [b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nHost: evil\r\n\r\n"])
_chunked("trailer: malformed", [b"0\r\nA\r\n\r\n", b"0\r\nA : b\r\n\r\n", b"0\r\n: b\r\n\r\n", b"0\r\nA(: b\r\n\r\n"])
_chunked("trailer: folded", [b"0\r\nA: b\r\n c\r\n\r\n", b"0\r\n A: b\r\n\r\n"])
_chunked("trailer: ends with LF", [b"0\r\nA: b\n\r\n", b"0\r\nA: b\r\n\n"])
_chunked("trailer: control character", [b"0\r\nA: b\0\r\n\r\n", b"0\r\nA: \x01\r\n\r\n", b"0\r\nA: b\rc\r\n\r\n"])

_fields("connection: close", [[b"Connection: close"], [b"Connection: keep-alive, close"], [b"Connection: Close"]])
_fields("connection: keep-alive", [[b"Connection: keep-alive"], [b"Connection: Keep-Alive\r\nKeep-Alive: 5"]])
_fields("connection: options", [[b"Connection: x-a\r\nX-A: b"], [b"Connection: te, x\r\nTE: trailers"], [b"Connection: ,x,"]])
_fields("connection: not tokens", [[b"Connection: a b"], [b"Connection: \"close\""], [b"Connection: a;b"]])
_fields("expect: 100-continue", [[b"Expect: 100-continue"], [b"Expect: 100-Continue"]])
_fields("expect: something else", [[b"Expect: x"], [b"Expect: 100-continue, x"], [b"Expect: 200-ok"]])
_fields("upgrade: websocket", [[b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: eA=="]])
_fields("upgrade: h2c", [[b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA"]])


def _base(rng: random.Random) -> Request:
    request = Request()
    kind = rng.randrange(5)
    if kind == 1:
        MUTATIONS["length: plain"](request, rng)
    elif kind == 2:
        MUTATIONS["chunk: plain"](request, rng)
    elif kind == 3:
        request.version = b"HTTP/1.0"
        request.fields.append(b"Connection: keep-alive")
    elif kind == 4:
        request.method = b"HEAD"
    return request


def generate(seed: int, count: int) -> Iterator[Case]:
    """Every mutation alone at first, again and again with other choices; every fourth has two."""
    rng = random.Random(seed)
    names = list(MUTATIONS)
    for i in range(count):
        tags = [names[i % len(names)]]
        if i >= len(names) and i % 4 == 0:
            tags.append(rng.choice(names))
        request = _base(rng)
        for tag in tags:
            MUTATIONS[tag](request, rng)
        if request.version == b"HTTP/1.0" and any(b"ransfer-" in field for field in request.fields):
            tags.append("coding: in 1.0")
        yield Case(tuple(dict.fromkeys(tags)), request.encode() + CANARY)
