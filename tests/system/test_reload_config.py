"""HUP reads the configuration anew: pools, routes, listeners and settings change, and not one request
is lost; what is wrong changes nothing."""
from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from figures import Show
from hold import SOURCE as HOLD, Held
from load import Load
from penstock import Answer, Penstock, eventually
from raw import Client
from servers import free_port

SOURCE = f"""{HOLD}
import hashlib, os, time

def app(environ, start_response):
    hold(environ)
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
    start_response("200 OK", [
        ("Content-Type", "text/plain"), ("X-Pid", str(os.getpid())),
        ("X-Version", os.environ.get("VERSION", "-")), ("X-Mount", environ["SCRIPT_NAME"]),
        ("X-Directory", os.getcwd()),
    ])
    return [body.encode()]
"""


class Site:
    """A configuration file that changes, and the penstock that serves it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.server: Penstock
        self.reloads = 0
        self.failures = 0
        (directory / "site_app.py").write_text(SOURCE)

    def configure(self, text: str) -> None:
        new = self.directory / "new.yaml"
        new.write_text(text)
        new.rename(self.directory / "penstock.yaml")

    def hup(self, text: str) -> None:
        self.configure(text)
        self.server.signal(signal.SIGHUP)

    def reload(self, text: str) -> str:
        """To the end: the line that says so."""
        self.hup(text)
        self.reloads += 1
        return self.server.wait_for(r"reload done: .*$", self.reloads).group()

    def fail(self, text: str, reason: str) -> None:
        """A reload that fails for a REASON: the gateway stays, and if nothing was begun all do."""
        before = sorted(self.server.worker_pids), self.server.gateway_pid
        self.hup(text)
        self.failures += 1
        self.server.wait_for(reason)
        how = self.server.wait_for("nothing is reloaded|reload failed", self.failures).group()
        eventually(lambda: len(self.children()) == len(before[0]) + 1, "the others' end")
        assert self.server.gateway_pid == before[1]
        if how == "nothing is reloaded":
            assert sorted(self.server.worker_pids) == before[0]
        assert self.server.get("/").status == 200

    def children(self) -> list[int]:
        return [pid for pid, _ in self.server._children()]

    def gateways(self) -> list[int]:
        return [pid for pid, name in self.server._children() if name == "gateway"]

    def begin(self, client: Client, below: str = "") -> Held:
        """A request of CLIENT's that a worker of the pool BELOW has begun."""
        held = Held(self.directory)
        client.get(below + held.path)
        held.wait_begun()
        return held

    def settle(self) -> None:
        """Until old gateways have left, and what they needed."""
        eventually(lambda: len(self.gateways()) == 1, "the old gateways' end")


@pytest.fixture
def site(penstock: Callable[..., Penstock], tmp_path: Path) -> Callable[..., Site]:
    def start(text: str, bind: str | None = "127.0.0.1:0") -> Site:
        site = Site(tmp_path)
        site.configure(text)
        site.server = penstock("", "-c", "penstock.yaml", cwd=tmp_path, bind=bind)
        return site

    return start


def get_unix(path: Path) -> Answer:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", "/")
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


ONE = "app: site_app:app\nworkers: 2\nenv: [VERSION=one]\n"

TWO = """
pools:
  web: {app: "site_app:app", workers: 2, env: [VERSION=web]}
  api: {app: "site_app:app", workers: 1, env: [VERSION=api]}
routes: [{path: /api, pool: api, mount: true}, {path: /, pool: web}]
"""


# --- what changes --------------------------------------------------------------------------


