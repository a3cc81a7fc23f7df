"""The configuration file: what it does, how it is checked and printed, and penstock.yaml(5)."""
from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from signal import SIGHUP

import pytest

import installed
from peers import PhpFpm
from penstock import Penstock, environment, eventually, options_of_help
from servers import find

EXAMPLE = installed.SOURCE / "examples/pools"
MANUAL = installed.SOURCE / "docs/penstock.yaml.5"

TELL = '''
import os

def application(environ, start_response):
    start_response("200 OK", [])
    words = [NAME, environ["SCRIPT_NAME"], environ["PATH_INFO"], os.environ.get("A", "-"),
             os.environ.get("B", "-"), os.getcwd()]
    return ["|".join(words).encode()]
'''  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with the modules one and two, and sub/three."""
    (tmp_path / "sub").mkdir()
    for path in ("one", "two", "sub/three"):
        (tmp_path / f"{path}.py").write_text(f"NAME = {Path(path).name!r}\n{TELL}")
    return tmp_path


def in_directory(directory: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run penstock there until it ends."""
    return subprocess.run(
        [installed.PENSTOCK, *args], cwd=directory, env=environment(env),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=30,
    )  # fmt: skip


def complaints(ended: subprocess.CompletedProcess[str]) -> list[str]:
    lines = ended.stderr.splitlines()
    assert all(line.startswith("penstock: ") for line in lines), ended.stderr
    return [line.removeprefix("penstock: ") for line in lines]


# ---- what it does


def test_the_example(penstock: Callable[..., Penstock]) -> None:
    checked = in_directory(EXAMPLE, "-c", "penstock.yaml", "--check-config")
    assert (checked.returncode, checked.stderr) == (0, "")
    server = penstock("", "-c", "penstock.yaml", cwd=EXAMPLE)
    web = server.get("/")
    reports = server.get("/reports/day")
    assert web.body.startswith(b"welcome to the shop, /, process ")
    assert reports.body.startswith(b"hello to the shop, /reports/day, process ")
    assert web.body.split()[-1] != reports.body.split()[-1]
    assert server.get("/hello/nina").body == b"hello nina; my home is /hello/\n"
    assert server.get("/nina", {"Host": "hello.localhost"}).body == b"hello nina; my home is /\n"
    assert server.stop() == 0
    workers = re.findall(r'" 200 (\w+)\.', server.access_log)
    assert workers == ["web", "reports", "hello", "hello"]


def test_ten_thousand_routes(penstock: Callable[..., Penstock], site: Path) -> None:
    lines = ["pools:", "  one: {app: one}", "  two: {app: 'two:application'}", "routes:"]
    lines += ["  - {host: h%d.example, path: /p, pool: %s}" % (n, ("one", "two")[n % 2]) for n in range(10_000)]
    (site / "penstock.yaml").write_text("\n".join(lines) + "\n")
    server = penstock("", "-c", "penstock.yaml", cwd=site)
    for n in (0, 1, 4096, 9999):
        answer = server.get("/p", {"Host": f"h{n}.example"})
        assert answer.status == 200
        assert answer.body.startswith((b"one|", b"two|")[n % 2])
    assert server.get("/p", {"Host": "h10000.example"}).status == 404


def test_pools_have_their_own(penstock: Callable[..., Penstock], site: Path) -> None:
    (site / "penstock.yaml").write_text("""
env: {A: all}
pools:
  one: {app: one, workers: 2}
  two: {app: "two:application", env: {B: own}}
  three: {app: three, chdir: sub}
routes:
  - {path: /, pool: one}
  - {path: /two, pool: two, mount: true}
  - {host: three.example, pool: three}
  - {host: "*.three.example", path: /x, pool: three}
""")
    server = penstock("", "-c", "penstock.yaml", cwd=site)

    def ask(path: str, host: str = "a") -> str:
        answer = server.get(path, {"Host": host})
        assert answer.status == 200
        return answer.body.decode()

    assert ask("/two-") == f"one||/two-|all|-|{site}"
    assert ask("/two/x") == f"two|/two|/x|all|own|{site}"
    assert ask("/two", "THREE.example:80") == f"three||/two|all|-|{site}/sub"
    assert ask("/x/y", "a.three.example") == f"three||/x/y|all|-|{site}/sub"
    assert ask("/y", "a.three.example") == f"one||/y|all|-|{site}"
    assert len(server.worker_pids) == 4
    assert server.stop() == 0


def test_one_pool_mounted(penstock: Callable[..., Penstock], site: Path) -> None:
    """Without pools, the settings at the top are its own; what has no route is not found."""
    (site / "f.yaml").write_text("app: one\nroutes: [{path: /shop, mount: true}]\n")
    server = penstock("", "-c", "f.yaml", cwd=site)
    assert server.get("/shop/x").body.decode() == f"one|/shop|/x|-|-|{site}"
    assert server.get("/x").status == 404
    assert server.stop() == 0


