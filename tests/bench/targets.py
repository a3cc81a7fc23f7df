"""What Penstock is to reach, and whether the results say that it does."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from results import Results, Sample

# Rates of two runs of one program differ by as much: who is within it is level.
LEVEL = 0.98
CEILING = 0.97  # of what the waiting alone allows


@dataclass(frozen=True)
class Verdict:
    what: str
    target: str
    measured: str
    met: str  # "yes", "yes, and the aim", "no", or "not measured"


class Missing(Exception):
    """The results do not have what a target needs."""


class View:
    """The medians, by scenario and peer."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def row(self, scenario: str, peer: str) -> Sample:
        rows = self.results.rows(scenario)
        if peer not in rows:
            raise Missing(f"{peer} in {scenario}")
        return rows[peer]

    def others(self, scenario: str, among: Callable[[str], bool] = lambda name: True) -> dict[str, Sample]:
        """The peers: application servers other than Penstock."""
        rows = {name: row for name, row in self.results.rows(scenario).items()
                if "penstock" not in name and not name.startswith("floor") and among(name)}
        if not rows:
            raise Missing(f"peers in {scenario}")
        return rows

    def fastest(self, scenario: str, among: Callable[[str], bool] = lambda name: True) -> tuple[str, float]:
        rows = self.others(scenario, among)
        name = max(rows, key=lambda peer: rows[peer]["rps"])
        return name, rows[name]["rps"]


def met(required: bool, aim: bool = False) -> str:
    return "yes, and the aim" if required and aim else "yes" if required else "no"


def is_asgi(name: str) -> bool:
    return any(word in name for word in ("asgi", "uvicorn", "hypercorn", "tornado"))


def rate(view: View, scenario: str, peer: str, other: str, least: float, aim: float) -> tuple[str, str]:
    ratio = view.row(scenario, peer)["rps"] / view.row(scenario, other)["rps"]
    return f"{ratio:.2f}x", met(ratio >= least, ratio >= aim)


def cpu(view: View, scenario: str, peer: str, other: str, most: float, aim: float) -> tuple[str, str]:
    own, its = view.row(scenario, peer), view.row(scenario, other)
    ratio = own["cpu_us"] / its["cpu_us"]
    text = f"{ratio:.2f}x"
    if "front_us" in own and "front_us" in its:
        text += f" (the front alone {own['front_us'] / its['front_us']:.2f}x)"
    return text, met(ratio <= most, ratio <= aim)


def above(view: View, scenario: str, peer: str,
          among: Callable[[str], bool] = lambda name: True) -> tuple[str, str]:
    """Level with all, and the aim is above all."""
    other, best = view.fastest(scenario, among)
    ratio = view.row(scenario, peer)["rps"] / best
    return f"{ratio:.2f}x {other}", met(ratio >= LEVEL, ratio > 1)


def whole_body(view: View, scenario: str, peer: str, asgi: bool) -> tuple[str, str]:
    def is_like(name: str) -> bool:
        return is_asgi(name) == asgi

    rows = view.others(scenario, is_like)
    other, best = view.fastest(scenario, is_like)
    own = view.row(scenario, peer)["rps"]
    fronted = {name: row for name, row in rows.items()
               if name.startswith("unit") or name == "uwsgi-http"}
    text = f"{own / best:.2f}x {other}"
    if not fronted:
        return text, met(own > best, own > best)
    near = max(fronted, key=lambda name: fronted[name]["rps"])
    ratio = own / fronted[near]["rps"]
    return f"{ratio:.2f}x {near}, {text}", met(ratio > 1, own > best)


def waits(view: View) -> tuple[str, str]:
    name, best = view.fastest("io")
    own = view.row("io", "penstock-async")["rps"]
    least = min(0.9 * 25_600, 1.3 * best)
    return f"{own:,.0f}/s of {least:,.0f}/s ({own / best:.2f}x {name})", met(own >= least)


def tail(view: View) -> tuple[str, str]:
    p99 = view.row("io", "penstock-async")["p99_ms"]
    return f"{p99:.1f} ms", met(p99 < 20)


def threads(view: View) -> tuple[str, str]:
    own = view.row("io-64", "penstock-threaded")
    rows = view.others("io-64", lambda name: not is_asgi(name))
    name = min(rows, key=lambda peer: rows[peer]["cpu_us"])
    ratio = own["cpu_us"] / rows[name]["cpu_us"]
    return (f"{own['rps']:,.0f}/s, CPU {ratio:.2f}x {name}",
            met(own["rps"] >= CEILING * 6_400 and ratio < 1))


def memory(view: View) -> tuple[str, str]:
    more = view.row("idle", "penstock-sync")["pss_mib"] - view.row("idle", "bare interpreter")["pss_mib"]
    return f"+{more:.1f} MiB", met(more <= 3)


def connection(view: View) -> tuple[str, str]:
    size = view.row("idle", "penstock-sync")["kib_per_connection"]
    return f"{size:.2f} KiB", met(size < 1.5)


def start(view: View) -> tuple[str, str]:
    cold = view.row("cold", "penstock-sync")["cold_ms"]
    return f"{cold:.0f} ms", met(cold <= 60)


