"""nginx, Node's http and Penstock read the same requests: tests/differential, a few hundred of them."""
from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import installed
from penstock import environment

COMPARE = installed.SOURCE / "tests" / "differential" / "compare.py"


@pytest.mark.timeout(300)
def test_every_disagreement_is_explained() -> None:
    for peer in ("nginx", "node"):
        assert shutil.which(peer), f"{peer} is not installed: scripts/deps all"
    run = subprocess.run(
        [sys.executable, COMPARE, "--seed", "1", "--count", "620", "--verbose", installed.PENSTOCK],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "0 not" in run.stdout.splitlines()[-1]