def test_three_kinds_of_pools(penstock: Callable[..., Penstock], site: Path) -> None:
    """An application, php-cgi in slots, and a php-fpm that runs by itself."""
    script = site / "where.php"
    script.write_text("<?php echo $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'] ?? '', '|', "
                      "getenv('A'), '|', php_sapi_name();")  # fmt: skip
    script.chmod(0o644)
    with PhpFpm(site) as fpm:
        (site / "penstock.yaml").write_text(f"""
env: {{A: all}}
pools:
  web: {{app: one}}
  cgi: {{command: [{find("php-cgi")}, -n], root: {site}, workers: 2, index: /where.php}}
  fpm: {{fastcgi: "unix:{fpm.socket}", root: {site}, connections: 1}}
routes:
  - {{path: /, pool: web}}
  - {{path: /cgi, pool: cgi, mount: true}}
  - {{host: fpm.example, pool: fpm}}
""")
        server = penstock("", "-c", "penstock.yaml", cwd=site)
        assert server.get("/x").body.decode() == f"one||/x|all|-|{site}"
        assert server.get("/cgi/where.php/a").body == b"/cgi/where.php|/a|all|cgi-fcgi"
        assert server.get("/cgi/a").body == b"/cgi/where.php||all|cgi-fcgi"
        fpm_answer = server.get("/where.php/b", {"Host": "fpm.example"})
        assert fpm_answer.body == b"/where.php|/b||fpm-fcgi"
        assert server.get("/x").status == 200
        assert server.stop() == 0


def test_the_command_line_and_the_file(penstock: Callable[..., Penstock], site: Path) -> None:
    (site / "f.yaml").write_text(
        "workers: 3\nenv: [A=1]\npools:\n  one: {app: one, workers: 2}\n  two: {}\n"
        "routes: [{path: /, pool: one}, {path: /two, pool: two}]\n"
    )
    server = penstock("two", "-c", "f.yaml", "-w", "1", cwd=site)
    assert server.get("/two").body.startswith(b"two|")
    assert len(server.worker_pids) == 3
    server.wait_for(
        r"\[WARNING\] --workers of the command line does not change pool one, which has its own "
        r"\(f.yaml:4:19\)$"
    )
    assert server.stop() == 0


def test_reload_reads_it_anew(penstock: Callable[..., Penstock], site: Path) -> None:
    """From the directory of the start, although chdir changed that; a bad file changes nothing."""
    file = site / "f.yaml"
    text = "chdir: sub\napp: three\nenv: {A: %s}\n"
    file.write_text(text % "first")
    server = penstock("", "-c", "f.yaml", cwd=site)
    assert b"|first|" in server.get("/").body
    file.write_text(text % "second" + "wokers: 3\ntimeout: x\n")
    server.signal(SIGHUP)
    server.wait_for(r"f.yaml:4:1: wokers is no key; did you mean workers\?")
    server.wait_for(r"f.yaml:5:10: timeout wants a whole number")
    assert b"|first|" in server.get("/").body
    file.write_text(text % "third")
    server.signal(SIGHUP)
    eventually(lambda: b"|third|" in server.get("/").body, "the new environment")
    assert server.stop() == 0


# ---- how it is checked


def test_every_mistake_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("""\
lissten: ":8000"
workers: none
pools:
  web: {app: shop, tiemout: 3}
  web: {app: shop}
  shop: {app: shop, fastcgi: "unix:/s"}
routes:
  - {path: /, pool: wed}
""")
    for options in (["--check-config"], ["--print-config"], []):
        ended = in_directory(tmp_path, "-c", "bad.yaml", *options)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert complaints(ended) == [
            "bad.yaml:1:1: lissten is no key; did you mean listen?",
            "bad.yaml:2:10: workers wants a whole number from 1 to 1024, not 'none'",
            "bad.yaml:4:20: tiemout is no key; did you mean timeout?",
            "bad.yaml:5:3: web is there already, in line 4",
            "bad.yaml:6:3: app (line 6) and fastcgi (line 6) are two kinds of pool; it can be one",
            "bad.yaml:8:21: there is no pool wed; did you mean web?",
        ]


def test_what_is_not_there(tmp_path: Path) -> None:
    """--check-config looks, too, whether what the settings name is there, and makes nothing."""
    (tmp_path / "file").write_text("")
    (tmp_path / "f.yaml").write_text("""\
bind: ["unix:/nonexistent/s", "no.such.host.invalid:80"]
spool_dir: file
error_logfile: /nonexistent/log
pid: .
user: no-such-user
pools:
  a: {app: x, python: ./no-python, chdir: nowhere}
  b: {command: [./no-program], root: /nonexistent}
routes: [{path: /, pool: a}, {path: /b, pool: b}]
""")
    ended = in_directory(tmp_path, "-c", "f.yaml", "--check-config")
    assert ended.returncode == 2
    for expected, line in zip(
        [
            r"f.yaml:1:1: bind names /nonexistent/s, but there is no directory /nonexistent",
            r"f.yaml:1:1: bind cannot use 'no.such.host.invalid:80': .+",
            r"f.yaml:2:1: spool_dir names file, which is no directory",
            r"f.yaml:3:1: error_logfile names /nonexistent/log, but there is no directory .*",
            r"f.yaml:4:1: pid names \., which is a directory",
            r"f.yaml:5:1: user cannot be had: --user: there is no user 'no-such-user'",
            r"f.yaml:7:36: chdir names nowhere: No such file or directory",
            r"f.yaml:7:15: python names ./no-python, which cannot be run: No such file .*",
            r"f.yaml:8:7: command names ./no-program, which cannot be run: No such file .*",
            r"f.yaml:8:32: root names /nonexistent: No such file or directory",
        ],
        complaints(ended),
        strict=True,
    ):
        assert re.fullmatch(expected, line), (expected, line)
    assert sorted(os.listdir(tmp_path)) == ["f.yaml", "file"]


