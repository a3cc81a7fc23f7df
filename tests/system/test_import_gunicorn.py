"""penstock import-gunicorn: configurations of gunicorn, as people write them."""
from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS

import installed
from penstock import Penstock, environment
from test_migration import ROWS

PROGRAM = installed.SOURCE / "gateway/import_gunicorn.py"


def load_program():
    spec = importlib.util.spec_from_file_location("import_gunicorn", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def penstock_in(directory: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installed.PENSTOCK, *words], cwd=directory, env=environment(env),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=30,
    )  # fmt: skip


@dataclass
class Case:
    name: str
    conf: str
    settings: dict[str, str]  # lines of the result, without comments
    left_out: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


CASES = [
    Case(
        "django",
        """
import multiprocessing
bind = "127.0.0.1:8000,unix:shop.sock"
workers = multiprocessing.cpu_count() * 2 + 1
worker_class = "gthread"
threads = 4
timeout = 120
wsgi_app = "shop.wsgi:application"
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "MOTTO=slow: and # steady"]
accesslog = "-"
errorlog = "-"
loglevel = "info"
capture_output = True
preload_app = True
max_requests, max_requests_jitter = 1000, 50

def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)

def when_ready(server):
    open("/tmp/app-initialized", "w").close()
""",
        {
            "app": '"shop.wsgi:application"',
            "bind": '["127.0.0.1:8000", "unix:shop.sock"]',
            "workers": str(os.cpu_count() * 2 + 1),
            "worker_class": "gthread",
            "threads": "4",
            "timeout": "120",
            "env": '["DJANGO_SETTINGS_MODULE=shop.settings", "MOTTO=slow: and # steady"]',
            "access_logfile": '"-"',
            "error_logfile": '"-"',
            "log_level": "info",
            "max_requests": "1000",
            "max_requests_jitter": "50",
        },
        ["capture_output", "preload_app", "post_fork", "when_ready"],
        ["timeout"],
    ),
    Case(
        "container",
        """
import json, multiprocessing, os
workers_per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
web_concurrency = max(int(workers_per_core * multiprocessing.cpu_count()), 2)
host = os.getenv("HOST", "0.0.0.0")
bind = f"{host}:{os.getenv('PORT', '80')}"
workers = int(os.getenv("WEB_CONCURRENCY", web_concurrency))
loglevel = os.getenv("LOG_LEVEL", "warning")
accesslog = os.getenv("ACCESS_LOG") or None
errorlog = os.getenv("ERROR_LOG", "-") or None
worker_tmp_dir = "/dev/shm"
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
keepalive = 5
print(json.dumps({"loglevel": loglevel, "bind": bind}))
""",
        {
            "bind": '["0.0.0.0:80"]',
            "workers": "3",
            "log_level": "warning",
            "error_logfile": '"-"',
            "graceful_timeout": "120",
            "keep_alive": "5",
        },
        ["worker_tmp_dir"],
        ["keepalive"],
        ["app"],
        {"WEB_CONCURRENCY": "3"},
    ),
    Case(
        "root",
        """
# As root, with all kinds of values.
bind = ["[::]:8080"]
user = 0
group = "root"
umask = 0o027
initgroups = True
daemon = False
pidfile = "shop.pid"
proc_name = "shop: main"
pythonpath = "lib,vendor"
chdir = "."
forwarded_allow_ips = "*"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
header_map = "refuse"
limit_request_line = 8190
keyfile = "/etc/ssl/key.pem"
certfile = "/etc/ssl/cert.pem"
statsd_host = "localhost:8125"
logconfig_dict = {"version": 1}
access_log_format = '%(h)s "%(r)s" %(s)s %({x-request-id}i)s'
tmp_upload_dir = "."
wsgi_app = "shop:create_app()"
""",
        {
            "bind": '["[::]:8080"]',
            "user": "0",
            "group": "root",
            "umask": '"027"',
            "initgroups": "true",
            "daemon": "false",
            "pid": "shop.pid",
            "name": '"shop: main"',
            "pythonpath": "[lib, vendor]",
            "chdir": '"."',
            "forwarded_allow_ips": '"*"',
            "header_map": "refuse",
            "limit_request_line": "8190",
            "access_logformat": r'"%(h)s \"%(r)s\" %(s)s %({x-request-id}i)s"',
            "spool_dir": '"."',
            "app": '"shop:create_app()"',
        },
        ["secure_scheme_headers", "keyfile", "certfile", "statsd_host", "logconfig_dict"],
        ["umask", "forwarded_allow_ips"],
    ),
    Case(
        "asgi",
        """
from uvicorn_worker import UvicornWorker as worker_class
wsgi_app = "shop.asgi"
worker_connections = 500
asgi_loop = "uvloop"
asgi_lifespan = "off"
threads = 1
reload = True
reload_extra_files = ["a.html"]
""",
        {
            "app": "shop.asgi",
            "worker_class": "uvicorn_worker.UvicornWorker",
            "worker_connections": "500",
            "loop": "uvloop",
            "lifespan": '"off"',
            "threads": "1",
            "reload": "true",
            "reload_extra_file": "[a.html]",
        },
        [],
        ["worker_connections", "reload"],
    ),
    Case(
        "class",
        """
class worker_class: pass
wsgi_app = "shop"
""",
        {"app": "shop"},
        ["worker_class"],
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_configurations(tmp_path: Path, case: Case) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(case.conf)
    (tmp_path / "uvicorn_worker.py").write_text("class UvicornWorker: pass\n")
    made = penstock_in(tmp_path, "import-gunicorn", **case.env)
    assert made.returncode == 0, made.stderr
    lines = [line for line in made.stdout.splitlines() if line and not line.startswith("#")]
    settings = dict(line.partition("  #")[0].split(": ", 1) for line in lines)
    assert settings == case.settings

    said = re.findall(r"^penstock: gunicorn.conf.py: (\w+) ([a-z ]+): \S", made.stderr, re.M)
    wanted = [(name, "is missing") for name in case.missing]
    wanted += [(name, "is not quite the same") for name in case.differs]
    wanted += [(name, "was left out") for name in case.left_out]
    assert sorted(said) == sorted(wanted)
    commented = re.findall(r"^#   (\w+): \S", made.stdout, re.M)
    assert sorted(commented) == sorted(name for name, _ in wanted)

    (tmp_path / "penstock.yaml").write_text(made.stdout)
    checked = penstock_in(tmp_path, "-c", "penstock.yaml", "--check-config", "shop:app")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_was_computed_is_told(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "workers = 2 * 2\ntimeout = 30\nbacklog = 7 if workers else 3\n"
    )
    made = penstock_in(tmp_path, "import-gunicorn", "gunicorn.conf.py", "shop:app")
    told = re.findall(r"^(\w+): .*  # was computed when this was imported$", made.stdout, re.M)
    assert told == ["workers", "backlog"]
    assert "\napp: \"shop:app\"\n" in made.stdout
    assert "app is missing" not in made.stderr


def test_it_serves(penstock: Callable[..., Penstock], tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "bind = '127.0.0.1:0'\nworkers = 2\nwsgi_app = 'shop'\nraw_env = ['GREETING=imported']\n"
    )
    example = installed.SOURCE / "examples/pools/shop.py"
    (tmp_path / "shop.py").write_text(example.read_text())
    made = penstock_in(tmp_path, "import-gunicorn", "-o", "penstock.yaml")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    server = penstock("", "-c", "penstock.yaml", bind=None, cwd=tmp_path)
    assert server.get("/").body.startswith(b"imported to the shop")
    assert len(server.worker_pids) == 2
    assert server.stop() == 0


def test_a_module_and_the_virtual_environment(tmp_path: Path) -> None:
    """The file may import what VIRTUAL_ENV has; here, gunicorn itself."""
    (tmp_path / "settings.py").write_text("import gunicorn\nimport sys\nproc_name = sys.prefix\n")
    made = penstock_in(tmp_path, "import-gunicorn", "python:settings", VIRTUAL_ENV=sys.prefix)
    assert made.returncode == 0, made.stderr
    assert re.search(rf'^name: "?{re.escape(sys.prefix)}"?$', made.stdout, re.M)


def test_what_goes_wrong(tmp_path: Path) -> None:
    missing = penstock_in(tmp_path, "import-gunicorn")
    assert missing.returncode == 2
    assert missing.stderr == "penstock: cannot read gunicorn.conf.py: No such file or directory\n"

    (tmp_path / "bad.py").write_text("import no_such_module\n")
    failed = penstock_in(tmp_path, "import-gunicorn", "bad.py")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "No module named 'no_such_module'" in failed.stderr
    assert re.search(r"^penstock: the file failed when it was run \(above\), with \S+: ",
                     failed.stderr, re.M)  # fmt: skip

    (tmp_path / "good.py").write_text("workers = 2\n")
    (tmp_path / "there.yaml").write_text("precious")
    refused = penstock_in(tmp_path, "import-gunicorn", "good.py", "-o", "there.yaml")
    assert refused.returncode == 2
    assert refused.stderr.startswith("penstock: there.yaml exists: ")
    assert (tmp_path / "there.yaml").read_text() == "precious"

    (tmp_path / "odd.py").write_text("workers = [3]\nbind = 7\nwsgi_app = 'a'\n")
    odd = penstock_in(tmp_path, "import-gunicorn", "odd.py")
    assert odd.returncode == 0
    assert "workers was left out: it cannot be taken over: a single value is wanted" in odd.stderr
    assert "bind was left out: it cannot be taken over: a list is wanted" in odd.stderr


def test_every_setting_is_known() -> None:
    """To the program, and as docs/migrating-from-gunicorn.md has it."""
    program = load_program()
    known = {*program.SAME, *program.WITHOUT, *program.NO_SETTINGS, "wsgi_app", "worker_class"}
    assert known == {setting.name for setting in KNOWN_SETTINGS}
    assert not set(program.SAME) & set(program.WITHOUT)
    verdicts = {row.name: row.verdict for row in ROWS}
    for name in program.SAME:
        assert verdicts[name] in ("same", "differs"), name
    for name in set(program.WITHOUT) - {"secure_scheme_headers"}:
        assert verdicts[name] in ("no effect", "not yet", "not needed"), name


def test_the_defaults_are_no_settings(tmp_path: Path) -> None:
    """Who writes gunicorn's defaults down is not told that they were left out."""
    program = load_program()
    for setting in KNOWN_SETTINGS:
        if setting.name in program.DEFAULTS:
            assert program.DEFAULTS[setting.name] == setting.default, setting.name
