"""The results of runs, kept in a file: a later run replaces what it measures anew, and nothing else."""
from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

Sample = dict[str, float]


def medians(samples: list[Sample]) -> Sample:
    """Of the figures that every sample has."""
    common = [name for name in samples[0] if all(name in sample for sample in samples)]
    return {name: statistics.median(sample[name] for sample in samples) for name in common}


class Results:
    def __init__(self) -> None:
        self.runs: list[dict[str, str]] = []  # command, date, machine
        self.versions: dict[str, str] = {}  # of each peer, or why it was left out
        self.scenarios: dict[str, dict[str, Any]] = {}
        self.costs: dict[str, Any] = {}  # see costs.py

    @classmethod
    def read(cls, path: Path | None) -> Results:
        results = cls()
        if path is not None and path.exists():
            results.__dict__.update(json.loads(path.read_text()))
        return results

    def write(self, path: Path) -> None:
        self._drop_runs()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.__dict__, indent=1, sort_keys=True) + "\n")

    def begin(self, command: str, date: str, machine: str) -> None:
        self.runs.append({"command": command, "date": date, "machine": machine})

    def add(self, scenario: str, peer: str, samples: list[Sample], pinned: bool) -> None:
        kept = self.scenarios.setdefault(scenario, {"rows": {}})
        kept["pinned"] = pinned
        rounded = [{name: float(f"{value:.5g}") for name, value in sample.items()}
                   for sample in samples]
        kept["rows"][peer] = {"run": len(self.runs) - 1, "samples": rounded}

    def forget(self, scenario: str, peer: str) -> None:
        """It was measured again and gave nothing."""
        self.scenarios.get(scenario, {"rows": {}})["rows"].pop(peer, None)

    def set_costs(self, costs: dict[str, Any]) -> None:
        self.costs = {"run": len(self.runs) - 1, **costs}

    def rows(self, scenario: str) -> dict[str, Sample]:
        """The medians of each peer."""
        rows = self.scenarios.get(scenario, {"rows": {}})["rows"]
        return {peer: medians(row["samples"]) for peer, row in rows.items()}

    def runs_of(self, scenario: str) -> set[int]:
        return {row["run"] for row in self.scenarios[scenario]["rows"].values()}

    def _referring(self) -> list[dict[str, Any]]:
        rows = [row for kept in self.scenarios.values() for row in kept["rows"].values()]
        return rows + ([self.costs] if self.costs else [])

    def _drop_runs(self) -> None:
        """Those of which nothing is left."""
        used = sorted({row["run"] for row in self._referring()})
        for row in self._referring():
            row["run"] = used.index(row["run"])
        self.runs = [self.runs[number] for number in used]
