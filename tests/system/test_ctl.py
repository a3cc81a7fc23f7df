"""penstock ctl, and the control socket that it talks to."""
from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

import installed
from load import Load
from penstock import PATIENCE, Penstock, environment, eventually, is_alive
from raw import Client
from test_arbiter import anybodys, as_root  # noqa: F401  (a fixture)
from test_reload import Site, Start, site  # noqa: F401  (a fixture)

Result = subprocess.CompletedProcess[str]


def ctl(*words: str, user: str | None = None) -> Result:
    return subprocess.run(
        [installed.PENSTOCK, "ctl", *words],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        user=user,
    )


def socket_of(server: Penstock) -> Path:
    return server.runtime_directory / "penstock.ctl"


def ask(server: Penstock, *words: str) -> Result:
    return ctl("--socket", str(socket_of(server)), *words)


def status(server: Penstock) -> dict[str, Any]:
    result = ask(server, "--json", "status")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def raw(server: Penstock) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    client.connect(str(socket_of(server)))
    return client


def line_of(client: socket.socket) -> str:
    """The next line, "" when the connection is over."""
    text = b""
    while not text.endswith(b"\n"):
        try:
            piece = client.recv(1)
        except ConnectionResetError:
            break
        if not piece:
            break
        text += piece
    return text.decode()


# ---- status


def test_status_tells_of_everything(site) -> None:
    shop: Site = site(workers=2)
    pids = shop.server.worker_pids
    for _ in range(3):
        shop.server.get("/")
    told = status(shop.server)
    assert told["instance"]["pid"] == shop.server.pid
    assert told["instance"]["phase"] == "serving"
    assert told["gateways"][0]["pid"] == shop.server.gateway_pid
    assert [one["url"] for one in told["listeners"]] == shop.server.addresses
    (pool,) = told["pools"]
    assert pool["name"] == "default" and pool["kind"] == "app" and pool["workers"] == 2
    assert {one["pid"] for one in told["workers"]} == set(pids)
    assert [one["id"] for one in told["workers"]] == ["1.1", "2.2"]
    assert all(one["memory"]["pss"] > 1000000 for one in told["workers"])
    assert all(one["memory"]["rss"] >= one["memory"]["pss"] for one in told["workers"])


def test_status_is_readable(site) -> None:
    shop: Site = site(workers=1)
    result = ask(shop.server, "status")
    assert result.returncode == 0 and result.stderr == ""
    (pid,) = shop.server.worker_pids
    head = rf"^penstock \S+ \[site_app:app\] \(pid {shop.server.pid}\): serving"
    assert re.search(head, result.stdout)
    assert re.search(r"^POOL +KIND +WORKERS", result.stdout, re.MULTILINE)
    assert re.search(rf"^1\.1 +{pid} +\S", result.stdout, re.MULTILINE)


# ---- commands


def test_reload_waits_and_says_what_failed(site) -> None:
    shop: Site = site(workers=2)
    shop.deploy("2")
    result = ask(shop.server, "reload")
    assert result.returncode == 0, result.stderr
    assert shop.version() == "2"
    assert status(shop.server)["instance"]["reload"] == "done"
    shop.deploy("3", "raise LookupError('a broken deploy')")
    result = ask(shop.server, "reload")
    assert result.returncode == 1 and result.stdout == ""
    assert re.search(r"^penstock ctl: reload: worker 1\.5 exited with status 3", result.stderr)
    assert "LookupError: a broken deploy" in result.stderr
    assert shop.version() == "2"
    assert status(shop.server)["instance"]["reload"] == "failed"