def test_a_right_one(site: Path) -> None:
    ended = in_directory(site, "--check-config", "no_such_module:app")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "penstock: the configuration is right; no application was loaded\n"


@pytest.mark.parametrize("name", ["gunicorn.conf.py", "python:shop.conf"])
def test_python_files_are_not_read(tmp_path: Path, name: str) -> None:
    ended = in_directory(tmp_path, "-c", name)
    assert ended.returncode == 2
    assert complaints(ended) == [
        f"--config wants a YAML file, and {name} is Python: 'penstock import-gunicorn {name} "
        "-o penstock.yaml' makes one of it"
    ]


# ---- how it is printed


def settings(printed: str) -> dict[str, tuple[str, str]]:
    """Value and source of what stands at the top, or in a pool, of what --print-config printed."""
    found = {}
    pool = ""
    for line in printed.splitlines():
        if match := re.fullmatch(r"  ([\w-]+):", line):
            pool = match[1] + "."
        elif match := re.fullmatch(r"\s*(?:# )?(\w+): (.*?) +# (.*)", line):
            found[pool + match[1]] = match[2], match[3]
    return found


def test_where_settings_come_from(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        "timeout: 3\nkeep_alive: 4\nmax_memory: 2K\npools:\n  web: {app: x, timeout: 5}\n"
    )
    printed = in_directory(
        tmp_path, "-c", "f.yaml", "--print-config", "-w", "7", "-e", "A=b c",
        PORT="81", PENSTOCK_CMD_ARGS="--keep-alive 6 -w 9",
    )  # fmt: skip
    assert (printed.returncode, printed.stderr) == (0, "")
    told = settings(printed.stdout)
    assert told["bind"] == ('["0.0.0.0:81"]', "PORT of the environment")
    assert told["keep_alive"] == ("6", "PENSTOCK_CMD_ARGS")
    assert told["timeout"] == ("3", "f.yaml:1")
    assert told["workers"] == ("7", "command line")
    assert told["env"] == ('["A=b c"]', "command line")
    assert told["backlog"] == ("2048", "default")
    assert told["pid"][1] == "not set"
    assert told["web.timeout"] == ("5", "f.yaml:5")
    assert told["web.workers"] == ("7", "from the top: command line")
    assert told["web.max_memory"] == ("2048", "from the top: f.yaml:3")
    assert told["web.retry"] == ("never", "from the top: default")


def test_what_is_printed_means_the_same(tmp_path: Path) -> None:
    first = in_directory(EXAMPLE, "-c", "penstock.yaml", "--print-config")
    (tmp_path / "f.yaml").write_text(first.stdout)
    second = in_directory(tmp_path, "-c", "f.yaml", "--print-config")
    assert (second.returncode, second.stderr) == (0, "")
    values = [
        [re.sub(r" +# .*", "", line) for line in text.splitlines()]
        for text in (first.stdout, second.stdout)
    ]
    assert values[0] == values[1]


# ---- penstock.yaml(5)


def manual_keys(heading: str) -> set[str]:
    (text,) = re.findall(rf"^\.It {heading} :\n((?:\.Li .*\n)+)", MANUAL.read_text(), re.M)
    return set(re.findall(r"\w+", text.replace(".Li", "")))


def test_the_manual_has_every_key(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("pools: {a: {app: x}, b: {command: [x]}, c: {fastcgi: 'h:1'}}\n"
                                     "routes: [{path: /, pool: a}]\n")  # fmt: skip
    printed = in_directory(tmp_path, "-c", "f.yaml", "--print-config")
    told = settings(printed.stdout)
    of_pools = {name.partition(".")[2] for name in told if "." in name}
    top = {name for name in told if "." not in name} - of_pools
    assert manual_keys("The top only") == top
    assert manual_keys("The top, or a pool") == of_pools
    options = {name.replace("-", "_") for name in options_of_help()}
    assert options - {"config", "check_config", "print_config", "help", "version"} <= top | of_pools


def test_the_examples_of_the_manual_are_right(tmp_path: Path) -> None:
    text = MANUAL.read_text().replace("\\(dq", '"')
    (file,) = re.findall(r"^\.Bd -literal.*\n((?:.*\n)+?)\.Ed", text, re.M)
    (tmp_path / "f.yaml").write_text(file)
    ended = in_directory(tmp_path, "-c", "f.yaml", "--print-config")
    assert (ended.returncode, ended.stderr) == (0, "")

