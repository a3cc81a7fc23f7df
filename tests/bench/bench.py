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
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from peers import PEERS, Peer
from process import Noise, cpu_seconds, pss_kib, tree
from server import HERE, Failed, Server

BASE = "gunicorn-sync"  # the peer that the ratios refer to
CONNECTIONS = 64


@dataclass(frozen=True)
class Scenario:
    name: str
    app: str
    length: int  # of the body that must be answered
    workers: int = 1
    post: int = 0  # bytes of the request's body


SCENARIOS = (
    Scenario("hello", "wsgi_app:hello", 13),
    Scenario("hello-2w", "wsgi_app:hello", 13, workers=2),
    Scenario("cpu-2w", "wsgi_app:cpu", 13, workers=2),
    Scenario("post-64k", "wsgi_app:post", 5, post=65536),
    Scenario("stream-1m", "wsgi_app:stream", 1 << 20),
)
FIGURES = ("rps", "p50_ms", "p99_ms", "cpu_us", "busy", "noise", "errors")
Sample = dict[str, float]


def measure(server: Server, scenario: Scenario, seconds: int, cpu: int | None) -> Sample:
    """Load the server with wrk; CPU of the server's whole tree over the same time."""
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", "--timeout", "5s", "-s", str(HERE / "report.lua")]
    if cpu is not None:
        wrk = ["taskset", "-c", str(cpu), *wrk]
    url = f"http://127.0.0.1:{server.port}/"
    environment = dict(os.environ, POST_BYTES=str(scenario.post))
    with subprocess.Popen([*wrk, "-d", "9s", url], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as warm_up:
        time.sleep(0.5)
        warm_up.send_signal(signal.SIGINT)
    noise, used = Noise(server.root), cpu_seconds(server.root)
    out = subprocess.run([*wrk, "-d", f"{seconds}s", url], env=environment, check=True,
                         capture_output=True, text=True).stdout
    used = cpu_seconds(server.root) - used
    match = re.search(r"RESULT (\{.*\})", out)
    if not match:
        raise Failed(f"wrk printed no result: {out}")
    result = json.loads(match.group(1))
    if not result["requests"]:
        raise Failed("no request was answered")
    elapsed = result["us"] / 1e6
    return {"rps": result["requests"] / elapsed, "p50_ms": result["p50"] / 1e3,
            "p99_ms": result["p99"] / 1e3, "cpu_us": used * 1e6 / result["requests"],
            "busy": used / elapsed, "noise": noise.share(), "errors": result["errors"]}


def idle(server: Server, count: int) -> Sample:
    """Memory at rest, and what each of COUNT idle keep-alive connections adds to it."""
    time.sleep(0.5)
    before = pss_kib(tree(server.root))
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
        after = pss_kib(tree(server.root))
    finally:
        for client in sockets:
            client.close()
    return {"pss_mib": before / 1024, "kib_per_connection": (after - before) / count}


class Run:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.tokens = {"python": args.python, "penstock": args.penstock}
        self.pinned = args.pin and (os.cpu_count() or 1) > 1

    def missing(self, peer: Peer) -> str:
        """Why the peer cannot run here; "" when it can."""
        kind, _, name = peer.needs.format(**self.tokens).partition(":")
        if kind == "exe":
            return "" if shutil.which(name) else f"{name} is not installed"
        done = subprocess.run([self.args.python, "-c", f"import {name}"], capture_output=True)
        return f"{self.args.python} has no module {name}" if done.returncode else ""

    def version(self, peer: Peer) -> str:
        command = peer.version.format(**self.tokens).split()
        out = subprocess.run(command, capture_output=True, text=True).stdout
        return out.splitlines()[0] if out else "?"

    def start(self, peer: Peer, scenario: Scenario) -> Server:
        return Server(peer, scenario.app, scenario.workers, self.tokens, 0 if self.pinned else None)

    def once(self, peer: Peer, scenario: Scenario) -> Sample:
        server = self.start(peer, scenario)
        try:
            body = b"x" * scenario.post
            cold = server.wait_ready(body)
            status, answer = server.request(body)
            if status != 200 or len(answer) != scenario.length:
                raise Failed(f"answered {status} with {len(answer)} bytes")
            sample = measure(server, scenario, self.args.seconds, 1 if self.pinned else None)
            return {**sample, "cold_ms": cold * 1e3}
        finally:
            server.stop()

    def at_rest(self, peer: Peer) -> Sample:
        server = self.start(peer, SCENARIOS[0])
        try:
            server.wait_ready()
            return idle(server, self.args.idle)
        finally:
            server.stop()

    def rests(self, peers: list[Peer]) -> dict[str, Sample]:
        rows = {}
        for peer in peers:
            try:
                rows[peer.name] = self.at_rest(peer)
            except (Failed, OSError) as error:
                print(f"at rest, {peer.name}: {error}", file=sys.stderr)
        return rows

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


def table(scenario: Scenario, samples: dict[str, list[Sample]], pinned: bool) -> str:
    medians = {name: {figure: statistics.median(row[figure] for row in rows) for figure in FIGURES}
               for name, rows in samples.items() if rows}
    base = medians.get(BASE)
    where = "server on CPU 0, wrk on CPU 1" if pinned else "not pinned"
    lines = [f"### {scenario.name}: {scenario.workers} worker(s), {CONNECTIONS} connections, {where}",
             "", "| peer | " + " | ".join(FIGURES) + f" | rps / {BASE} | cpu / {BASE} |",
             "|---" * (len(FIGURES) + 3) + "|"]
    for name, row in sorted(medians.items(), key=lambda item: -item[1]["rps"]):
        ratios = (f"{row['rps'] / base['rps']:.2f} | {row['cpu_us'] / base['cpu_us']:.2f}"
                  if base else " | ")
        lines.append(f"| {name} | {row['rps']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | "
                     f"{row['cpu_us']:.1f} | {row['busy']:.2f} | {row['noise']:.2f} | "
                     f"{row['errors']:.0f} | {ratios} |")
    failed = [f"- {name}: no sample" for name, rows in samples.items() if not rows]
    return "\n".join([*lines, *failed, ""])


def rest_table(rows: dict[str, Sample], count: int) -> str:
    lines = [f"### At rest: one worker with hello, then {count} idle keep-alive connections", "",
             "| peer | PSS of all processes, MiB | KiB for each connection |", "|---|---|---|"]
    lines += [f"| {name} | {row['pss_mib']:.1f} | {row['kib_per_connection']:.2f} |"
              for name, row in rows.items()]
    return "\n".join([*lines, ""])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstock", default="penstock", help="the installed program")
    parser.add_argument("--python", default=sys.executable,
                        help="interpreter of the environment with gunicorn; Penstock uses it too")
    parser.add_argument("--scenario", default="hello", help="comma separated patterns")
    parser.add_argument("--peer", default="*", help="comma separated patterns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--pin", action="store_true", help="server on CPU 0, wrk on CPU 1")
    parser.add_argument("--idle", type=int, metavar="N", default=0,
                        help="measure memory too, with N idle connections")
    return parser.parse_args()


def chosen(patterns: str, names: list[str]) -> set[str]:
    found = {name for name in names for pattern in patterns.split(",")
             if fnmatch.fnmatch(name, pattern)}
    if not found:
        sys.exit(f"nothing matches {patterns}; there are: {', '.join(names)}")
    return found


def main() -> None:
    args = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = Run(args)
    names = chosen(args.peer, [peer.name for peer in PEERS])
    scenarios = chosen(args.scenario, [scenario.name for scenario in SCENARIOS])
    peers = []
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
          f"medians of {args.rounds} rounds of {args.seconds} s\n")
    for peer in PEERS:
        if peer.name in names:
            why = run.missing(peer)
            print(f"- {peer.name}: " + (f"left out, {why}" if why else run.version(peer)))
            if not why:
                peers.append(peer)
    print()
    for scenario in SCENARIOS:
        if scenario.name in scenarios:
            print(table(scenario, run.rounds(peers, scenario), run.pinned), flush=True)
    if args.idle:
        print(rest_table(run.rests(peers), args.idle))


if __name__ == "__main__":
    main()
