"""Where the tree under test is installed, as `make installcheck` says."""
from __future__ import annotations

import os
from pathlib import Path


def _path(name: str) -> Path:
    try:
        return Path(os.environ[name])
    except KeyError:
        raise RuntimeError(
            f"{name} is not set: run these tests with `make installcheck`; one of them with "
            "`make installcheck SYSTEM_TESTS=tests/system/test_NAME.py`"
        ) from None


SOURCE = Path(__file__).resolve().parents[2]
BINDIR = _path("PENSTOCK_BINDIR")
LIBEXECDIR = _path("PENSTOCK_LIBEXECDIR")
PLUGINDIR = _path("PENSTOCK_PLUGINDIR")
PKGCONFIGDIR = _path("PENSTOCK_PKGCONFIGDIR")

PENSTOCK = BINDIR / "penstock"
GATEWAY = LIBEXECDIR / "gateway"
SYNC = LIBEXECDIR / "sync"
THREADED = LIBEXECDIR / "threaded"
ASYNC = LIBEXECDIR / "async"
