#!/usr/bin/env python3
"""Counts instructions for a request on the hot paths, and compares them with the committed figures.

Everything runs under callgrind, which counts the same whatever else the machine does, so that a
regression shows without timing. smoke.json holds the figures; --write sets them anew. What a worker
needs depends on its Python: with another one than the figures' only the gateway is compared.

A request costs the gateway the same with one slot, two connections and one route as with many: the
cases that are called flat are compared with the first of them.
"""
from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "smoke.json"
ROOM = 0.15
# The gateway makes no allocation for a request, but for what grows now and then.
ALLOCATIONS = 0.05
FLAT_ROOM = 0.10
WARM_UP, REQUESTS = 100, 500
# What is measured: a name for each, its options and application, and which programs count.
CASES = {
    "wsgi-sync": (["-k", "sync", "wsgi_app:hello"], "sync"),
    "wsgi-threaded": (["-k", "threaded", "--threads", "4", "wsgi_app:hello"], "threaded"),
    "asgi": (["-k", "async", "--loop", "asyncio", "asgi_app:hello"], "async"),
    "asgi-wait": (["-k", "async", "--loop", "asyncio", "asgi_app:io"], "async"),
}
ADAPTERS = ("sync", "threaded", "async")


@dataclass(frozen=True)
class Flat:
    """For the gateway alone: the workers are of a plugin in C, and run without callgrind."""

    slots: int = 1
    idle: int = 0  # clients that were answered and keep their connections
    routes: int = 0  # beside the one that is asked for

    def title(self) -> str:
        for count, what in (self.idle, "idle clients"), (self.routes, "routes"):
            if count:
                return f"{count} {what}"
        return f"{self.slots} slot{'s' if self.slots > 1 else ''}"

    def options(self, folder: Path) -> list[str]:
        plugin = build_plugin(folder)
        if not self.routes:
            return ["-k", "sync", "-w", str(self.slots), str(plugin)]
        write_routes(folder / "routes.yaml", plugin, self.routes)
        return ["-c", str(folder / "routes.yaml"), "-w", str(self.slots)]


