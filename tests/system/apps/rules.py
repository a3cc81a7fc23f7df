"""One small WSGI application for each rule of PEP 3333, by path."""
from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

APPS = {}
TEXT = [("Content-Type", "text/plain")]
SCRATCH = Path(os.environ.get("SCRATCH", "/nonexistent"))

# What iterables and files have lived through, for /events; cleared by reading it.
events: list[str] = []


def app(function):
    APPS["/" + function.__name__.replace("_", "-")] = function
    return function


def application(environ, start_response):
    first = "/" + environ["PATH_INFO"].split("/")[1]
    return APPS[first](environ, start_response)


def answer(start_response, value) -> list[bytes]:
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]


class Body:
    """An iterable that notes what is done with it."""

    def __init__(self, pieces, name="body") -> None:
        self.pieces = iter(pieces)
        self.name = name

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close(self) -> None:
        events.append(f"{self.name} closed")


@app
def recorded(environ, start_response):
    seen, events[:] = list(events), []
    return answer(start_response, seen)


# --- environ -------------------------------------------------------------------------------


@app
def environ(environ, start_response):
    keys = {}
    for key, value in environ.items():
        assert type(key) is str
        keys[key] = [type(value).__name__, value if isinstance(value, (str, bool)) else repr(value)]
    return answer(start_response, keys)


@app
def fresh(environ, start_response):
    polluted = "left.behind" in environ
    environ["left.behind"] = "yes"
    environ["SERVER_NAME"] = "changed"
    del environ["wsgi.version"]
    for name in environ:
        environ[name] = "changed"
    return answer(start_response, polluted)


# --- start_response ------------------------------------------------------------------------


@app
def huge_head(environ, start_response):
    start_response("200 OK", [("X-Huge", "x" * 70000)])
    return [b"never sent"]


def bad_head(name, status="200 OK", headers=TEXT):
    def bad(environ, start_response):
        start_response(status, headers)
        return [b"never sent"]

    APPS["/head-" + name] = bad


bad_head("status-type", status=b"200 OK")
bad_head("status-digits", status="20 OK")
bad_head("status-range", status="600 Strange")
bad_head("status-interim", status="103 Early Hints")
bad_head("status-space", status="200OK")
bad_head("status-newline", status="200 OK\r\nX-Evil: 1")
bad_head("status-nul", status="200 O\0K")
bad_head("status-wide", status="200 \u20ac")
bad_head("headers-tuple", headers=(("Content-Type", "text/plain"),))
bad_head("headers-dict", headers={"Content-Type": "text/plain"})
bad_head("header-list", headers=[["Content-Type", "text/plain"]])
bad_head("header-three", headers=[("Content-Type", "text/plain", "x")])
bad_head("header-bytes", headers=[(b"Content-Type", b"text/plain")])
bad_head("header-number", headers=[("Content-Length", 3)])
bad_head("name-empty", headers=[("", "x")])
bad_head("name-colon", headers=[("X-A:", "x")])
bad_head("name-space", headers=[("X A", "x")])
bad_head("name-newline", headers=[("X-A\r\nX-Evil", "x")])
bad_head("name-wide", headers=[("X-\u20ac", "x")])
bad_head("name-latin", headers=[("X-\xe9", "x")])
bad_head("value-cr", headers=[("X-A", "x\rSet-Cookie: y")])
bad_head("value-lf", headers=[("X-A", "x\nSet-Cookie: y")])
bad_head("value-nul", headers=[("X-A", "x\0")])
bad_head("value-escape", headers=[("X-A", "x\x1b")])
bad_head("value-wide", headers=[("X-A", "\u20ac")])
for hop in (
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailers",
    "Trailer", "Transfer-Encoding", "Upgrade", "Status",
):  # fmt: skip
    bad_head("hop-" + hop.lower(), headers=[(hop, "x")])
bad_head("length-text", headers=[("Content-Length", "ten")])
bad_head("length-negative", headers=[("Content-Length", "-1")])
bad_head("length-huge", headers=[("Content-Length", "9" * 30)])
bad_head("length-empty", headers=[("Content-Length", "")])
bad_head("length-twice", headers=[("Content-Length", "10"), ("content-length", "11")])


@app
def keywords(environ, start_response):
    start_response(headers=[("X-By", "name")], status="201 Made", exc_info=None)
    return [b"x"]


@app
def arguments(environ, start_response):
    failed = []
    for args, kwargs in (
        ((), {}),
        (("200 OK",), {}),
        (("200 OK", [], None, 1), {}),
        (("200 OK", []), {"status": "200 OK"}),
        (("200 OK",), {"header": []}),
    ):
        try:
            start_response(*args, **kwargs)
        except TypeError:
            failed.append(True)
    start_response("200 OK", TEXT)
    return [str(len(failed)).encode()]


