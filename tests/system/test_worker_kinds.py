"""Which kind of worker an application gets: what -k says, or else what the application is."""
from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import installed
from penstock import PATIENCE, Penstock, environment
from test_ctl import ask, status

Start = Callable[..., Penstock]

WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi threads=%d" % environ["wsgi.multithread"]]
"""
ASGI = """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"asgi"})
"""
FACTORY = "def create_app(name='application'): return globals()[name]\n"


@pytest.fixture
def serve(penstock: Start, tmp_path: Path) -> Start:
    """serve(SOURCE, *OPTIONS): the module shop with that source."""

    def start(source: str, *options: str, app: str = "shop") -> Penstock:
        (tmp_path / "shop.py").write_text(source)
        return penstock(app, *options, cwd=tmp_path)

    return start


def end(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A penstock that ends by itself."""
    return subprocess.run(
        [installed.PENSTOCK, "-b", "127.0.0.1:0", *words], cwd=directory, env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=PATIENCE,
    )  # fmt: skip


def answer(server: Penstock) -> str:
    got = server.get("/")
    assert got.status == 200, server.log
    return got.body.decode()


def adapters(server: Penstock) -> set[str]:
    """What its worker processes are: the names of their programs."""
    return {Path(f"/proc/{pid}/exe").readlink().name for pid in server.worker_pids}


# ---- nobody says -k


@pytest.mark.parametrize(
    ("source", "options", "adapter", "answered"),
    [
        (WSGI, (), "sync", "wsgi threads=0"),
        (WSGI, ("--threads", "2"), "threaded", "wsgi threads=1"),
        (WSGI, ("-k", "auto"), "sync", "wsgi threads=0"),
        (ASGI, (), "async", "asgi"),
        (ASGI, ("--threads", "2"), "async", "asgi"),
    ],
)
def test_the_application_decides(
    serve: Start, source: str, options: tuple[str, ...], adapter: str, answered: str
) -> None:
    server = serve(source, "-w", "2", *options)
    assert answer(server) == answered
    server.wait_for(r"worker \S+ ready", count=2)
    assert adapters(server) == {adapter}
    assert re.findall(r"Using worker: (\w+)", server.log) == [adapter]
    kind = " (ASGI on asyncio)" if source == ASGI else ""
    assert f"Using worker: {adapter}{kind}\n" in server.log
    assert not re.findall(r"WARNING|ERROR", server.log)
    told = status(server)
    assert [pool["adapter"] for pool in told["pools"]] == [adapter]
    assert [worker["adapter"] for worker in told["workers"]] == [adapter] * 2
    assert re.search(rf"^default +{adapter} +2", ask(server, "status").stdout, re.M)
    assert server.stop() == 0


def test_what_was_found_is_remembered(serve: Start) -> None:
    """Only the first start tries the wrong kind."""
    server = serve(ASGI, "--log-level", "debug")
    assert answer(server) == "asgi"
    (pid,) = server.worker_pids
    assert ask(server, "kill", "1.2").returncode == 0
    server.wait_for(r"worker 1\.3 ready")
    assert ask(server, "reload").returncode == 0, server.log
    assert answer(server) == "asgi"
    assert adapters(server) == {"async"} and pid not in server.worker_pids
    assert server.log.count("gives way to one of another kind") == 1
    assert server.stop() == 0


def test_a_reload_may_change_the_kind(serve: Start, tmp_path: Path) -> None:
    server = serve(WSGI, "-w", "2")
    assert answer(server) == "wsgi threads=0"
    for source, adapter, answered in (
        (ASGI, "async", "asgi"), (WSGI, "sync", "wsgi threads=0")
    ):  # fmt: skip
        (tmp_path / "shop.py").write_text(source)
        done = ask(server, "reload")
        assert done.returncode == 0, (done.stderr, server.log)
        assert answer(server) == answered
        assert [pool["adapter"] for pool in status(server)["pools"]] == [adapter]
    assert re.findall(r"Using worker: (\w+)", server.log) == ["sync", "async", "sync"]
    assert "ERROR" not in server.log
    assert server.stop() == 0


def test_each_pool_has_its_kind(penstock: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(WSGI)
    (tmp_path / "live.py").write_text(ASGI)
    (tmp_path / "penstock.yaml").write_text(
        "pools:\n"
        "  web: {app: shop, adapter: threaded, threads: 4}\n"
        "  live: {app: live, capacity: 7}\n"
        "routes:\n"
        "  - {path: /live, pool: live}\n"
        "  - {path: /, pool: web}\n"
    )
    server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
    assert server.get("/").body == b"wsgi threads=1"
    assert server.get("/live").body == b"asgi"
    told = {pool["name"]: pool["adapter"] for pool in status(server)["pools"]}
    assert told == {"web": "threaded", "live": "async"}
    assert re.search(r"Pool web: 1 threaded worker for shop$", server.log, re.M)
    assert re.search(r"Pool live: 1 async worker for live \(ASGI on asyncio\)$", server.log, re.M)
    capacities = {worker["id"]: worker["capacity"] for worker in status(server)["workers"]}
    assert set(capacities.values()) == {4, 7}
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("app", "options"),
    [("shop:create_app", ("--factory",)), ("shop:create_app()", ()),
     ("shop:create_app(name='application')", ())],
)  # fmt: skip
@pytest.mark.parametrize(("source", "answered"), [(WSGI, "wsgi threads=0"), (ASGI, "asgi")],
                         ids=["WSGI", "ASGI"])  # fmt: skip
def test_factories(
    serve: Start, app: str, options: tuple[str, ...], source: str, answered: str
) -> None:
    server = serve(source + FACTORY, *options, app=app)
    assert answer(server) == answered


# ---- somebody says -k


@pytest.mark.parametrize(
    "name",
    ["async", "asgi", "uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker",
     "gunicorn.workers.gasgi.ASGIWorker"],
)  # fmt: skip
def test_names_of_async(serve: Start, name: str) -> None:
    server = serve(ASGI, "-k", name)
    assert answer(server) == "asgi"
    assert "Using worker: async" in server.log
    assert adapters(server) == {"async"}


@pytest.mark.parametrize(
    ("source", "options", "line"),
    [
        (ASGI, ("-k", "sync"), "it is an ASGI application, and sync workers serve WSGI: type "
         "'penstock -k async shop:application'"),
        (ASGI, ("-k", "gthread"), "it is an ASGI application, and threaded workers serve WSGI: "
         "type 'penstock -k async shop:application'"),
        (WSGI, ("-k", "async"), "it is a WSGI application, and async workers serve ASGI: type "
         "'penstock -k sync shop:application', or -k threaded, gevent or eventlet for many "
         "requests at a time"),
        (ASGI + FACTORY, ("-k", "sync", "--factory", "shop:create_app"),
         "type 'penstock -k async shop:create_app'"),
        (ASGI + FACTORY, ("--factory", "shop:create_app()"),
         "--factory calls what is named, and create_app() is a call already: leave one out"),
        (ASGI + FACTORY, ("-k", "async", "shop:create_app"),
         "it cannot be called with (scope, receive, send); if it is a factory, write "
         "'shop:create_app()', or add --factory"),
    ],
)  # fmt: skip
def test_a_mismatch_says_what_to_type(
    tmp_path: Path, source: str, options: tuple[str, ...], line: str
) -> None:
    (tmp_path / "shop.py").write_text(source)
    app = () if options[-1].startswith("shop") else ("shop:application",)
    ended = end(tmp_path, *options, *app)
    assert ended.returncode == 3, ended.stderr
    assert line in ended.stderr
    assert ended.stderr.count("cannot load shop") == 1
