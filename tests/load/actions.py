"""What happens to a server under load. Each action waits until it is over, notes how long the
replacement of what it ended took, and allows the failures that it may cost: no others."""
from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time

from php import CHILDREN
from trial import Trial

LOST = ("502", "truncated")  # a request that a worker had begun when it died
RETRIED = ("502:upload", "truncated")  # ... with --retry idempotent
BROKEN = ("reset", "truncated")  # one that the gateway had when it died


async def reload(trial: Trial) -> None:
    """A new version is deployed; every worker is replaced. It costs nothing."""
    mark, begun = trial.server.mark(), time.monotonic()
    version = trial.server.deploy()
    trial.say(f"reload to version {version}")
    trial.server.signal(signal.SIGHUP)
    line = await trial.server.wait_for(r"reload (done|failed)", mark)
    trial.expect("done" in line.text, line.text)
    trial.replaced.append(line.at - begun)
    trial.events += 1
    await _until_served_by(trial, version)


async def _until_served_by(trial: Trial, version: str) -> None:
    end = time.monotonic() + 20
    while not trial.clients.versions[version]:
        if time.monotonic() > end:
            raise RuntimeError(f"no answer of version {version}, which was reloaded")
        await asyncio.sleep(0.01)


async def reload_config(trial: Trial) -> None:
    """The configuration file gets other routes and a listener more, or loses them again: a new
    gateway takes over, too. It costs nothing."""
    server = trial.server
    mark, begun = server.mark(), time.monotonic()
    trial.configuration = 1 - trial.configuration
    server.configure(trial.case.configs[trial.configuration], trial.setup.app)
    trial.say(f"reload of the configuration, number {trial.configuration}")
    server.signal(signal.SIGHUP)
    line = await server.wait_for(r"reload (done|failed)|nothing is reloaded", mark)
    trial.expect("done" in line.text, line.text)
    trial.replaced.append(line.at - begun)
    await _until_changed(trial)
    trial.events += 1


async def _until_changed(trial: Trial) -> None:
    """The new routes are in force, and the second listener is there or not. The old gateway may
    take some more connections until it has read that it is to drain."""
    server, end = trial.server, time.monotonic() + 10
    wanted = ("/changed", "") if trial.configuration == 1 else ("", None)
    while (found := await _scripts(trial, server.port, server.second_port)) != wanted:
        if time.monotonic() > end:
            raise RuntimeError(f"after the reload it is {found} instead of {wanted}")
        await asyncio.sleep(0.05)


async def _scripts(trial: Trial, port: int, second: int) -> tuple[str | None, str | None]:
    """The SCRIPT_NAME at /changed, and that at the second listener, None when it is not there."""
    script = await trial.clients.ask_anew(port, "/changed")
    try:
        return script, await trial.clients.ask_anew(second, "")
    except ConnectionRefusedError:
        return script, None


async def broken_reload(trial: Trial) -> None:
    """The new version fails at import: the old one serves on. It costs nothing."""
    mark = trial.server.mark()
    trial.server.deploy("raise LookupError('this version is broken')")
    trial.say("reload to a version that is broken")
    trial.server.signal(signal.SIGHUP)
    line = await trial.server.wait_for(r"reload (done|failed)", mark)
    trial.expect("reload failed" in line.text, line.text)
    trial.expect(
        bool(trial.server.find("LookupError: this version is broken", mark)),
        "nobody said why the version is broken",
    )
    trial.events += 1
    trial.server.deploy()


async def kill_worker(trial: Trial) -> None:
    """It costs the request that the worker had begun."""
    await _kill_workers(trial, 1)


async def kill_all_workers(trial: Trial) -> None:
    """All at once: each costs the request that it had begun."""
    await _kill_workers(trial, len(trial.server.workers()))


async def _kill_workers(trial: Trial, count: int) -> None:
    pids = trial.random.sample(trial.server.workers(), count)
    mark = trial.server.mark()
    kinds = RETRIED if trial.case.may_repeat else LOST
    allowance = trial.allow("worker killed", count * trial.setup.in_flight, *kinds)
    begun = time.monotonic()
    trial.say(f"kill -9 of the workers {pids}")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        await _until_replaced(trial, pid, mark, begun)
    allowance.until = time.monotonic()
    trial.events += 1