FASTEST_ASGI = ("fastpysgi-asgi", "granian-asgi", "uvicorn")


def asgi_hello(view: View) -> tuple[str, str]:
    name, best = view.fastest("asgi-hello", lambda peer: peer in FASTEST_ASGI)
    ratio = view.row("asgi-hello", "penstock-async")["rps"] / best
    return f"{ratio:.2f}x {name}", met(ratio >= 1.2, ratio >= 1.5)


Measure = Callable[[View], tuple[str, str]]
TARGETS: tuple[tuple[str, str, Measure], ...] = (
    ("WSGI hello, sync: CPU", "at most 1.25x, aim 1.1x, bjoern's",
     lambda v: cpu(v, "hello", "penstock-sync", "bjoern", 1.25, 1.1)),
    ("WSGI hello, sync: rate, beside NGINX Unit", "at least 1.8x",
     lambda v: rate(v, "hello", "penstock-sync", "unit-wsgi", 1.8, 1.8)),
    ("WSGI hello, sync: rate, beside gunicorn sync", "at least 12x, aim 15x",
     lambda v: rate(v, "hello", "penstock-sync", "gunicorn-sync", 12, 15)),
    ("WSGI hello, threaded, 8 threads", "at least 0.75x the rate of sync",
     lambda v: rate(v, "hello", "penstock-threaded", "penstock-sync", 0.75, 1)),
    ("WSGI hello on both cores", "level with every peer, aim above",
     lambda v: above(v, "hello-both-cores", "penstock-sync")),
    ("ASGI hello", "at least 1.2x, aim 1.5x, the fastest of fastpysgi, granian, uvicorn", asgi_hello),
    ("Flask hello", "level with every peer, aim above",
     lambda v: above(v, "flask", "penstock-sync")),
    ("FastAPI hello", "level with every peer, aim above",
     lambda v: above(v, "fastapi", "penstock-async")),
    ("Starlette hello", "level with every peer, aim above",
     lambda v: above(v, "starlette", "penstock-async")),
    ("10 ms of waiting, 256 connections, async: rate",
     "90 % of the ceiling of 25,600/s or 1.3x the best peer, whichever is less", waits),
    ("10 ms of waiting, 256 connections, async: p99", "below 20 ms", tail),
    ("10 ms of waiting, 64 threads", "the ceiling of 6,400/s, with less CPU than any peer with threads",
     threads),
    ("64 KiB POST, WSGI", "above every peer with a front process of its own, aim above every peer",
     lambda v: whole_body(v, "post-64k", "penstock-sync", False)),
    ("64 KiB POST, ASGI", "above every peer with a front process of its own, aim above every peer",
     lambda v: whole_body(v, "post-64k", "penstock-async", True)),
    ("1 MiB stream, WSGI", "above every peer with a front process of its own, aim above every peer",
     lambda v: whole_body(v, "stream-1m", "penstock-sync", False)),
    ("1 MiB stream, ASGI", "above every peer with a front process of its own, aim above every peer",
     lambda v: whole_body(v, "stream-1m", "penstock-async", True)),
    ("WebSocket echo, 100 connections", "at least 2x, aim 3x, uvicorn",
     lambda v: rate(v, "websocket", "penstock-async", "uvicorn", 2, 3)),
    ("behind nginx, hello", "at least 0.9x, aim above, nginx with bjoern",
     lambda v: rate(v, "nginx", "nginx>penstock-sync", "nginx>bjoern", 0.9, 1)),
    ("FastCGI to a libfcgi program: CPU", "at most 0.6x, aim 0.5x, nginx's",
     lambda v: cpu(v, "fastcgi", "penstock>libfcgi", "nginx>libfcgi", 0.6, 0.5)),
    ("FastCGI to a libfcgi program, `keep_conn: on`: CPU", "at most 0.6x, aim 0.5x, nginx's",
     lambda v: cpu(v, "fastcgi", "penstock>libfcgi-kept", "nginx>libfcgi", 0.6, 0.5)),
    ("FastCGI to php-fpm: CPU", "at most 0.6x, aim 0.5x, nginx's",
     lambda v: cpu(v, "fastcgi", "penstock>php-fpm", "nginx>php-fpm", 0.6, 0.5)),
    ("FastCGI to php-fpm, `keep_conn: on`: CPU", "at most 0.6x, aim 0.5x, nginx's",
     lambda v: cpu(v, "fastcgi", "penstock>php-fpm-kept", "nginx>php-fpm", 0.6, 0.5)),
    ("at rest, one sync worker with hello: PSS of all processes",
     "at most 3 MiB more than the bare interpreter", memory),
    ("at rest: an idle connection", "below 1.5 KiB", connection),
    ("start, one sync worker with hello: first 200", "within 60 ms", start),
)


def judge(results: Results) -> Iterator[Verdict]:
    view = View(results)
    for what, target, measure in TARGETS:
        try:
            yield Verdict(what, target, *measure(view))
        except (Missing, KeyError):
            yield Verdict(what, target, "", "not measured")
