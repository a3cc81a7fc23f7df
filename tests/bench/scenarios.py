"""What is measured: an application, a load, and which peers take part."""
from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    name: str
    apps: dict[str, str]  # kind of peer ("wsgi", "asgi" ...) to MODULE:CALLABLE
    path: str = "/"
    length: int = 13  # of the body that must be answered
    connections: int = 64
    workers: int = 1
    post: int = 0  # bytes of the request's body
    base: str = "gunicorn-sync"  # the peer that the ratios refer to
    pin: bool = True  # False: never pinned, even when asked for
    fronted: bool = False  # peers behind nginx; otherwise those that stand alone
    websocket: bool = False  # messages that are echoed, in place of requests
    measures: str = "load"  # or "idle": memory, or "cold": the time to the first answer
    skip: frozenset[str] = field(default_factory=frozenset)  # peers that it would be unfair to


def both(name: str) -> dict[str, str]:
    return {"wsgi": f"wsgi_app:{name}", "asgi": f"asgi_app:{name}"}


def every(name: str) -> dict[str, str]:
    return {**both(name), "tornado": f"tornado_app:{name}"}


def wsgi(name: str) -> dict[str, str]:
    return {"wsgi": f"wsgi_app:{name}"}


def asgi(name: str) -> dict[str, str]:
    return {"asgi": f"asgi_app:{name}"}


# One request at a time: 10 ms of waiting make 100 requests a second, which says nothing.
ONE_AT_A_TIME = frozenset({"penstock-sync", "gunicorn-sync", "bjoern", "fastpysgi"})
# Where there are others like them, so that a run does not take too long.
SECONDARY = frozenset({"penstock-async-asyncio", "gunicorn-uvicorn", "hypercorn"})
# An answer that only the end of the connection ends is an error to wrk; and who answers none at all.
NO_STREAM = SECONDARY | {"uwsgi-http-socket", "fastpysgi-asgi"}
NO_THREADS = SECONDARY | {"gunicorn-asgi", "unit-asgi", "fastpysgi-asgi"}

SCENARIOS = (
    Scenario("hello", {**wsgi("hello"), "floor": ""}),
    Scenario("hello-both-cores", {**wsgi("hello"), "floor": ""}, pin=False),
    Scenario("hello-2w", wsgi("hello"), workers=2, pin=False),
    Scenario("asgi-hello", asgi("hello"), base="uvicorn"),
    Scenario("tornado-hello", {"tornado": "tornado_app:hello"}, base="gunicorn-tornado"),
    Scenario("io", every("io"), connections=256, base="gunicorn-gthread", skip=ONE_AT_A_TIME),
    Scenario("io-64", both("io"), base="gunicorn-gthread", skip=ONE_AT_A_TIME | NO_THREADS),
    Scenario("cpu-2w", wsgi("cpu"), workers=2, pin=False),
    Scenario("post-64k", both("post"), length=5, post=65536, skip=SECONDARY),
    Scenario("stream-1m", both("stream"), length=1 << 20, skip=NO_STREAM),
    Scenario("flask", {"wsgi": "flask_app:app"}),
    Scenario("starlette", {"asgi": "starlette_app:app"}, base="uvicorn"),
    Scenario("fastapi", {"asgi": "fastapi_app:app"}, base="uvicorn"),
    Scenario("websocket", asgi("echo"), connections=100, base="uvicorn", websocket=True),
    Scenario("nginx", both("hello"), fronted=True, base="nginx>gunicorn-sync"),
    Scenario("fastcgi", {"fastcgi": ""}, base="nginx>libfcgi"),
    Scenario("idle", every("hello"), measures="idle"),
    Scenario("cold", every("hello"), measures="cold"),
)
