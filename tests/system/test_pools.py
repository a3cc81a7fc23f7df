"""Several pools under one arbiter: each with its own workers, programs, user and environment, and
what happens in one is nothing to the others."""
from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from figures import Show
from load import Load
from peers import program
from penstock import Penstock, eventually, is_alive
from servers import find

SOURCE = """
import hashlib, json, os, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        os._exit(1)
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
    start_response("200 OK", [
        ("Content-Type", "text/plain"), ("X-Pid", str(os.getpid())),
        ("X-Uid", str(os.getuid())), ("X-Directory", os.getcwd()),
        ("X-Version", os.environ.get("VERSION", "-")), ("X-Top", os.environ.get("TOP", "-")),
    ])
    return [body.encode()]
"""

Start = Callable[..., Penstock]


@pytest.fixture
def serve(penstock: Start, tmp_path: Path) -> Start:
    """Start penstock in tmp_path, where site_app.py is, with the file TEXT."""
    tmp_path.chmod(0o755)
    (tmp_path / "site_app.py").write_text(SOURCE)

    def start(text: str, **how: object) -> Penstock:
        (tmp_path / "penstock.yaml").write_text(text)
        return penstock("", "-c", "penstock.yaml", cwd=tmp_path, **how)

    return start


def lines(server: Penstock, pattern: str) -> list[str]:
    return re.findall(pattern, server.log, re.MULTILINE)


WEB = "web: {app: 'site_app:app', workers: 2}"
ROUTES = "routes: [{path: /, pool: web}, {path: /%s, pool: %s, mount: true}]"


def two(other: str, name: str = "other") -> str:
    return f"pools:\n  {WEB}\n  {name}: {other}\n" + ROUTES % (name, name)


# --- the start -----------------------------------------------------------------------------


def test_it_serves_once_every_pool_does(serve: Start) -> None:
    slow = "import time; time.sleep(1)\nfrom site_app import app\n"
    server = serve("pools: {a: {app: 'site_app:app', workers: 1}}")
    assert server.get("/").status == 200
    directory = Path(server.get("/").headers["X-Directory"])
    server.stop()
    (directory / "slow.py").write_text(slow)
    server = serve(two("{app: 'slow:app', workers: 1}"))
    assert server.log.index("worker other.1.3 ready") < server.log.index("serves at")
    assert server.log.index("worker web.2.2 ready") < server.log.index("serves at")


@pytest.mark.parametrize(
    ("pool", "status", "words"),
    [
        ("{app: 'broken:app', workers: 1}", 3, "'broken:app' did not load"),
        ("{command: [/bin/false], workers: 1}", 1, r"worker other\.1\.3 .* exited with status 1"),
        ("{command: [/bin/true], workers: 1}", 1, r"worker other\.1\.3 .* exited with status 0"),
        ("{command: [/nonexistent], workers: 1}", 1, "cannot execute /nonexistent: No such file"),
    ],
)
def test_a_pool_that_does_not_start(
    serve: Start, tmp_path: Path, pool: str, status: int, words: str
) -> None:
    (tmp_path / "broken.py").write_text("raise LookupError")
    server = serve(two(pool), ready=False)
    assert server.wait() == status
    assert re.search(words, server.log), server.log


def test_each_has_its_own_variables_and_directory(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    server = serve(
        f"env: [TOP=top, VERSION=top]\npythonpath: {tmp_path}\n"
        + two("{app: 'site_app:app', workers: 1, env: [VERSION=other], chdir: below}")
    )
    web, other = server.get("/").headers, server.get("/other").headers
    told = ("X-Version", "X-Top", "X-Directory")
    assert [web[name] for name in told] == ["top", "top", str(tmp_path)]
    assert [other[name] for name in told] == ["other", "top", str(tmp_path / "below")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")
def test_each_has_its_own_user(serve: Start) -> None:
    server = serve(two("{command: [/bin/sleep, 1000], workers: 1, user: nobody}"))
    status = {name: Path(f"/proc/{pid}/status").read_text() for pid, name in server._children()}
    assert re.search(r"^Uid:\s65534\s65534\s65534\s65534$", status["sleep"], re.MULTILINE)
    assert re.search(r"^Gid:\s65534\s65534\s65534\s65534$", status["sleep"], re.MULTILINE)
    assert re.search(r"^Uid:\s0\s", status["gateway"], re.MULTILINE)
    assert server.get("/").headers["X-Uid"] == "0"


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ("{app: a, user: nobody-at-all}", "there is no user 'nobody-at-all'"),
        ("{app: a, chdir: /nonexistent}", "cannot enter /nonexistent: No such file"),
    ],
)
def test_what_cannot_be(serve: Start, pool: str, words: str) -> None:
    server = serve(two(pool), ready=False)
    assert server.wait() == 2
    assert words in server.log


