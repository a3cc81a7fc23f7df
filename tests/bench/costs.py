"""What one request costs when there is much of something: slots, connections, routes, gateways."""
from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import measure as measuring
import smoke
from server import HERE, Failed, free_port

CONNECTIONS = 64
GATEWAYS = (1, 2)


def most_idle() -> int:
    """As many as one gateway has beside those that load it: it keeps a quarter of its descriptors, and
    some more, for files and workers."""
    return max(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] * 3 // 4 - 2 * CONNECTIONS - 100)


def flat_cases() -> list[smoke.Flat]:
    return [*(smoke.Flat(slots=count) for count in (1, 16, 64, 256)),
            *(smoke.Flat(idle=count) for count in (10, 1000, most_idle())),
            *(smoke.Flat(routes=count) for count in (100, 500))]


def cpu_ns(pid: int) -> int:
    """CPU time of a process: many that do little each would not make a tick."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


class Running:
    """Penstock with OPTIONS, as it is used: without callgrind."""

    def __init__(self, penstock: str, python: str, options: list[str]) -> None:
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [penstock, "-b", f"127.0.0.1:{self.port}", "--python", python, "--log-level", "warning",
             *options], cwd=HERE / "apps", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def wait(self) -> socket.socket:
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return measuring.connect(self.port)
            except (OSError, Failed):
                time.sleep(0.02)
        self.log.seek(0)
        raise Failed(f"penstock did not serve: {self.log.read()[-800:].decode(errors='replace')}")

    def used(self) -> tuple[int, int]:
        """CPU time of the gateways, and that of the workers, in ns."""
        gateways = workers = 0
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in map(int, children.split()):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "gateway":
                gateways += cpu_ns(pid)
            else:
                workers += cpu_ns(pid)
        return gateways, workers

    def load(self, seconds: int) -> dict[str, float]:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-s", str(HERE / "report.lua")]
        url = f"http://127.0.0.1:{self.port}/"
        subprocess.run([*command, "-d1s", url], capture_output=True, check=True)
        before = self.used()
        done = subprocess.run([*command, f"-d{seconds}s", url], capture_output=True, text=True, check=True)
        after = self.used()
        match = re.search(r'"requests": (\d+), "us": (\d+)', done.stdout)
        if match is None or match[1] == "0":
            raise Failed(f"the load printed no result: {done.stdout}{done.stderr}")
        gateway, workers = (round((end - start) / 1e3 / int(match[1]), 2)
                            for start, end in zip(before, after))
        return {"rps": round(int(match[1]) * 1e6 / int(match[2])), "gateway_us": gateway,
                "workers_us": workers}

    def stop(self) -> None:
        smoke.end(self.process)
        self.log.close()


def flat(penstock: str, python: str, case: smoke.Flat, seconds: int) -> dict[str, float]:
    clients: list[socket.socket] = []
    with tempfile.TemporaryDirectory(prefix="penstock-costs-") as folder:
        os.chmod(folder, 0o755)
        running = Running(penstock, python, case.options(Path(folder)))
        try:
            clients.append(running.wait())
            while len(clients) < case.idle:
                clients.append(measuring.connect(running.port))
            return running.load(seconds)
        finally:
            for client in clients:
                client.close()
            running.stop()


def gateways(penstock: str, python: str, count: int, seconds: int) -> dict[str, float]:
    running = Running(penstock, python, ["-k", "sync", "-w", str(max(GATEWAYS)), "--gateways", str(count),
                                         "wsgi_app:hello"])
    try:
        running.wait().close()
        return running.load(seconds)
    finally:
        running.stop()


def measure(penstock: str, python: str, seconds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"flat": [], "gateways": []}
    for case in flat_cases():
        row: dict[str, Any] = {"with": case.title(), **flat(penstock, python, case, seconds)}
        row["instructions"] = smoke.measure_flat(penstock, python, case)
        print(row, flush=True)
        result["flat"].append(row)
    for count in GATEWAYS:
        result["gateways"].append({"gateways": count, **gateways(penstock, python, count, seconds)})
    return result
