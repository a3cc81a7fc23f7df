"""What an operator does while it serves: rotate the logs, add workers, take some away."""
from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from figures import Show
from load import Load
from penstock import eventually
from test_reload import Site, Start, site  # noqa: F401  (a fixture)


def rotated(path: Path) -> list[Path]:
    return sorted(path.parent.glob(path.name + "*"))


def test_no_line_is_lost_when_the_access_log_is_rotated(
    site, tmp_path: Path, show: Show
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    access = logs / "access.log"
    shop: Site = site("--access-logfile", str(access))
    with Load(shop.server, slow=0, uploads=0) as load:
        for number in (1, 2, 3):
            eventually(lambda: access.exists() and access.stat().st_size > 1000, "some lines")
            access.rename(logs / f"access.log.{number}")
            shop.server.signal(signal.SIGUSR1)
            shop.server.wait_for(r"SIGUSR1 from pid \d+: the log files were opened", number)
    eventually(lambda: access.exists() and access.stat().st_size > 0, "the last file")
    assert shop.server.stop() == 0
    lines = [len(path.read_text().splitlines()) for path in rotated(access)]
    show(f"3 rotations: {load.figures}; lines in each file: {lines}")
    assert load.failures == []
    assert sum(lines) == load.answered
    assert len(lines) == 4 and all(lines)


def test_the_error_log_is_opened_again_by_all(penstock: Start, tmp_path: Path) -> None:
    error, moved = tmp_path / "penstock.log", tmp_path / "moved.log"
    shop = Site(tmp_path)
    shop.deploy("1", "print('a worker speaks', flush=True)")
    server = penstock("site_app:app", "--error-logfile", str(error), cwd=tmp_path, ready=False)
    eventually(lambda: error.exists() and "ready" in error.read_text(), "its start")
    gateway = server.gateway_pid
    error.rename(moved)
    server.signal(signal.SIGUSR1)
    eventually(lambda: error.exists() and "opened again" in error.read_text(), "the new file")

    def files(pid: int) -> set[str]:
        links = Path(f"/proc/{pid}/fd").iterdir()
        return {os.readlink(link) for link in links}

    eventually(lambda: str(error) in files(gateway), "the gateway's part")
    assert str(moved) not in files(gateway)
    eventually(lambda: str(moved) not in files(server.pid), "the end of the old file")
    server.signal(signal.SIGHUP)
    eventually(lambda: "reload done" in error.read_text(), "a reload")
    assert "a worker speaks" in error.read_text()
    assert server.stop() == 0
    assert "Shutting down" in error.read_text() and "Shutting down" not in moved.read_text()


def test_a_log_that_cannot_be_opened_again(site, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    shop: Site = site("--access-logfile", str(logs / "access.log"))
    logs.rename(tmp_path / "moved")
    shop.server.signal(signal.SIGUSR1)
    shop.server.wait_for(r"--access-logfile: cannot open \S+ again: No such file or directory")
    shop.server.get("/")
    assert shop.server.stop() == 0
    assert len((tmp_path / "moved" / "access.log").read_text().splitlines()) == 1


def test_nothing_is_lost_by_more_and_fewer_workers(site, show: Show) -> None:
    shop: Site = site(workers=1)
    with Load(shop.server) as load:
        for number in (2, 3):
            shop.server.signal(signal.SIGTTIN)
            shop.server.wait_for(rf"a worker is added: {number} workers")
            shop.server.wait_for(rf"worker {number}\.{number} ready")
        time.sleep(0.5)
        for number in (2, 1):
            shop.server.signal(signal.SIGTTOU)
            shop.server.wait_for(rf"worker {number + 1}\.\d+ .* is taken away: {number} worker")
            shop.server.wait_for(rf"worker {number + 1}\.\d+ \(pid \d+\) has left: it exited with")
        shop.server.signal(signal.SIGTTOU)
        shop.server.wait_for("the last worker is kept")
    show(f"2 workers more, 2 less: {load.figures}")
    assert load.failures == [] and load.answered == load.sent
    assert len(shop.server.worker_pids) == 1
