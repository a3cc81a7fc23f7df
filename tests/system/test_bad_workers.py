"""What workers send is input: real workers of a whole penstock that break every rule
(apps/rogue.py). Whatever one does, its client is told, the log says it in a line or two, and
nobody else is harmed."""
from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import installed
from penstock import Penstock, eventually
from raw import Client, Response

TESTS = installed.SOURCE / "tests" / "system"
BODY = b"b" * 3_000_000
GROWTH = 32 * 1024  # KiB that the gateway may grow by, whatever a worker sends

Serve = Callable[..., Penstock]


@pytest.fixture
def serve(penstock: Serve, tmp_path: Path) -> Iterator[Serve]:
    """Start one with apps/rogue.py, whose working directory is tmp_path."""

    def start(*options: str, workers: int = 2, **how: Any) -> Penstock:
        paths = ("--pythonpath", str(TESTS / "apps"), "--pythonpath", str(TESTS))
        server = penstock(
            "rogue:app", "-w", str(workers), *paths, *options, cwd=tmp_path, **how
        )
        if how.get("ready", True):
            server.wait_for(r"worker \d\.\d ready", count=workers)
        return server

    yield start


def client(server: Penstock) -> Client:
    return Client(("127.0.0.1", server.port))


def ask(server: Penstock, path: str, body: bytes = b"") -> Response:
    """The final answer."""
    with client(server) as asking:
        asking.get(path, f"Content-Length: {len(body)}", method="POST")
        asking.send(body)
        answer = asking.response("POST")
        while answer.status < 200:
            answer = asking.response("POST")
        return answer


class Asked(threading.Thread):
    """A request for PATH that is under way."""

    def __init__(self, server: Penstock, path: str) -> None:
        super().__init__(daemon=True)
        self._server, self._path = server, path
        self._answer: Response | None = None
        self.start()

    def run(self) -> None:
        self._answer = ask(self._server, self._path)

    def answer(self) -> Response:
        self.join(60)
        assert self._answer, f"{self._path} was not answered"
        return self._answer


