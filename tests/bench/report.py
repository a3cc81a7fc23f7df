"""What a run of the benchmark prints and writes: tables in Markdown, plots in SVG."""
from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from results import Results, Sample
from scenarios import SCENARIOS, Scenario
from server import HERE
from targets import judge

FIGURES = ("rps", "p50_ms", "p99_ms", "cpu_us", "busy", "noise", "errors")
COLOURS = {"penstock": "#1f6feb", "floor": "#c9d1d9", "other": "#8b949e"}
WIDTH, LABEL, ROW = 720, 190, 22
# What a plot shows of a scenario: a figure, its unit, its title, and whether much of it is good.
PLOTS = {
    "load": (("rps", "/s", "rate", True), ("cpu_us", "µs", "CPU for each", False)),
    "idle": (("pss_mib", "MiB", "memory", False),),
    "cold": (("cold_ms", "ms", "first 200", False),),
}
HEAD = """# Performance

Penstock beside other application servers, on loopback: {machine}. Medians; ratios of one table are what
counts, since the speed of a machine drifts. [tests/bench](../tests/bench/README.md) says what the figures mean and how
to repeat them; `floor-epoll` is no application server but what is left when nothing but the kernel is asked.
"""


def bars(title: str, unit: str, values: dict[str, float]) -> str:
    """A plot with one horizontal bar for each of the values."""
    height = ROW * len(values) + 40
    most = max(values.values()) or 1.0
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
             f'<text x="8" y="20" font-size="14">{escape(title)}</text>']
    for number, (name, value) in enumerate(values.items()):
        y = 32 + number * ROW
        length = (WIDTH - LABEL - 90) * value / most
        kind = "penstock" if "penstock" in name else "floor" if name.startswith("floor") else "other"
        digits = 0 if most >= 100 else 1
        lines += [f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
                  f'<rect x="{LABEL}" y="{y + 2}" width="{length:.1f}" height="{ROW - 6}" '
                  f'fill="{COLOURS[kind]}"/>',
                  f'<text x="{LABEL + length + 6:.1f}" y="{y + 14}">{value:,.{digits}f} {unit}</text>']
    return "\n".join([*lines, "</svg>", ""])


def ordered(rows: dict[str, Sample], figure: str, most_first: bool) -> list[tuple[str, Sample]]:
    """Sorted so that the same results always make the same text."""
    having = [(name, row) for name, row in rows.items() if figure in row]
    return sorted(having, key=lambda item: (-item[1][figure] if most_first else item[1][figure], item[0]))


def load_table(scenario: Scenario, rows: dict[str, Sample]) -> list[str]:
    base = rows.get(scenario.base)
    fronted = any("front_us" in row for row in rows.values())
    lines = ["| peer | " + " | ".join(FIGURES) + f" | rps / {scenario.base} | cpu / {scenario.base} |"
             + (" front_us |" if fronted else ""),
             "|---" + "|---:" * (len(FIGURES) + 2 + fronted) + "|"]
    for name, row in ordered(rows, "rps", True):
        ratios = (f"{row['rps'] / base['rps']:.2f} | {row['cpu_us'] / base['cpu_us']:.2f}"
                  if base else " | ")
        lines.append(f"| {name} | {row['rps']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | "
                     f"{row['cpu_us']:.1f} | {row['busy']:.2f} | {row['noise']:.2f} | "
                     f"{row['errors']:.0f} | {ratios} |"
                     + (f" {row['front_us']:.1f} |" if "front_us" in row else ""))
    return lines


def rest_table(scenario: Scenario, rows: dict[str, Sample]) -> list[str]:
    if scenario.measures == "cold":
        return ["| peer | first 200, ms |", "|---|---:|",
                *(f"| {name} | {row['cold_ms']:.0f} |" for name, row in ordered(rows, "cold_ms", False))]
    lines = ["| peer | PSS of all processes, MiB | KiB for each connection |", "|---|---:|---:|"]
    for name, row in ordered(rows, "pss_mib", False):
        size = row.get("kib_per_connection")
        text = "" if name == "bare interpreter" else "not kept" if size is None else f"{size:.2f}"
        lines.append(f"| {name} | {row['pss_mib']:.1f} | {text} |")
    return lines


def about(scenario: Scenario, pinned: bool) -> str:
    where = "server on CPU 0, load on CPU 1" if pinned else "not pinned"
    if scenario.measures == "idle":
        return "One worker with hello, then idle kept connections. Proportional set size: what processes share counts once."
    if scenario.measures == "cold":
        return "From exec to the first answer of one worker with hello; of the bare interpreter, to its first output."
    what = "messages" if scenario.websocket else "requests"
    workers = "1 worker" if scenario.workers == 1 else f"{scenario.workers} workers"
    return f"{workers}, {scenario.connections} connections, {where}; rps counts {what}."