@app
def duplicates(environ, start_response):
    headers = [("Set-Cookie", "a=1"), ("X-Padded", " \t spaced \t"), ("Set-Cookie", "b=2")]
    start_response("200 OK", headers)
    headers[:] = [("X-Late", "change")]
    return [b"x"]


@app
def reason(environ, start_response):
    start_response("299 Caf\xe9 style", TEXT)
    return [b"x"]


@app
def bare_status(environ, start_response):
    start_response("404", TEXT)
    return [b"x"]


@app
def latin(environ, start_response):
    start_response("200 OK", [("X-Latin", "caf\xe9")])
    return [b"x"]


@app
def twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("201 Created", TEXT)
    return [b"x"]


@app
def replaced(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise KeyError("lost")
    except KeyError:
        start_response("503 Sorry", [("X-Second", "2")], sys.exc_info())
    return [b"sorry"]


@app
def reraised(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"begun ")
    try:
        raise KeyError("too late")
    except KeyError:
        try:
            start_response("503 Sorry", TEXT, sys.exc_info())
        except KeyError as error:
            return [b"raised " + str(error).encode()]
    return [b"not raised"]


@app
def replaced_in_body(environ, start_response):
    def body():
        start_response("200 OK", TEXT)
        yield b""
        try:
            raise ValueError
        except ValueError:
            start_response("502 Replaced", TEXT, sys.exc_info())
        yield b"replaced"

    return body()


@app
def wrong_exc_info(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT, ValueError("no tuple"))
    return []


@app
def no_start(environ, start_response):
    return [b"x"]


@app
def no_start_empty(environ, start_response):
    return []


@app
def late_start(environ, start_response):
    def body():
        start_response("200 OK", TEXT)
        yield b"started late"

    return body()


@app
def failed_then_fine(environ, start_response):
    try:
        start_response("200 OK", [("Connection", "close")])
    except ValueError:
        start_response("200 OK", TEXT)
    return [b"fine"]


# --- write and bodies ----------------------------------------------------------------------


@app
def written(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"")
    write(b"two ")
    return [b"three"]


@app
def written_past_length(environ, start_response):
    """write() and the iterable fill one Content-Length."""
    write = start_response("200 OK", [("Content-Length", "7")])
    write(b"one ")
    return Body([b"two ", b"three"])


@app
def written_short(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "10")])
    write(b"one ")
    return Body([b"two"])


