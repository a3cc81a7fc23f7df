"""One peer, started for one measurement and ended by its process group."""
from __future__ import annotations

import http.client
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from peers import Peer
from process import stat, tree

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"


class Failed(Exception):
    """The peer did not start, or answered something else than it should."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, peer: Peer, app: str, workers: int, tokens: dict[str, str],
                 cpu: int | None) -> None:
        self.port = free_port()
        command = shlex.split(peer.command.format(
            port=self.port, workers=workers, app=app, apps=APPS, **tokens))
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        self.log = tempfile.TemporaryFile()
        environment = dict(os.environ, PYTHONPATH=str(APPS))
        # Every peer is given the application's environment in the same way.
        environment.pop("VIRTUAL_ENV", None)
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=APPS,
            env=environment, start_new_session=True)

    @property
    def root(self) -> int:
        return self.process.pid

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()[-800:].decode(errors="replace")

    def request(self, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST" if body else "GET", "/", body or None)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_ready(self, body: bytes = b"", limit: float = 20.0) -> float:
        """Seconds from the start to the first 200."""
        while time.perf_counter() - self.began < limit:
            if self.process.poll() is not None:
                raise Failed(f"ended with status {self.process.returncode}: {self.said()}")
            try:
                if self.request(body)[0] == 200:
                    return time.perf_counter() - self.began
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.002)
        raise Failed(f"no 200 within {limit:.0f} s: {self.said()}")

    def stop(self) -> None:
        known = tree(self.root)
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self.process.wait()
        for pid, before in known.items():  # those that left the process group
            now = stat(pid)
            if now and now.started == before.started:
                os.kill(pid, signal.SIGKILL)
        self.log.close()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.root, number)
        except ProcessLookupError:
            pass
