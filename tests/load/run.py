#!/usr/bin/env python3
"""What Penstock promises, in figures: requests under load while workers, gateway and arbiter are
reloaded, recycled and killed. docs/reliability.md tells how to read the table."""
from __future__ import annotations

import argparse
import asyncio
import fnmatch
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import php
from cases import CASES
from soak import SOAK
from trial import Case, Row, Setup, conduct

COLUMNS = (
    "case", "requests", "answered", "failed", "run twice", "events", "replaced in ms: p50", "max",
    "s", "",
)  # fmt: skip
CLASSES = ("sync", "threaded", "async")
SHOWN = 10  # wrongs of a case


def cells(row: Row) -> list[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(row.failed.items()))
    times = [1000 * seconds for seconds in row.replaced]
    return [
        row.case, str(row.sent), str(row.answered), kinds or "0", str(row.twice), str(row.events),
        f"{statistics.median(times):.0f}" if times else "", f"{max(times):.0f}" if times else "",
        f"{row.seconds:.0f}", "FAIL" if row.wrongs else "pass",
    ]  # fmt: skip


def line(words: list[str]) -> str:
    return "| " + " | ".join(words) + " |"


def show(row: Row) -> None:
    print(line(cells(row)), flush=True)
    for wrong in row.wrongs[:SHOWN]:
        print(f"{row.case}: {wrong}", file=sys.stderr, flush=True)
    if len(row.wrongs) > SHOWN:
        print(f"{row.case}: and {len(row.wrongs) - SHOWN} more", file=sys.stderr, flush=True)


def show_soak(row: Row) -> None:
    counted = [f"{count} {name}" for name, count in sorted(row.count.items())]
    print(f"\nsoak: {', '.join(counted)}\n{'FAIL' if row.wrongs else 'PASS'}", flush=True)


def chosen(patterns: list[str]) -> list[Case]:
    found = [case for case in CASES if any(fnmatch.fnmatch(case.name, p) for p in patterns)]
    if not found:
        sys.exit(f"run.py: no such case; there are {', '.join(case.name for case in CASES)}")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("cases", "soak"), default="cases")
    parser.add_argument("--penstock", required=True, help="the installed program")
    parser.add_argument("--seconds", type=float, default=30, help="for each case [30]")
    parser.add_argument("--minutes", type=float, default=10, help="of the soak [10]")
    parser.add_argument("--case", action="append", help="only these; * stands for anything")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-k", "--worker-class", default="sync", choices=CLASSES, help="[sync]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, help="gets a line for each action")
    parser.add_argument("--keep", type=Path, help="gets the server's log of a case that fails")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    setup = Setup(
        os.path.abspath(args.penstock), args.seconds, args.clients, args.workers, args.seed,
        args.log, args.keep, args.worker_class,
    )  # fmt: skip
    if args.what == "soak":
        setup = replace(setup, seconds=60 * args.minutes)
        cases = [SOAK]
    else:
        cases = chosen(args.case or ["*"])
    version = subprocess.run([setup.binary, "--version"], capture_output=True, text=True).stdout
    print(
        f"{version.splitlines()[0]}, {setup.workers} {setup.worker_class} workers, "
        f"{setup.clients} clients; "
        f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}\n"
    )
    print(line(list(COLUMNS)), line(["---"] * len(COLUMNS)), sep="\n", flush=True)
    failed = 0
    for case in cases:
        if case.php and not php.find():
            print(f"{case.name}: left out, php-fpm is not installed", file=sys.stderr)
            continue
        row = asyncio.run(conduct(setup, case))
        show(row)
        if case is SOAK:
            show_soak(row)
        failed += bool(row.wrongs)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
