"""The rows of the table."""
from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import actions
from actions import LOST
from trial import Case, Trial

Action = Callable[[Trial], Awaitable[None]]


async def steady(trial: Trial) -> None:
    while trial.goes_on:
        await asyncio.sleep(0.05)


async def crowded(trial: Trial) -> None:
    """More clients than may wait: who is too many is told so, and runs nowhere."""
    trial.allow("the queue is full", 1_000_000_000, "503")
    await steady(trial)
    full = sum(1 for failed in trial.clients.failures if failed.kind == "503")
    trial.expect(full > 0, "the queue was never full")


def again_and_again(action: Action, least: float = 0.5, most: float = 3.0) -> Action:
    """ACTION once at least, with a pause of that many seconds before each."""

    async def act(trial: Trial) -> None:
        await trial.pause(least, most)
        await action(trial)
        while trial.goes_on:
            await trial.pause(least, most)
            await action(trial)

    return act


async def recycled(trial: Trial) -> None:
    """Workers wear out by themselves: every heir is usable before its worker leaves."""
    while trial.goes_on or not trial.replaced:
        await asyncio.sleep(0.05)
        if trial.elapsed > 60 + trial.setup.seconds:
            raise RuntimeError("no worker was replaced")
        note_recycled(trial)


def note_recycled(trial: Trial) -> None:
    """How long each worn worker waited for its heir, as the log tells."""
    begun: dict[str, float] = {}
    trial.replaced.clear()
    for line in trial.server.log:
        if worn := re.search(r"worker (\S+)\.\d+ \(pid \d+\) .*: another is started in", line.text):
            begun[worn[1]] = line.at
        ready = re.search(r"worker (\S+)\.\d+ ready", line.text)
        if ready and ready[1] in begun:
            trial.replaced.append(line.at - begun.pop(ready[1]))
    trial.events = len(trial.replaced)


async def crashing(trial: Trial) -> None:
    """Each worker crashes at a certain request; that one is lost with it."""
    while trial.goes_on or not trial.events:
        await asyncio.sleep(0.01)
        note_crashes(trial)
    await trial.clients.stop()
    await asyncio.sleep(0.1)
    note_crashes(trial)


def note_crashes(trial: Trial) -> None:
    crashes = trial.server.find(r"worker \S+ \(pid \d+\) was killed by signal 11")
    for line in crashes[trial.events :]:
        allowance = trial.allow("crashed", trial.setup.in_flight, *LOST)
        allowance.since, allowance.until = line.at - 1, line.at
        trial.events += 1


# One application in two pools; the workers of a third crash as soon as they serve.
TWO_POOLS = """\
bind: 127.0.0.1:{port}
pools:
  web: {app: "app:app"}
  other: {app: "app:app", workers: 1}
  broken: {app: "crashing:app", workers: 2}
routes:
  - {path: /, pool: web}
  - {path: /mounted, pool: other, mount: true}
  - {path: /broken, pool: broken}
"""

# What a reload changes.
ONE_LISTENER = """\
bind: 127.0.0.1:{port}
pools:
  web: {app: "app:app"}
routes:
  - {path: /, pool: web}
"""
TWO_LISTENERS = """\
bind: [127.0.0.1:{port}, 127.0.0.1:{second}]
keep_alive: 60
pools:
  web: {app: "app:app"}
routes:
  - {path: /, pool: web}
  - {path: /changed, pool: web, mount: true}
"""

# The file that is reloaded says how many gateways there are.
TWO_GATEWAYS = "gateways: 2\n" + TWO_LISTENERS

PHP = """\
bind: 127.0.0.1:{port}
pools:
  php: {fastcgi: "unix:{directory}/php.sock", root: "{directory}", connections: 2}
"""

CASES = [
    Case("steady", "nothing happens", steady),
    Case("reload", "HUP with a new version", again_and_again(actions.reload)),
    Case(
        "reload-broken", "HUP with a version that fails at import",
        again_and_again(actions.broken_reload),
    ),
    Case(
        "reload-config", "HUP with other routes and listeners: a new gateway, too",
        again_and_again(actions.reload_config), configs=(ONE_LISTENER, TWO_LISTENERS),
        pool="web", prefixes=("", "/changed"),
    ),
    Case(
        "kill-in-reload", "kill -9 of a worker or a gateway during a reload",
        again_and_again(actions.kill_in_reload), configs=(ONE_LISTENER, TWO_LISTENERS),
        pool="web", prefixes=("", "/changed"),
    ),
    Case(
        "max-requests", "workers are recycled after 300 to 600 requests", recycled,
        ("--max-requests", "300", "--max-requests-jitter", "300"),
    ),
    Case(
        "max-lifetime", "workers are recycled after 2 s", recycled, ("--max-lifetime", "2"),
    ),
    Case(
        "max-memory", "workers are recycled when they have grown beyond 48 MiB", recycled,
        ("--max-memory", "48M"), env=(("LOAD_LEAK", "100000"),),
    ),
    Case("scale", "TTIN, then TTOU", again_and_again(actions.scale)),
    Case("leave", "a quarter of the clients leaves at any moment", steady, leavers=16),
    Case(
        "queue-limit", "16 requests may wait, of 64 clients: 503", crowded,
        # Not even async workers have room for all of the clients then.
        ("--queue-limit", "16", "--worker-connections", "8"),
    ),
    Case("restart", "TERM, and a new start", again_and_again(actions.restart)),
    Case("kill-worker", "kill -9 of a worker", again_and_again(actions.kill_worker)),
    Case(
        "kill-workers", "kill -9 of all workers at once",
        again_and_again(actions.kill_all_workers),
    ),
    Case("kill-gateway", "kill -9 of the gateway", again_and_again(actions.kill_gateway)),
    Case(
        "kill-one-gateway", "kill -9 of one of two gateways",
        again_and_again(actions.kill_gateway), ("--gateways", "2"),
    ),
    Case(
        "reload-gateways", "HUP with one gateway, then with two",
        again_and_again(actions.reload_config), configs=(ONE_LISTENER, TWO_GATEWAYS),
        pool="web", prefixes=("", "/changed"),
    ),
    Case(
        "kill-arbiter", "kill -9 of the arbiter, and a new start",
        again_and_again(actions.kill_arbiter),
    ),
    Case(
        "deadline", "requests that hang", again_and_again(actions.hang, 0, 1),
        ("--timeout", "2"),
    ),
    Case("ctl-scale", "penstock ctl scale", again_and_again(actions.ctl_scale)),
    Case("ctl-kill", "penstock ctl kill", again_and_again(actions.ctl_kill)),
    Case(
        "retry", "kill -9 of a worker with --retry idempotent",
        again_and_again(actions.kill_worker), ("--retry", "idempotent"), may_repeat=True,
    ),
    Case(
        "pools", "kill -9 of a worker, beside a pool whose workers all crash",
        again_and_again(actions.kill_worker), configs=(TWO_POOLS,), pool="web",
        prefixes=("", "/mounted"),
    ),
    Case(
        "php-fpm", "a pool of a php-fpm whose children end after 400 requests, or by kill -9",
        again_and_again(actions.kill_php), configs=(PHP,), prefixes=("/load.php",), php=True,
        ready="",
    ),
    Case(
        "crash", "the application crashes at its 1,000th request", crashing,
        env=(("LOAD_CRASH_AT", "1000"),),
    ),
]  # fmt: skip
