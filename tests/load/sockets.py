#!/usr/bin/env python3
"""Open many WebSockets on one async worker, and say what each costs gateway and worker.

    tests/load/sockets.py PREFIX/bin/penstock --count 10000

Each echoes a message when it was opened, then all are idle while memory is measured, then each
echoes again. Both ends need a descriptor for each: see `ulimit -n`.
"""
from __future__ import annotations

import argparse
import gc
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "system"))

from websocket import Socket  # noqa: E402

APP = HERE.parent / "system/apps"
SPARE = 200  # descriptors for everything else


def memory_of(pid: int) -> int:
    """PSS in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def children_of(pid: int) -> dict[str, int]:
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in pids}


def start(penstock: Path, count: int, options: list[str], log: Path) -> subprocess.Popen[bytes]:
    command = [str(penstock), "-b", "127.0.0.1:0", "-k", "async", "--worker-connections",
               str(count + 10), *options, "sockets:app"]  # fmt: skip
    with open(log, "wb") as to:
        return subprocess.Popen(command, cwd=APP, stderr=to, stdin=subprocess.DEVNULL)


def wait_for(process: subprocess.Popen[bytes], log: Path, pattern: str) -> re.Match[str]:
    end = time.monotonic() + 60
    while True:
        found = re.search(pattern, log.read_text())
        if found:
            return found
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"sockets.py: penstock does not serve:\n{log.read_text()}")
        time.sleep(0.05)


def open_all(port: int, count: int) -> list[Socket]:
    sockets = []
    for _ in range(count):
        socket = Socket(("127.0.0.1", port))
        assert socket.ask("hello") == "hello"
        sockets.append(socket)
    return sockets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("penstock", type=Path)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("options", nargs="*", help="of penstock")
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    args.penstock = args.penstock.resolve()
    count = min(args.count, hard - SPARE)
    if count < args.count:
        print(f"sockets.py: {count} only, as `ulimit -n` is {hard}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        process = start(args.penstock, count, args.options, log)
        try:
            port = int(wait_for(process, log, r"serves at http://127.0.0.1:(\d+)")[1])
            measure(process.pid, port, count)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def measure(pid: int, port: int, count: int) -> None:
    children = children_of(pid)
    warm = open_all(port, 10)
    before = {name: memory_of(child) for name, child in children.items()}
    began = time.monotonic()
    sockets = open_all(port, count - len(warm))
    took = time.monotonic() - began
    gc.collect()
    after = {name: memory_of(child) for name, child in children.items()}
    print(f"{count} WebSockets, opened in {took:.1f} s")
    for name in children:
        each = (after[name] - before[name]) / len(sockets) / 1024
        print(f"{name:10} {after[name] / 2**20:8.1f} MiB, {each:.2f} KiB for each")
    began = time.monotonic()
    for socket in sockets:
        assert socket.ask("again") == "again"
    print(f"each asked again in {time.monotonic() - began:.1f} s")
    for socket in warm + sockets:
        socket.close()


if __name__ == "__main__":
    main()
