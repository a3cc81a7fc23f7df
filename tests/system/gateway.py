"""The installed gateway alone: a test is its arbiter, and makes the workers that it talks to."""
from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fcgi
import installed
from penstock import PATIENCE, eventually
from process import rest
from raw import Client

VALUES = {b"FCGI_MAX_CONNS": b"1", b"FCGI_MAX_REQS": b"1", b"FCGI_MPXS_CONNS": b"0"}
POOL_SETTINGS = {
    "timeout", "request_timeout", "queue_timeout", "queue_limit", "max_requests",
    "max_requests_jitter", "limit_request_body", "retry", "root_path",
}  # fmt: skip
OK = b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Exchange:
    """A request that the gateway sent to a worker, and what the worker does about it."""

    def __init__(self, connection: fcgi.Connection, request_id: int, params: bytes) -> None:
        self.connection = connection
        self.id = request_id
        self.params = params
        self.body = b""

    @property
    def path(self) -> str:
        return self.param(b"PATH_INFO")

    def param(self, name: bytes) -> str:
        rest = self.params
        while rest:
            lengths = []
            for _ in range(2):
                wide = rest[0] >= 128
                lengths.append(int.from_bytes(rest[:4]) & 0x7FFFFFFF if wide else rest[0])
                rest = rest[4 if wide else 1 :]
            found, value = rest[: lengths[0]], rest[lengths[0] : sum(lengths)]
            rest = rest[sum(lengths) :]
            if found == name:
                return value.decode()
        raise KeyError(name)

    def send(self, data: bytes) -> None:
        self.connection.send(data)

    def _out(self, data: bytes) -> bytes:
        pieces = (data[at : at + 65535] for at in range(0, len(data), 65535))
        return b"".join(fcgi.record(fcgi.STDOUT, self.id, piece) for piece in pieces)

    def _end(self, app_status: int, protocol_status: int) -> bytes:
        status = struct.pack(">IB3x", app_status, protocol_status)
        return fcgi.record(fcgi.END_REQUEST, self.id, status)

    def out(self, data: bytes) -> None:
        self.send(self._out(data))

    def end_out(self) -> None:
        self.send(fcgi.record(fcgi.STDOUT, self.id))

    def end(self, app_status: int = 0, protocol_status: int = 0) -> None:
        self.send(self._end(app_status, protocol_status))

    def answer(self, data: bytes = OK) -> None:
        """All at once: who has the body has the end, too, and finds the connection idle."""
        self.send(self._out(data) + fcgi.record(fcgi.STDOUT, self.id) + self._end(0, 0))


class Worker:
    """A FastCGI worker whose HANDLE(exchange) does as the test wants, right or wrong. Each request
    is handled when it has come whole; records that come later are in `later`."""

    def __init__(self, directory: Path, name: str, handle: Callable[[Exchange], None]) -> None:
        self.path = str(directory / f"{name}.sock")
        self.handle = handle
        self.later: list[tuple[int, int, bytes]] = []
        self.requests = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.connection: fcgi.Connection | None = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self) -> None:
        """What becomes of a worker's sockets when its process ends."""
        self.listener.close()
        if self.connection:
            try:
                self.connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.connection.socket.close()

    def _serve(self) -> None:
        try:
            peer, _ = self.listener.accept()
            self.connection = fcgi.Connection(peer)
            self._records(self.connection)
        except OSError:
            pass

    def greet(self, content: bytes) -> bytes:
        """The answer to GET_VALUES."""
        del content
        return fcgi.record(fcgi.GET_VALUES_RESULT, 0, fcgi.pairs(VALUES))

    def _records(self, connection: fcgi.Connection) -> None:
        open_: dict[int, Exchange] = {}
        for kind, request_id, content in connection.records():
            if kind == fcgi.GET_VALUES:
                connection.send(self.greet(content))
            elif kind == fcgi.BEGIN_REQUEST:
                open_[request_id] = Exchange(connection, request_id, b"")
            elif kind == fcgi.PARAMS and request_id in open_:
                open_[request_id].params += content
            elif kind == fcgi.STDIN and request_id in open_:
                open_[request_id].body += content
                if not content:
                    self.requests += 1
                    try:
                        self.handle(open_.pop(request_id))
                    except OSError:
                        return
            else:
                self.later.append((kind, request_id, content))


