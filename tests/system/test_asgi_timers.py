"""Timers of the async adapter's loops: call_later(), call_at() and asyncio.sleep()."""
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import fcgi
import installed
import pytest
from adapter import Adapter

APPS = Path(__file__).parent / "apps"
DIR = ("--pythonpath", str(APPS), "--python", sys.executable)


def start(directory: Path, loop: str, **environment: str) -> Adapter:
    return Adapter(directory, *DIR, "--option", f"loop={loop}", "timers:app",
                   program=installed.LIBEXECDIR / "async", environment=environment)


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def adapter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Adapter]:
    with start(tmp_path_factory.mktemp("timers"), request.param) as adapter:
        yield adapter
        assert adapter.terminate() == 0, adapter.log
        assert "Traceback" not in adapter.log
        assert "never" not in adapter.log


def ask(adapter: Adapter, path: str) -> object:
    with fcgi.Connection(adapter.path) as connection:
        response = connection.ask(path)
    assert response.status == "200 OK", (response, adapter.log)
    return json.loads(response.body)


def test_order(adapter: Adapter) -> None:
    assert ask(adapter, "/order") == [1, 1.5, 3, 3, 5, 7, 9]


def test_never_early(adapter: Adapter) -> None:
    assert ask(adapter, "/never_early") == []


def test_handles(adapter: Adapter) -> None:
    told, before, cancelled = ask(adapter, "/handles")  # type: ignore[misc]
    assert sorted(told, key=str) == sorted([*range(1, 20, 2), "called"], key=str)
    assert [number for number in told if number != "called"] == list(range(1, 20, 2))
    assert before == [True, False, True, False]
    assert cancelled


def test_contexts(adapter: Adapter) -> None:
    assert ask(adapter, "/contexts") == ["asker", "other", "asker"]


def test_exceptions(adapter: Adapter) -> None:
    told, wrong = ask(adapter, "/exceptions")  # type: ignore[misc]
    assert [entry[0] for entry in told] == [
        "ValueError(\"invalid literal for int() with base 10: 'x'\")"
    ]
    assert told[0][1].startswith("Exception in callback")
    assert told[0][2]
    assert wrong == ["TypeError"] * 4


def test_cancels(adapter: Adapter) -> None:
    assert ask(adapter, "/cancels") == ["timeout", "cancelled"]


def test_repeated(adapter: Adapter) -> None:
    assert ask(adapter, "/repeated") is True


def test_threads(adapter: Adapter) -> None:
    assert ask(adapter, "/threads") == [["other thread"], True]


def test_many(adapter: Adapter) -> None:
    assert ask(adapter, "/many") == sum(range(2000))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_debug(tmp_path: Path, loop: str) -> None:
    """asyncio's own timers, with what it has to say about them."""
    with start(tmp_path, loop, PYTHONASYNCIODEBUG="1") as adapter:
        assert ask(adapter, "/cancels") == ["timeout", "cancelled"]
        assert ask(adapter, "/many") == sum(range(2000))
        assert adapter.terminate() == 0, adapter.log


def test_lifespan(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with start(tmp_path, "auto") as adapter:
        assert ask(adapter, "/many") == sum(range(2000))
        assert adapter.terminate() == 0, adapter.log
    assert capfd.readouterr().out == "slept\n"


@pytest.mark.parametrize("sends", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_exit(tmp_path: Path, loop: str, sends: bool) -> None:
    """SystemExit ends the loop, as it does elsewhere, also when the host has something to do."""
    (tmp_path / "leaving.py").write_text(f"""
import asyncio

async def leave(send):
    await asyncio.sleep(0.01)
    if {sends}:
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b"x", "more_body": True}})
    raise SystemExit(3)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    task = asyncio.ensure_future(leave(send))
    await asyncio.sleep(60)
""")
    program = installed.LIBEXECDIR / "async"
    with Adapter(tmp_path, "--pythonpath", str(tmp_path), "--python", sys.executable, "--option",
                 f"loop={loop}", "leaving:app", program=program) as adapter:
        with fcgi.Connection(adapter.path) as connection:
            connection.send(fcgi.request("/"))
            assert adapter.wait() != 0
