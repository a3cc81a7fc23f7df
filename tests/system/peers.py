"""FastCGI peers for the protocol library: its own two programs, php-fpm and a libfcgi program."""
from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from servers import find


def program(name: str) -> str:
    """A program of tests/peer."""
    return str(Path(os.environ["PENSTOCK_PEERDIR"]) / name)


class Peer:
    """A FastCGI server at self.socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "peer.sock"
        self.output = directory / "peer.out"
        self.output.touch()
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def wait_for(self, text: str, count: int = 1) -> str:
        """What it printed, once TEXT is in it COUNT times."""
        deadline = time.monotonic() + 60
        while (printed := self.output.read_text()).count(text) < count:
            assert self.process.poll() is None, printed
            assert time.monotonic() < deadline, printed
            time.sleep(0.02)
        return printed

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


class Responder(Peer):
    """The session's own server."""

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [program("responder"), f"unix:{self.socket}"],
            stdout=self.output.open("wb"), stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Responder:
        self.wait_for("listening\n")
        self.socket.chmod(0o666)
        return self


class Libfcgi(Peer):
    """A program linked with libfcgi, its listener on descriptor 0."""

    def start(self) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket))
            listener.listen()
            return subprocess.Popen(
                [program("libfcgi")], stdin=listener,
                stdout=self.output.open("wb"), stderr=subprocess.STDOUT,
            )


FPM_USER = "user = root\ngroup = root\n"
FPM_CONF = """\
[global]
daemonize = no
error_log = {peer.output}
[peer]
{user}listen = {peer.socket}
pm = static
pm.max_children = {peer.children}
php_admin_value[post_max_size] = 64M
php_admin_value[upload_max_filesize] = 64M
php_admin_value[memory_limit] = 256M
{peer.settings}
"""


class PhpFpm(Peer):
    """php-fpm with one child; self.script answers."""

    children = 1
    settings = "php_admin_value[enable_post_data_reading] = 0"

    def start(self) -> subprocess.Popen[bytes]:
        self.script = self.directory / "peer.php"
        self.script.write_text(
            """<?php
            if (isset($_SERVER["LARGE"])) echo strlen($_SERVER["LARGE"]), " ";
            if (isset($_SERVER["BYTES"])) echo str_repeat("0123456789", $_SERVER["BYTES"] / 10);
            echo getmypid(), "\\n", file_get_contents("php://input");
            """
        )
        self.script.chmod(0o644)
        conf = self.directory / "fpm.conf"
        conf.write_text(FPM_CONF.format(peer=self, user=FPM_USER if os.geteuid() == 0 else ""))
        as_root = ["-R"] if os.geteuid() == 0 else []
        return subprocess.Popen([php_fpm(), "-n", "-y", str(conf), "-F", *as_root])

    def __enter__(self) -> PhpFpm:
        self.wait_for("ready to handle connections")
        return self


def php_fpm() -> str:
    """Debian's name carries the version."""
    found = sorted(Path("/usr/sbin").glob("php-fpm[0-9]*"))
    return str(found[-1]) if found else find("php-fpm")


def request(
    peer: Peer, *options: str, body: bytes = b"", params: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Ask PEER with the session's own client."""
    base = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "REQUEST_URI": "/"}
    if isinstance(peer, PhpFpm):
        base["SCRIPT_FILENAME"] = str(peer.script)
    return subprocess.run(
        [program("requester"), *options, f"unix:{peer.socket}"]
        + [f"{name}={value}" for name, value in {**base, **(params or {})}.items()],
        input=body, capture_output=True, timeout=90,
    )
