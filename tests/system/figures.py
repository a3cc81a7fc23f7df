"""What tests measured and counted: they get a Show as the fixture `show`, and all of it is printed at
the end of the run, whichever process of pytest-xdist ran the test."""
from __future__ import annotations

from collections.abc import Callable

import pytest

Show = Callable[[str], None]
_PROPERTY = "figures"


def shower(request: pytest.FixtureRequest) -> Show:
    return lambda text: request.node.user_properties.append((_PROPERTY, text))


def name(report: pytest.TestReport) -> str:
    """FILE::TEST, also where pytest-xdist has put the group behind it."""
    return report.nodeid.removesuffix("@" + report.nodeid.partition("::")[0])


def print_all(reporter: pytest.TerminalReporter) -> None:
    """What the tests of this run showed, those that failed, too."""
    shown = []
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                shown += [(name(report), v) for k, v in report.user_properties if k == _PROPERTY]
    if shown:
        reporter.section("figures")
    for test, text in sorted(shown):
        reporter.line(f"{test}\n    {text}")
