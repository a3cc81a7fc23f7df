"""Large and slow bodies: they hold no worker, cost bounded memory, and a full disk is told.

PENSTOCK_FULL_SIZE=1 uses the sizes of the promise, 1 GiB and 100 MiB at 1 MiB/s (needs minutes and
3 GiB of disk); otherwise they are smaller, and each test takes a few seconds.
"""
from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import process
from apps.bodies import PIECE
from figures import Show
from penstock import Penstock, eventually
from raw import Client

APPS = Path(__file__).parent / "apps"
MIB = 1 << 20
FULL_SIZE = bool(os.environ.get("PENSTOCK_FULL_SIZE"))
LARGE = 1024 * MIB if FULL_SIZE else 96 * MIB
SLOW = 100 * MIB if FULL_SIZE else 12 * MIB
RATE = MIB if FULL_SIZE else 4 * MIB

pytestmark = pytest.mark.timeout(900 if FULL_SIZE else 120)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


@pytest.fixture
def server(penstock: Callable[..., Penstock], spool: Path) -> Penstock:
    return penstock("bodies:app", "--spool-dir", str(spool), cwd=APPS)


def connect(server: Penstock, receive_buffer: int = 0) -> Client:
    return Client(("127.0.0.1", server.port), receive_buffer)


class Pace:
    """Sleeps as it must so that no more than RATE bytes pass in a second."""

    def __init__(self, rate: int | None) -> None:
        self.rate = rate
        self.start = time.monotonic()
        self.passed = 0

    def __call__(self, n: int) -> None:
        self.passed += n
        if self.rate:
            time.sleep(max(0.0, self.start + self.passed / self.rate - time.monotonic()))


def pieces(length: int) -> Iterator[bytes]:
    for at in range(0, length, len(PIECE)):
        yield PIECE[: length - at]


def digest(length: int) -> str:
    sha = hashlib.sha256()
    for piece in pieces(length):
        sha.update(piece)
    return sha.hexdigest()


def upload(server: Penstock, length: int, rate: int | None = None) -> str:
    """What the application got: its length and digest."""
    pace = Pace(rate)
    with connect(server) as client:
        client.send(f"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n")
        for piece in pieces(length):
            client.send(piece)
            pace(len(piece))
        client.socket.settimeout(120)
        return client.response().body.decode()


def download(server: Penstock, length: int, rate: int | None = None) -> str:
    """The same of what the client got."""
    pace = Pace(rate)
    sha, got = hashlib.sha256(), 0
    with connect(server, receive_buffer=65536 if rate else 0) as client:
        client.get(f"/made?{length}")
        assert " 200 " in client.head()
        piece = client.buffer
        while piece:
            sha.update(piece)
            got += len(piece)
            pace(len(piece))
            piece = client.socket.recv(65536) if got < length else b""
    return f"{got} {sha.hexdigest()}"


def expected(length: int) -> str:
    return f"{length} {digest(length)}"