SLOTS = 256
FLAT = {
    "flat": Flat(),
    "flat, 256 slots": Flat(slots=SLOTS),
    "flat, 1000 idle clients": Flat(idle=1000),
    "flat, 500 routes": Flat(routes=500),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def children(pid: int) -> dict[str, int]:
    """The programs that PID has started, by name."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        for word in command:
            name = os.path.basename(word.decode(errors="replace"))
            if name in ("gateway", *ADAPTERS) and not word.startswith(b"-"):
                found[name] = int(child)
                break
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Running:
    """Penstock under callgrind, but for the programs SKIPPED."""

    def __init__(self, penstock: str, python: str, options: list[str], folder: Path,
                 skipped: tuple[str, ...] = ()) -> None:
        skip = ",".join(f"*/{name}" for name in skipped)
        self.folder, self.port = folder, free_port()
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            ["valgrind", "--tool=callgrind", "--trace-children=yes",
             *([f"--trace-children-skip={skip}"] if skip else []),
             f"--callgrind-out-file={folder}/%p", penstock, "-b", f"127.0.0.1:{self.port}",
             "--gateway-timeout", "600", "-t", "600", "--graceful-timeout", "60", "--python", python,
             "--log-level", "warning", *options],
            cwd=HERE / "apps", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1"))

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def connect(self) -> http.client.HTTPConnection:
        """A connection on which the first request was answered."""
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                ask(connection, 1)
                return connection
            except (OSError, http.client.HTTPException):
                time.sleep(0.2)
        sys.exit(f"smoke: penstock did not serve:\n{self.said()}")

    def control(self, option: str, pids: list[int]) -> None:
        for pid in pids:
            subprocess.run(["callgrind_control", option, str(pid)], check=True,
                           capture_output=True)

    def stop(self) -> None:
        end(self.process)
        self.log.close()


def ask(connection: http.client.HTTPConnection, count: int) -> None:
    for _ in range(count):
        connection.request("GET", "/", headers={"Accept": "*/*", "User-Agent": "smoke"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or body != b"Hello, World!":
            sys.exit(f"smoke: answered {answer.status} with {body[:80]!r}")


def total(path: Path) -> int:
    match = re.search(r"^(?:totals|summary): (\d+)", path.read_text(errors="replace"), re.MULTILINE)
    if match is None:
        sys.exit(f"smoke: callgrind wrote no total to {path}")
    return int(match.group(1))


def allocations(path: Path) -> int:
    """How often memory was asked for."""
    names: dict[str, str] = {}
    count, callee = 0, ""
    for line in path.read_text(errors="replace").splitlines():
        match = re.match(r"(c?fn)=(\(\d+\))(?: (.*))?$", line)
        if match:
            kind, number, name = match.groups()
            names[number] = name or names.get(number, "")
            callee = names[number] if kind == "cfn" else ""
        elif line.startswith("calls=") and callee in ("malloc", "calloc", "realloc"):
            count += int(line[6:].split()[0])
    return count


def check_allocations(path: Path, requests: int, case: str) -> None:
    count = allocations(path)
    if count > requests * ALLOCATIONS:
        sys.exit(f"smoke: {case}: {count} allocations for {requests} requests")


def measure(penstock: str, python: str, case: str) -> dict[str, int]:
    options, adapter = CASES[case]
    with tempfile.TemporaryDirectory(prefix="penstock-smoke-") as folder:
        running = Running(penstock, python, options, Path(folder))
        try:
            connection = running.connect()
            ask(connection, WARM_UP)
            pids = children(running.process.pid)
            programs = {name: pids[name] for name in ("gateway", adapter)}
            running.control("-z", list(programs.values()))
            ask(connection, REQUESTS)
            running.control("-d", list(programs.values()))
            connection.close()
            check_allocations(Path(folder, f"{programs['gateway']}.1"), REQUESTS, case)
            return {f"{case}: {name}": total(Path(folder, f"{pid}.1")) // REQUESTS
                    for name, pid in programs.items()}
        finally:
            running.stop()


def build_plugin(folder: Path) -> Path:
    built = folder / "hello.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", str(built),
                    f"-I{HERE.parent.parent}/adapters/include", str(HERE / "hello_plugin.c")],
                   check=True)
    return built


def write_routes(path: Path, plugin: Path, count: int) -> None:
    """COUNT routes that are none of what is asked for, which the last one is for."""
    lines = ["pools:", "  hello:", f"    app: {plugin}", "    worker_class: sync", "routes:"]
    for n in range(count // 2):
        lines.append(f"  - {{path: /p{n}/a, pool: hello}}")
        lines.append(f"  - {{host: h{n}.example.org, path: /, pool: hello}}")
    lines.append("  - {path: /, pool: hello}")
    path.write_text("\n".join(lines) + "\n")


def idle_clients(running: Running, count: int) -> list[http.client.HTTPConnection]:
    """Each was answered once and keeps its connection."""
    return [running.connect() for _ in range(count)]


def measure_flat(penstock: str, python: str, case: Flat) -> int:
    """Instructions of the gateway for a request."""
    with tempfile.TemporaryDirectory(prefix="penstock-smoke-") as name:
        folder = Path(name)
        running = Running(penstock, python, case.options(folder), folder, ADAPTERS)
        try:
            connections = [running.connect() for _ in range(2)]
            kept = idle_clients(running, case.idle)
            # Slots take turns: each has had a request before anything is counted.
            for connection in connections:
                ask(connection, WARM_UP + SLOTS)
            pid = children(running.process.pid)["gateway"]
            running.control("-z", [pid])
            for connection in connections:
                ask(connection, REQUESTS)
            running.control("-d", [pid])
            for connection in connections + kept:
                connection.close()
            check_allocations(folder / f"{pid}.1", 2 * REQUESTS, case.title())
            return total(folder / f"{pid}.1") // (2 * REQUESTS)
        finally:
            running.stop()


def judge_flat(counted: dict[str, int]) -> bool:
    good = True
    plain = counted["flat: gateway"]
    for case in FLAT:
        count = counted[f"{case}: gateway"]
        if count > plain * (1 + FLAT_ROOM):
            print(f"{case}: {count} instructions, and {plain} without: FAILED")
            good = False
    return good


def python_version(python: str) -> str:
    return subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True, capture_output=True, text=True).stdout.strip()  # fmt: skip


def judge(counted: dict[str, int], figures: dict[str, int], same_python: bool) -> bool:
    good = True
    for name, count in counted.items():
        known = figures.get(name)
        if not same_python and not name.endswith(": gateway"):
            print(f"{name:32} {count:8} instructions, of another Python than the figure's")
            continue
        if known is None:
            print(f"{name:32} {count:8} instructions, and no figure in {FIGURES.name}: FAILED")
            good = False
            continue
        change = count / known - 1
        verdict = "FAILED" if change > ROOM else "ok"
        print(f"{name:32} {count:8} instructions, {change:+.1%} of {known}: {verdict}")
        good = good and change <= ROOM
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstock", default="penstock", help="the installed program")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the workers")
    parser.add_argument("--write", action="store_true", help=f"set the figures in {FIGURES.name}")
    args = parser.parse_args()
    counted: dict[str, int] = {}
    for case in CASES:
        counted |= measure(args.penstock, args.python, case)
    for name, flat in FLAT.items():
        counted[f"{name}: gateway"] = measure_flat(args.penstock, args.python, flat)
    version = python_version(args.python)
    if args.write:
        figures = {"python": version, "instructions": counted}
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    known = json.loads(FIGURES.read_text())
    good = judge(counted, known["instructions"], known["python"] == version)
    if not judge_flat(counted) or not good:
        sys.exit(f"smoke: a request costs more than {ROOM:.0%} more than it did: profile it, or if "
                 "the cost is right, set the figures anew with --write")


if __name__ == "__main__":
    main()
