"""A php-fpm that runs by itself, for a pool of foreign workers."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from server import HERE, PATIENCE

CHILDREN = 2
_CONF = """\
[global]
error_log = {directory}/fpm.log
daemonize = no
[load]
{user}
listen = {directory}/php.sock
listen.mode = 0666
pm = static
pm.max_children = {children}
pm.max_requests = 400
clear_env = no
php_admin_value[output_buffering] = 0
"""


def find() -> str | None:
    """Debian's name carries the version, and is not in everybody's PATH."""
    found = sorted(Path("/usr/sbin").glob("php-fpm[0-9]*"))
    return str(found[-1]) if found else shutil.which("php-fpm")


class PhpFpm:
    """It serves DIRECTORY/load.php at DIRECTORY/php.sock."""

    def __init__(self, directory: Path) -> None:
        shutil.copy(HERE / "load.php", directory)
        as_root = os.geteuid() == 0
        conf = directory / "fpm.conf"
        user = "user = root\ngroup = root" if as_root else ""
        conf.write_text(_CONF.format(directory=directory, user=user, children=CHILDREN))
        program = find()
        assert program
        self._process = subprocess.Popen(
            [program, "-n", "-y", str(conf), "-F", *(["-R"] if as_root else [])],
            env=os.environ | {"LOAD_LEDGER": str(directory / "ledger")},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while not (directory / "php.sock").exists() or not self.children():
            if time.monotonic() > end:
                raise RuntimeError(f"php-fpm does not start: {(directory / 'fpm.log').read_text()}")
            time.sleep(0.02)

    def children(self) -> list[int]:
        pid = self._process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
