"""Start the installed penstock on a free port, watch its log, ask it things, stop it.

Tests get it by the fixture `penstock` (conftest.py):

    def test_it(penstock):
        server = penstock("shop:app", "-w", "2", cwd=directory)
        assert server.get("/").status == 200
        assert server.stop() == 0
"""
from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM  # Penstock.signal hides the module in its class
from typing import TypeVar

import installed
import process

PATIENCE = 60.0  # seconds that anything may take on a busy machine
_FROM_OUTSIDE = (
    "PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PENSTOCK_CMD_ARGS", "LISTEN_FDS",
    "LISTEN_PID",
)  # fmt: skip

T = TypeVar("T")


def eventually(attempt: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Call ATTEMPT until it returns something true, which is returned."""
    end = time.monotonic() + patience
    while True:
        result = attempt()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.02)


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would configure a penstock, with CHANGES."""
    kept = {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}
    return kept | dict(changes or {})


def run(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run penstock until it ends by itself: for usage errors and failed starts."""
    return subprocess.run(
        [installed.PENSTOCK, *args],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
    )


@dataclass(frozen=True)
class Option:
    """An option as --help shows it."""

    letter: str  # or ""
    default: str | None  # None: none is shown


def options_of_help() -> dict[str, Option]:
    """All that --help shows: with a sentence on its line, or several on one with their defaults."""
    shown = {}
    for line in run("--help").stdout.splitlines():
        if match := re.match(r"(?:-(\w),|   ) --([\w-]+)(?:.*\[(.*)\]$)?", line):
            shown[match[2]] = Option(match[1] or "", match[3])
        elif re.match(r"  -", line):
            for letter, name, default in re.findall(r"(?:-(\w), )?--([\w-]+)(=\S+)?", line):
                shown[name] = Option(letter, default[1:] or None)
    return shown


def is_alive(pid: int) -> bool:
    """PID is a process, and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Penstock:
    """One running penstock. DIRECTORY gets its logs; OPTIONS and APP, which may be "", are its
    command line."""

    def __init__(
        self,
        directory: Path,
        app: str,
        *options: str,
        bind: str | None = "127.0.0.1:0",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        preexec_fn: Callable[[], None] | None = None,
    ) -> None:
        self.log_file = directory / "error.log"
        self.access_file = directory / "access.log"
        bound = ["-b", bind] if bind else []
        command = [str(installed.PENSTOCK), *bound, *options, *([app] if app else [])]
        with open(self.log_file, "wb") as log, open(self.access_file, "wb") as access:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=access,
                stderr=log,
                pass_fds=pass_fds,
                preexec_fn=preexec_fn,
            )

    # ---- what it says

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All that arbiter and gateway have logged, or were about to."""
        self.rest()
        return self.log_so_far()

    def log_so_far(self) -> str:
        """What is written of it, at once: for who looks again and again."""
        return self.log_file.read_text(errors="replace")

    @property
    def access_log(self) -> str:
        """What it wrote to its stdout: the access log, with --access-logfile -."""
        self.rest()
        return self.access_file.read_text(errors="replace")

    def rest(self) -> None:
        """Wait until arbiter and gateway have done what they were told, and logged it."""
        if self.process.poll() is None:
            children = self._children_now() or ([],)
            process.rest([*(pid for pid, name in children[0] if name == "gateway"), self.pid])

    def wait_for(self, pattern: str, count: int = 1) -> re.Match[str]:
        """Wait until the log has COUNT lines that match PATTERN; the last of them."""

        def found() -> re.Match[str] | None:
            matches = list(re.finditer(pattern, self.log_so_far(), re.MULTILINE))
            if len(matches) < count and self.process.poll() is not None:
                matches = list(re.finditer(pattern, self.log, re.MULTILINE))
                assert len(matches) >= count, f"ended without {pattern!r}:\n{self.log}"
            return matches[count - 1] if len(matches) >= count else None

        try:
            return eventually(found, repr(pattern))
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log}") from None

    def wait_ready(self, every_worker: bool = True) -> Penstock:
        """Wait until it serves, for which one worker of each pool is enough, and until all others
        that it started can be used, too."""
        self.wait_for(r"Penstock \S+ serves at ")
        if every_worker:
            self.wait_workers()
        return self

    def wait_workers(self, count: int | None = None) -> list[int]:
        """Wait until it has COUNT workers, and each can be used: their pids, the oldest first."""

        def found() -> tuple[list[int]] | None:
            pids = self.worker_pids
            usable = set(map(int, re.findall(r"worker \S+ ready \(pid (\d+)\)", self.log_so_far())))
            right = count is None or len(pids) == count
            return (pids,) if right and usable.issuperset(pids) else None

        try:
            (pids,) = eventually(found, f"{'all' if count is None else count} workers")
            return pids
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log}") from None

    @property
    def addresses(self) -> list[str]:
        """Where it listens: http://127.0.0.1:8000, unix:/path."""
        return self.wait_for(r"Listening at: (\S+)").group(1).split(",")

    @property
    def port(self) -> int:
        """The port of its first listener."""
        return int(self.addresses[0].rpartition(":")[2])

    # ---- its processes

    @property
    def gateway_pid(self) -> int:
        (pid,) = (pid for pid, name in self._children() if name == "gateway")
        return pid

    @property
    def worker_pids(self) -> list[int]:
        return [pid for pid, name in self._children() if name != "gateway"]

    def _children(self) -> list[tuple[int, str]]:
        """Pid and name of each, the oldest first."""
        (children,) = eventually(self._children_now, "its children to be what they are")
        return children

    def _children_now(self) -> tuple[list[tuple[int, str]]] | None:
        task = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = task.read_text().split()
        children = []
        for pid in pids:
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if is_alive(int(pid)):
                children.append((int(pid), name))
        # One that was just forked has our name still; while one exits the kernel may pass over
        # another (proc_pid_children(5)).
        settled = task.read_text().split() == pids and "penstock" not in dict(children).values()
        return (children,) if settled else None

    @property
    def runtime_directory(self) -> Path:
        name = f"penstock-{self.pid}"
        parents = [Path("/run")] if os.geteuid() == 0 else []
        parents += [Path(os.environ[n]) for n in ("XDG_RUNTIME_DIR", "TMPDIR") if n in os.environ]
        parents += [Path("/tmp")]
        return next((p / name for p in parents if (p / name).exists()), parents[0] / name)

    # ---- what it answers

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    # ---- its end

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its exit: the status, negative for a signal."""
        return self.process.wait(PATIENCE)

    def stop(self, number: int = SIGTERM) -> int:
        self.signal(number)
        return self.wait()

    def clean_up(self) -> None:
        """End it, whatever state it is in, and see that it leaves nothing behind."""
        if self.process.poll() is not None:
            return
        directory = self.runtime_directory
        children = [pid for pid, _ in self._children()]
        try:
            self.stop(signal.SIGINT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"SIGINT did not end it:\n{self.log}") from None
        assert not directory.exists()
        assert not [pid for pid in children if is_alive(pid)]