# --- one pool is nothing to the other ------------------------------------------------------


def test_all_workers_of_a_pool_crash(
    serve: Start, tmp_path: Path, show: Show
) -> None:
    """Again and again: tried less and less often, a line for each, and nobody else notices."""
    server = serve(two("{app: 'site_app:app', workers: 3}"))
    server.wait_for(r"worker \S+ ready", 5)
    web = {int(pid) for pid in lines(server, r"worker web\.\S+ ready \(pid (\d+)\)")}
    (tmp_path / "site_app.py").write_text("import os; os._exit(9)")
    with Load(server, quick=3) as load:
        begun = time.monotonic()
        for worker in server.worker_pids:
            if worker not in web:
                os.kill(worker, signal.SIGKILL)
        failed = r"worker other\.\d\.\d+ \(pid \d+\) .*; another is started in (\d+\.\d) s"
        server.wait_for(failed, 12)
        taken = time.monotonic() - begun
    delays = sorted(float(delay) for delay in lines(server, failed))
    show(f"3 workers of one pool crash 4 times each in {taken:.1f} s: next tries after "
         f"{delays[:12]} s; in the other pool {load.figures}")  # fmt: skip
    assert delays[:12] == [0.1] * 3 + [0.2] * 3 + [0.4] * 3 + [0.8] * 3
    assert load.failures == []
    assert web <= set(server.worker_pids), server.log
    assert not lines(server, r"worker web\.\d\.\d+ \(pid \d+\) (?!ready)")
    exits = lines(server, r"(worker other\.\d\.\d+ \(pid \d+\) (?:exited|was killed).*)")
    assert all("; another is started in" in line for line in exits), exits
    assert server.get("/").status == 200


def test_pools_are_replaced_side_by_side(serve: Start, tmp_path: Path) -> None:
    """One heir at a time in each, and neither pool waits for the other."""
    server = serve(two("{app: 'site_app:app', workers: 2}"))
    server.wait_for(r"worker \S+ ready", 4)
    slow = "import time\ntime.sleep(0.7)\n"
    (tmp_path / "site_app.py").write_text(slow + SOURCE)
    before, most = set(server.worker_pids), 0
    server.signal(signal.SIGHUP)
    while "reload done" not in server.log_so_far():
        # Of the four new ones those that are not ready yet are heirs.
        new = [pid for pid in server.worker_pids if pid not in before]
        server.rest()  # those that were ready by then are said to be
        ready = len(re.findall(r"worker \S+ ready", server.log_so_far())) - 4
        most = max(most, len(new) - ready)
        time.sleep(0.01)
    assert server.wait_for("reload done: 4 workers replaced")
    ready = lines(server, r"worker (web|other)\.\d\.\d+ ready")[4:]
    assert sorted(ready) == ["other", "other", "web", "web"]
    assert most == 2  # an heir in each


def test_ttin_and_ttou_are_about_the_first_pool(serve: Start) -> None:
    server = serve(two("{app: 'site_app:app', workers: 1}"))
    server.signal(signal.SIGTTIN)
    server.wait_for("a worker is added: 3 workers in pool web")
    server.wait_for(r"worker web\.3\.4 ready")
    server.signal(signal.SIGTTOU)
    server.wait_for(r"worker web\.3\.4 \(pid \d+\) is taken away: 2 workers in pool web")


# --- programs ------------------------------------------------------------------------------

ECHO = "{command: [%s], workers: %d%s}"


def echo(workers: int = 2, more: str = "") -> str:
    return two(ECHO % (program("libfcgi"), workers, more), "echo")


