"""What a process of the server under test costs, as /proc says."""
from __future__ import annotations

import contextlib
import functools
import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import installed

_TICKS = os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def rss_kib(pid: int) -> int:
    return _status(pid, "VmRSS")


def peak_rss_kib(pid: int) -> int:
    """The most that it ever had."""
    return _status(pid, "VmHWM")


@functools.cache
def is_sanitized() -> bool:
    """What is installed was built with AddressSanitizer."""
    version = subprocess.run([installed.PENSTOCK, "--version"], stdout=subprocess.PIPE, text=True)
    return "sanitizer=" in version.stdout


def quarantine_kib() -> int:
    """What AddressSanitizer keeps of what was freed, and its shadow, at most."""
    return 640 << 10 if is_sanitized() else 0


def at_most_mib(mib: int) -> int:
    """A bound in KiB for memory; AddressSanitizer keeps what was freed, up to 256 MiB, and shadows
    all of it."""
    return (mib << 10) + quarantine_kib()


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


# How long a process may keep a line that it logged (LINGER_MS of gateway/log_writer.c), doubled.
_LINGER = 0.02


def _rests(pid: int) -> bool:
    """None of its threads runs, or was woken."""
    try:
        for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
            if stat.read_text().rpartition(")")[2].split()[0] in "RD":
                return False
    except (FileNotFoundError, ProcessLookupError):
        pass  # one that is gone
    return True


def rest(pids: list[int], patience: float = 1.0) -> None:
    """Wait until these processes have done what they were at, and have written what they logged;
    not for ever: they may be under load."""
    end = time.monotonic() + patience
    quiet = 0
    while quiet < 3 and time.monotonic() < end:
        time.sleep(_LINGER)
        quiet = quiet + 1 if all(map(_rests, pids)) else 0


def spins(pid: int, seconds: float = 1.5) -> bool:
    """It uses more than a third of a core while nothing is asked of it."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return cpu_seconds(pid) - before > seconds / 3


@contextlib.contextmanager
def limited(pid: int, what: int, soft: int) -> Iterator[None]:
    """Give PID a lower soft limit (resource.RLIMIT_*) for a while."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    """For this process: as many as it may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
