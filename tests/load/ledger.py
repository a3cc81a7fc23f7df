"""What the application wrote down: which requests it began, how often, in which processes."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path


class Ledger:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        path.chmod(0o666)

    def starts(self) -> Counter[int]:
        """How often each request was begun."""
        with open(self.path, "rb") as file:
            return Counter(int(line.split()[0]) for line in file)

    def worker_of(self, number: int) -> int | None:
        """The process that began it last."""
        with open(self.path, "rb") as file:
            for line in reversed(file.readlines()):
                words = line.split()
                if int(words[0]) == number:
                    return int(words[1])
        return None


def contradictions(
    starts: Counter[int], answered: Iterable[int], refused: Iterable[int]
) -> list[str]:
    """What cannot be: an answer that nobody made, a 503 that did run, a third run."""
    found = [f"request {n} was answered and never begun" for n in answered if starts[n] == 0]
    found += [f"request {n} was answered 503 and begun" for n in refused if starts[n] > 0]
    return found + [f"request {n} ran {k} times" for n, k in starts.items() if k > 2]