def test_nothing_is_lost_by_changes(
    site: Callable[..., Site], tmp_path: Path, show: Show
) -> None:
    """Keep-alive clients, slow requests in flight and uploads half done, while all changes."""
    port, path = free_port(), tmp_path / "http.sock"
    bind = f"127.0.0.1:{port}"
    both = f"bind: ['{bind}', 'unix:{path}']\n"
    shop = site(f"bind: ['{bind}']\n{ONE}", bind=None)
    first = shop.server.gateway_pid
    with Load(shop.server) as load:
        for text in (both + TWO, both + TWO + "keep_alive: 30\n", f"bind: ['{bind}']\n{ONE}"):
            time.sleep(0.4)
            done = shop.reload(text)
            if "unix" in text:
                assert get_unix(path).headers["X-Version"] == "web"
                assert shop.server.get("/api/x").headers["X-Mount"] == "/api"
            else:
                assert not path.exists()
                assert shop.server.get("/api/x").headers["X-Version"] == "one"
        time.sleep(0.4)
    shop.settle()
    show(f"3 changes of pools, routes and listeners: {load.figures} over "
         f"{load.connections} connections; {done}")  # fmt: skip
    assert load.failures == []
    assert load.answered == load.sent
    assert shop.server.gateway_pid != first
    eventually(lambda: len(shop.server.worker_pids) == 2, "the end of the pools that are gone")
    assert len(re.findall(r"old gateway \(pid \d+\) has left: it exited with status 0",
                          shop.server.log)) == 3  # fmt: skip


def test_hups_one_upon_another(site: Callable[..., Site], show: Show) -> None:
    shop = site(ONE)
    with Load(shop.server, quick=2) as load:
        for i in range(8):
            shop.hup(TWO if i % 2 else f"{ONE}keep_alive: {50 + i}\n")
            time.sleep(0.05 + 0.03 * i)
        shop.reload(ONE)
        eventually(lambda: shop.server.get("/").headers["X-Version"] == "one", "the last one")
        time.sleep(0.3)
    shop.settle()
    show(f"9 HUPs within a second: {load.figures}")
    assert load.failures == []
    eventually(lambda: len(shop.server.worker_pids) == 2, "the end of the pools that are gone")


def test_a_hup_during_the_start_is_done_after_it(
    penstock: Callable[..., Penstock], tmp_path: Path
) -> None:
    """Pools that load at once, one that takes its time, and one that is new."""
    site, go = Site(tmp_path), tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    (tmp_path / "slow.py").write_text(wait + SOURCE)
    start = TWO.replace("routes:", '  slow: {app: "slow:app", workers: 1}\nroutes:')
    site.configure(start)
    site.server = penstock("", "-c", "penstock.yaml", cwd=tmp_path, ready=False)
    for worker in "web.1", "web.2", "api.1":
        site.server.wait_for(rf"worker {re.escape(worker)}\.\d+ ready")
    site.hup(start.replace("VERSION=", "VERSION=new-").replace(
        "routes: [", '  new: {app: "site_app:app", workers: 1, env: [VERSION=new]}\n'
        "routes: [{path: /new, pool: new}, "))  # fmt: skip
    site.server.wait_for("SIGHUP from pid")
    site.server.wait_for(r"Pool new: 1 sync worker")
    go.touch()
    site.server.wait_ready()
    site.server.wait_for(r"reload done: 4 workers replaced, 1 started in new pools,")
    site.settle()
    for path, version in ("/", "new-web"), ("/api", "new-api"), ("/new", "new"):
        assert site.server.get(path).headers["X-Version"] == version
    assert site.server.stop() == 0