class Gateway:
    """A gateway process with its control channel in the test's hand. POOLS has settings of each
    pool, with `kind` if it is not app; SETTINGS are the gateway's and those of all pools; ROUTES are ROUTE lines without that
    word, `%` for any host: `% /blog/ blog mount`."""

    def __init__(
        self,
        directory: Path,
        nofile: int | None = None,
        pools: Mapping[str, Mapping[str, str]] | None = None,
        routes: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.begin(directory, nofile)
        self.pools = dict(pools or {"default": {}})
        for pool, own in self.pools.items():
            own = dict(own)
            self.tell(f"POOL {pool} {own.pop('kind', 'app')}")
            common = {name: value for name, value in settings.items() if name in POOL_SETTINGS}
            for name, value in (common | own).items():
                self.tell(f"SET {name} {value} {pool}")
        for name, value in ({"log_level": "debug"} | settings).items():
            if name not in POOL_SETTINGS:
                self.tell(f"SET {name} {value}")
        for route in routes:
            self.tell(f"ROUTE {route}")
        self.tell(f"LISTEN 127.0.0.1:{self.address[1]}", self.listener.fileno())
        with open(self.access_file, "wb") as access:
            self.tell("ACCESS_LOG", access.fileno())
        self.tell("START")
        self.expect("READY")

    def begin(self, directory: Path, nofile: int | None = None) -> None:
        """Start it, and tell it nothing."""
        self.directory = directory
        self.log_file = directory / "error.log"
        self.access_file = directory / "access.log"
        self.workers: list[Worker] = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.listener.getsockname()[:2]
        self.control, theirs = socket.socketpair()
        self.control.settimeout(PATIENCE)
        self.buffer = b""
        self.lines: list[str] = []
        self._start(theirs, nofile)

    def _start(self, control: socket.socket, nofile: int | None) -> None:
        fd = control.fileno()
        limit = f"ulimit -n {nofile}; " if nofile else ""
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", f'{limit}exec "$@" 3<&{fd} {fd}<&-', "bash", installed.GATEWAY],
                stdin=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"PENSTOCK_CONTROL": "3", "TMPDIR": str(self.directory)},
                pass_fds=[fd],
            )
        control.close()

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for worker in self.workers:
            worker.close()
        self.listener.close()
        if self.process.poll() is None and kind is None:
            assert self.drain() == 0, self.log
        elif self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.control.close()

    def drain(self) -> int:
        self.tell("DRAIN")
        return self.process.wait(PATIENCE)

    # ---- control lines

    def tell(self, line: str, fd: int | None = None) -> None:
        data = line.encode() + b"\n"
        if fd is None:
            self.control.sendall(data)
        else:
            socket.send_fds(self.control, [data], [fd])

    def line(self) -> str:
        while b"\n" not in self.buffer:
            piece = self.control.recv(4096)
            assert piece, f"the gateway ended:\n{self.log}"
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        self.lines.append(line.decode())
        return self.lines[-1]

    def expect(self, begins: str) -> str:
        """The next line, which begins so."""
        line = self.line()
        assert line.startswith(begins), f"{line!r}; log:\n{self.log}"
        return line

    def wait_line(self, wanted: str) -> None:
        """Pass over lines until WANTED."""
        eventually(lambda: self.line() == wanted, f"{wanted!r}")

    def settle(self) -> None:
        """What was sent before has been read: accepted, then read, then acted upon."""
        for _ in range(4):
            self.tell("PING")
            self.wait_line("PONG")

    # ---- workers

    def worker(
        self,
        name: str,
        handle: Callable[[Exchange], None],
        kind: type[Worker] = Worker,
        pool: str | None = None,
    ) -> Worker:
        """Announce a worker called NAME, "3.17", of POOL or the first one; it is usable when this
        returns."""
        worker = self.announce(name, handle, kind, pool)
        self.wait_line(f"SLOT usable {name}")
        return worker

    def announce(
        self,
        name: str,
        handle: Callable[[Exchange], None],
        kind: type[Worker] = Worker,
        pool: str | None = None,
    ) -> Worker:
        worker = kind(self.directory, name, handle)
        self.workers.append(worker)
        self.tell(f"SLOT up {name} {worker.path} {pool or next(iter(self.pools))}")
        return worker

    def down(self, name: str, worker: Worker) -> None:
        """The process of WORKER has exited."""
        worker.close()
        self.tell(f"SLOT down {name}")

    # ---- what it says and does

    def client(self, receive_buffer: int = 0) -> Client:
        return Client(self.address, receive_buffer)

    @property
    def log(self) -> str:
        """All that it has logged, or was about to."""
        self._rest()
        return self.log_so_far()

    def log_so_far(self) -> str:
        """What is written of it, at once: for who looks again and again."""
        return self.log_file.read_text(errors="replace")

    def _rest(self) -> None:
        if self.process.poll() is None:
            rest([self.process.pid])

    def wait_log(self, text: str) -> None:
        try:
            eventually(lambda: text in self.log_so_far(), repr(text))
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log}") from None

    @property
    def access_log(self) -> str:
        self._rest()
        return self.access_file.read_text(errors="replace")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
