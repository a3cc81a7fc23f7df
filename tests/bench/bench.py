#!/usr/bin/env python3
"""Measures Penstock beside other application servers; README.md tells how to read it."""
from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import re
import resource
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from peers import PEERS, Peer
from process import Noise, cpu_seconds, pss_kib, tree
from scenarios import SCENARIOS, Scenario
from server import HERE, Failed, Server

Sample = dict[str, float]
REST = Scenario("rest", {"wsgi": "wsgi_app:hello", "asgi": "asgi_app:hello"})


def build(folder: Path) -> None:
    """The helpers in C: a FastCGI program, and the load of WebSockets."""
    for name, libraries in (("fcgi_hello", ["-lfcgi"]), ("ws_load", [])):
        subprocess.run(["cc", "-O2", "-o", folder / name, HERE / f"{name}.c", *libraries],
                       check=True)


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
    """CPU of the server's whole tree over the time of the load."""
    load.warm_up()
    noise, used = Noise(server.roots), cpu_seconds(server.roots)
    result = load.run(seconds)
    used = cpu_seconds(server.roots) - used
    elapsed = result["us"] / 1e6
    return {"rps": result["requests"] / elapsed, "p50_ms": result["p50"] / 1e3,
            "p99_ms": result["p99"] / 1e3, "cpu_us": used * 1e6 / result["requests"],
            "busy": used / elapsed, "noise": noise.share(), "errors": result["errors"]}


def idle(server: Server, count: int) -> Sample:
    """Memory at rest, and what each of COUNT idle keep-alive connections adds to it."""
    time.sleep(0.5)
    before = pss_kib(tree(server.roots))
    sockets = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            sockets.append(client)
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while b"Hello, World!" not in answer:
                piece = client.recv(4096)
                if not piece:
                    raise Failed(f"connection {len(sockets)} was closed")
                answer += piece
        time.sleep(1)
        after = pss_kib(tree(server.roots))
    finally:
        for client in sockets:
            client.close()
    return {"pss_mib": before / 1024, "kib_per_connection": (after - before) / count}


class Run:
    def __init__(self, args: argparse.Namespace, built: Path) -> None:
        self.args, self.built = args, built
        self.tokens = {"python": args.python, "older": args.older or args.python,
                       "penstock": args.penstock, "built": str(built)}
        self.pinned = args.pin and (os.cpu_count() or 1) > 1

    def missing(self, peer: Peer) -> str:
        """Why the peer cannot run here; "" when it can."""
        for need in peer.needs.format(**self.tokens).split():
            kind, _, name = need.partition(":")
            if kind == "exe" and not shutil.which(name):
                return f"{name} is not installed"
            if kind == "older" and not self.args.older:
                return "it needs --older"
            python = self.tokens["older" if kind == "older" else "python"]
            if kind != "exe" and subprocess.run([python, "-c", f"import {name}"],
                                                capture_output=True).returncode:
                return f"{python} has no module {name}"
        return ""

    def version(self, peer: Peer) -> str:
        done = subprocess.run(shlex.split(peer.version.format(**self.tokens)), capture_output=True,
                              text=True)
        out = done.stdout + done.stderr
        return out.splitlines()[0] if out else "?"

    def takes_part(self, peer: Peer, scenario: Scenario) -> bool:
        fronted = peer.behind is not None and peer.serves != "fastcgi"
        return (peer.serves in scenario.apps and peer.name not in scenario.skip
                and fronted == scenario.fronted and (peer.behind is not None or peer.serves != "fastcgi")
                and (peer.websocket or not scenario.websocket))

    def once(self, peer: Peer, scenario: Scenario) -> Sample:
        pinned = self.pinned and scenario.pin
        server = Server(peer, scenario, self.tokens, 0 if pinned else None)
        try:
            body = b"x" * scenario.post
            cold = server.wait_ready(body)
            status, answer = server.request(body)
            if status != 200 or len(answer) != scenario.length:
                raise Failed(f"answered {status} with {len(answer)} bytes")
            load = Load(server, scenario, self.built, 1 if pinned else None)
            return {**measure(server, load, self.args.seconds), "cold_ms": cold * 1e3}
        finally:
            server.stop()

    def rounds(self, peers: list[Peer], scenario: Scenario) -> dict[str, list[Sample]]:
        """Every peer once in each round, so that a drift of the machine's speed meets all."""
        samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
        for number in range(self.args.rounds):
            for peer in peers:
                try:
                    samples[peer.name].append(self.once(peer, scenario))
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    print(f"{scenario.name}, {peer.name}, round {number + 1}: {error}",
                          file=sys.stderr)
        return samples

    def rests(self, peers: list[Peer]) -> dict[str, Sample]:
        rows = {}
        for peer in peers:
            try:
                server = Server(peer, REST, self.tokens, 0 if self.pinned else None)
                try:
                    cold = server.wait_ready() * 1e3
                    rows[peer.name] = {**idle(server, self.args.idle), "cold_ms": cold}
                finally:
                    server.stop()
            except (Failed, OSError) as error:
                print(f"at rest, {peer.name}: {error}", file=sys.stderr)
        return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstock", default="penstock", help="the installed program")
    parser.add_argument("--python", default=sys.executable,
                        help="interpreter of the environment with the peers; Penstock uses it too")
    parser.add_argument("--older", default="",
                        help="that of one with older releases (requirements-older.txt)")
    parser.add_argument("--scenario", default="hello", help="comma separated patterns")
    parser.add_argument("--peer", default="*", help="comma separated patterns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--pin", action="store_true", help="server on CPU 0, the load on CPU 1")
    parser.add_argument("--idle", type=int, metavar="N", default=0,
                        help="measure memory and start too, with N idle connections")
    parser.add_argument("--write", metavar="DIR", type=Path,
                        help="write performance.md and its plots there")
    return parser.parse_args()


def chosen(patterns: str, names: list[str]) -> set[str]:
    found = {name for name in names for pattern in patterns.split(",")
             if fnmatch.fnmatch(name, pattern)}
    if not found:
        sys.exit(f"nothing matches {patterns}; there are: {', '.join(names)}")
    return found


def machine(args: argparse.Namespace) -> str:
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (f"{match.group(1) if match else platform.machine()}, {os.cpu_count()} CPUs, Linux "
            f"{platform.release()}, medians of {args.rounds} rounds of {args.seconds} s")


def present(run: Run, names: set[str], out: report.Report) -> list[Peer]:
    peers = []
    for peer in PEERS:
        if peer.name in names:
            why = run.missing(peer)
            out.peer(peer.name, f"left out, {why}" if why else run.version(peer))
            if not why:
                peers.append(peer)
    return peers


def main() -> None:
    args = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = chosen(args.peer, [peer.name for peer in PEERS])
    scenarios = chosen(args.scenario, [scenario.name for scenario in SCENARIOS])
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as built:
        build(Path(built))
        run = Run(args, Path(built))
        out = report.Report(machine(args), args.write)
        peers = present(run, names, out)
        for scenario in SCENARIOS:
            taking = [peer for peer in peers if run.takes_part(peer, scenario)]
            if scenario.name in scenarios and taking:
                out.scenario(scenario, run.rounds(taking, scenario), run.pinned and scenario.pin)
        if args.idle:
            out.rest(run.rests([peer for peer in peers if peer.serves != "fastcgi"
                                and peer.behind is None]), args.idle)
    out.close()


if __name__ == "__main__":
    main()