def table(scenario: Scenario, results: Results) -> str:
    rows = results.rows(scenario.name)
    lines = [f"### {scenario.name}", "", about(scenario, results.scenarios[scenario.name]["pinned"]), ""]
    lines += load_table(scenario, rows) if scenario.measures == "load" else rest_table(scenario, rows)
    if len(results.runs_of(scenario.name)) > 1:
        lines += ["", "Rows of more than one run: ratios between them are less exact."]
    return "\n".join(lines)


def plots(scenario: Scenario, rows: dict[str, Sample], folder: Path) -> list[str]:
    """Writes them, and gives the lines that show them."""
    lines = []
    for figure, unit, title, most_first in PLOTS[scenario.measures]:
        values = {name: row[figure] for name, row in ordered(rows, figure, most_first)}
        name = f"{scenario.name}-{figure.partition('_')[0]}.svg"
        (folder / name).write_text(bars(f"{scenario.name}: {title}", unit, values))
        lines += ["", f"![{scenario.name}: {title}](performance/{name})"]
    return lines


def targets_table(results: Results) -> str:
    lines = ["| what | target | measured | met |", "|---|---|---|---|"]
    for verdict in judge(results):
        shown = f"**{verdict.met}**" if verdict.met == "no" else verdict.met
        lines.append(f"| {verdict.what} | {verdict.target} | {verdict.measured} | {shown} |")
    return "\n".join(lines)


def misses(results: Results) -> list[str]:
    """What misses.md, which people write, says of the targets that were missed."""
    sections = re.split(r"^## (.*)\n", (HERE / "misses.md").read_text(), flags=re.MULTILINE)[1:]
    told = {name.strip(): text.strip() for name, text in zip(sections[::2], sections[1::2])}
    missed = [verdict.what for verdict in judge(results) if verdict.met == "no"]
    lines = []
    for what in missed:
        lines += ["", f"**{what}**: {told.get(what, 'not explained yet (tests/bench/misses.md).')}"]
    return ["", "### What is missed", *lines] if missed else []


def costs_text(costs: dict[str, Any]) -> str:
    """The tables of costs.py."""
    lines = ["The gateway's cost of one request, with workers of a plugin in C (`hello_plugin.c`) and 64 busy",
             "connections; instructions are counted by callgrind with two connections.", "",
             "| with | gateway, instructions | gateway, µs of CPU | workers, µs of CPU |", "|---|---:|---:|---:|"]
    for row in costs["flat"]:
        count = f"{row['instructions']:,}" if "instructions" in row else ""
        lines.append(f"| {row['with']} | {count} | {row['gateway_us']:.2f} | {row['workers_us']:.2f} |")
    lines += ["", "WSGI hello by two sync workers, nothing pinned, the load on the same cores:", "",
              "| gateways | rps | gateways, µs of CPU | workers, µs of CPU |", "|---|---:|---:|---:|"]
    for row in costs["gateways"]:
        lines.append(f"| {row['gateways']} | {row['rps']:,.0f} | {row['gateway_us']:.2f} | "
                     f"{row['workers_us']:.2f} |")
    one = costs["gateways"][0]
    gateway, workers = one["gateway_us"], one["workers_us"]
    lines += ["", "The instructions are flat. CPU time is not, with many slots: none waits while a slot is free, so each request",
              "wakes another worker, and what is shown is the kernel's changes of process.", "",
              f"The next limit is the gateway's core: with {gateway:.1f} µs for a request it is busy at about {1e6 / gateway:,.0f} requests a",
              f"second. A hello, which takes a worker {workers:.1f} µs, never gets one worker to its limit before that; of an application of 1 ms one",
              f"gateway feeds about {1000 / gateway:,.0f} workers, each on a core of its own. Beyond that `--gateways` adds cores, each with its share of the",
              "workers; where no core is left over, as here, another gateway only takes its turn on the same ones."]
    return "\n".join(lines)


def scenarios(results: Results, folder: Path) -> list[str]:
    lines = []
    for scenario in SCENARIOS:
        rows = results.rows(scenario.name)
        if rows:
            lines += ["", table(scenario, results), *plots(scenario, rows, folder)]
    return lines


def write(results: Results, folder: Path) -> None:
    """performance.md, and its plots in a folder beside it."""
    images = folder / "performance"
    images.mkdir(parents=True, exist_ok=True)
    for old in images.glob("*.svg"):
        old.unlink()
    machines = dict.fromkeys(run["machine"] for run in results.runs)
    lines = [HEAD.format(machine="; ".join(machines)), "## Targets", "", targets_table(results),
             *misses(results), "", "## Scenarios", *scenarios(results, images)]
    if results.costs:
        lines += ["", "## Where the next limit is", "", costs_text(results.costs)]
    lines += ["", "## Versions and commands", ""]
    lines += [f"- {name}: {version}" for name, version in sorted(results.versions.items())]
    lines += ["", *(f"    {run['command']}  # {run['date']}" for run in results.runs), ""]
    (folder / "performance.md").write_text("\n".join(lines))
