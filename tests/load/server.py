"""An installed penstock under load: its processes, its log with the time each line was seen."""
from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "system"))

from servers import free_port  # noqa: E402

PATIENCE = 60.0  # seconds that anything may take on a busy machine
_FROM_OUTSIDE = ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "PENSTOCK_CMD_ARGS")
_LOOK = 0.005  # seconds between two looks at the log


@dataclass(frozen=True)
class Line:
    at: float  # time.monotonic()
    text: str


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@dataclass(frozen=True)
class Process:
    """Its start time names it for good, when somebody else has its pid."""

    pid: int
    started: int

    @classmethod
    def find(cls, pid: int) -> Process | None:
        fields = _stat(pid)
        return cls(pid, int(fields[19])) if fields and fields[0] not in "ZX" else None

    def is_alive(self) -> bool:
        return Process.find(self.pid) == self


class Server:
    """DIRECTORY holds the deployed version, the log and the ledger, and is where it runs."""

    def __init__(self, binary: str, directory: Path, options: list[str], env: dict[str, str]):
        self.directory = directory
        self.port, self.second_port = free_port(), free_port()
        self.log: list[Line] = []
        self.deploys = 0
        self.ever: set[Process] = set()  # its processes, and those of its predecessors
        self._binary, self._options, self._env = binary, options, env
        self._log_file = directory / "error.log"
        self._log_file.touch()
        self._reader: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it at the same address as ever."""
        env = {n: v for n, v in os.environ.items() if n not in _FROM_OUTSIDE}
        env |= {"LOAD_LEDGER": str(self.directory / "ledger"), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [self._binary, "--pythonpath", str(HERE), "--control-socket", "ctl"]
        if "-c" not in self._options:
            command += ["-b", f"127.0.0.1:{self.port}"]
        with open(self._log_file, "ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], cwd=self.directory, env=env | self._env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_log())

    # ---- its log

    async def _read_log(self) -> None:
        rest = b""
        with open(self._log_file, "rb") as log:
            while True:
                *lines, rest = (rest + log.read()).split(b"\n")
                now = time.monotonic()
                self.log += [Line(now, line.decode(errors="replace")) for line in lines]
                await asyncio.sleep(_LOOK)

    def mark(self) -> int:
        """Where the log ends now; for wait_for()."""
        return len(self.log)

    def find(self, pattern: str, since: int = 0) -> list[Line]:
        return [line for line in self.log[since:] if re.search(pattern, line.text)]

    async def wait_for(self, pattern: str, since: int = 0, count: int = 1) -> Line:
        """The COUNT-th line after SINCE that matches PATTERN."""
        end = time.monotonic() + PATIENCE
        while len(found := self.find(pattern, since)) < count:
            if time.monotonic() > end:
                tail = "\n".join(line.text for line in self.log[-20:])
                raise RuntimeError(f"no {pattern!r} in its log within {PATIENCE:g} s:\n{tail}")
            await asyncio.sleep(_LOOK)
        return found[count - 1]

    # ---- its processes

    @property
    def pid(self) -> int:
        return self._process.pid

    def children(self) -> dict[int, str]:
        """Those that live, by what they are: gateway, sync ..."""
        try:
            pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return {}
        found = {}
        for pid in map(int, pids):
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if process := Process.find(pid):
                found[pid] = name
                self.ever.add(process)
        return found

    def gateways(self) -> list[int]:
        return [pid for pid, name in self.children().items() if name == "gateway"]

    def gateway(self) -> int:
        return next(iter(self.gateways()), 0)

    def workers(self) -> list[int]:
        return [pid for pid, name in self.children().items() if name != "gateway"]

    def descriptors(self) -> dict[str, int]:
        counts = {}
        for name, pid in ("arbiter", self.pid), ("gateway", self.gateway()):
            try:
                counts[name] = len(os.listdir(f"/proc/{pid}/fd"))
            except (FileNotFoundError, ProcessLookupError):
                counts[name] = 0
        return counts

    # ---- what is done to it

    def deploy(self, more: str = "") -> str:
        """Put another version of the application there, which does MORE at import."""
        self.deploys += 1
        new = self.directory / "deployed.new"
        new.write_text(f'VERSION = "{self.deploys}"\n{more}\n')
        new.rename(self.directory / "deployed.py")
        return str(self.deploys)

    def configure(self, text: str, app: str) -> None:
        """Put another penstock.yaml there; {port}, {second} and {directory} in TEXT are filled in,
        and APP is served."""
        text = text.replace("app:app", app)
        text = text.replace("{port}", str(self.port)).replace("{second}", str(self.second_port))
        text = text.replace("{directory}", str(self.directory))
        new = self.directory / "penstock.new"
        new.write_text(text)
        new.rename(self.directory / "penstock.yaml")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ctl(self, *words: str) -> str:
        """penstock ctl; what it printed."""
        process = await asyncio.create_subprocess_exec(
            self._binary, "ctl", "-s", str(self.directory / "ctl"), *words,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"penstock ctl {' '.join(words)}: {err.decode().strip()}")
        return out.decode()

    async def kill_arbiter(self) -> None:
        """SIGKILL, and reap it; its children are on their own."""
        self.children()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    def give_up(self) -> None:
        """SIGINT, and do not wait."""
        self._process.send_signal(signal.SIGINT)

    async def end(self) -> int:
        """SIGTERM, and wait: its exit status."""
        self.children()
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, PATIENCE)

    async def stop(self) -> list[str]:
        """End it as an operator does; what it left behind or said that it should not."""
        try:
            status = await self.end()
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return [f"SIGTERM did not end it within {PATIENCE:g} s"]
        finally:
            await asyncio.sleep(4 * _LOOK)
            if self._reader:
                self._reader.cancel()
        found = [f"its exit status is {status}"] if status != 0 else []
        return found + [f"process {p.pid} does not end" for p in await self._survivors()]

    async def _survivors(self) -> set[Process]:
        """Those of its processes that do not end; they are killed."""
        end = time.monotonic() + PATIENCE
        while alive := {process for process in self.ever if process.is_alive()}:
            if time.monotonic() > end:
                for process in alive:
                    os.kill(process.pid, signal.SIGKILL)
                break
            await asyncio.sleep(0.05)
        return alive