def test_two_who_reload_are_both_answered(site) -> None:
    shop: Site = site(workers=1)
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda: results.append(ask(shop.server, "reload")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [result.returncode for result in results] == [0, 0]


def test_drain_is_a_graceful_end(site) -> None:
    shop: Site = site(workers=1)
    with Client(("127.0.0.1", shop.server.port)) as client:
        client.get("/sleep?1")
        eventually(lambda: "GET /sleep" in json.dumps(status(shop.server)), "the request")
        result = ask(shop.server, "drain")
        assert client.response().status == 200
    assert result.returncode == 0, result.stderr
    assert shop.server.wait() == 0
    assert ask(shop.server, "status").returncode == 1


def test_what_is_about_to_end_takes_no_more_orders(site) -> None:
    shop: Site = site("--drain-delay", "60", workers=1)
    shop.server.signal(signal.SIGTERM)
    shop.server.wait_for("SIGTERM from pid .*: clients are accepted for 60 s more")
    for words in ("drain",), ("reload",), ("scale", "default", "2"):
        result = ask(shop.server, *words)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == f"penstock ctl: {words[0]}: this penstock is ending\n"
    assert status(shop.server)["instance"]["phase"] == "lingering"
    assert shop.version() == "1"
    assert shop.server.stop(signal.SIGINT) == 0


def test_scale(site) -> None:
    shop: Site = site(workers=1)
    with Load(shop.server, quick=2, slow=0, uploads=0) as load:
        assert ask(shop.server, "scale", "default", "4").returncode == 0
        eventually(lambda: len(shop.server.worker_pids) == 4, "four workers")
        shop.server.wait_for(r"worker 4\.\d+ ready")
        result = ask(shop.server, "scale", "default", "2")
        assert result.stdout == "pool default has 2 workers, had 4\n"
        eventually(lambda: len(shop.server.worker_pids) == 2, "two workers")
    assert load.failures == []
    for words in (("default", "0"), ("default", "x"), ("default", "9999"), ("nowhere", "2")):
        result = ask(shop.server, "scale", *words)
        assert result.returncode == 1
        assert "there is: default" in result.stderr or "1 to 1024" in result.stderr
    assert len(shop.server.worker_pids) == 2


def test_kill_dumps_the_stacks_and_replaces(site) -> None:
    shop: Site = site(workers=1)
    (pid,) = shop.server.worker_pids
    with Client(("127.0.0.1", shop.server.port)) as client:
        client.get("/sleep?30")
        eventually(lambda: "GET /sleep" in json.dumps(status(shop.server)), "the request")
        (worker,) = status(shop.server)["workers"]
        assert worker["activity"] == "busy" and worker["request"] == "GET /sleep"
        assert worker["request_ms"] >= 0
        result = ask(shop.server, "kill", "1.1")
        assert result.returncode == 0 and f"worker 1.1 (pid {pid})" in result.stdout
        assert client.response().status == 502
    shop.server.wait_for(r"worker 1\.1: .*site_app\.py", 1)
    shop.server.wait_for(r"worker 1\.2 ready")
    assert not is_alive(pid)
    result = ask(shop.server, "kill", "1.1")
    assert result.returncode == 1 and "no worker '1.1'; there are: 1.2" in result.stderr


def test_log_level_changes_at_run_time(site) -> None:
    shop: Site = site(workers=1)
    for level, line in ("warning", "unheard"), ("debug", "nonsense"):
        assert ask(shop.server, "log-level", level).returncode == 0
        with socket.create_connection(("127.0.0.1", shop.server.port)) as client:
            client.sendall(f"{line}\r\n\r\n".encode())
            client.recv(100)
    shop.server.wait_for(rf"\[{shop.server.gateway_pid}\] \[INFO\] client 127\.0\.0\.1: nonsense: ")
    assert "unheard" not in shop.server.log
    assert status(shop.server)["instance"]["log_level"] == "debug"
    assert ask(shop.server, "log-level", "error").returncode == 0
    os.kill(shop.server.gateway_pid, 9)
    shop.server.wait_for("gateway .* was killed by signal 9")
    assert ask(shop.server, "log-level", "loud").returncode == 1
    assert status(shop.server)["instance"]["log_level"] == "error"


@pytest.mark.parametrize(
    "words",
    [(), ("statusses",), ("status", "now"), ("scale", "web"), ("--nonsense", "status"), ("-s",)],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    result = ctl(*words)
    assert result.returncode == 2
    assert result.stderr.startswith("penstock ctl: ") and result.stderr.count("\n") == 1


# ---- which one


def test_the_socket_is_found_by_the_pid_file(site, tmp_path: Path) -> None:
    pidfile = tmp_path / "penstock.pid"
    shop: Site = site("-p", str(pidfile), workers=1)
    result = ctl("-p", str(pidfile), "--json", "status")
    assert json.loads(result.stdout)["instance"]["pid"] == shop.server.pid
    result = ctl("-p", str(shop.server.pid), "--json", "status")
    assert json.loads(result.stdout)["instance"]["pid"] == shop.server.pid
    shop.server.stop()
    result = ctl("-p", str(shop.server.pid), "status")
    assert result.returncode == 1 and f"no penstock with pid {shop.server.pid} " in result.stderr
    result = ctl("-p", str(pidfile), "status")
    assert result.returncode == 1 and "cannot read the pid file" in result.stderr


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@as_root
def test_root_finds_a_service_of_another_user(penstock: Start, anybodys: Path) -> None:
    run = anybodys / "run"
    run.mkdir()
    os.chown(run, 65534, 65534)
    variables = {"XDG_RUNTIME_DIR": str(run)}
    server = penstock("./probe.so", cwd=anybodys, preexec_fn=become_nobody, env=variables)
    assert (run / f"penstock-{server.pid}" / "penstock.ctl").is_socket()
    result = ctl("-p", str(server.pid), "reload")
    assert result.returncode == 0, result.stderr
    assert server.stop() == 0


def test_several_are_listed(penstock: Start, tmp_path: Path) -> None:
    Site(tmp_path).deploy("1")
    servers = [penstock("site_app:app", cwd=tmp_path) for _ in range(2)]
    result = ctl("status")
    assert result.returncode == 1
    assert "say which by -p PID or --socket" in result.stderr
    for server in servers:
        assert f"pid {server.pid}: " in result.stderr


def test_a_socket_elsewhere(site, tmp_path: Path) -> None:
    path = tmp_path / "shop.ctl"
    pidfile = tmp_path / "shop.pid"
    shop: Site = site("--control-socket", path.name, "-p", str(pidfile), workers=1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ctl("-s", str(path), "status").returncode == 0
    assert ctl("-p", str(pidfile), "status").returncode == 0
    assert shop.server.stop() == 0
    assert not path.exists()


def test_a_socket_that_cannot_be_made_ends_the_start(penstock: Start, tmp_path: Path) -> None:
    Site(tmp_path).deploy("1")
    path = tmp_path / "file"
    path.write_text("kept")
    server = penstock(
        "site_app:app", "--control-socket", str(path), cwd=tmp_path, ready=False
    )
    assert server.wait() == 1
    server.wait_for(r"cannot make the control socket .*/file: .* it is no socket")
    assert path.read_text() == "kept"


def test_no_socket(site) -> None:
    shop: Site = site("--no-control-socket", workers=1)
    assert not socket_of(shop.server).exists()


# ---- who asks, and how


@as_root
def test_others_may_not_connect(site) -> None:
    shop: Site = site(workers=1)
    assert stat.S_IMODE(socket_of(shop.server).stat().st_mode) == 0o600
    shop.server.runtime_directory.chmod(0o755)
    socket_of(shop.server).chmod(0o666)
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", installed.PENSTOCK, "ctl", "-s",
         str(socket_of(shop.server)), "status"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert result.returncode == 1
    assert "is for root and the user that penstock runs as" in result.stderr
    shop.server.wait_for("user id 65534 .* may not use the control socket")


def test_what_is_no_request_is_refused(site) -> None:
    shop: Site = site(workers=1)
    with raw(shop.server) as client:
        client.sendall(b"HELLO\n")
        assert line_of(client).startswith("ERROR '")
        client.sendall(b"KILL\n")
        assert line_of(client) == "ERROR the%20request%20is%20KILL%20WORKER\n"
        client.sendall(b"LOG info\n")
        assert line_of(client).startswith("OK ")
        client.sendall(b"  \n")
        assert line_of(client) == ""
    with raw(shop.server) as client:
        client.sendall(b"A" * 10000)
        assert line_of(client) == ""
    with raw(shop.server) as client:
        client.sendall(b"STATUS\nSTATUS\n")
        while line_of(client):
            pass
    shop.server.wait_for("a second request before the first was answered")
    assert shop.version() == "1"


def test_who_does_not_read_harms_nobody(site) -> None:
    shop: Site = site(workers=1)
    clients = [raw(shop.server) for _ in range(16)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"STATUS\n")
    with raw(shop.server) as late:
        assert line_of(late).startswith("ERROR too%20many%20are%20connected")
    assert shop.version() == "1"
    for client in clients:
        client.close()
    eventually(lambda: ask(shop.server, "status").returncode == 0, "room for another client")


# ---- a gateway that hangs


def test_a_gateway_that_hangs_is_replaced(site) -> None:
    shop: Site = site("--gateway-timeout", "1", workers=1)
    gateway = shop.server.gateway_pid
    os.kill(gateway, signal.SIGSTOP)
    shop.server.wait_for(
        rf"the gateway \(pid {gateway}\) has answered nothing for 1 s \(--gateway-timeout\)"
    )
    assert shop.version() == "1"
    assert shop.server.gateway_pid != gateway
    assert not is_alive(gateway)
    assert len(shop.server.worker_pids) == 1


def test_status_without_the_gateway(site) -> None:
    shop: Site = site(workers=1)
    gateway = shop.server.gateway_pid
    os.kill(gateway, signal.SIGSTOP)
    try:
        result = ask(shop.server, "status")
        assert result.returncode == 0 and "does not say how it is" in result.stdout
        assert "clients" not in status(shop.server)["gateways"][0]
    finally:
        os.kill(gateway, signal.SIGCONT)
    eventually(lambda: "clients" in status(shop.server)["gateways"][0], "the gateway's answer")


# ---- pools


def test_pools_have_names(penstock: Start, tmp_path: Path) -> None:
    Site(tmp_path).deploy("1")
    (tmp_path / "penstock.yaml").write_text(
        """
        pools:
          web: {app: site_app:app, workers: 2}
          api: {app: site_app:app, workers: 1}
          php: {fastcgi: "127.0.0.1:9", root: /tmp}
        routes:
          - {path: /, pool: web}
          - {path: /api, pool: api}
          - {path: /php, pool: php}
        """
    )
    server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
    server.wait_for("ready", count=3)
    assert server.get("/api/x").status == 200
    assert server.get("/php/x").status >= 400
    told = {pool["name"]: pool for pool in status(server)["pools"]}
    assert [pool["kind"] for pool in told.values()] == ["app", "app", "remote"]
    assert [pool["requests"] for pool in told.values()] == [0, 1, 1]
    assert [one["id"] for one in status(server)["workers"]][:3] == ["web.1.1", "web.2.2", "api.1.3"]
    assert ask(server, "scale", "api", "2").stdout == "pool api has 2 workers, had 1\n"
    result = ask(server, "scale", "php", "2")
    assert result.returncode == 1 and "there is: web, api" in result.stderr
    assert ask(server, "kill", "api.1.3").returncode == 0
    server.wait_for(r"worker api\.1\.5 ready")


# ---- an arbiter that was killed


def test_what_a_killed_arbiter_leaves_is_no_obstacle(site, tmp_path: Path) -> None:
    path = tmp_path / "shop.ctl"
    shop: Site = site("--control-socket", str(path), workers=1)
    directory = shop.server.runtime_directory
    assert (directory / "penstock.ctl").is_symlink()
    shop.server.process.kill()
    shop.server.wait()
    eventually(lambda: not directory.exists(), "the end of the runtime directory")
    assert path.exists()
    result = ctl("-s", str(path), "status")
    assert result.returncode == 1 and "no penstock listens at" in result.stderr
    again: Site = site("--control-socket", str(path), workers=1)
    assert ctl("-s", str(path), "status").returncode == 0
    assert again.version() == "1"


def test_a_wrong_configuration_is_told(penstock: Start, tmp_path: Path) -> None:
    Site(tmp_path).deploy("1")
    file = tmp_path / "penstock.yaml"
    file.write_text("pools:\n  web: {app: site_app:app}\n")
    server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
    file.write_text("pools:\n  web: {app: site_app:app, workerz: 2}\n")
    result = ask(server, "reload")
    assert result.returncode == 1
    assert "penstock.yaml:2:28: workerz is no key" in result.stderr
    assert result.stderr.endswith("; all goes on as it was\n")
    file.write_text("pools:\n  web: {app: site_app:app, workers: 2}\n")
    assert ask(server, "reload").returncode == 0
    told = status(server)
    assert told["instance"]["generation"] == 2 and told["pools"][0]["workers"] == 2