def programs(server: Penstock) -> list[int]:
    return [pid for pid, name in server._children() if name == "libfcgi"]


def test_a_libfcgi_program(serve: Start) -> None:
    server = serve(echo())
    assert server.request("POST", "/echo", b"here and back").body == b"here and back"
    environment = Path(f"/proc/{programs(server)[0]}/environ").read_text()
    assert "PENSTOCK_CONTROL=" not in environment and "PENSTOCK_PAGE=" not in environment

    def descriptors() -> set[int]:
        return {int(n) for n in os.listdir(f"/proc/{programs(server)[0]}/fd")}

    assert {0, 1, 2} <= descriptors()
    eventually(lambda: 3 not in descriptors(), "the connection, which was the next, to be closed")


def test_php_cgi(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "hello.php").write_text("<?php echo $_SERVER['REQUEST_METHOD'], getmypid();")
    php = f"{{command: [php-cgi], workers: 1, root: {tmp_path}, env: [PHP_FCGI_MAX_REQUESTS=0]}}"
    server = serve(f"pools: {{php: {php}}}")
    answer = server.get("/hello.php")
    assert answer.body.startswith(b"GET")
    old = int(answer.body[3:])
    server.signal(signal.SIGHUP)
    server.wait_for("reload done: 1 worker replaced")
    eventually(lambda: not is_alive(old), "the old program's end")
    assert server.get("/hello.php").status == 200
    assert server.stop() == 0


def test_fcgiwrap(serve: Start, tmp_path: Path) -> None:
    """CGI scripts, each a process of its own."""
    script = tmp_path / "hello.cgi"
    script.write_text(
        "#!/bin/sh\nprintf 'Status: 201\\nContent-Type: text/plain\\n\\n'\n"
        'echo "$REQUEST_METHOD $PATH_INFO $QUERY_STRING"; cat; echo a complaint >&2\n'
    )
    script.chmod(0o755)
    cgi = f"command: [{find('fcgiwrap')}, -f], workers: 2, root: {tmp_path}, script_suffix: .cgi"
    server = serve(f"pools: {{cgi: {{{cgi}}}}}")
    answer = server.request("POST", "/hello.cgi/x?a=b", b"body")
    assert (answer.status, answer.body) == (201, b"POST /x a=b\nbody")
    server.wait_for(r"worker cgi\.\S+: .*a complaint")
    assert server.get("/absent.cgi").status in (403, 404)
    assert server.stop() == 0


def test_a_program_that_dies_is_started_again(serve: Start) -> None:
    server = serve(echo(workers=1))
    (old,) = programs(server)
    os.kill(old, signal.SIGKILL)
    server.wait_for(r"worker echo\.1\.\d+ \(pid \d+\) was killed by signal 9 .*; another is started")
    eventually(lambda: programs(server) not in ([], [old]), "another one")
    assert server.request("POST", "/echo", b"again").body == b"again"


def test_programs_are_recycled(serve: Start, show: Show) -> None:
    server = serve(echo(more=", max_requests: 30"))
    first = programs(server)
    for number in range(200):
        body = str(number).encode()
        assert server.request("POST", "/echo", body).body == body
    server.wait_for(r"worker echo\.\S+ \(pid \d+\) has served \d+ requests", 2)
    server.wait_for(r"worker echo\.\S+ \(pid \d+\) has left", 2)
    assert not set(first) & set(programs(server))
    show("200 requests to 2 programs that serve 30 each: answered 200, failed 0")


def test_a_script_that_starts_the_program_is_ended_with_it(serve: Start, tmp_path: Path) -> None:
    script = tmp_path / "start"
    script.write_text(f"#!/bin/sh\nexec 5<&0\n{shlex.quote(program('libfcgi'))} <&5 & wait\n")
    script.chmod(0o755)
    server = serve(two("{command: [./start], workers: 1}", "echo"))
    assert server.request("POST", "/echo", b"x").body == b"x"
    (shell,) = (pid for pid, name in server._children() if name == "start")
    children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    assert server.stop() == 0
    assert not any(is_alive(int(pid)) for pid in [shell, *children])
