"""One server under load, what is done to it, and the judgement: what failed that must not?"""
from __future__ import annotations

import asyncio
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from clients import Clients, Failed
from ledger import Ledger, contradictions
from php import PhpFpm
from server import Server

THREADS = 8  # of each threaded worker
NEAR = 5.0  # seconds after an event was over in which its failures may still show


@dataclass
class Allowance:
    """What an event costs: that many failures of these kinds, while it is going on. "502:upload"
    is a 502 for an upload only."""

    why: str
    kinds: tuple[str, ...]
    left: int
    since: float
    until: float = math.inf

    def covers(self, failed: Failed) -> bool:
        fits = failed.kind in self.kinds or f"{failed.kind}:{failed.asked}" in self.kinds
        return self.left > 0 and fits and self.since <= failed.at <= self.until + NEAR


@dataclass(frozen=True)
class Setup:
    binary: str
    seconds: float
    clients: int
    workers: int
    seed: int
    log: Path | None = None  # gets a line for each action, too
    keep: Path | None = None  # gets the server's log when something is wrong
    worker_class: str = "sync"

    @property
    def in_flight(self) -> int:
        """What one worker may have begun with, or be about to answer: a sync worker may hold back
        three answers of quick requests behind the one that runs."""
        most = {"sync": 4, "threaded": THREADS, "async": self.clients}[self.worker_class]
        return min(most, self.clients)

    @property
    def app(self) -> str:
        return "asgi_app:app" if self.worker_class == "async" else "app:app"

    @property
    def options(self) -> list[str]:
        threads = ["--threads", str(THREADS)] if self.worker_class == "threaded" else []
        return ["-k", self.worker_class, *threads, "-w", str(self.workers)]


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    act: Callable[[Trial], Awaitable[None]]
    options: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    configs: tuple[str, ...] = ()  # one penstock.yaml after the other; server.configure()
    pool: str = "default"
    prefixes: tuple[str, ...] = ("",)  # of the paths that are asked for
    ready: str = r"worker (web\.)?\d+\.\d+ ready"  # in the log, from each worker
    php: bool = False  # needs a php-fpm
    leavers: int = 0
    may_repeat: bool = False  # a request may run twice


@dataclass
class Row:
    """One line of the table."""

    case: str
    sent: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    events: int = 0
    count: Counter[str] = field(default_factory=Counter)
    replaced: list[float] = field(default_factory=list)  # seconds
    seconds: float = 0.0
    wrongs: list[str] = field(default_factory=list)  # none: the case passed


class Trial:
    def __init__(self, setup: Setup, case: Case, directory: Path) -> None:
        self.setup, self.case = setup, case
        self.random = random.Random(setup.seed)
        options = [*setup.options, *case.options]
        options += ["-c", "penstock.yaml"] if case.configs else [setup.app]
        self.server = Server(setup.binary, directory, options, dict(case.env))
        if case.configs:
            self.server.configure(case.configs[0], setup.app)
        self.configuration = 0  # which of them
        self.ledger = Ledger(directory / "ledger")
        self.php: PhpFpm | None = None
        self.clients: Clients
        self.allowances: list[Allowance] = []
        self.wrongs: list[str] = []
        self.replaced: list[float] = []
        self.events = 0
        self.count: Counter[str] = Counter()  # events by what they were
        self.descriptors: dict[str, int] = {}  # of the processes at the start
        self._begun = time.monotonic()

    # ---- for what is done to it

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._begun

    @property
    def goes_on(self) -> bool:
        return self.elapsed < self.setup.seconds

    async def pause(self, least: float, most: float) -> None:
        """Shorter in a short trial, so that something happens in each."""
        scale = min(1.0, self.setup.seconds / 10)
        await asyncio.sleep(self.random.uniform(least, most) * scale)

    def say(self, text: str) -> None:
        if self.setup.log:
            with open(self.setup.log, "a") as file:
                print(f"{self.elapsed:8.3f} {text}", file=file)

    def expect(self, condition: bool, text: str) -> None:
        if not condition:
            self.wrongs.append(text)
            self.say(f"WRONG: {text}")

    def allow(self, why: str, total: int, *kinds: str) -> Allowance:
        allowance = Allowance(why, kinds, total, time.monotonic())
        self.allowances.append(allowance)
        return allowance

    # ---- its life

    async def start(self) -> None:
        self.server.deploy()
        if self.case.php:
            self.php = PhpFpm(self.server.directory)
        self.server.start()
        await self.server.wait_for("serves at")
        if self.case.ready:
            await self.server.wait_for(self.case.ready, count=self.setup.workers)
        self.descriptors = self.server.descriptors()
        self.clients = Clients(
            self.server.port, self.setup.clients, self.setup.seed, self.case.leavers,
            self.case.prefixes,
        )  # fmt: skip
        self._begun = time.monotonic()

    async def conduct(self) -> Row:
        row = Row(self.case.name)
        try:
            await self.start()
            await self.case.act(self)
        except RuntimeError as error:
            self.wrongs.append(str(error))
        except asyncio.CancelledError:  # ^C
            self.server.give_up()
            if self.php:
                self.php.stop()
            raise
        if hasattr(self, "clients"):
            await self.clients.stop()
        row.seconds = self.elapsed
        self.wrongs += await self.server.stop()
        if self.php:
            self.php.stop()
        if hasattr(self, "clients"):
            self._judge(row)
        row.events, row.count = self.events, self.count
        row.replaced, row.wrongs = self.replaced, self.wrongs
        return row

    def _judge(self, row: Row) -> None:
        clients, starts = self.clients, self.ledger.starts()
        row.sent, row.answered = clients.sent, len(clients.answered)
        row.failed = Counter(failed.kind for failed in clients.failures)
        row.twice = sum(1 for count in starts.values() if count > 1)
        refused = [failed.number for failed in clients.failures if failed.kind == "503"]
        self.wrongs += contradictions(starts, clients.answered, refused)
        most = self.events * self.setup.in_flight if self.case.may_repeat else 0
        if row.twice > most:
            self.wrongs.append(f"{row.twice} requests ran more than once")
        for failed in clients.failures:
            self._excuse(failed, starts[failed.number])
        for at in clients.refused_at:
            if not any("refused" in a.kinds and a.since <= at <= a.until for a in self.allowances):
                self.wrongs.append(f"{at - self._begun:.3f} s: a connection was refused")
                break
        if row.sent != row.answered + len(clients.failures):
            self.wrongs.append("not every request has an end")

    def _excuse(self, failed: Failed, begun: int) -> None:
        for allowance in self.allowances:
            if allowance.covers(failed):
                allowance.left -= 1
                return
        self.wrongs.append(
            f"{failed.at - self._begun:.3f} s: {failed.text} (begun {begun} times)")  # fmt: skip


async def conduct(setup: Setup, case: Case) -> Row:
    with tempfile.TemporaryDirectory(prefix="penstock-load-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        trial = Trial(setup, case, directory)
        row = await trial.conduct()
        if row.wrongs and setup.keep:
            setup.keep.mkdir(parents=True, exist_ok=True)
            (setup.keep / f"{case.name}.log").write_bytes((directory / "error.log").read_bytes())
        return row
