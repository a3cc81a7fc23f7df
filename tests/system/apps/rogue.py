"""A worker that breaks the rules, for test_bad_workers.py: a real adapter loads this application,
which takes the process's listener and control channel and serves them itself, right or wrong as the
path says.

While there is a file `greeting` in the working directory, it greets in the way whose name that
file holds. While there is a file `import`, the import does what it says.
"""
from __future__ import annotations

import fcntl
import mmap
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import fcgi

VALUES = {b"FCGI_MAX_CONNS": b"1", b"FCGI_MAX_REQS": b"1", b"FCGI_MPXS_CONNS": b"0"}
RESULT = fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pairs(VALUES))
HEAD = b"Content-Type: text/plain\r\n"
MIB = 1 << 20


def take_sockets() -> tuple[socket.socket, socket.socket]:
    """The listener and the control channel that the adapter has inherited."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            known = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        found[bool(known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))] = known
    return found[True], found[False]


class Request:
    def __init__(self, peer: socket.socket, request_id: int) -> None:
        self.peer = peer
        self.id = request_id
        self.params = b""
        self.ended = False
        self.on_abort: Callable[[], None] = self.end

    def param(self, name: bytes) -> str:
        rest = self.params
        while rest:
            lengths = []
            for _ in range(2):
                wide = rest[0] >= 128
                lengths.append(int.from_bytes(rest[:4], "big") & 0x7FFFFFFF if wide else rest[0])
                rest = rest[4 if wide else 1 :]
            if rest[: lengths[0]] == name:
                return rest[lengths[0] : sum(lengths)].decode()
            rest = rest[sum(lengths) :]
        raise KeyError(name)

    def raw(self, data: bytes) -> None:
        self.peer.sendall(data)

    def out(self, data: bytes) -> None:
        for at in range(0, len(data), 65535):
            self.raw(fcgi.record(fcgi.STDOUT, self.id, data[at : at + 65535]))

    def error(self, data: bytes) -> None:
        for at in range(0, len(data), 65535):
            self.raw(fcgi.record(fcgi.STDERR, self.id, data[at : at + 65535]))

    def end_out(self) -> None:
        self.raw(fcgi.record(fcgi.STDOUT, self.id))

    def end(self, app_status: int = 0, protocol_status: int = 0) -> None:
        self.ended = True
        body = struct.pack(">IB3x", app_status, protocol_status)
        self.raw(fcgi.record(fcgi.END_REQUEST, self.id, body))

    def answer(self, data: bytes) -> None:
        self.out(data)
        self.end_out()
        self.end()

    def stay(self) -> None:
        """Leave the request open, and do not end it when it is aborted."""
        self.on_abort = lambda: None


# --- what each path does -------------------------------------------------------------------

listener, control = take_sockets()
_PATHS: dict[str, Callable[[Request], None]] = {}
_EARLY = {"/early", "/deaf"}  # these act before they read the body


def path(does: Callable[[Request], None]) -> Callable[[Request], None]:
    _PATHS["/" + does.__name__] = does
    return does


def answers(**responses: bytes) -> None:
    """Paths that write one thing to STDOUT, and end as they should."""
    for name, data in responses.items():
        _PATHS["/" + name] = lambda request, data=data: request.answer(data)


def raw(**records: Callable[[int], bytes]) -> None:
    """Paths that write this to the connection and leave the request open."""
    for name, make in records.items():
        _PATHS["/" + name] = lambda request, make=make: request.raw(make(request.id))


answers(
    no_head_end=HEAD,
    nothing=b"",
    blank=b"\r\n",
    large_head=b"X-Large: " + b"x" * 70_000 + b"\r\n\r\n",
    many_fields=b"X-Many: x\r\n" * 300 + b"\r\n",
    nul=HEAD + b"X-Bad: a\0b\r\n\r\n",
    cr=HEAD + b"X-Bad: a\rSet-Cookie: b\r\n\r\n",
    control=HEAD + b"X-Bad: \x1b[2J\r\n\r\n",
    space=HEAD + b"X Bad: x\r\n\r\n",
    no_name=HEAD + b": x\r\n\r\n",
    no_colon=HEAD + b"XBad\r\n\r\n",
    folded=HEAD + b" folded\r\n\r\n",
    bad_name=HEAD + b"X-B\xe4d: x\r\n\r\n",
    status_word=b"Status: okay\r\n\r\n",
    status_99=b"Status: 099 Low\r\n\r\n",
    status_600=b"Status: 600 High\r\n\r\n",
    status_twice=b"Status: 200 OK\r\nStatus: 404 Gone\r\n\r\n",
    status_101=b"Status: 101 Switching\r\nUpgrade: x\r\n\r\n",
    length_minus=b"Content-Length: -1\r\n\r\n",
    length_list=b"Content-Length: 1, 1\r\n\r\nx",
    length_twice=b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    length_huge=b"Content-Length: 99999999999999999999\r\n\r\nx",
    interim_only=b"Status: 103 Hints\r\nLink: </a>\r\n\r\n",
    interims=b"Status: 103 Hints\r\nLink: </a>\r\n\r\n" * 40,
    too_little=HEAD + b"Content-Length: 100\r\n\r\nabc",
    too_much=HEAD + b"Content-Length: 3\r\n\r\nabcdef",
    two_heads=HEAD + b"\r\n" + b"Status: 500 Second\r\n\r\nx",
    hop=HEAD + b"Transfer-Encoding: chunked\r\nConnection: upgrade\r\n\r\n0\r\n\r\n",
    with_body_204=b"Status: 204 Nothing\r\n\r\nbody",
)
raw(
    garbage=lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + os.urandom(65536),
    version=lambda n: b"\2" + fcgi.record(fcgi.STDOUT, n, HEAD)[1:],
    another_id=lambda n: fcgi.record(fcgi.STDOUT, n + 1, HEAD),
    id_zero=lambda _: fcgi.record(fcgi.STDOUT, 0, HEAD),
    role=lambda n: fcgi.begin(n),
    unasked=lambda _: RESULT,
    unasked_huge=lambda _: fcgi.record(fcgi.GET_VALUES_RESULT, 0, bytes(65535)),
    end_short=lambda n: fcgi.record(fcgi.END_REQUEST, n, bytes(4)),
    end_status=lambda n: fcgi.record(fcgi.END_REQUEST, n, struct.pack(">IB3x", 0, 9)),
    end_twice=lambda n: fcgi.record(fcgi.END_REQUEST, n, bytes(8)) * 2,
)


@path
def pid(request: Request) -> None:
    request.answer(HEAD + b"\r\n" + str(os.getpid()).encode())


def file_record(request_id: int) -> bytes:
    return fcgi.record(fcgi.FILE, request_id, struct.pack(">BB6xQQ", fcgi.STDOUT, 1, 0, 10))


def with_descriptor(request: Request, descriptor: int) -> None:
    head = fcgi.record(fcgi.STDOUT, request.id, HEAD + b"\r\n")
    socket.send_fds(request.peer, [head + file_record(request.id)], [descriptor])
    request.end_out()
    request.end()


@path
def file_of_a_pipe(request: Request) -> None:
    with_descriptor(request, os.pipe()[0])


@path
def file_too_short(request: Request) -> None:
    with_descriptor(request, os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR))


@path
def file_without_head(request: Request) -> None:
    socket.send_fds(request.peer, [file_record(request.id)], [os.open(__file__, os.O_RDONLY)])
    request.end()


SIZE = 1 << 20
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def lend(request: Request, head: bytes, *places: tuple[int, int], seals: int = SEALS) -> None:
    """Lend memory full of x, and say that bytes of the answer are at PLACES in it."""
    descriptor = os.memfd_create("rogue", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, SIZE)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    memory = mmap.mmap(descriptor, SIZE)
    memory[:] = b"x" * SIZE
    data = fcgi.record(fcgi.STDOUT, request.id, head) if head else b""
    data += fcgi.record(fcgi.MEMORY, 0, struct.pack(">I4x", SIZE))
    for offset, length in places:
        place = struct.pack(">IIQ", offset, length, 2**64 - 1)
        data += fcgi.record(fcgi.SHARED, request.id, place)
    socket.send_fds(request.peer, [data], [descriptor])
    os.close(descriptor)
    # It changes what it has lent, and gives its pages away.
    memory[:] = b"y" * SIZE
    memory.madvise(mmap.MADV_REMOVE)
    memory.close()
    request.end_out()
    request.end()


@path
def memory_changes(request: Request) -> None:
    lend(request, HEAD + b"\r\n", *((at, 8192) for at in range(0, 65536, 8192)))


@path
def memory_of_a_head(request: Request) -> None:
    lend(request, b"", (64, 1000))


@path
def memory_in_a_head(request: Request) -> None:
    lend(request, HEAD, (64, 1000))


@path
def memory_beyond(request: Request) -> None:
    lend(request, HEAD + b"\r\n", (SIZE - 1, 2))


@path
def memory_not_lent(request: Request) -> None:
    lend(request, HEAD + b"\r\n", (64, 1000), seals=fcntl.F_SEAL_GROW)


@path
def memory_refused(request: Request) -> None:
    """What the gateway cannot map it says so of, and gets the answer through the socket."""
    descriptor = os.memfd_create("rogue")
    os.ftruncate(descriptor, SIZE)
    record = fcgi.record(fcgi.MEMORY, 0, struct.pack(">I4x", SIZE))
    socket.send_fds(request.peer, [record], [descriptor])
    os.close(descriptor)
    said = fcgi.Connection(request.peer).record()
    refused = said == (fcgi.MEMORY, 0, bytes(8))
    request.answer(HEAD + b"\r\n" + (b"refused" if refused else repr(said).encode()))


@path
def memory_too_much(request: Request) -> None:
    lend(request, HEAD + b"\r\n", (0, 70000))


@path
def retires(request: Request) -> None:
    request.raw(fcgi.record(fcgi.DRAIN, 0) * 2)
    pid(request)


@path
def wait(request: Request) -> None:
    time.sleep(0.5)
    pid(request)


@path
def hangs(request: Request) -> None:
    open(f"hanging-{os.getpid()}", "w").close()
    time.sleep(600)


@path
def early(request: Request) -> None:
    pid(request)


@path
def deaf(request: Request) -> None:
    time.sleep(60)


@path
def unknown_types(request: Request) -> None:
    """Records of types that nobody knows are to be ignored (FastCGI 1.0, section 4.2)."""
    for kind in (0, 12, 77, 255):
        request.raw(fcgi.record(kind, request.id, b"x" * 1000, padding=255))
    pid(request)


@path
def no_stdout_end(request: Request) -> None:
    request.out(HEAD + b"\r\nwhole")
    request.end()


@path
def refused(request: Request) -> None:
    request.end(protocol_status=fcgi.OVERLOADED)


@path
def failed(request: Request) -> None:
    request.end(app_status=7)


@path
def failed_in_body(request: Request) -> None:
    request.out(HEAD + b"\r\npart")
    time.sleep(0.3)
    request.end(app_status=7)


@path
def after_end(request: Request) -> None:
    request.out(HEAD + b"\r\nwhole")
    request.end_out()
    request.out(b"more")


@path
def closed(request: Request) -> None:
    request.peer.close()


@path
def closed_in_head(request: Request) -> None:
    request.out(HEAD)
    request.peer.close()


@path
def closed_in_body(request: Request) -> None:
    request.out(HEAD + b"\r\npart")
    time.sleep(0.3)
    request.peer.close()


@path
def exits(request: Request) -> None:
    os._exit(0)


@path
def dies(request: Request) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@path
def dies_in_body(request: Request) -> None:
    request.out(HEAD + b"Content-Length: 100\r\n\r\npart")
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


@path
def silent(request: Request) -> None:
    """It ends when it is asked to."""


@path
def stubborn(request: Request) -> None:
    request.stay()


@path
def stops(request: Request) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


@path
def stops_in_body(request: Request) -> None:
    request.out(HEAD + b"\r\npart")
    os.kill(os.getpid(), signal.SIGSTOP)


@path
def never_ends(request: Request) -> None:
    """The answer is whole, the request is not over."""
    request.out(HEAD + b"\r\nwhole")
    request.end_out()
    request.stay()


@path
def chatters(request: Request) -> None:
    """It says something all the time, and answers nothing."""
    while not request.ended:
        request.error(b"still here\n")
        time.sleep(0.3)


@path
def ignores_abort(request: Request) -> None:
    def go_on() -> None:
        while True:
            request.out(b"x" * 1000)
            time.sleep(0.01)

    request.on_abort = go_on


@path
def error_flood(request: Request) -> None:
    piece = (b"e" * 99 + b"\n") * 10_000
    for _ in range(100):
        request.error(piece)
    pid(request)


@path
def error_line(request: Request) -> None:
    for _ in range(10):
        request.error(b"e" * MIB)
    pid(request)


@path
def print_flood(request: Request) -> None:
    piece = b"p" * 99 + b"\n"
    for _ in range(20 * MIB // (100 * 600)):
        os.write(2, piece * 600)
    pid(request)


@path
def forges(request: Request) -> None:
    """What stands in the file `forgery`, on STDERR and on both descriptors."""
    data = Path("forgery").read_bytes()
    request.error(data)
    for fd in (1, 2):
        rest = data
        while rest:
            rest = rest[os.write(fd, rest) :]
    pid(request)


def _controls(request: Request, data: bytes) -> None:
    pid(request)
    time.sleep(0.1)
    control.sendall(data)


@path
def control_garbage(request: Request) -> None:
    _controls(request, b"\0\xff\x1b[2J\n")


@path
def control_endless(request: Request) -> None:
    _controls(request, b"x" * 20_000)


@path
def control_unknown(request: Request) -> None:
    _controls(request, b"SLOT down 2.2\nSLOT broken 2.2 because\nDRAIN\nREADY\n" * 100)


@path
def control_closed(request: Request) -> None:
    pid(request)
    time.sleep(0.1)
    control.shutdown(socket.SHUT_WR)  # the adapter would heed the end of what it reads


# --- the worker ----------------------------------------------------------------------------


def _greet(peer: socket.socket) -> None:
    how = Path("greeting")
    name = how.read_text() if how.exists() else ""
    if name == "silent":
        time.sleep(60)
    elif name == "closes":
        peer.close()
    elif name == "garbage":
        peer.sendall(os.urandom(8).replace(b"\1", b"\2") * 100)
    elif name == "huge":
        peer.sendall(fcgi.record(fcgi.GET_VALUES_RESULT, 0, bytes(65535)))
    elif name == "extended":
        ours = (b"PENSTOCK_VERSION", b"PENSTOCK_FILES", b"PENSTOCK_MEMORY")
        values = VALUES | {name: b"1" for name in ours}
        peer.sendall(fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pairs(values)))
    elif name == "numbers":
        values = {name: b"99999999999999999999" for name in VALUES} | {b"x" * 300: b"\0"}
        peer.sendall(fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pairs(values)))
    elif name == "unknown":
        peer.sendall(fcgi.record(fcgi.UNKNOWN_TYPE, 0, bytes([fcgi.GET_VALUES]) + bytes(7)))
    else:
        peer.sendall(RESULT)


def _take(request: Request | None, kind: int, content: bytes) -> None:
    if request is None:
        return
    early_at = request.param(b"PATH_INFO") if kind == fcgi.PARAMS and not content else ""
    if kind == fcgi.PARAMS:
        request.params += content
    elif kind == fcgi.STDIN and not content and request.param(b"PATH_INFO") not in _EARLY:
        _PATHS[request.param(b"PATH_INFO")](request)
    elif kind == fcgi.ABORT_REQUEST and not request.ended:
        request.on_abort()
    if early_at in _EARLY:
        _PATHS[early_at](request)


def _serve(peer: socket.socket) -> None:
    connection = fcgi.Connection(peer)
    request = None
    for kind, request_id, content in connection.records():
        if kind == fcgi.GET_VALUES:
            _greet(peer)
        elif kind == fcgi.BEGIN_REQUEST:
            request = Request(peer, request_id)
        else:
            _take(request, kind, content)


def _run() -> None:
    if Path("import").exists():
        exec(Path("import").read_text())
    listener.setblocking(True)
    control.sendall(b"READY\n")
    while True:
        peer, _ = listener.accept()
        try:
            _serve(peer)
        except OSError:  # the gateway is gone, or we have closed
            pass


_run()