def peak_memory(pid: int) -> int:
    """In KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def complaints(server: Penstock) -> list[str]:
    """Lines at warning and above, without what differs from run to run; what belongs to the
    worker that was asked for the case says W."""
    lines = re.findall(r"^\[.*?\] \[\d+\] \[(?:WARNING|ERROR|CRITICAL)\] (.*)$", server.log, re.M)
    return [re.sub(r"\bworker \d\.\d+\b( \(pid \d+\))?", "W", line) for line in lines]


# --- cases ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    path: str
    status: int
    lines: tuple[str, ...] = ()  # all that is logged at warning or above, in any order
    replaced: bool = False
    whole: bool = True
    body: bytes = b""  # of the request

    def __str__(self) -> str:
        return self.path


def invalid(path: str, reason: str) -> Case:
    """It keeps to FastCGI, but what it answers is no response."""
    line = f"W: POST /{path}: it sent no valid response: {reason}: answered 502"
    return Case(path, 502, (line,))


def broken(path: str, reason: str) -> Case:
    """It breaks FastCGI, or its connection."""
    lines = (f"W: POST /{path}: {reason}: answered 502", f"W is ended: {reason}")
    return Case(path, 502, lines, replaced=True)


def died(path: str, how: str) -> Case:
    lines = (
        f"W: POST /{path}: it closed the connection: answered 502",
        f"W {how}; another is started in 0.1 s",
    )
    return Case(path, 502, lines, replaced=True)


DUMPED = "W: this worker dies by SIGABRT while it loaded the application"  # as it sees it
SESSION = "its FastCGI session failed: "
CUT = "its client's connection is closed in the middle of the answer"
LATE = "nothing came from it for 2 s (--timeout)"
KILLED = (
    "passed its deadline and still runs: the worker dumps its stacks, is killed and replaced"
)



def killed(path: str, *more: str, body: bytes = b"") -> Case:
    lines = (f"W: POST /{path}: {LATE}: answered 504", f"W: POST /{path} {KILLED}", *more)
    return Case(path, 504, lines, replaced=True, body=body)


CASES = [
    Case("pid", 200),
    Case("no_stdout_end", 200),
    Case("unknown_types", 200),
    Case("two_heads", 200),
    Case("hop", 200),
    Case("with_body_204", 204),
    Case("early", 200, body=BODY),
    Case(
        "too_much",
        200,
        ("W: POST /too_much: it sent more than its Content-Length: the rest is dropped",),
    ),
    invalid("nothing", "no response at all"),
    invalid("blank", "an empty line where the header should begin"),
    invalid("no_head_end", "an end within the header"),
    invalid("large_head", "a header block that is too large"),
    invalid("many_fields", "too many header lines"),
    invalid("nul", "a NUL in a header line"),
    invalid("cr", "a CR inside a header line"),
    invalid("control", "a control character in a header line"),
    invalid("space", "a header name with a space"),
    invalid("no_name", "a header without a name"),
    invalid("no_colon", "a header line without a colon"),
    invalid("folded", "a header line that begins with a space"),
    invalid("bad_name", "a header name with a character that is not allowed"),
    invalid("status_word", "a status that is not three digits"),
    invalid("status_99", "a status outside 100 to 599"),
    invalid("status_600", "a status outside 100 to 599"),
    invalid("status_twice", "a second Status field"),
    invalid("status_101", "a status of 101, which nobody asked for"),
    invalid("length_minus", "a Content-Length that is not a number"),
    invalid("length_list", "a Content-Length that is not a number"),
    invalid("length_twice", "two Content-Length fields that differ"),
    invalid("length_huge", "a Content-Length that is not a number"),
    invalid("interim_only", "an end after an interim response"),
    invalid("interims", "too many interim responses"),
    Case(
        "failed", 502, ("W: POST /failed: it failed, with application status 7: answered 502",)
    ),
    Case(
        "refused",
        502,
        (
            "W: POST /refused: it refused the request: it is given to the next free worker",
            "W: POST /refused: it refused the request: answered 502",
        ),
    ),
    Case(
        "too_little",
        200,
        (f"W: POST /too_little: it sent no valid response: less body than Content-Length: {CUT}",),
        whole=False,
    ),
    Case(
        "failed_in_body",
        200,
        (f"W: POST /failed_in_body: it failed, with application status 7: {CUT}",),
        whole=False,
    ),
    broken("garbage", SESSION + "record of FastCGI version 72, not 1"),
    broken("version", SESSION + "record of FastCGI version 2, not 1"),
    broken("another_id", SESSION + "STDOUT record for request 2, which is not open"),
    broken("id_zero", SESSION + "STDOUT record with request id 0"),
    broken("role", SESSION + "BEGIN_REQUEST record from a server"),
    broken("unasked", SESSION + "GET_VALUES_RESULT record that was not asked for"),
    broken("unasked_huge", SESSION + "GET_VALUES_RESULT record that was not asked for"),
    broken("end_short", SESSION + "END_REQUEST record for request 1 has 4 bytes, not 8"),
    broken("end_status", SESSION + "END_REQUEST record for request 1 has protocol status 9"),
    broken("closed", "it closed the connection"),
    broken("closed_in_head", "it closed the connection"),
    Case(
        "closed_in_body",
        200,
        (
            f"W: POST /closed_in_body: it closed the connection: {CUT}",
            "W is ended: it closed the connection",
        ),
        replaced=True,
        whole=False,
    ),
    Case(
        "after_end",
        200,
        (f"W is ended: {SESSION}STDOUT record for request 1 after the end of that stream",),
        replaced=True,
    ),
    died("exits", "exited with status 0"),
    died("dies", "was killed by signal 9 (Killed)"),
    Case(
        "dies_in_body",
        200,
        (
            f"W: POST /dies_in_body: it closed the connection: {CUT}",
            "W was killed by signal 9 (Killed); another is started in 0.1 s",
        ),
        replaced=True,
        whole=False,
    ),
    Case("silent", 504, (f"W: POST /silent: {LATE}: answered 504",)),
    killed("deaf", DUMPED, body=BODY),
    killed("stubborn", DUMPED),
    killed("chatters", DUMPED, "W: stderr: POST /chatters: still here"),
    killed("stops"),
    killed("ignores_abort", DUMPED),
    Case(
        "stops_in_body",
        200,
        (f"W: POST /stops_in_body: {LATE}: {CUT}", f"W: POST /stops_in_body {KILLED}"),
        replaced=True,
        whole=False,
    ),
    Case(
        "never_ends",
        200,
        (
            "W: POST /never_ends: nobody waits for its answer any more, but it does not end the "
            f"request: {LATE}",
            f"W: POST /never_ends {KILLED}",
            DUMPED,
        ),
        replaced=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(serve: Serve, case: Case) -> None:
    server = serve("-t", "2")
    gateway, workers = server.gateway_pid, set(server.worker_pids)
    memory = peak_memory(gateway)
    beside = Asked(server, "/wait")
    answer = ask(server, "/" + case.path, case.body)
    assert (answer.status, answer.whole) == (case.status, case.whole), server.log
    assert beside.answer().status == 200
    if case.replaced:
        server.wait_for(r"worker \d\.3 ready")
    for _ in range(4):
        assert ask(server, "/pid").status == 200
    assert sorted(set(complaints(server))) == sorted(case.lines)
    assert len(workers & set(server.worker_pids)) == (1 if case.replaced else 2)
    assert server.gateway_pid == gateway
    assert peak_memory(gateway) - memory < GROWTH
    assert server.stop() == 0


# --- greetings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("greeting", "line"),
    [
        ("closes", "it closed the connection"),
        ("garbage", SESSION + "record of FastCGI version "),
        ("huge", SESSION + "GET_VALUES_RESULT record of 65535 bytes, over 4096"),
        ("silent", "it did not answer GET_VALUES in time"),
        ("numbers", None),
        ("unknown", None),
    ],
)
def test_greeting(serve: Serve, tmp_path: Path, greeting: str, line: str | None) -> None:
    server = serve()
    (tmp_path / "greeting").write_text(greeting)
    os.kill(server.worker_pids[0], signal.SIGKILL)
    if line is None:
        server.wait_for(r"worker \d\.3 ready")
    else:
        server.wait_for(rf"worker \d\.3 \(pid \d+\) is ended: {re.escape(line)}")
        assert ask(server, "/pid").status == 200
        (tmp_path / "greeting").unlink()
        server.wait_for(r"worker \d\.\d ready", count=3)
    for _ in range(4):
        assert ask(server, "/pid").status == 200


# --- extensions ----------------------------------------------------------------------------

UNUSABLE = (
    "W: its memory for answers cannot be used: Invalid argument: large answers come through "
    "its socket"
)

EXTENDED = [
    invalid("file_of_a_pipe", "a descriptor that is no regular file"),
    invalid("file_too_short", "a file that is shorter than it says"),
    invalid("file_without_head", "a file before its head"),
    Case("memory_changes", 200),
    invalid("memory_of_a_head", "bytes in shared memory before its head"),
    invalid("memory_in_a_head", "bytes in shared memory before its head"),
    broken(
        "memory_beyond",
        f"{SESSION}SHARED record for request 1: 2 bytes from 1048575 are not in 1048576 of memory",
    ),
    broken(
        "memory_too_much",
        f"{SESSION}SHARED record for request 1 has 70000 bytes, and its credit is 65508",
    ),
    Case(
        "memory_refused",
        200,
        (UNUSABLE,),
    ),
    Case(
        "memory_not_lent",
        502,
        (
            UNUSABLE,
            *broken(
                "memory_not_lent",
                f"{SESSION}SHARED record for request 1, and there is no memory",
            ).lines,
        ),
        replaced=True,
    ),
]


@pytest.mark.parametrize("case", EXTENDED, ids=str)
def test_extensions(serve: Serve, tmp_path: Path, case: Case) -> None:
    (tmp_path / "greeting").write_text("extended")
    server = serve()
    fds = len(os.listdir(f"/proc/{server.gateway_pid}/fd"))
    answer = ask(server, "/" + case.path)
    assert (answer.status, answer.whole) == (case.status, case.whole), server.log
    if case.replaced:
        server.wait_for(r"worker \d\.3 ready")
    for _ in range(4):
        assert ask(server, "/pid").status == 200
    lines = {line for line in complaints(server) if "its page, the memory" not in line}
    assert sorted(lines) == sorted(case.lines)
    eventually(
        lambda: len(os.listdir(f"/proc/{server.gateway_pid}/fd")) <= fds, "nothing stays open"
    )


def test_a_worker_that_asks_to_be_retired(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "greeting").write_text("extended")
    server = serve()
    workers = set(server.worker_pids)
    assert ask(server, "/retires").body.decode() in map(str, workers)
    server.wait_for("asks to be retired")
    server.wait_for(r"worker \d\.3 ready")
    eventually(lambda: len(workers - set(server.worker_pids)) == 1, "it has left")


# --- the control channel -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("control_garbage", "W is ended: it sent a malformed control line"),
        ("control_endless", "W is ended: it sent a malformed control line"),
        ("control_closed", "W is ended: it closed its control channel"),
        (
            "control_unknown",
            "W sent a control line that this arbiter does not know, 'SLOT': ignored, and others "
            "like it; are all of Penstock's programs of one version?",
        ),
    ],
)
def test_control_channel(serve: Serve, path: str, line: str) -> None:
    server = serve()
    gateway = server.gateway_pid
    assert ask(server, "/" + path).status == 200
    eventually(lambda: complaints(server), "a complaint")
    if path != "control_unknown":
        server.wait_for(r"worker \d\.3 ready")
    for _ in range(4):
        assert ask(server, "/pid").status == 200
    assert complaints(server) == [line]
    assert server.gateway_pid == gateway
    assert server.stop() == 0


# --- what they print -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["error_flood", "error_line", "print_flood"])
def test_flood(serve: Serve, path: str) -> None:
    server = serve()
    before = {pid: peak_memory(pid) for pid in (server.pid, server.gateway_pid)}
    flood = Asked(server, "/" + path)
    for _ in range(10):
        assert ask(server, "/pid").status == 200
    assert flood.answer().status == 200
    for pid, memory in before.items():
        assert peak_memory(pid) - memory < GROWTH
    if path != "print_flood":
        server.wait_for(rf"POST /{path}: \d+ bytes more of its STDERR were dropped$")


FORGERY = (
    b"[2026-11-22 20:31:22 +0000] [1] [CRITICAL] the disk is full\n"
    b"worker 2.2: POST /pid: it closed the connection: answered 502\n"
    b"a\rb\x1b[2Jc\x07d\x00e\x7ff\n"
    b"\xc2\x85\xe2\x80\xa8[1]\xff\xc3(\n"
    + b"l" * 10_000
    + b"\nhalf a line [2026-11-22 20:31:22 +0000] [1] [INFO] x"
)
FORGED = [
    b"[2026-11-22 20:31:22 +0000] [1] [CRITICAL] the disk is full",
    b"worker 2.2: POST /pid: it closed the connection: answered 502",
    rb"a\rb\x1b[2Jc\x07d\x00e\x7ff",
    rb"\xc2\x85\xe2\x80\xa8[1]\xff\xc3(",
    b"l" * 4096,
    b"l" * 4096,
    b"l" * (10_000 - 2 * 4096),
    b"half a line [2026-11-22 20:31:22 +0000] [1] [INFO] x",
]


def test_no_line_is_forged(serve: Serve, tmp_path: Path) -> None:
    """Every line of the log is ours, and what the worker printed stands behind its name."""
    (tmp_path / "forgery").write_bytes(FORGERY)
    server = serve("--log-level", "debug", workers=1)
    assert ask(server, "/forges").status == 200
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.wait_for("half a line", count=2)
    server.wait_for(r"worker 1\.2 ready")
    log = server.log_file.read_bytes()
    ours = re.compile(rb"\[\d{4}-\d\d-\d\d [\d:]{8} [+-]\d{4}\] \[(\d+)\] \[([A-Z]+)\] (.*)")
    printed, said = [], []
    for line in log.splitlines():
        match = ours.fullmatch(line)
        assert match, line
        assert int(match.group(1)) > 1
        text = match.group(3)
        if text.startswith(b"worker 1.1: stderr: POST /forges: "):
            said.append(text.partition(b"/forges: ")[2])
        elif match.group(2) == b"INFO" and text.startswith(b"worker 1.1: "):
            printed.append(text.partition(b": ")[2])
    assert said == FORGED
    # On fd 1 and fd 2, one after the other: the first half line goes on with the second's first.
    assert printed == [*FORGED[:-1], FORGED[-1] + FORGED[0], *FORGED[1:]]
    assert b"answered 502" in log and b"\0" not in log and b"\r" not in log


# --- crashes -------------------------------------------------------------------------------


def test_all_workers_at_once(serve: Serve, tmp_path: Path) -> None:
    server = serve(workers=2)
    waiting = [Asked(server, "/hangs") for _ in range(2)]
    eventually(lambda: len(list(tmp_path.glob("hanging-*"))) == 2, "both to have begun")
    for pid in server.worker_pids:
        os.kill(pid, signal.SIGKILL)
    after = [Asked(server, "/pid") for _ in range(10)]
    assert [asked.answer().status for asked in waiting] == [502, 502]
    assert [asked.answer().status for asked in after] == [200] * 10
    assert server.log.count("was killed by signal 9 (Killed); another is started in 0.1 s") == 2


def test_a_gateway_killed_under_load(serve: Serve) -> None:
    server = serve()
    gateway, workers = server.gateway_pid, sorted(server.worker_pids)
    done: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                done.append(ask(server, "/pid").status)
            except (AssertionError, OSError):
                done.append(0)

    clients = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in clients:
        thread.start()
    eventually(lambda: len(done) > 50, "load")
    os.kill(gateway, signal.SIGKILL)
    server.wait_for(rf"gateway \(pid {gateway}\) was killed by signal 9")
    so_far = len(done)
    eventually(lambda: done[so_far:].count(200) > 50, "load on the new gateway")
    stop.set()
    for thread in clients:
        thread.join(30)
    assert set(done) <= {0, 200}
    assert done.count(0) <= 8
    assert sorted(server.worker_pids) == workers
    assert server.gateway_pid != gateway


def test_an_import_that_hangs(serve: Serve, tmp_path: Path) -> None:
    server = serve("-t", "1")
    (tmp_path / "import").write_text("def hangs():\n    time.sleep(600)\nhangs()\n")
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.wait_for(r"'rogue:app' is not loaded yet, after 5 s of 30 s that it may take")
    eventually(lambda: "still not loaded" in server.log, "the end of its patience", patience=60)
    server.wait_for(r"worker \d\.3 \(pid \d+\): 'rogue:app' is still not loaded after 30 s")
    server.wait_for(r"worker \d\.3: .*while it loaded the application")
    server.wait_for(r"worker \d\.3: .* in hangs$")
    (tmp_path / "import").unlink()
    server.wait_for(r"worker \d\.3 \(pid \d+\) is gone; another is started in 0.2 s")
    server.wait_for(r"worker \d\.4 ready")
    assert ask(server, "/pid").status == 200
