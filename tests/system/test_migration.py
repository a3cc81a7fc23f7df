"""docs/migrating-from-gunicorn.md against gunicorn itself, and against the installed penstock."""
from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import pytest
from gunicorn import __version__ as gunicorn_version
from gunicorn.config import KNOWN_SETTINGS

import installed
from penstock import options_of_help, run

TEXT = (installed.SOURCE / "docs/migrating-from-gunicorn.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.*?) ?\| (same|differs|no effect|not yet|not needed) \| (.*?) ?\|$", re.M)


@dataclass
class Row:
    name: str
    options: list[str]
    verdict: str
    remark: str

    @property
    def is_there(self) -> bool:
        return self.verdict in ("same", "differs")


ROWS = [
    Row(name, re.findall(r"`(-[^`]+)`", options), verdict, remark)
    for name, options, verdict, remark in ROW.findall(TEXT)
]
OPTIONS = [(row, option) for row in ROWS for option in row.options]


def penstock_options() -> set[str]:
    """All options that --help shows."""
    shown = options_of_help()
    letters = {f"-{option.letter}" for option in shown.values() if option.letter}
    return letters | {f"--{name}" for name in shown}


def test_every_setting_has_its_row() -> None:
    documented = Counter(row.name for row in ROWS)
    assert documented == Counter(setting.name for setting in KNOWN_SETTINGS)
    assert f"gunicorn {gunicorn_version}" in TEXT


def test_every_row_names_the_options() -> None:
    settings = {setting.name: setting.cli or [] for setting in KNOWN_SETTINGS}
    assert {row.name: row.options for row in ROWS} == settings


def test_what_is_not_the_same_is_explained() -> None:
    for row in ROWS:
        if row.verdict in ("differs", "no effect", "not needed"):
            assert row.remark, f"{row.name} is {row.verdict!r}, and nothing says how or why"


@pytest.mark.parametrize("row, option", OPTIONS, ids=[option for _, option in OPTIONS])
def test_every_option_is_recognised(row: Row, option: str) -> None:
    """What the page says is there works; the rest is refused with a line that says so."""
    if row.is_there:
        ended = run(option, *value_of(row), "--version")
        assert (ended.returncode, ended.stderr) == (0, ""), option
        return
    if row.verdict == "no effect":
        ended = run(option, *value_of(row), "--check-config", "shop.wsgi")
        assert ended.returncode == 0, ended
        assert re.fullmatch(
            r"penstock: warning: --[\w-]+ has no effect: .+\n", ended.stderr
        ), (option, ended)  # fmt: skip
        return
    attempts = [(option,), (option, "value"), (option, "app")]
    if option.startswith("--"):
        attempts.append((f"{option}=value",))
    for attempt in attempts:
        ended = run(*attempt)
        assert ended.returncode == 2, (attempt, ended)
        assert re.fullmatch(
            r"penstock: --[\w-]+ is not there yet: gunicorn has this option, this version of "
            r"Penstock does not\n", ended.stderr,
        ), (attempt, ended)  # fmt: skip


def value_of(row: Row) -> list[str]:
    """gunicorn's own default for a setting, or something of its type, as an argument."""
    (setting,) = (setting for setting in KNOWN_SETTINGS if setting.name == row.name)
    if setting.action in ("store_true", "store_const"):
        return []
    special = {"raw_env": "A=b", "bind": "127.0.0.1:8000", "group": "0", "user": "0"}
    if row.name in special:
        return [special[row.name]]
    return [str(setting.default) if setting.default is not None else "value"]


@pytest.mark.parametrize("row", [row for row in ROWS if row.verdict == "same"],
                         ids=lambda row: row.name)  # fmt: skip
def test_the_same_defaults(row: Row) -> None:
    """A setting that is the same has the same default, where it is a number or a word."""
    (setting,) = (setting for setting in KNOWN_SETTINGS if setting.name == row.name)
    names = [option[2:] for option in row.options if option.startswith("--")]
    shown = options_of_help()[names[0]].default if names else None
    if shown is None:
        return
    default = setting.default[0] if isinstance(setting.default, list) else setting.default
    assert shown == str(default)


def test_the_ones_that_are_there_are_in_help() -> None:
    assert {
        option for row, option in OPTIONS if row.is_there
    } - {"--log-file", "--asgi-loop", "--asgi-lifespan"} <= penstock_options()  # fmt: skip


def test_the_environment() -> None:
    """GUNICORN_CMD_ARGS is not ours; PENSTOCK_CMD_ARGS is."""
    assert run("--version", env={"GUNICORN_CMD_ARGS": "--nonsense"}).returncode == 0
    ended = run("--version", env={"PENSTOCK_CMD_ARGS": "--spew"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("penstock: in PENSTOCK_CMD_ARGS --spew is not there yet")
