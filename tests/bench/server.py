"""One peer, with the one behind it, started for one measurement and ended by its process group."""
from __future__ import annotations

import http.client
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from peers import Peer
from process import stat, tree
from scenarios import Scenario

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"


class Failed(Exception):
    """The peer did not start, or answered something else than it should."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """One program of a peer."""

    def __init__(self, peer: Peer, scenario: Scenario, tokens: dict[str, str],
                 cpu: int | None) -> None:
        options = peer.options.get(scenario.name, peer.options.get("*", ""))
        command = shlex.split(peer.command.format(options=options, **tokens))
        for name, text in peer.files.items():
            for token, value in {**tokens, "options": options}.items():
                text = text.replace(f"@{token}@", value)
            Path(tokens["run"], name).write_text(text)
        if cpu is not None:
            command = ["taskset", "-c", str(cpu), *command]
        self.log = tempfile.TemporaryFile()
        environment = dict(os.environ, PYTHONPATH=str(APPS))
        # Every peer is given the application's environment in the same way.
        environment.pop("VIRTUAL_ENV", None)
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=APPS,
            env=environment, start_new_session=True)

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()[-800:].decode(errors="replace")

    def check(self) -> None:
        if self.process.poll() is not None:
            raise Failed(f"ended with status {self.process.returncode}: {self.said()}")

    def stop(self) -> None:
        known = tree([self.process.pid])
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
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


class Server:
    def __init__(self, peer: Peer, scenario: Scenario, tokens: dict[str, str],
                 cpu: int | None) -> None:
        self.port = free_port()
        self.run = tempfile.mkdtemp(prefix="penstock-bench-")
        os.chmod(self.run, 0o755)
        self.began = time.perf_counter()
        self.processes: list[Process] = []
        app = scenario.apps[peer.serves]
        module, _, called = app.partition(":")
        tokens = {**tokens, "apps": str(APPS), "run": self.run, "sock": f"{self.run}/sock",
                  "workers": str(scenario.workers), "app": app, "module": module, "callable": called}
        try:
            self._start(peer, scenario, tokens, cpu)
        except BaseException:
            self.stop()
            raise

    def _start(self, peer: Peer, scenario: Scenario, tokens: dict[str, str],
               cpu: int | None) -> None:
        if peer.behind is not None:
            behind = free_port()
            self.processes.append(
                Process(peer.behind, scenario, {**tokens, "port": str(behind)}, cpu))
            self._wait_listening(tokens["sock"] if peer.behind.unix else behind)
            tokens["upstream"] = (f"unix:{tokens['sock']}" if peer.behind.unix
                                  else f"127.0.0.1:{behind}")
            self.began = time.perf_counter()
        self.processes.append(Process(peer, scenario, {**tokens, "port": str(self.port)}, cpu))

    def _wait_listening(self, where: str | int, limit: float = 20.0) -> None:
        end = time.perf_counter() + limit
        while time.perf_counter() < end:
            self.processes[-1].check()
            family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
            with socket.socket(family) as probe:
                if probe.connect_ex(where if isinstance(where, str) else ("127.0.0.1", where)) == 0:
                    return
            time.sleep(0.01)
        raise Failed(f"nobody listens at {where}: {self.processes[-1].said()}")

    @property
    def roots(self) -> list[int]:
        return [process.process.pid for process in self.processes]

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
            for process in self.processes:
                process.check()
            try:
                if self.request(body)[0] == 200:
                    return time.perf_counter() - self.began
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.002)
        raise Failed(f"no 200 within {limit:.0f} s: {self.processes[-1].said()}")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.run, ignore_errors=True)