async def _until_replaced(trial: Trial, pid: int, mark: int, begun: float) -> None:
    line = await trial.server.wait_for(rf"worker \S+ \(pid {pid}\) (was|exited|has|is gone)", mark)
    slot = re.search(r"worker (\S+)\.\d+ ", line.text)
    if not slot or "another is started" not in line.text:
        return
    since = trial.server.log.index(line)
    line = await trial.server.wait_for(rf"worker {slot[1]}\.\d+ ready", since)
    trial.replaced.append(line.at - begun)


async def kill_php(trial: Trial) -> None:
    """A child of php-fpm: it costs the request that the child had begun."""
    assert trial.php
    pid = trial.random.choice(trial.php.children())
    allowance = trial.allow("child of php-fpm killed", 1, *LOST)
    trial.say(f"kill -9 of php-fpm's child {pid}")
    os.kill(pid, signal.SIGKILL)
    while pid in trial.php.children() or len(trial.php.children()) < CHILDREN:
        await asyncio.sleep(0.01)
    allowance.until = time.monotonic()
    trial.events += 1


async def kill_gateway(trial: Trial) -> None:
    """It costs what clients had asked, one request each at most; who connects now only waits."""
    while not (gateways := trial.server.gateways()):
        await asyncio.sleep(0.05)
    pid = trial.random.choice(gateways)
    mark, begun = trial.server.mark(), time.monotonic()
    allowance = trial.allow("gateway killed", trial.setup.clients, *BROKEN)
    trial.say(f"kill -9 of the gateway {pid}")
    os.kill(pid, signal.SIGKILL)
    line = await trial.server.wait_for(rf"gateway (\d+ )?\(pid {pid}\) was killed", mark)
    if "another is started" in line.text:  # the old one of a reload has its successor already
        line = await trial.server.wait_for(r"worker \S+ ready", trial.server.log.index(line))
        trial.replaced.append(line.at - begun)
    allowance.until = time.monotonic()
    trial.events += 1


async def kill_arbiter(trial: Trial) -> None:
    """Its gateway finishes what it has; who connects is refused until another one is started."""
    mark, begun = trial.server.mark(), time.monotonic()
    allowance = trial.allow("arbiter killed", 0, "refused")
    trial.say(f"kill -9 of the arbiter {trial.server.pid}")
    await trial.server.kill_arbiter()
    await trial.pause(0, 0.5)
    trial.server.start()
    line = await trial.server.wait_for("serves at", mark)
    trial.replaced.append(line.at - begun)
    allowance.until = time.monotonic()
    trial.events += 1


async def restart(trial: Trial) -> None:
    """TERM, and a new start: who connects meanwhile is refused, who has asked is answered."""
    mark, begun = trial.server.mark(), time.monotonic()
    allowance = trial.allow("stopped", 0, "refused")
    trial.say(f"TERM to {trial.server.pid}")
    status = await trial.server.end()
    trial.expect(status == 0, f"its exit status is {status}")
    trial.server.start()
    line = await trial.server.wait_for("serves at", mark)
    trial.replaced.append(line.at - begun)
    allowance.until = time.monotonic()
    trial.events += 1


async def scale(trial: Trial) -> None:
    """A worker more, and one less. It costs nothing."""
    mark, begun = trial.server.mark(), time.monotonic()
    trial.say("a worker more, and one less")
    trial.server.signal(signal.SIGTTIN)
    line = await trial.server.wait_for(r"a worker is added: (\d+) workers", mark)
    added = re.search(r"added: (\d+)", line.text)
    assert added
    line = await trial.server.wait_for(rf"worker (\S+\.)?{added[1]}\.\d+ ready", mark)
    trial.replaced.append(line.at - begun)
    await trial.pause(0.1, 1)
    trial.server.signal(signal.SIGTTOU)
    line = await trial.server.wait_for(r"is taken away: \d+ worker", mark)
    gone = re.search(r"\(pid (\d+)\)", line.text)
    assert gone
    await trial.server.wait_for(rf"\(pid {gone[1]}\) has left", mark)
    trial.events += 1


