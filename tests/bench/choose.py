#!/usr/bin/env python3
"""Prints which kind of worker does how well at what, for docs/choosing-a-worker.md.

The same application, as Flask has it (apps/choose_flask.py) and as Starlette and Tornado do, under
each kind of worker, which must all give the same answers.
"""
from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import platform
import shlex
import statistics
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bench import Run
from measure import Load
from peers import Peer, penstock
from process import Noise, pss_kib, tree
from scenarios import Scenario
from server import Failed, Server

POST = 65536
CONNECTIONS = (1, 16, 256)
ROUTES = {
    "cpu": "2 ms of Python",
    "wait": "10 ms of waiting as for a database",
    "half": "2 ms of Python, then 2 ms of waiting",
    "file": "10 ms of waiting as for a slow file, or within a library in C",
    "stream": "64 KiB in 16 pieces",
    "upload": "a body of 64 KiB is read and digested",
}
VISITS = 64
BEGIN, END = "<!-- by choose.py -->", "<!-- to here -->"
Answer = tuple[int, str | None, bytes]


@dataclass(frozen=True)
class Kind:
    name: str
    peer: Peer
    workers: int = 1


def kind(name: str, worker: str, options: str = "", workers: int = 1, **more: str) -> Kind:
    peer = penstock(worker, options={"*": options}, **more)
    return Kind(name, replace(peer, name=name), workers)


def kinds() -> list[Kind]:
    cores = os.cpu_count() or 1
    return [
        kind("sync", "sync"),
        kind(f"sync, {cores} workers", "sync", workers=cores),
        kind(f"sync, {2 * cores + 1} workers", "sync", workers=2 * cores + 1),
        kind("threaded, 2 threads", "threaded", "--threads 2"),
        kind("threaded, 16 threads", "threaded", "--threads 16"),
        kind(f"threaded, {cores} workers of 8", "threaded", "--threads 8", workers=cores),
        kind("gevent", "gevent", needs="module:gevent"),
        kind("eventlet", "eventlet", needs="module:eventlet"),
        kind("asyncio", "async", "--loop asyncio", serves="asgi", needs="module:starlette"),
        kind("uvloop", "async", "--loop uvloop", serves="asgi", needs="module:uvloop"),
        kind("tornado", "tornado", serves="tornado", needs="module:tornado"),
    ]


def scenario(worker: Kind, route: str = "", connections: int = 1) -> Scenario:
    apps = {"wsgi": "choose_flask:app", "asgi": "choose_starlette:app",
            "tornado": "choose_tornado:app"}
    return Scenario(route or "choose", apps, path=f"/{route}", connections=connections,
                    workers=worker.workers, post=POST if route == "upload" else 0)


