"""One application under every kind of worker: the same answers, as tests/bench/choose.py sees them."""
from __future__ import annotations

import subprocess
import sys

import pytest

import installed
from penstock import environment


@pytest.mark.timeout(600)
def test_all_kinds_of_workers_answer_the_same() -> None:
    done = subprocess.run(
        [sys.executable, installed.SOURCE / "tests/bench/choose.py", "--seconds", "0",
         "--penstock", installed.PENSTOCK, "--python", sys.executable],
        env=environment(), capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("sync", "threaded", "gevent", "eventlet", "asyncio", "uvloop", "tornado"):
        assert kind in done.stdout
