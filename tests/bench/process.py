"""What /proc tells of a tree of processes: CPU time, memory, and the noise of the machine."""
from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from typing import NamedTuple

TICK = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    parent: int
    started: int  # in ticks after boot: with the pid it names a process for good
    ticks: int  # CPU of the process and of the children that it has reaped


def stat(pid: int) -> Stat | None:
    """The process, or None when there is none (any more)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return Stat(int(fields[1]), int(fields[19]), sum(map(int, fields[11:15])))


def processes() -> dict[int, Stat]:
    found = {int(name): stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: seen for pid, seen in found.items() if seen}


def tree(roots: Iterable[int]) -> dict[int, Stat]:
    """The processes and all their live descendants."""
    everyone = processes()
    found: dict[int, Stat] = {}
    todo = [root for root in roots if root in everyone]
    while todo:
        pid = todo.pop()
        found[pid] = everyone[pid]
        todo += [child for child, seen in everyone.items()
                 if seen.parent == pid and child not in found]
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    return sum(seen.ticks for seen in tree(roots).values()) / TICK


def pss_kib(pids: Iterable[int]) -> int:
    """Proportional set size: memory shared by N processes counts a Nth for each."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                match = re.search(r"^Pss:\s+(\d+)", file.read(), re.MULTILINE)
        except OSError:
            continue
        total += int(match.group(1)) if match else 0
    return total


class Noise:
    """The share of the machine that went to others since this object was made."""

    def __init__(self, roots: list[int]) -> None:
        self.roots = roots
        self.at = time.perf_counter()
        self.before = self._ticks()

    def _ticks(self) -> int:
        ours = set(tree([*self.roots, os.getpid()]))
        with open("/proc/stat") as file:
            stolen = int(file.readline().split()[8])
        # Kernel threads (children of 2) work for whoever asked them.
        return stolen + sum(seen.ticks for pid, seen in processes().items()
                            if pid not in ours and seen.parent != 2 and pid > 2)

    def share(self) -> float:
        ticks = (time.perf_counter() - self.at) * TICK * (os.cpu_count() or 1)
        return max(0.0, (self._ticks() - self.before) / ticks)
