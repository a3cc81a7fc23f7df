"""Fixtures for every system test."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import figures
import installed
import process
from adapter import Adapter, build_plugin
from penstock import Penstock


@pytest.fixture
def penstock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Penstock]]:
    """Start a penstock as penstock.Penstock() says; with ready=False without waiting for it."""
    started: list[Penstock] = []

    def start(app: str, *options: str, ready: bool = True, **how: Any) -> Penstock:
        directory: Path = tmp_path_factory.mktemp("penstock")
        server = Penstock(directory, app, *options, **how)
        started.append(server)
        return server.wait_ready() if ready else server

    yield start
    for server in started:
        server.clean_up()


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plugin tests/plugins/probe.c."""
    return str(build_plugin("probe.c", tmp_path_factory.mktemp("probe") / "probe.so"))


@pytest.fixture(params=[installed.SYNC, installed.THREADED])
def adapter(request: pytest.FixtureRequest, probe: str, tmp_path: Path) -> Iterator[Adapter]:
    """An adapter without a gateway, with the probe; it ends well if the test leaves it running."""
    with Adapter(tmp_path, probe, program=request.param) as adapter:
        yield adapter
        if adapter.process.poll() is None:
            assert adapter.terminate() == 0, adapter.log


def uses_greenlets(item: pytest.Item) -> bool:
    """Its worker is one of gevent's or eventlet's."""
    params = getattr(item, "callspec", None)
    kinds = {"gevent", "eventlet"}
    return item.path.stem in {"test_greenlets", "test_choose"} or bool(
        params and kinds & {value for value in params.params.values() if isinstance(value, str)}
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what their module has started stay in one process of pytest-xdist. Greenlets
    copy parts of the stack to and fro, which AddressSanitizer takes for errors of whoever runs on it."""
    skip = pytest.mark.skip(reason="AddressSanitizer does not bear greenlets")
    for item in items:
        if process.is_sanitized() and uses_greenlets(item):
            item.add_marker(skip)
        known = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
        if any(fixture.scope == "module" for fixtures in known.values() for fixture in fixtures):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture
def show(request: pytest.FixtureRequest) -> figures.Show:
    """Say what was sent, answered, lost and measured."""
    return figures.shower(request)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failed-to", type=Path, help="write there which tests failed, one a line")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures.print_all(terminalreporter)
    if path := config.getoption("--failed-to"):
        stats = terminalreporter.stats
        failed = {figures.name(r) for r in stats.get("failed", []) + stats.get("error", [])}
        path.write_text("".join(f"{config.rootpath / name}\n" for name in sorted(failed)))
