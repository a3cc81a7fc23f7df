#!/usr/bin/env python3
"""Measures Penstock beside other application servers; README.md tells how to read it."""
from __future__ import annotations

import argparse
import datetime
import fnmatch
import os
import platform
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import costs
import report
from measure import Load, bare_interpreter, idle, measure
from peers import PEERS, Peer
from results import Results, Sample
from scenarios import SCENARIOS, Scenario
from server import HERE, Failed, Server

# What is no matter of rates does not become better with the rounds.
TIMES = {"cold": 3, "idle": 1}
BARE = "bare interpreter"
HELPERS = {"fcgi_hello": ["-lfcgi"], "floor_hello": [], "ws_load": []}


def build(folder: Path) -> None:
    """The helpers in C."""
    for name, libraries in HELPERS.items():
        subprocess.run(["cc", "-O2", "-o", folder / name, HERE / f"{name}.c", *libraries],
                       check=True)


class Run:
    def __init__(self, args: argparse.Namespace, built: Path) -> None:
        self.args, self.built = args, built
        self.tokens = {"python": args.python, "older": args.older or args.python,
                       # Of an environment of venv the name in it counts, not the file it links to.
                       "prefix": str(Path(args.python).absolute().parent.parent),
                       "unit": args.unit or "unit", "penstock": args.penstock, "built": str(built)}
        self.pinned = args.pin and (os.cpu_count() or 1) > 1

    def missing(self, peer: Peer) -> str:
        """Why the peer cannot run here; "" when it can."""
        for need in peer.needs.format(**self.tokens).split():
            kind, _, name = need.partition(":")
            if kind == "exe" and not shutil.which(name):
                return f"{os.path.basename(name)} is not installed"
            if kind == "older" and not self.args.older:
                return "it needs --older"
            python = self.tokens["older" if kind == "older" else "python"]
            if kind != "exe" and subprocess.run([python, "-c", f"import {name}"],
                                                capture_output=True).returncode:
                return f"Python has no module {name}"
        return ""

    def version(self, peer: Peer) -> str:
        done = subprocess.run(shlex.split(peer.version.format(**self.tokens)), capture_output=True,
                              text=True)
        out = done.stdout + done.stderr
        return out.splitlines()[0] if out else "?"

    def takes_part(self, peer: Peer, scenario: Scenario) -> bool:
        fronted = peer.behind is not None and peer.serves != "fastcgi"
        return (peer.serves in scenario.apps and peer.name not in scenario.skip and not peer.unix
                and fronted == scenario.fronted and (peer.websocket or not scenario.websocket)
                and (not peer.only or scenario.name in peer.only))

    def once(self, peer: Peer, scenario: Scenario) -> Sample:
        pinned = self.pinned and scenario.pin
        server = Server(peer, scenario, self.tokens, 0 if pinned else None)
        try:
            body = b"x" * scenario.post
            cold = server.wait_ready(body)
            if scenario.measures == "cold":
                return {"cold_ms": cold * 1e3}
            if scenario.measures == "idle":
                return idle(server, self.args.idle)
            status, answer = server.request(body)
            if status != 200 or len(answer) != scenario.length:
                raise Failed(f"answered {status} with {len(answer)} bytes")
            load = Load(server, scenario, self.built, 1 if pinned else None)
            return measure(server, load, self.args.seconds)
        finally:
            server.stop()

    def rounds(self, peers: list[Peer], scenario: Scenario) -> dict[str, list[Sample]]:
        """Every peer once in each round, so that a drift of the machine's speed meets all; one that
        fails in the first is not tried again."""
        samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
        for number in range(TIMES.get(scenario.measures, self.args.rounds)):
            if scenario.measures != "load":
                samples.setdefault(BARE, []).append(bare_interpreter(self.args.python))
            for peer in [peer for peer in peers if number == 0 or samples[peer.name]]:
                try:
                    samples[peer.name].append(self.once(peer, scenario))
                except (Failed, OSError, subprocess.SubprocessError) as error:
                    print(f"{scenario.name}, {peer.name}, round {number + 1}: {error}",
                          file=sys.stderr)
        return samples


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstock", default="penstock", help="the installed program")
    parser.add_argument("--python", default=sys.executable,
                        help="interpreter of the environment with the peers; Penstock uses it too")
    parser.add_argument("--older", default="",
                        help="that of one with older releases (requirements-older.txt)")
    parser.add_argument("--unit", default="", help="the folder where NGINX Unit is installed")
    parser.add_argument("--scenario", default="hello", help='comma separated patterns; "" for none')
    parser.add_argument("--peer", default="*", help="comma separated patterns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--pin", action="store_true", help="server on CPU 0, the load on CPU 1")
    parser.add_argument("--idle", type=int, metavar="N", default=1000,
                        help="connections of the scenario idle (1000)")
    parser.add_argument("--costs", action="store_true",
                        help="measure what a request costs with many slots, connections, routes, gateways")
    parser.add_argument("--write", metavar="DIR", type=Path,
                        help="add the results to DIR/performance/results.json, and make "
                        "DIR/performance.md and its plots of them all")
    args = parser.parse_args()
    for name in "penstock", "python", "older", "unit":  # peers run elsewhere
        given = getattr(args, name)
        setattr(args, name, os.path.abspath(shutil.which(given) or given) if given else "")
    return args


