"""Start an adapter the way spawn-fcgi and the arbiter do, and build plugins for it."""
from __future__ import annotations

import fcntl
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import installed


def build_plugin(source: str | Path, target: Path, *flags: str) -> Path:
    """Compile SOURCE, of tests/plugins unless it is a whole path, with the installed header."""
    environment = os.environ | {"PKG_CONFIG_PATH": str(installed.PKGCONFIGDIR)}
    cflags = subprocess.run(
        ["pkg-config", "--cflags", "penstock"],
        env=environment, check=True, text=True, stdout=subprocess.PIPE,
    ).stdout.split()
    subprocess.run(
        [
            *shlex.split(os.environ.get("CC", "cc")), "-std=gnu11", "-Wall", "-Wextra", "-Werror",
            "-O1", "-g", "-fPIC", "-shared", "-fvisibility=hidden", *cflags, *flags,
            "-o", str(target), str(installed.SOURCE / "tests" / "plugins" / source),
        ],
        check=True,
    )
    return target


class Adapter:
    """`sync APP`, or another PROGRAM, on a unix socket in DIR, started directly: fd 0 listens, fd 3 is the control
    socket when CONTROL says so, fd 4 is the descriptor PAGE. What it writes to fd 2 goes to a
    file."""

    def __init__(
        self,
        directory: Path,
        *args: str,
        control: bool = False,
        listener: socket.socket | None = None,
        environment: dict[str, str] | None = None,
        page: int | None = None,
        program: Path = installed.SYNC,
    ) -> None:
        self.model = program.name
        self.path = str(directory / "adapter.sock")
        self._log = directory / "adapter.log"
        self.control: socket.socket | None = None
        if listener is None:
            listener = socket.socket(socket.AF_UNIX)
            Path(self.path).unlink(missing_ok=True)
            listener.bind(self.path)
            listener.listen(128)
        ours = ("PENSTOCK_CONTROL", "PENSTOCK_PAGE")
        env = {name: value for name, value in os.environ.items() if name not in ours}
        env |= environment or {}
        theirs = None
        fds = {}
        if page is not None:
            env["PENSTOCK_PAGE"] = "4"
            fds[4] = page
        if control:
            self.control, theirs = socket.socketpair()
            self.control.settimeout(60)
            env["PENSTOCK_CONTROL"] = "3"
            fds[3] = theirs.fileno()
        self.process = self._start([str(program), *args], env, listener, fds)
        listener.close()
        if theirs:
            theirs.close()

    def _start(
        self,
        command: list[str],
        env: dict[str, str],
        listener: socket.socket,
        fds: dict[int, int],
    ) -> subprocess.Popen[bytes]:
        """The shell puts descriptors where Popen cannot: those of FDS as their keys say."""
        high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for number, fd in fds.items()}
        moves = " ".join(f"{number}<&{fd} {fd}<&-" for number, fd in high.items())
        try:
            with self._log.open("wb") as log:
                return subprocess.Popen(
                    ["/bin/bash", "-c", f'exec "$@" {moves}', "bash", *command],
                    stdin=listener, stderr=log, env=env, pass_fds=list(high.values()),
                )
        finally:
            for fd in high.values():
                os.close(fd)

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *_: object) -> None:
        if self.control:
            self.control.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=30)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="backslashreplace")

    def wait_log(self, text: str) -> None:
        """Wait until the log has TEXT; a test that waits in vain ends by its own deadline."""
        deadline = time.monotonic() + 60
        while text not in self.log:
            assert time.monotonic() < deadline, f"no {text!r} in the log:\n{self.log}"
            time.sleep(0.01)

    def line(self) -> str:
        """One line from the control socket."""
        assert self.control
        line = b""
        while not line.endswith(b"\n"):
            byte = self.control.recv(1)
            assert byte, f"the control socket closed; log:\n{self.log}"
            line += byte
        return line.decode().strip()

    def tell(self, line: str) -> None:
        assert self.control
        self.control.sendall(line.encode() + b"\n")

    def terminate(self, signo: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(signo)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(timeout=60)
