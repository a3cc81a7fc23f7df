"""The kinds of measurement: under load, at rest, and at the start."""
from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from process import Noise, cpu_seconds, pss_kib, tree
from scenarios import Scenario
from server import HERE, Failed, Server

Sample = dict[str, float]


class Load:
    """wrk, or for WebSockets ws_load, on a CPU of its own if CPU says which."""

    def __init__(self, server: Server, scenario: Scenario, built: Path, cpu: int | None) -> None:
        self.scenario, self.port, self.built = scenario, server.port, built
        self.pin = [] if cpu is None else ["taskset", "-c", str(cpu)]
        self.environment = dict(os.environ, POST_BYTES=str(scenario.post))

    def command(self, seconds: float) -> list[str]:
        count = self.scenario.connections
        if self.scenario.websocket:
            return [*self.pin, str(self.built / "ws_load"), str(self.port), str(count), str(seconds)]
        return [*self.pin, "wrk", "-t1", f"-c{count}", "--timeout", "5s", "-d", f"{seconds:.0f}s",
                "-s", str(HERE / "report.lua"),
                f"http://127.0.0.1:{self.port}{self.scenario.path}"]

    def warm_up(self) -> None:
        with subprocess.Popen(self.command(9), env=self.environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)

    def run(self, seconds: int) -> dict[str, float]:
        done = subprocess.run(self.command(seconds), env=self.environment, capture_output=True,
                              text=True)
        match = re.search(r"RESULT (\{.*\})", done.stdout)
        if not match:
            raise Failed(f"the load printed no result: {done.stdout}{done.stderr}")
        result: dict[str, float] = json.loads(match.group(1))
        if not result["requests"]:
            raise Failed("no request was answered")
        return result


def measure(server: Server, load: Load, seconds: int) -> Sample:
    """CPU of the server's whole tree over the time of the load; with a server behind a front also
    that of the front alone."""
    load.warm_up()
    noise, used = Noise(server.roots), cpu_seconds(server.roots)
    front = cpu_seconds(server.roots[-1:])
    result = load.run(seconds)
    used, front = cpu_seconds(server.roots) - used, cpu_seconds(server.roots[-1:]) - front
    elapsed = result["us"] / 1e6
    alone = {"front_us": front * 1e6 / result["requests"]} if len(server.roots) > 1 else {}
    return {**alone, "rps": result["requests"] / elapsed, "p50_ms": result["p50"] / 1e3,
            "p99_ms": result["p99"] / 1e3, "cpu_us": used * 1e6 / result["requests"],
            "busy": used / elapsed, "noise": noise.share(), "errors": result["errors"]}


def connect(port: int) -> socket.socket:
    """A connection that was answered once and is kept."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while b"Hello, World!" not in answer:
        piece = client.recv(4096)
        if not piece:
            raise Failed("it closed a connection that it had not answered")
        answer += piece
    return client


def still_open(clients: list[socket.socket]) -> int:
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    return len(clients) - len(poll.poll(0))


def idle(server: Server, count: int) -> Sample:
    """Memory at rest, and what each of COUNT idle keep-alive connections adds to it; not that of
    a server that does not keep them."""
    time.sleep(0.5)
    before = pss_kib(tree(server.roots))
    sample = {"pss_mib": before / 1024}
    clients: list[socket.socket] = []
    try:
        clients.append(connect(server.port))
        time.sleep(0.2)
        while len(clients) < count and (len(clients) % 1000 != 1 or still_open(clients)):
            clients.append(connect(server.port))
        time.sleep(1)
        kept = still_open(clients)
        if kept == count:
            sample["kib_per_connection"] = (pss_kib(tree(server.roots)) - before) / count
    except (Failed, OSError):
        pass  # some keep a few connections only
    finally:
        for client in clients:
            client.close()
    return sample


def bare_interpreter(python: str) -> Sample:
    """What the interpreter needs that does nothing."""
    with subprocess.Popen([python, "-c", "import sys; sys.stdout.write('.'); sys.stdout.flush();"
                           " sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        began = time.perf_counter()
        process.stdout.read(1)
        cold = time.perf_counter() - began
        time.sleep(0.5)
        pss = pss_kib([process.pid])
        process.communicate()
    return {"pss_mib": pss / 1024, "cold_ms": cold * 1e3}