class Background(threading.Thread):
    def __init__(self, work: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.result: str | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self.work()
        except Exception as error:
            self.result = error


def test_slow_bodies_hold_no_worker(server: Penstock) -> None:
    """There is one worker; others are answered all the time."""
    bodies = [
        Background(lambda: upload(server, SLOW, RATE)),
        Background(lambda: download(server, SLOW, RATE)),
    ]
    answered = 0
    while any(body.is_alive() for body in bodies):
        assert server.get().body == b"hello\n"
        answered += all(body.is_alive() for body in bodies)
        time.sleep(0.02)
    assert [body.result for body in bodies] == [expected(SLOW)] * 2
    assert answered >= 10


@pytest.mark.parametrize("way", [upload, download])
def test_large_bodies_pass_in_bounded_memory(
    server: Penstock, way: Callable[[Penstock, int], str], show: Show
) -> None:
    (worker,) = server.worker_pids
    pids = {"gateway": server.gateway_pid, "worker": worker}
    assert way(server, MIB // 2) == expected(MIB // 2)
    before = {name: process.rss_kib(pid) for name, pid in pids.items()}
    assert way(server, LARGE) == expected(LARGE)
    for name, pid in pids.items():
        grown = process.peak_rss_kib(pid) - before[name]
        show(f"{way.__name__} of {LARGE // MIB} MiB: {name} {before[name]} KiB, at most {grown} more")
        assert grown < process.at_most_mib(16)


def test_an_answer_that_is_never_read_costs_bounded_memory(server: Penstock) -> None:
    gateway = server.gateway_pid
    assert server.get().status == 200
    before = process.rss_kib(gateway)
    descriptors = process.descriptors(gateway)
    with connect(server, receive_buffer=4096) as client:
        client.get(f"/made?{LARGE}")
        assert server.get().body == b"hello\n"  # the worker has got rid of it
        assert process.peak_rss_kib(gateway) - before < process.at_most_mib(16)
        assert not process.spins(gateway)
    eventually(lambda: process.descriptors(gateway) <= descriptors, "connection and file closed")


def test_who_leaves_a_large_body_leaves_nothing(server: Penstock, spool: Path) -> None:
    gateway = server.gateway_pid
    assert server.get().status == 200
    descriptors = process.descriptors(gateway)
    for _ in range(3):
        with connect(server) as client:
            client.send("POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: 99999999\r\n\r\n")
            for piece in pieces(4 * MIB):
                client.send(piece)
            eventually(lambda: in_files(gateway, spool) > 0, "its file")
    eventually(lambda: process.descriptors(gateway) <= descriptors, "its file to be closed")
    assert not list(spool.iterdir())


def in_files(pid: int, directory: Path) -> int:
    """Files of DIRECTORY that the process has open, though they have no name."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    return sum(link.startswith(f"{directory}/") for link in links)


# --- no room -------------------------------------------------------------------------------


def mounts(directory: Path) -> bool:
    """A file system of 3 MiB is at DIRECTORY now."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(directory)]
    return os.geteuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0


@pytest.fixture(params=["disk", "file size"])
def no_room(
    request: pytest.FixtureRequest, penstock: Callable[..., Penstock], spool: Path
) -> Iterator[Penstock]:
    """A penstock that can store 3 MiB of a body: its disk is full then, or its file's limit (which
    comes with SIGXFSZ) is reached. Who may not mount gets a limit for both."""
    with contextlib.ExitStack() as stack:
        mounted = request.param == "disk" and mounts(spool)
        if mounted:
            stack.callback(subprocess.run, ["umount", "-l", str(spool)], check=True)
        server = penstock("bodies:app", "--spool-dir", str(spool), cwd=APPS)
        if not mounted:
            stack.enter_context(
                process.limited(server.gateway_pid, resource.RLIMIT_FSIZE, 3 * MIB)
            )
        yield server


def test_an_upload_that_finds_no_room_is_507(no_room: Penstock) -> None:
    gateway = no_room.gateway_pid
    with connect(no_room) as client:
        client.send(f"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: {9 * MIB}\r\n\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces(9 * MIB):
                client.send(piece)
        assert client.response().status == 507
    no_room.wait_for(
        r"\[ERROR\] POST /digest HTTP/1\.1: its body cannot be stored \(spool directory /\S+\): "
        r"no space left in the spool directory: answered 507"
    )
    assert upload(no_room, 2 * MIB) == expected(2 * MIB)  # there is room again
    assert no_room.gateway_pid == gateway


def test_many_that_find_no_room_are_told_of_together(
    penstock: Callable[..., Penstock], spool: Path
) -> None:
    server = penstock("bodies:app", "--spool-dir", str(spool), "--spool-size", "64k", cwd=APPS)
    for _ in range(20):
        with connect(server) as client:
            client.send(f"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: {9 * MIB}\r\n\r\n")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for piece in pieces(9 * MIB):
                    client.send(piece)
            assert client.response().status == 503
    assert server.stop() == 0
    one = len(re.findall(r"\[ERROR\] POST /digest HTTP/1\.1: its body cannot be stored", server.log))
    more = re.findall(
        r"\[ERROR\] pool \S+: (\d+) more requests within a second: their bodies cannot be stored", server.log
    )
    assert one >= 1 and one + sum(map(int, more)) == 20
    assert more or one == 20  # a machine that does less than one in a second


def test_an_answer_that_finds_no_room_is_broken_off(no_room: Penstock) -> None:
    gateway = no_room.gateway_pid
    with connect(no_room, receive_buffer=4096) as client:
        client.get(f"/made?{32 * MIB}")
        no_room.wait_for(
            r"\[ERROR\] worker \S+: GET /made: its answer cannot be stored \(spool directory /\S+\): "
            r"no space left in the spool directory: its client's connection is closed"
        )
        response = client.response()
        assert response.status == 200 and not response.whole
    assert no_room.get().body == b"hello\n"
    assert no_room.gateway_pid == gateway


def test_the_files_have_a_limit_together(penstock: Callable[..., Penstock]) -> None:
    server = penstock("bodies:app", "--spool-size", str(2 * MIB), cwd=APPS)
    with connect(server) as client:
        client.send(f"POST /digest HTTP/1.1\r\nHost: test\r\nContent-Length: {9 * MIB}\r\n\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces(9 * MIB):
                client.send(piece)
        answer = client.response()
        assert answer.status == 503 and answer.field("Retry-After")
    server.wait_for(r"all bodies together reach their limit: answered 503")


def test_a_spool_directory_that_cannot_be_used(penstock: Callable[..., Penstock]) -> None:
    server = penstock("bodies:app", "--spool-dir", "/nonexistent", ready=False, cwd=APPS)
    assert server.wait() == 2
    assert re.search(
        r"no file can be made in the spool directory /nonexistent: No such file", server.log
    )
