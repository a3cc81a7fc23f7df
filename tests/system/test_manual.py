"""penstock(8), --help and --version: complete, in step with each other, and readable."""
from __future__ import annotations

import re
import shlex
import subprocess

import pytest

import installed
from penstock import PATIENCE, options_of_help, run
from servers import find

MANUAL = installed.SOURCE / "docs/penstock.8"
SOURCES = [
    path
    for folder in ("gateway", "adapters", "protocol")
    for path in (installed.SOURCE / folder).rglob("*.c")
]


def section(name: str) -> str:
    (text,) = re.findall(rf"^\.Sh {name}$\n(.*?)(?=^\.Sh |\Z)", MANUAL.read_text(), re.M | re.S)
    return text


def options_of_the_manual() -> list[tuple[str, str, list[str]]]:
    """Name, letter or "", and second names of each option."""
    options = []
    for item in re.findall(r"^\.It Fl (.*)$", section("OPTIONS"), re.M):
        flags = re.findall(r"(?:^|Fl )(-?[\w-]+)", item)
        letters = [flag for flag in flags if not flag.startswith("-")]
        names = [flag[1:] for flag in flags if flag.startswith("-")]
        assert names and len(letters) <= 1, item
        options.append((names[0], "".join(letters), names[1:]))
    return options


def test_the_manual_has_every_option_and_no_other() -> None:
    documented = {name: letter for name, letter, _ in options_of_the_manual()}
    assert documented == {name: option.letter for name, option in options_of_help().items()}


def test_second_names_work() -> None:
    seconds = [name for _, _, names in options_of_the_manual() for name in names]
    assert "log-file" in seconds
    for name in seconds:
        value = "auto" if name.startswith("asgi-") else "-"
        assert run(f"--{name}", value, "--version").returncode == 0, name


def test_defaults_are_the_same() -> None:
    """The default that --help shows, the manual says, too."""
    items = re.split(r"^\.It Fl ", section("OPTIONS"), flags=re.M)[1:]
    by_name = {re.search(r"-([\w-]{2,})", item)[1]: item for item in items}
    for name, option in options_of_help().items():
        if option.default is None:
            continue
        text = re.sub(r"(?<=\d),(?=\d{3})", "", by_name[name])
        for word in re.split(r" or ", option.default):
            assert word in text, f"--{name}: {word!r} is not in\n{by_name[name]}"


@pytest.mark.parametrize("name", ["penstock.8", "penstock.yaml.5"])
def test_the_manuals_are_clean(name: str) -> None:
    lint = subprocess.run(
        [find("mandoc"), "-T", "lint", "-W", "style", MANUAL.with_name(name)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE,
    ).stdout  # fmt: skip
    # Which other manuals are installed here is not about this one.
    ours = [line for line in lint.splitlines() if "mandoc.db" not in line]
    assert not [line for line in ours if "referenced manual not found" not in line]


@pytest.mark.parametrize(
    "name",
    ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "PROXIES", "ACCESS LOG", "SIGNALS",
     "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"],
)  # fmt: skip
def test_sections(name: str) -> None:
    assert section(name).strip()


def test_the_environment_is_all_there() -> None:
    """Every variable that the programs read, but for what they tell each other."""
    told = {"PENSTOCK_CONTROL", "PENSTOCK_PAGE", "PENSTOCK_PLUGIN_DIR"}
    read = {
        name
        for path in SOURCES
        for name in re.findall(r"getenv\(\"(\w+)\"\)", path.read_text())
    }  # fmt: skip
    assert "PORT" in read
    documented = set(re.findall(r"\b[A-Z][A-Z_]+\b", section("ENVIRONMENT") + section("FILES")))
    assert read - told <= documented


def test_every_signal_that_is_caught_is_there() -> None:
    source = (installed.SOURCE / "gateway/arbiter/arbiter.c").read_text()
    caught = set(re.findall(r"\bSIG([A-Z0-9]+)\b", source))
    documented = set(re.findall(r"\b[A-Z][A-Z0-9]+\b", section("SIGNALS")))
    assert {"TERM", "HUP", "WINCH"} <= caught
    assert caught - {"CHLD", "PIPE", "KILL", "ABRT"} <= documented


def test_each_exit_status_is_there() -> None:
    header = (installed.SOURCE / "gateway/arbiter/arbiter.h").read_text()
    assert re.findall(r"^\.It (\d)$", section("EXIT STATUS"), re.M) == sorted(
        re.findall(r"PST_EXIT_\w+ = (\d)", header)
    )


def test_the_examples_are_command_lines() -> None:
    """Each would start: the options are known and have values that are possible."""
    text = section("EXAMPLES").replace("\\(dq", '"').replace("\\e\n", " ")
    lines = re.findall(r"^(?:\.Dl )?(penstock .*)$", text, re.M)
    assert len(lines) >= 5
    for line in lines:
        ended = run(*shlex.split(line)[1:-1], "--version")
        assert (ended.returncode, ended.stderr) == (0, ""), line


def test_help_fits_a_screen() -> None:
    lines = run("--help").stdout.splitlines()
    assert len(lines) <= 50
    assert not [line for line in lines if len(line) > 80]
    options = [line for line in lines if re.match(r"(-\w,|   ) --", line)]
    assert not [line for line in options if line[35] != " " or line[36] == " "]
    example = shlex.split(lines[-1])
    assert run(*example[1:-1], "--version").returncode == 0


def test_version_tells_the_build() -> None:
    told = dict(
        line.partition(":")[::2] for line in run("--version").stdout.splitlines() if ":" in line
    )
    assert set(told) == {
        "libevent", "libyaml", "Python", "compiler", "CFLAGS", "options", "programs", "plugins"
    }  # fmt: skip
    assert all(value.strip() for value in told.values())
    assert told["plugins"].strip().endswith("/penstock/plugins")
