"""Clients that ask without a pause over connections that they keep."""
from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from asking import Answer, Connection, Failure, Request, draw

# What each of 16 clients asks for; of the last of 16, every second one is mostly idle.
ROLES = ["quick"] * 11 + ["page", "page", "stream", "upload", "slow"]


@dataclass(frozen=True)
class Failed:
    at: float  # time.monotonic()
    kind: str
    asked: str  # the kind of its request
    number: int
    text: str


class Clients:
    """COUNT clients of the server at PORT, until stop()."""

    def __init__(
        self, port: int, count: int, seed: int, leavers: int, prefixes: Sequence[str]
    ) -> None:
        self.port, self.prefixes = port, prefixes
        self.count = count
        self.sent = self.left = self.refused = 0
        self.answered: list[int] = []  # their numbers
        self.versions: Counter[str] = Counter()
        self.failures: list[Failed] = []
        self.refused_at: list[float] = []
        self._numbers = itertools.count(1)
        self._random = random.Random(seed)
        self._stopping = False
        self._tasks = [asyncio.create_task(self._serve(self._role(i))) for i in range(count)]
        self._tasks += [asyncio.create_task(self._leave()) for _ in range(leavers)]

    @staticmethod
    def _role(i: int) -> str:
        role = ROLES[i % len(ROLES)]
        return "idle" if role == "slow" and i // len(ROLES) % 2 else role

    async def stop(self) -> None:
        """Wait until each has its answer."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def connect(self) -> Connection:
        """It is tried until somebody listens."""
        while True:
            try:
                return await Connection.open(self.port)
            except ConnectionRefusedError:
                self.refused += 1
                self.refused_at.append(time.monotonic())
                await asyncio.sleep(0.02)

    def draw(self, kind: str) -> Request:
        prefix = self._random.choice(self.prefixes)
        return draw(kind, next(self._numbers), self._random, prefix)

    async def ask(self, connection: Connection, request: Request) -> Answer | None:
        """Ask, and count what becomes of it; None for a failure."""
        self.sent += 1
        try:
            answer = await connection.ask(request)
        except Failure as failure:
            text = f"{request.kind} {request.number}: {failure}"
            self.failures.append(
                Failed(time.monotonic(), failure.kind, request.kind, request.number, text)
            )
            return None
        self.answered.append(request.number)
        self.versions[answer.version] += 1
        return answer

    async def ask_anew(self, port: int, prefix: str) -> str | None:
        """The SCRIPT_NAME of a request over a connection of its own; None for a failure."""
        connection = await Connection.open(port)
        request = draw("quick", next(self._numbers), self._random, prefix)
        answer = await self.ask(connection, request)
        connection.close()
        return answer.script if answer else None

    async def _serve(self, role: str) -> None:
        kind = "quick" if role == "idle" else role
        connection = await self.connect()
        while not self._stopping:
            if connection.closed:
                connection.close()
                connection = await self.connect()
            answer = await self.ask(connection, self.draw(kind))
            if answer is None or not answer.keeps:
                connection.close()
                connection = await self.connect()
            if role in ("idle", "slow"):
                await asyncio.sleep(self._random.uniform(0.5, 3))
        connection.close()

    async def _leave(self) -> None:
        """A client that goes away at any moment, politely or not."""
        while not self._stopping:
            connection = await self.connect()
            request = self.draw(self._random.choice(["quick", "page", "stream", "upload"]))
            self.left += 1
            asking = asyncio.create_task(connection.ask(request))
            await asyncio.sleep(self._random.uniform(0, 0.1))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            connection.close(reset=self._random.random() < 0.5)
            await asyncio.sleep(0.05)