def ask(port: int, route: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = b"x" * POST if route == "upload" else None
        connection.request("POST" if body else "GET", f"/{route}", body)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


def expected() -> dict[str, Answer]:
    """By the application's own words: nobody's answer is compared with another one's mistake."""
    n = 0
    for i in range(21_000):
        n = (n * 31 + i) & 0xFFFF
    digest = hashlib.sha256(b"x" * POST).hexdigest()
    words = {"cpu": f"{n}", "wait": "waited", "half": f"{n}, and waited", "file": "blocked",
             "stream": "x" * 65536, "upload": f"{POST} {digest}"}
    return {route: (200, "text/plain", text.encode()) for route, text in words.items()}


def check(server: Server) -> None:
    for route, answer in expected().items():
        for _ in range(2):
            got = ask(server.port, route)
            if got != answer:
                raise Failed(f"/{route} answered {got[:2]} {got[2][:80]!r}, not {answer[:2]} "
                             f"{answer[2][:80]!r}")


def visits(server: Server) -> int:
    """What a counter in a global says after VISITS requests by eight clients."""
    with ThreadPoolExecutor(8) as clients:
        answers = clients.map(lambda _: ask(server.port, "visit"), range(VISITS))
        return max(int(body) for _, _, body in answers)


class Cell:
    """One measurement: memory is that of the whole tree, under the load."""

    def __init__(self, server: Server, load: Load, seconds: int) -> None:
        self.kib = 0

        def weigh() -> None:
            self.kib = pss_kib(tree(server.roots))

        timer = threading.Timer(seconds * 0.7, weigh)
        noise = Noise(server.roots)
        timer.start()
        try:
            result = load.run(seconds)
        except Failed:  # none was answered within the time
            server.processes[-1].check()
            result = {"requests": 0, "us": seconds * 1e6, "p99": seconds * 1e6, "errors": 1}
        finally:
            timer.join()
        self.noise = noise.share()
        self.rps = result["requests"] / (result["us"] / 1e6)
        self.p99 = result["p99"] / 1e3
        self.wrong = result["errors"] > 0


Rows = dict[str, dict[int, Cell]]


def measure(worker: Kind, run: Run, routes: list[str], seconds: int) -> tuple[Rows, int]:
    """Few connections first: what many of them have taken of memory is not given back."""
    server = Server(worker.peer, scenario(worker), run.tokens, None)
    try:
        server.wait_ready(limit=60)
        check(server)
        counted = visits(server)
        rows: Rows = {route: {} for route in routes}
        if not seconds:
            return rows, counted
        for connections in CONNECTIONS:
            for route in routes:
                load = Load(server, scenario(worker, route, connections), run.built, None)
                rows[route][connections] = Cell(server, load, seconds)
                ask(server.port, "")  # behind all that the load has left to the application
        return rows, counted
    finally:
        server.stop()


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def line(route: str, name: str, cells: dict[int, Cell]) -> str:
    columns = [number(cell.rps) + ("*" if cell.wrong else "") for cell in cells.values()]
    columns += [number(cell.p99) for cell in cells.values()]
    columns += [number(cell.kib / 1024) for cell in cells.values()]
    return f"| {route} | {name} | " + " | ".join(columns) + " |"


def table(measured: dict[str, Rows], routes: list[str]) -> list[str]:
    heads = [f"{what} {count}" for what in ("rps,", "p99 ms,", "MiB,") for count in CONNECTIONS]
    lines = ["| route | worker | " + " | ".join(heads) + " |",
             "|---|---|" + "---:|" * len(heads)]
    for route in routes:
        lines += [line(route, name, rows[route]) for name, rows in measured.items()]
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--penstock", default="penstock", help="the installed program")
    parser.add_argument("--python", default=sys.executable,
                        help="interpreter of an environment with tests/bench/requirements.txt")
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement; 0: see only that all give the same answers")
    parser.add_argument("--kind", default="", help="only those whose name has this in it")
    parser.add_argument("--route", default=",".join(ROUTES), help="comma separated")
    parser.add_argument("--write", metavar="FILE", type=Path,
                        help="put it into FILE, too, in place of what an earlier run put there")
    parser.set_defaults(pin=False, older="", unit="")
    args = parser.parse_args()
    return args


def replay(args: argparse.Namespace) -> str:
    """The command, without where things are on this machine."""
    words = ["tests/bench/choose.py", "--seconds", str(args.seconds)]
    words += ["--kind", args.kind] if args.kind else []
    words += ["--route", args.route] if args.route != ",".join(ROUTES) else []
    return "python3 " + shlex.join(words)


def write(file: Path, text: str) -> None:
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{file} has no lines {BEGIN!r} and {END!r}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def main() -> int:
    args = arguments()
    routes = args.route.split(",")
    if unknown := set(routes) - set(ROUTES):
        sys.exit(f"no route {', '.join(unknown)}; there are: {', '.join(ROUTES)}")
    measured: dict[str, Rows] = {}
    left_out: list[str] = []
    counts: list[str] = []
    noise: list[float] = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as built:
        run = Run(args, Path(built))
        for worker in kinds():
            if args.kind not in worker.name:
                continue
            try:
                if why := run.missing(worker.peer):
                    raise Failed(why)
                rows, counted = measure(worker, run, routes, args.seconds)
            except (Failed, OSError, http.client.HTTPException) as error:
                left_out.append(f"- {worker.name} is left out: {error}")
                print(left_out[-1], file=sys.stderr)
                continue
            measured[worker.name] = rows
            counts.append(f"{worker.name}: {counted}")
            noise += [cell.noise for row in rows.values() for cell in row.values()]
    if not measured:
        return 1
    if not args.seconds:
        print(f"{', '.join(measured)}: all answer the same")
        return 1 if left_out else 0
    lines = [f"    {replay(args)}", "",
             f"{os.cpu_count()} cores, Linux {platform.release()}, {args.seconds} s for each figure at "
             f"1, 16 and 256 connections; {statistics.median(noise):.0%} of the machine went to other "
             "programs (median). An asterisk: requests failed, took longer than 5 s, or none was "
             "answered in time.", "",
             *table(measured, routes), "",
             f"A counter in a global, after {VISITS} requests by eight clients: {'; '.join(counts)}.",
             *(["", *left_out] if left_out else [])]
    print("\n".join(lines))
    if args.write:
        write(args.write, "\n".join(lines))
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
