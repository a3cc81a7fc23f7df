#!/usr/bin/env python3
"""Send thousands of generated requests to nginx, Node's http and Penstock, and compare.

Each connection carries a request and, behind it, a canary: a server that takes the request's
length for another than its neighbour does would serve the canary, or not, or something else. Every
disagreement with Penstock must have an explanation in explanations.py, found by the names of the
mutations that made the request. Prints a table of them; exit status 1 when one has none.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import sys

import servers
from explanations import EXPLANATIONS
from generator import MUTATIONS, Case, generate

PEERS = ("nginx", "node")


def verdict(ours: servers.Outcome, theirs: servers.Outcome) -> str:
    """How THEIRS differs, in words; "" when it does not."""

    def served(outcome: servers.Outcome) -> servers.Outcome:
        return tuple(line for line in outcome if line != "refused")

    if served(ours) == served(theirs):
        return ""
    if not served(ours):
        return "served, we refuse"
    if not served(theirs):
        return "refused, we serve"
    if len(served(ours)) != len(served(theirs)):
        return "another number of requests"
    return "another request"


def explanation(case: Case, peer: str, how: str) -> str | None:
    for tag in case.tags:
        for who, what, why in EXPLANATIONS.get(tag, []):
            if who in (peer, "both") and what == how:
                return why
    return None


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=3000)
    options.add_argument("--verbose", action="store_true", help="print every unexplained request")
    options.add_argument("program", help="the installed penstock")
    arguments = options.parse_args()

    seen: collections.Counter[tuple[str, str, str]] = collections.Counter()
    agreed = collections.Counter[str]()
    unexplained = 0
    with contextlib.ExitStack() as stack:
        ports = {"nginx": stack.enter_context(servers.nginx()), "node": stack.enter_context(servers.node())}
        ours_port = stack.enter_context(servers.penstock(arguments.program))
        for case in generate(arguments.seed, arguments.count):
            ours, status = servers.talk(ours_port, case.wire)
            for peer in PEERS:
                theirs, their_status = servers.talk(ports[peer], case.wire)
                how = verdict(ours, theirs)
                if not how:
                    agreed[peer] += 1
                    continue
                why = explanation(case, peer, how)
                if why is not None:
                    seen[peer, how, why] += 1
                    continue
                unexplained += 1
                print(f"unexplained: {' + '.join(case.tags)}: {peer}: {how}")
                if arguments.verbose:
                    print(f"  {case.wire!r}\n  Penstock {status} {ours}\n  {peer} {their_status} {theirs}")
    for (peer, how, why), count in sorted(seen.items()):
        print(f"| {peer} | {how} | {why} | {count} |")
    print(f"{arguments.count} requests of {len(MUTATIONS)} kinds: nginx agrees {agreed['nginx']} times, "
          f"Node {agreed['node']} times; {sum(seen.values())} disagreements explained, {unexplained} not")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