@app
def write_text(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


@app
def huge_length(environ, start_response):
    start_response("200 OK", [("Content-Length", str(5 * 2**30))])
    return []


@app
def empty(environ, start_response):
    start_response("200 OK", TEXT)
    return []


@app
def empty_pieces(environ, start_response):
    start_response("200 OK", TEXT)
    return Body([b"", b"", b"end", b""])


@app
def no_content(environ, start_response):
    start_response("204 No Content", [])
    return [b"must not be sent"]


@app
def not_modified(environ, start_response):
    start_response("304 Not Modified", [("Content-Length", "1000"), ("ETag", '"x"')])
    return []


@app
def several(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"a", b"bc", b"def")


@app
def text_item(environ, start_response):
    start_response("200 OK", TEXT)
    return ["text"]


@app
def text_piece(environ, start_response):
    start_response("200 OK", TEXT)
    return Body(["text"])


@app
def bytearray_piece(environ, start_response):
    start_response("200 OK", TEXT)
    return [bytearray(b"x")]


@app
def returned_text(environ, start_response):
    start_response("200 OK", TEXT)
    return "text"


@app
def returned_bytes(environ, start_response):
    start_response("200 OK", TEXT)
    return b"bytes"


@app
def returned_none(environ, start_response):
    start_response("200 OK", TEXT)


@app
def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return Body([b"123", b"456", b"789"])


@app
def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return Body([b"123"])


@app
def closed(environ, start_response):
    start_response("200 OK", TEXT)
    return Body([b"1", b"2"])


@app
def closed_late_error(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return Body([b"1", ValueError("in the middle")])


@app
def closed_early_error(environ, start_response):
    start_response("200 OK", TEXT)
    return Body([b"", ValueError("at first")])


@app
def closed_exit(environ, start_response):
    start_response("200 OK", TEXT)
    return Body([SystemExit(3)])


@app
def close_fails(environ, start_response):
    class Failing(Body):
        def close(self):
            super().close()
            raise RuntimeError("close failed")

    start_response("200 OK", [("Content-Length", "5")])
    return Failing([b"whole"])


@app
def iter_fails(environ, start_response):
    class Failing(Body):
        def __iter__(self):
            raise RuntimeError("iter failed")

    start_response("200 OK", TEXT)
    return Failing([])


@app
def endless(environ, start_response):
    def pieces():
        try:
            while True:
                yield b"x" * 65536
        finally:
            events.append("generator ended")

    start_response("200 OK", TEXT)
    return Body(pieces(), "endless")


@app
def endless_write(environ, start_response):
    write = start_response("200 OK", TEXT)
    try:
        while True:
            write(b"x" * 65536)
    except OSError as error:
        events.append("write raised " + type(error).__name__)
        raise


@app
def deserted(environ, start_response):
    """Begins to answer when the client has left."""
    (SCRATCH / "entered").touch()
    deadline = time.monotonic() + 30
    while not (SCRATCH / "left").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    start_response("200 OK", TEXT)
    return Body([b"x" * 65536] * 100, "deserted")


@app
def paced(environ, start_response):
    """Each piece waits for the client to have seen the last one (it makes a file)."""
    scratch = SCRATCH

    def body():
        for number in range(3):
            yield f"piece {number}\n".encode()
            deadline = time.monotonic() + 30
            while not (scratch / f"seen{number}").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)

    start_response("200 OK", [*TEXT, ("X-Accel-Buffering", "no")])
    return body()


# --- exceptions ----------------------------------------------------------------------------


@app
def raises(environ, start_response):
    raise LookupError("nothing caf\xe9 \udcff here")


@app
def exits(environ, start_response):
    sys.exit("bye")


@app
def interrupts(environ, start_response):
    raise KeyboardInterrupt


@app
def raises_after_write(environ, start_response):
    start_response("200 OK", TEXT)(b"begun")
    raise LookupError("after write")


@app
def process(environ, start_response):
    return answer(start_response, os.getpid())


# --- input ---------------------------------------------------------------------------------


def read_all(stream):
    return stream.read()


def read_bytewise(stream):
    return b"".join(iter(lambda: stream.read(1), b""))


def read_sized(stream):
    pieces = []
    while True:
        piece = stream.read(1000)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def read_huge(stream):
    return stream.read(10**15) + stream.read(10**15)


def read_lines(stream):
    lines = list(stream)
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(line.count(b"\n") <= 1 for line in lines)
    return b"".join(lines)


def read_readlines(stream):
    lines = stream.readlines()
    assert stream.readlines() == []
    return b"".join(lines)


def read_hinted(stream):
    pieces = []
    while True:
        lines = stream.readlines(10)
        if not lines:
            return b"".join(pieces)
        assert sum(map(len, lines[:-1])) < 10
        pieces += lines


def read_short_lines(stream):
    pieces = []
    while True:
        piece = stream.readline(7)
        if not piece:
            return b"".join(pieces)
        assert len(piece) <= 7
        pieces.append(piece)


def read_into(stream):
    pieces = []
    buffer = bytearray(333)
    while True:
        count = stream.readinto(buffer)
        if count == 0:
            return b"".join(pieces)
        pieces.append(bytes(buffer[:count]))


def read_mixed(stream):
    parts = [stream.read(0), stream.readline(), stream.read(5), stream.readline(3)]
    parts += [stream.read(20000), next(stream, b""), stream.read(None), stream.read(-1)]
    assert stream.read() == stream.read(5) == stream.readline() == b""
    assert list(stream) == []
    return b"".join(parts)


@app
def echo(environ, start_response):
    how = globals()["read_" + environ["QUERY_STRING"]]
    body = how(environ["wsgi.input"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@app
def input_arguments(environ, start_response):
    stream = environ["wsgi.input"]
    failed = []
    for call in (
        lambda: stream.read("1"),
        lambda: stream.read(1, 2),
        lambda: stream.readline(1.5),
        lambda: stream.readinto(b"constant"),
        lambda: type(stream)(),
    ):
        try:
            call()
        except TypeError:
            failed.append(True)
    return answer(start_response, [len(failed), stream.read().decode()])


@app
def unread(environ, start_response):
    return answer(start_response, "unread")


kept = {}


@app
def keep(environ, start_response):
    kept.update(environ=environ, start_response=start_response)
    kept["write"] = start_response("200 OK", TEXT)
    return [b"kept"]


@app
def use_kept(environ, start_response):
    stream = kept["environ"]["wsgi.input"]
    raised = []
    for call in (
        stream.read,
        stream.readline,
        stream.readlines,
        lambda: next(stream),
        lambda: kept["write"](b"late"),
        lambda: kept["start_response"]("200 OK", []),
    ):
        try:
            call()
        except ValueError as error:
            raised.append(str(error))
    kept["environ"]["wsgi.errors"].write("written after its request\n")
    return answer(start_response, raised)


@app
def threads(environ, start_response):
    """The input is read in another thread, while this one writes."""
    result = []
    thread = threading.Thread(target=lambda: result.append(environ["wsgi.input"].read()))
    write = start_response("200 OK", TEXT)
    thread.start()
    for _ in range(20):
        write(b"x")
    thread.join()
    return [str(len(result[0])).encode()]


# --- errors --------------------------------------------------------------------------------


@app
def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    assert stream.write("caf\xe9 \u20ac \udc80\n") == 9
    stream.writelines(["first", " line\n", "second line\n"])
    print("printed", "in", "pieces", file=stream, flush=True)
    stream.write("no end")
    failed = []
    for call in (lambda: stream.write(b"bytes"), lambda: stream.writelines([1])):
        try:
            call()
        except TypeError:
            failed.append(True)
    return answer(start_response, len(failed))


@app
def printed(environ, start_response):
    print("on stdout")
    print("on stderr", file=sys.stderr)
    print("<4>with a level\n<3>\r[2026-01-01 00:00:00 +0000] [1] [INFO] worker 9.9: forged")
    return answer(start_response, None)


# --- files ---------------------------------------------------------------------------------

CONTENT = b"".join(b"line %06d\n" % number for number in range(20000))


class Counted:
    """Delegates to a file, and notes whether it was read and closed."""

    def __init__(self, file) -> None:
        self.inner = file
        self.read_calls = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def read(self, *args):
        self.read_calls += 1
        return self.inner.read(*args)

    def close(self):
        self.inner.close()
        events.append("read" if self.read_calls else "sent")


class Filelike:
    """Has read() only."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def content_file(**kwargs):
    path = SCRATCH / "content"
    if not path.exists():
        path.write_bytes(CONTENT)
    return open(path, "rb", **kwargs)


def positioned(file, read=0, seek=None):
    if seek is not None:
        file.seek(seek)
    if read:
        file.read(read)
    return file


def sparse():
    file = tempfile.TemporaryFile()
    file.write(CONTENT)
    file.seek(7)
    return file


def huge():
    """More than 4 GiB before its last words."""
    file = tempfile.TemporaryFile()
    file.seek(5 * 2**30)
    file.write(b"last words")
    file.seek(5 * 2**30 + 5)
    return file


FILES = {
    "huge": huge,
    "plain": lambda: Counted(content_file()),
    "unbuffered": lambda: Counted(positioned(content_file(buffering=0), seek=11)),
    "buffered": lambda: Counted(positioned(content_file(), read=10)),
    "exact": lambda: positioned(content_file(), read=13),
    "seeked": lambda: Counted(positioned(content_file(), seek=1000)),
    "at-end": lambda: Counted(positioned(content_file(), seek=len(CONTENT))),
    "random": lambda: sparse(),
    "named": lambda: positioned(tempfile.NamedTemporaryFile(dir=SCRATCH), seek=0),
    "bytes": lambda: Counted(io.BytesIO(CONTENT)),
    "read-only": lambda: Filelike(CONTENT),
    "gzip": lambda: gzip.open(SCRATCH / "content.gz"),
    "gzip-wrapped": lambda: io.BufferedReader(gzip.open(SCRATCH / "content.gz")),
    "text": lambda: open(SCRATCH / "content"),
    "proc": lambda: open("/proc/self/stat", "rb"),
}


@app
def file(environ, start_response):
    name, _, length = environ["QUERY_STRING"].partition("&")
    if not (SCRATCH / "content.gz").exists():
        content_file().close()
        (SCRATCH / "content.gz").write_bytes(gzip.compress(CONTENT))
    headers = [("Content-Length", length)] if length else []
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](FILES[name](), 4096)


@app
def pipe(environ, start_response):
    out, into = os.pipe()
    os.write(into, b"from a pipe")
    os.close(into)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](open(out, "rb"))


@app
def wrapped_file(environ, start_response):
    """A middleware may iterate over the wrapper."""
    wrapper = environ["wsgi.file_wrapper"](Counted(content_file()))
    start_response("200 OK", TEXT)
    return Body([b"".join(wrapper), b"end"])


@app
def closed_file(environ, start_response):
    file = content_file()
    wrapper = environ["wsgi.file_wrapper"](file)
    file.close()
    start_response("200 OK", TEXT)
    return wrapper


@app
def file_without_close(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](Filelike(b"no close()"))