async def hang(trial: Trial) -> None:
    """A request that never ends: it alone is 504, and its worker is replaced."""
    mark, begun = trial.server.mark(), time.monotonic()
    request = trial.clients.draw("hang")
    allowance = trial.allow("deadline passed", 1, "504")
    trial.say(f"request {request.number} hangs")
    connection = await trial.clients.connect()
    trial.expect(await trial.clients.ask(connection, request) is None, "it was answered")
    connection.close()
    kind = trial.clients.failures[-1].kind
    trial.expect(kind == "504", f"the request that hung got {kind}")
    pid = trial.ledger.worker_of(request.number)
    await trial.server.wait_for(rf"\(pid {pid}\): GET \S*/hang/{request.number} passed", mark)
    late = time.monotonic()
    await _until_replaced(trial, pid or 0, mark, late)
    trial.expect(len(trial.server.find("passed its deadline", mark)) == 1, "others were late")
    allowance.until = time.monotonic()
    trial.say(f"request {request.number} is over after {allowance.until - begun:.1f} s")
    trial.events += 1


async def kill_in_reload(trial: Trial) -> None:
    """A worker or a gateway, new or old, is killed while a reload is going on: the reload may fail,
    and it costs what was running there."""
    server, mark = trial.server, trial.server.mark()
    version = server.deploy()
    if trial.case.configs and trial.random.random() < 0.5:
        trial.configuration = 1 - trial.configuration
        server.configure(trial.case.configs[trial.configuration], trial.setup.app)
    server.signal(signal.SIGHUP)
    await asyncio.sleep(trial.random.uniform(0, 0.4))
    pid, name = trial.random.choice(list(server.children().items()))
    if name == "gateway":
        allowance = trial.allow("gateway killed in a reload", trial.setup.clients, *BROKEN)
    else:
        allowance = trial.allow("worker killed in a reload", trial.setup.in_flight, *LOST)
    trial.say(f"reload to version {version}, and kill -9 of the {name} {pid}")
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was about to leave
    line = await server.wait_for(r"reload (done|failed)|nothing is reloaded", mark)
    trial.say(line.text)
    await _until_settled(trial)
    allowance.until = time.monotonic()
    trial.events += 1
    if "done" not in line.text:
        await reload(trial)


async def _until_settled(trial: Trial) -> None:
    """Every slot has a worker that serves, and nobody is about to be replaced."""
    end = time.monotonic() + 60
    while True:
        told = json.loads(await trial.server.ctl("--json", "status"))
        usable = [w["role"] == "holder" and w["state"] == "usable" for w in told["workers"]]
        if all(usable) and len(usable) == trial.setup.workers and (
            all(g["state"] == "usable" for g in told["gateways"])
            and told["instance"]["gateways_leaving"] == 0
        ):
            return
        if time.monotonic() > end:
            raise RuntimeError(f"it does not settle: {told['gateways']}, {told['workers']}")
        await asyncio.sleep(0.1)


async def ctl_scale(trial: Trial) -> None:
    """penstock ctl scale: two workers more, then as many as before. It costs nothing."""
    mark, begun = trial.server.mark(), time.monotonic()
    count, pool = trial.setup.workers, trial.case.pool
    trial.say(f"ctl scale {pool} {count + 2}")
    await trial.server.ctl("scale", pool, str(count + 2))
    for number in (count + 1, count + 2):
        line = await trial.server.wait_for(rf"worker (\S+\.)?{number}\.\d+ ready", mark)
        trial.replaced.append(line.at - begun)
    await trial.pause(0.1, 1)
    await trial.server.ctl("scale", pool, str(count))
    await trial.server.wait_for(r"is taken away: ", mark, count=2)
    for line in trial.server.find(r"is taken away: ", mark):
        gone = re.search(r"\(pid (\d+)\)", line.text)
        assert gone
        await trial.server.wait_for(rf"\(pid {gone[1]}\) has left", mark)
    trial.events += 1


async def ctl_kill(trial: Trial) -> None:
    """penstock ctl kill: it costs the request that the worker had begun."""
    status = json.loads(await trial.server.ctl("--json", "status"))
    worker = trial.random.choice(status["workers"])
    mark = trial.server.mark()
    allowance = trial.allow("ctl kill", trial.setup.in_flight, *LOST)
    begun = time.monotonic()
    trial.say(f"ctl kill {worker['id']} (pid {worker['pid']})")
    await trial.server.ctl("kill", worker["id"])
    await _until_replaced(trial, worker["pid"], mark, begun)
    allowance.until = time.monotonic()
    trial.events += 1
