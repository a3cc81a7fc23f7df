"""-D: penstock in the background, and what it does there."""
from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import installed
from penstock import PATIENCE, environment, eventually, is_alive
from raw import Client
from test_ctl import ctl
from test_reload import Site


class Daemon:
    """A penstock -D in a directory of its own: what its start said, and its pid."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_file = directory / "error.log"
        self.pidfile = directory / "penstock.pid"
        self.socket = directory / "web.sock"
        self.site = Site(directory)
        self.site.deploy("1")

    def start(self, *options: str, log: bool = True) -> subprocess.CompletedProcess[str]:
        if log:
            options = ("--error-logfile", str(self.log_file), *options)
        return subprocess.run(
            [installed.PENSTOCK, "-D", "-p", str(self.pidfile), "-b", f"unix:{self.socket}",
             *options, "site_app:app"],
            cwd=self.directory,
            env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return int(self.pidfile.read_text())

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def children(self) -> list[int]:
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(word) for word in text.split()]

    def get(self, path: str = "/") -> str:
        with Client(str(self.socket)) as client:
            client.get(path)
            return client.response().head

    def end(self) -> None:
        if not self.pidfile.exists():
            return
        pid = self.pid
        os.kill(pid, signal.SIGINT)
        eventually(lambda: not is_alive(pid), "the daemon's end")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.end()


def test_it_serves_when_the_command_returns(daemon: Daemon) -> None:
    result = daemon.start()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert daemon.get().startswith("HTTP/1.1 200 ")
    pid = daemon.pid
    assert os.getsid(pid) not in (pid, os.getsid(0))
    for process in (pid, *daemon.children()):
        for fd in ("0", "1", "2"):
            target = os.readlink(f"/proc/{process}/fd/{fd}")
            assert target in ("/dev/null", str(daemon.log_file)) or target.startswith("pipe:")
    result = ctl("-p", str(daemon.pidfile), "drain")
    assert result.returncode == 0, result.stderr
    eventually(lambda: not is_alive(pid), "the daemon's end")
    assert not daemon.pidfile.exists() and not daemon.socket.exists()


def test_what_it_logs_is_seen_until_it_serves(daemon: Daemon) -> None:
    result = daemon.start("--access-logfile", "-", log=False)
    assert result.returncode == 0 and result.stdout == ""
    assert " serves at unix:" in result.stderr
    assert "from now on nothing is logged" in result.stderr
    assert daemon.get().startswith("HTTP/1.1 200 ")

    def targets() -> set[str]:
        return {
            os.readlink(f"/proc/{process}/fd/{fd}")
            for process in (daemon.pid, *daemon.children()[:1])
            for fd in (0, 1, 2)
        }

    eventually(lambda: targets() == {"/dev/null"}, "the end of its output")


@pytest.mark.parametrize("log", [True, False])
def test_a_start_that_fails_is_told(daemon: Daemon, log: bool) -> None:
    daemon.site.deploy("1", "raise LookupError('a broken deploy')")
    result = daemon.start(log=log)
    assert result.returncode == 3
    assert "penstock: the daemon did not start (exit status 3)" in result.stderr
    if log:
        assert str(daemon.log_file) in result.stderr and "a broken deploy" in daemon.log
    else:
        assert "a broken deploy" in result.stderr
    assert not daemon.pidfile.exists()


def test_workers_have_a_daemons_umask(daemon: Daemon) -> None:
    daemon.site.deploy("1", "import os; os.close(os.open('made', os.O_CREAT | os.O_WRONLY, 0o666))")
    assert daemon.start().returncode == 0
    assert (daemon.directory / "made").stat().st_mode & 0o777 == 0o644


def test_winch_stops_the_workers_and_ttin_brings_one_back(daemon: Daemon) -> None:
    assert daemon.start("-w", "2").returncode == 0
    eventually(lambda: len(daemon.children()) == 3, "two workers")
    os.kill(daemon.pid, signal.SIGWINCH)
    eventually(lambda: len(daemon.children()) == 1, "the gateway alone")
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(daemon.get()))
    thread.start()
    time.sleep(0.2)
    assert answers == []
    os.kill(daemon.pid, signal.SIGTTIN)
    thread.join(PATIENCE)
    assert answers and answers[0].startswith("HTTP/1.1 200 ")
    assert len(daemon.children()) == 2


def test_winch_and_hup(daemon: Daemon) -> None:
    assert daemon.start("-w", "2").returncode == 0
    os.kill(daemon.pid, signal.SIGWINCH)
    eventually(lambda: len(daemon.children()) == 1, "the gateway alone")
    os.kill(daemon.pid, signal.SIGHUP)
    eventually(lambda: len(daemon.children()) == 3, "two workers")
    assert daemon.get().startswith("HTTP/1.1 200 ")