def chosen(patterns: str, names: list[str]) -> set[str]:
    found = {name for name in names for pattern in patterns.split(",")
             if fnmatch.fnmatch(name, pattern)}
    if not found and patterns:
        sys.exit(f"nothing matches {patterns}; there are: {', '.join(names)}")
    return found


def machine() -> str:
    match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (f"{match.group(1) if match else platform.machine()}, {os.cpu_count()} cores, Linux "
            f"{platform.release()}")


def command_line() -> str:
    """What was typed, without the paths of this machine."""
    words = [os.path.basename(word) if word.startswith("/") else word for word in sys.argv[1:]]
    return "python3 tests/bench/bench.py " + shlex.join(words)


def present(run: Run, names: set[str], results: Results) -> list[Peer]:
    peers = []
    for peer in PEERS:
        if peer.name in names and not peer.unix:
            why = run.missing(peer)
            results.versions[peer.name] = f"left out, {why}" if why else run.version(peer)
            print(f"- {peer.name}: {results.versions[peer.name]}", flush=True)
            if not why:
                peers.append(peer)
    return peers


def run_scenario(run: Run, scenario: Scenario, peers: list[Peer], results: Results) -> None:
    pinned = run.pinned and scenario.pin
    for name, samples in run.rounds(peers, scenario).items():
        if samples:
            results.add(scenario.name, name, samples, pinned)
        else:
            results.forget(scenario.name, name)


def main() -> None:
    args = arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = chosen(args.peer, [peer.name for peer in PEERS])
    scenarios = chosen(args.scenario, [scenario.name for scenario in SCENARIOS])
    store = args.write / "performance" / "results.json" if args.write else None
    results = Results.read(store)
    results.begin(command_line(), datetime.date.today().isoformat(), machine())
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as built:
        build(Path(built))
        run = Run(args, Path(built))
        peers = present(run, names, results) if scenarios else []
        for scenario in SCENARIOS:
            taking = [peer for peer in peers if run.takes_part(peer, scenario)]
            if scenario.name in scenarios and taking:
                run_scenario(run, scenario, taking, results)
                print("\n" + report.table(scenario, results), flush=True)
                if store:
                    results.write(store)
    if args.costs:
        results.set_costs(costs.measure(args.penstock, args.python, args.seconds))
        print("\n" + report.costs_text(results.costs), flush=True)
    print("\n" + report.targets_table(results))
    if store:
        results.write(store)
        report.write(results, args.write)


if __name__ == "__main__":
    main()
