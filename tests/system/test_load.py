"""The load test (tests/load), briefly: the cases that no other test here makes. Whatever fails that
the event at hand does not excuse fails the case."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import installed
from figures import Show

RUN = installed.SOURCE / "tests" / "load" / "run.py"
CASES = [
    "leave", "kill-worker", "kill-workers", "kill-gateway", "kill-one-gateway", "reload-gateways",
    "kill-arbiter", "ctl-kill", "retry", "pools",
]  # fmt: skip


# The same for workers that have many requests at once.
MANY = ["steady", "reload", "max-requests", "leave", "kill-worker", "kill-gateway", "retry"]


@pytest.mark.parametrize(
    ("case", "kind"),
    [(case, "sync") for case in CASES]
    + [(case, kind) for kind in ("threaded", "async") for case in MANY],
)
def test_case(case: str, kind: str, tmp_path: Path, show: Show) -> None:
    command = [sys.executable, RUN, "--penstock", installed.PENSTOCK, "--seconds", "1.5"]
    result = subprocess.run(
        [*command, "--clients", "32", "-k", kind, "--case", case, "--keep", tmp_path],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    show(result.stdout.splitlines()[-1])
    log = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert result.returncode == 0, f"{result.stderr}\n{log}"
