"""What a run of the benchmark prints and writes: tables in Markdown, plots in SVG."""
from __future__ import annotations

import shlex
import statistics
import sys
from html import escape
from pathlib import Path

from scenarios import Scenario

Sample = dict[str, float]
FIGURES = ("rps", "p50_ms", "p99_ms", "cpu_us", "busy", "noise", "errors")
COLOURS = {"penstock": "#1f6feb", "other": "#8b949e"}
WIDTH, LABEL, ROW = 720, 190, 22


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
        colour = COLOURS["penstock" if "penstock" in name else "other"]
        lines += [f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
                  f'<rect x="{LABEL}" y="{y + 2}" width="{length:.1f}" height="{ROW - 6}" '
                  f'fill="{colour}"/>',
                  f'<text x="{LABEL + length + 6:.1f}" y="{y + 14}">{value:,.0f} {unit}</text>']
    return "\n".join([*lines, "</svg>", ""])


def table(scenario: Scenario, medians: dict[str, Sample], where: str) -> str:
    base = medians.get(scenario.base)
    what = "messages" if scenario.websocket else "requests"
    lines = [f"### {scenario.name}", "",
             f"{scenario.workers} worker(s), {scenario.connections} connections, {where}; rps counts "
             f"{what}.", "",
             "| peer | " + " | ".join(FIGURES) + f" | rps / {scenario.base} | cpu / {scenario.base} |",
             "|---" * (len(FIGURES) + 3) + "|"]
    for name, row in sorted(medians.items(), key=lambda item: -item[1]["rps"]):
        ratios = (f"{row['rps'] / base['rps']:.2f} | {row['cpu_us'] / base['cpu_us']:.2f}"
                  if base else " | ")
        lines.append(f"| {name} | {row['rps']:,.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | "
                     f"{row['cpu_us']:.1f} | {row['busy']:.2f} | {row['noise']:.2f} | "
                     f"{row['errors']:.0f} | {ratios} |")
    return "\n".join(lines)


class Report:
    """Prints what it is told at once, and writes performance.md with its plots to FOLDER."""

    def __init__(self, machine: str, folder: Path | None) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self._say("# Performance\n" if folder else "")
        self._say(f"{machine}.\n")
        self._say("    python3 tests/bench/bench.py " + shlex.join(sys.argv[1:]) + "\n")
        self._say("[tests/bench](../tests/bench/README.md) says what the figures mean.\n"
                  if folder else "")

    def _say(self, text: str) -> None:
        print(text, flush=True)
        self.lines.append(text)

    def peer(self, name: str, version: str) -> None:
        self._say(f"- {name}: {version}")

    def scenario(self, scenario: Scenario, samples: dict[str, list[Sample]], pinned: bool) -> None:
        medians = {name: {figure: statistics.median(row[figure] for row in rows)
                          for figure in FIGURES} for name, rows in samples.items() if rows}
        where = "server on CPU 0, load on CPU 1" if pinned else "not pinned"
        self._say("\n" + table(scenario, medians, where))
        for name, rows in samples.items():
            if not rows:
                self._say(f"\n- {name}: no sample")
        self._plot(scenario, medians)

    def _plot(self, scenario: Scenario, medians: dict[str, Sample]) -> None:
        if self.folder is None or not medians:
            return
        plots = self.folder / "performance"
        plots.mkdir(parents=True, exist_ok=True)
        for figure, unit, sign in (("rps", "/s", -1), ("cpu_us", "µs", 1)):
            order = sorted(medians.items(), key=lambda item: sign * item[1][figure])
            text = bars(f"{scenario.name}: {'rate' if figure == 'rps' else 'CPU for each'}", unit,
                        {name: row[figure] for name, row in order})
            name = f"{scenario.name}-{figure.partition('_')[0]}.svg"
            (plots / name).write_text(text)
            self._say(f"\n![{scenario.name}, {figure}](performance/{name})")

    def rest(self, rows: dict[str, Sample], count: int) -> None:
        self._say(f"\n### At rest\n\nOne worker with hello, then {count} idle keep-alive connections.\n\n"
                  "| peer | PSS of all processes, MiB | KiB for each connection | first 200, ms |\n"
                  "|---|---|---|---|")
        for name, row in sorted(rows.items(), key=lambda item: item[1]["pss_mib"]):
            self._say(f"| {name} | {row['pss_mib']:.1f} | {row['kib_per_connection']:.2f} | "
                      f"{row['cold_ms']:.0f} |")

    def close(self) -> None:
        if self.folder is not None:
            (self.folder / "performance.md").write_text("\n".join(self.lines).lstrip("\n") + "\n")