def test_who_starts_during_a_reload_is_of_the_new_version_at_its_end(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    """A worker that was replaced and is lost, and one that is added: the first of the new version
    loads at once, all others wait."""
    first, go = tmp_path / "first", tmp_path / "go"
    wait = f"""
import os, time
if os.environ["VERSION"] == "two":
    try:
        os.close(os.open({str(first)!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        while not os.path.exists({str(go)!r}): time.sleep(0.01)
"""
    shop = site(ONE)
    (tmp_path / "site_app.py").write_text(wait + SOURCE)
    shop.hup(ONE.replace("=one", "=two"))
    pid = int(shop.server.wait_for(r"worker \d\.3 ready \(pid (\d+)\)").group(1))
    os.kill(pid, signal.SIGKILL)
    shop.server.wait_for(rf"worker \d\.3 \(pid {pid}\) was killed by signal 9")
    shop.server.signal(signal.SIGTTIN)
    shop.server.wait_for("a worker is added: 3 workers")
    shop.server.wait_for(r"worker 3\.\d ready")
    go.touch()
    shop.server.wait_for("reload done: ")
    eventually(lambda: versions(shop.server.worker_pids) == ["two"] * 3, "all to be new")
    assert shop.server.get("/").headers["X-Version"] == "two"


def versions(pids: list[int]) -> list[str]:
    """What each was started with."""
    found = []
    for pid in pids:
        try:
            found += re.findall(r"\bVERSION=(\w+)", Path(f"/proc/{pid}/environ").read_text())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def test_only_the_workers_change(site: Callable[..., Site], tmp_path: Path) -> None:
    """The gateway stays where nothing changes for it."""
    pool = "pools: {web: {app: 'site_app:app', workers: %d, env: [VERSION=%s]%s}}\n"
    shop = site(pool % (2, "one", ""))
    gateway = shop.server.gateway_pid
    (tmp_path / "below").mkdir()
    shop.reload(pool % (2, "two", f", chdir: below, pythonpath: {tmp_path}"))
    answer = shop.server.get("/")
    assert answer.headers["X-Version"] == "two"
    assert answer.headers["X-Directory"] == str(tmp_path / "below")
    shop.reload(pool % (4, "three", ""))
    eventually(lambda: len(shop.server.worker_pids) == 4, "four workers")
    assert shop.server.get("/").headers["X-Directory"] == str(tmp_path)
    shop.reload(pool % (1, "four", ""))
    eventually(lambda: len(shop.server.worker_pids) == 1, "one worker")
    assert shop.server.gateway_pid == gateway


def test_a_link_to_the_current_release_moves(site: Callable[..., Site], tmp_path: Path) -> None:
    """How many deploy: --chdir is a link, and is followed anew by each reload."""
    link = tmp_path / "current"
    for release in ("first", "second"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "site_app.py").write_text(SOURCE)
    link.symlink_to("first")
    shop = site(f"{ONE}chdir: current\n")
    assert shop.server.get("/").headers["X-Directory"] == str(tmp_path / "first")
    link.unlink()
    link.symlink_to("second")
    os.kill(shop.server.worker_pids[0], signal.SIGKILL)
    shop.server.wait_for(r"worker \S+ ready", 3)
    assert shop.server.get("/").headers["X-Directory"] == str(tmp_path / "first")
    shop.reload(f"{ONE}chdir: current\n")
    assert shop.server.get("/").headers["X-Directory"] == str(tmp_path / "second")
    shop.server.wait_for("has left", 2)
    os.kill(shop.server.worker_pids[0], signal.SIGKILL)
    shop.server.wait_for(r"worker \S+ ready", 6)
    assert shop.server.get("/").headers["X-Directory"] == str(tmp_path / "second")


def test_settings_of_the_gateway(site: Callable[..., Site]) -> None:
    shop = site(ONE)
    first = shop.server.gateway_pid
    shop.reload(ONE + "limit_request_body: 10\n")
    assert shop.server.request("POST", "/", b"x" * 11).status == 413
    shop.settle()
    assert shop.server.gateway_pid != first


def test_logs_move(site: Callable[..., Site], tmp_path: Path) -> None:
    shop = site(ONE)
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    shop.hup(f"{ONE}access_logfile: {access}\nerror_logfile: {error}\n")
    eventually(lambda: error.exists() and "reload done" in error.read_text(), "the new log")
    shop.server.get("/there")
    eventually(lambda: "GET /there" in access.read_text(), "a line of the access log")


def test_logs_are_rotated_during_a_reload(site: Callable[..., Site], tmp_path: Path) -> None:
    """What the new gateway is given was opened before."""
    log, rotated, go = tmp_path / "access.log", tmp_path / "access.log.1", tmp_path / "go"
    logged = ONE + "access_logfile: access.log\n"
    shop = site(logged)
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    (tmp_path / "site_app.py").write_text(wait + SOURCE)
    shop.hup(logged + "keep_alive: 74\n")
    shop.server.wait_for("SIGHUP from pid")
    log.rename(rotated)
    shop.server.signal(signal.SIGUSR1)
    shop.server.wait_for("SIGUSR1 from pid")
    go.touch()
    shop.server.wait_for("reload done: ")
    shop.settle()
    shop.server.get("/after")
    eventually(lambda: "/after" in log.read_text() + rotated.read_text(), "the line")
    assert "/after" in log.read_text()


def test_a_listener_moves(site: Callable[..., Site]) -> None:
    old, new = free_port(), free_port()
    shop = site(f"bind: '127.0.0.1:{old}'\n{ONE}", bind=None)
    shop.reload(f"bind: '127.0.0.1:{old}'\n{ONE}")  # changes nothing
    with Client(("127.0.0.1", old)) as slow, Client(("127.0.0.1", old)) as idle:
        held = shop.begin(slow)
        idle.get("/")
        assert idle.response().status == 200
        shop.reload(f"bind: '127.0.0.1:{new}'\n{ONE}")
        with pytest.raises(ConnectionRefusedError):
            eventually(lambda: socket.create_connection(("127.0.0.1", old)).close(), "a refusal")
        with Client(("127.0.0.1", new)) as client:
            client.get("/")
            assert client.response().status == 200
        held.let_go()
        answer = slow.response()
        assert answer.status == 200 and "Connection: close" in answer.head
    shop.settle()


def test_a_long_request_is_finished_by_the_old_gateway(site: Callable[..., Site]) -> None:
    """Its only worker is busy: the new gateway waits for others, and the reload with it."""
    shop = site(ONE.replace("workers: 2", "workers: 1"))
    with Client(("127.0.0.1", shop.server.port)) as slow:
        held = shop.begin(slow)
        shop.reload(TWO)
        assert shop.server.get("/api").headers["X-Version"] == "api"
        held.let_go()
        answer = slow.response()
        assert answer.status == 200 and "X-Version: one\r\n" in answer.head
    shop.settle()
    eventually(lambda: len(shop.server.worker_pids) == 3, "the old worker's end")


def test_a_hup_goes_on_with_the_listener_of_the_last(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    """That reload is not done yet; its new listener is open, and is wanted again."""
    shop = site(f"bind: '127.0.0.1:{free_port()}'\n{ONE}", bind=None)
    path = tmp_path / "http.sock"
    (tmp_path / "site_app.py").write_text(f"import time; time.sleep(0.5)\n{SOURCE}")
    text = f"bind: ['127.0.0.1:{shop.server.port}', 'unix:{path}']\n{ONE}"
    shop.hup(text)
    eventually(path.exists, "the new listener")
    shop.reload(text.replace("=one", "=two"))
    assert get_unix(path).headers["X-Version"] == "two"


def test_a_hup_takes_the_listener_of_the_last_back(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    shop = site(f"bind: '127.0.0.1:{free_port()}'\n{ONE}", bind=None)
    path = tmp_path / "http.sock"
    (tmp_path / "site_app.py").write_text(f"import time; time.sleep(0.5)\n{SOURCE}")
    text = f"bind: ['127.0.0.1:{shop.server.port}', 'unix:{path}']\n{ONE}"
    for _ in range(2):
        shop.hup(text)
        eventually(path.exists, "the new listener")
        shop.hup(f"bind: '127.0.0.1:{shop.server.port}'\n{ONE}")
        eventually(lambda: not path.exists(), "its end")
    shop.server.wait_for("reload done")
    assert "address already in use" not in shop.server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_takes_the_listener_of_a_reload_back(
    site: Callable[..., Site], tmp_path: Path, number: int
) -> None:
    shop = site(f"bind: '127.0.0.1:{free_port()}'\n{ONE}", bind=None)
    path = tmp_path / "http.sock"
    (tmp_path / "site_app.py").write_text(f"import time; time.sleep(60)\n{SOURCE}")
    shop.hup(f"bind: ['127.0.0.1:{shop.server.port}', 'unix:{path}']\n{ONE}")
    eventually(path.exists, "the new listener")
    assert shop.server.stop(number) == 0
    assert not path.exists()


def test_either_gateway_may_be_killed(site: Callable[..., Site]) -> None:
    """The new one is started again, with the new configuration; without the old one its workers
    have nothing left to do."""
    shop = site(ONE)
    old = shop.server.gateway_pid
    with Client(("127.0.0.1", shop.server.port)) as first:
        held = shop.begin(first)
        shop.reload(TWO)
        (new,) = (pid for pid in shop.gateways() if pid != old)
        os.kill(new, signal.SIGKILL)
        shop.server.wait_for(rf"gateway \(pid {new}\) was killed by signal 9 .*; another is started")
        eventually(lambda: len(shop.gateways()) == 2, "another one")
        assert shop.server.get("/api").headers["X-Version"] == "api"
        held.let_go()
        assert first.response().status == 200
    shop.settle()
    old = shop.server.gateway_pid
    with Client(("127.0.0.1", shop.server.port)) as second:
        held = shop.begin(second, "/api")
        shop.reload(ONE)
        os.kill(old, signal.SIGKILL)
        shop.server.wait_for(rf"old gateway \(pid {old}\) was killed by signal 9")
        assert shop.server.get("/").headers["X-Version"] == "one"
        held.let_go()
    shop.settle()
    eventually(lambda: len(shop.server.worker_pids) == 2, "the end of its workers")


# --- what changes nothing ------------------------------------------------------------------


def test_a_file_that_is_wrong(site: Callable[..., Site]) -> None:
    shop = site(ONE)
    shop.fail("app: site_app:app\nworkrs: 3\n", r"penstock\.yaml:2:1: .*workrs")
    shop.fail("pools: [", r"penstock\.yaml:")
    (shop.directory / "penstock.yaml").unlink()
    shop.server.signal(signal.SIGHUP)
    shop.server.wait_for("nothing is reloaded", 3)
    assert shop.server.get("/").headers["X-Version"] == "one"


def test_a_listener_that_cannot_be_opened(site: Callable[..., Site], tmp_path: Path) -> None:
    shop = site(f"bind: '127.0.0.1:{free_port()}'\n{ONE}", bind=None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        shop.fail(f"bind: ['unix:{tmp_path}/new.sock', '{address}']\n{ONE}",
                  rf"cannot listen on {re.escape(address)}: address already in use")  # fmt: skip
    assert not (tmp_path / "new.sock").exists()


def test_a_new_pool_that_does_not_load(site: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise LookupError('a reason to see')")
    shop = site(TWO)
    broken = TWO.replace("routes:", "  new: {app: broken, workers: 2}\nroutes:")
    with Load(shop.server, slow=0) as load:
        shop.fail(broken.replace("/api", "/new").replace("pool: api", "pool: new"),
                  r"worker new\.\d\.\d+ \(pid \d+\) of the new pool new exited with status 3")  # fmt: skip
    assert load.failures == []
    shop.server.wait_for(r"worker new\.\d\.\d+: .*LookupError: a reason to see")
    assert shop.server.get("/api").headers["X-Mount"] == "/api"


def test_a_new_program_that_is_not_there(site: Callable[..., Site]) -> None:
    shop = site(TWO)
    missing = TWO.replace("routes:", "  new: {command: [/nonexistent/fcgi], workers: 3}\nroutes:")
    shop.fail(missing, r"worker new\.1\.\d+: cannot execute /nonexistent/fcgi: No such file")
    # The others are not tried: nobody wants them any more.
    assert "new.2" not in shop.server.log and "another try" not in shop.server.log


def test_what_only_a_new_gateway_can_judge(site: Callable[..., Site]) -> None:
    shop = site(ONE)
    gateway = shop.server.gateway_pid
    shop.hup(ONE.replace("=one", "=two") + "spool_dir: /proc\n")
    shop.server.wait_for("no file can be made in the spool directory /proc")
    shop.server.wait_for(r"new gateway \(pid \d+\) exited with status 2 before it could take over")
    shop.server.wait_for("reload failed: 2 workers of the new version serve, 0 of the old one")
    eventually(lambda: shop.gateways() == [gateway], "the new gateway's end")
    assert shop.server.get("/").status == 200
    shop.reload(ONE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_two_gateways(site: Callable[..., Site], number: int) -> None:
    shop = site(ONE)
    with Client(("127.0.0.1", shop.server.port)) as client:
        held = shop.begin(client)
        shop.reload(TWO)
        assert len(shop.gateways()) == 2
        shop.server.signal(number)
        if number == signal.SIGTERM:
            shop.server.wait_for("SIGTERM from pid")
            held.let_go()
            assert client.response().status == 200
    assert shop.server.wait() == 0
    assert shop.server.log.count("Shutting down") == 1
