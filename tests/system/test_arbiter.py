"""The life of a penstock: how it starts, what it survives, how it ends."""
from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import installed
from adapter import build_plugin
from penstock import Answer, Penstock, environment, eventually, is_alive, run
from raw import Client
from servers import free_port

APPS = installed.SOURCE / "tests" / "system" / "apps"
Start = Callable[..., Penstock]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")


@pytest.fixture
def serve(penstock: Start) -> Start:
    """Start one with apps/lives.py."""

    def start(*options: str, **how: Any) -> Penstock:
        return penstock("lives:app", *options, **({"cwd": APPS} | how))

    return start


class Asked(threading.Thread):
    """A request that is under way."""

    def __init__(self, server: Penstock, path: str) -> None:
        super().__init__(daemon=True)
        self._server, self._path = server, path
        self._answer: Answer | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._server.get(self._path)
        except Exception as error:
            self._answer = error

    def result(self) -> Answer | Exception:
        self.join(60)
        assert self._answer is not None, f"{self._path} was never answered"
        return self._answer

    def answer(self) -> Answer:
        result = self.result()
        assert isinstance(result, Answer), result
        return result


def who(server: Penstock) -> dict[str, Any]:
    return json.loads(server.get("/who").body)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def taken_port() -> tuple[socket.socket, int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener, listener.getsockname()[1]


# --- usage ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--wokers", "2", "a"], "--wokers is no option; did you mean --workers?"),
        (["--spew", "a"], "--spew is not there yet: gunicorn has this option"),
        (["-k", "gvent", "a"], "--worker-class does not know 'gvent' (did you mean 'gevent'?)"),
        (["--access-logformat", "%(", "a"], "--access-logformat cannot use '%('"),
        (["--forwarded-allow-ips", "127.0.0.1,x", "a"], "--forwarded-allow-ips cannot use 'x'"),
        (["--chdir", "/nonexistent", "a"], "--chdir: cannot enter /nonexistent: No such file"),
        (["--error-logfile", "/nonexistent/log", "a"], "cannot open /nonexistent/log: No such"),
        (["--access-logfile", "/nonexistent/log", "a"], "cannot open /nonexistent/log: No such"),
        (["-u", "nobody-has-this-name", "a"], "there is no user 'nobody-has-this-name'"),
        (["-g", "nobody-has-this-name", "a"], "there is no group 'nobody-has-this-name'"),
        ([], "no application was named"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(arguments: list[str], line: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("penstock: ") and line in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_help_and_version_go_to_stdout() -> None:
    for option, text in (("--help", "usage: penstock"), ("--version", "penstock ")):
        ended = run(option)
        assert ended.returncode == 0
        assert ended.stdout.startswith(text)
        assert ended.stderr == ""


def test_the_environment_configures_it(serve: Start) -> None:
    port = free_port()
    server = serve(
        bind=None,
        env={"PORT": str(port), "WEB_CONCURRENCY": "2", "PENSTOCK_CMD_ARGS": "-e 'A=b c'"},
    )
    assert server.addresses == [f"http://0.0.0.0:{port}"]
    eventually(lambda: len(server.worker_pids) == 2, "two workers")
    assert who(server)["environ"]["A"] == "b c"


# --- the start -----------------------------------------------------------------------------


def test_it_says_where_it_listens_and_when_it_is_ready(serve: Start) -> None:
    server = serve("-w", "2")
    server.wait_for(r"worker \d\.\d ready \(pid \d+\)$", count=2)
    lines = [re.sub(r"^\[.*?\] \[\d+\] ", "", line) for line in server.log.splitlines()]
    assert lines[0].startswith("[INFO] Starting penstock ")
    assert lines[1] == f"[INFO] Listening at: {server.addresses[0]} ({server.pid})"
    assert lines[2] == "[INFO] Using worker: sync"
    assert re.fullmatch(r"\[INFO\] worker [12]\.[12] ready \(pid \d+\)", lines[3])
    assert re.fullmatch(rf"\[INFO\] Penstock \S+ serves at {server.addresses[0]}", lines[4])


def test_an_application_that_does_not_exist_is_status_3() -> None:
    ended = run("-b", "127.0.0.1:0", "-w", "3", "nowhere.wsgi:application")
    assert ended.returncode == 3
    assert "ModuleNotFoundError" in ended.stderr
    (line,) = re.findall(r"\[CRITICAL\] (the application .*)", ended.stderr)
    assert "'nowhere.wsgi:application' did not load" in line


def test_an_application_that_fails_shows_its_traceback(serve: Start) -> None:
    server = serve(env={"LIVES_IMPORT": "raise"}, ready=False)
    assert server.wait() == 3
    assert "LookupError: a reason that the operator must see" in server.log
    assert re.search(r"worker 1\.1: .*lives\.py", server.log)
    assert not server.runtime_directory.exists()


def test_a_worker_that_crashes_at_once_is_status_1(penstock: Start, tmp_path: Path) -> None:
    """It is a plugin in C, which is there within the second in which a crash is no accident."""
    plugin = build_plugin("bad.c", tmp_path / "bad.so", "-DABORTS")
    server = penstock(str(plugin), ready=False)
    assert server.wait() == 1
    assert re.search(r"\[CRITICAL\] worker 1\.\d \(pid \d+\) for '\S+/bad\.so' ", server.log)


def test_a_plugin_that_does_not_exist_is_status_1() -> None:
    ended = run("-b", "127.0.0.1:0", "./nowhere.so")
    assert ended.returncode == 1
    assert "nowhere.so" in ended.stderr


def test_what_only_the_gateway_can_judge_is_status_2(serve: Start) -> None:
    server = serve("--spool-dir", "/proc", ready=False)
    assert server.wait() == 2
    assert "no file can be made in the spool directory /proc" in server.log


# --- listeners -----------------------------------------------------------------------------


def test_a_busy_port_is_status_1_after_trying_again() -> None:
    listener, port = taken_port()
    with listener:
        ended = run("-b", f"127.0.0.1:{port}", "lives:app")
    assert ended.returncode == 1
    lines = [re.sub(r"^\[.*?\] \[\d+\] ", "", line) for line in ended.stderr.splitlines()]
    assert lines[0] == f"[WARNING] 127.0.0.1:{port} is in use; trying again for 5 seconds"
    assert lines[1].startswith(
        f"[CRITICAL] cannot listen on 127.0.0.1:{port}: address already in use ("
    )
    assert len(lines) == 2


def test_a_port_that_becomes_free_is_taken(serve: Start) -> None:
    listener, port = taken_port()
    server = serve(bind=f"127.0.0.1:{port}", ready=False)
    server.wait_for("is in use; trying again")
    listener.close()
    server.wait_ready()
    assert server.get("/pid").status == 200


def test_it_can_be_ended_while_it_waits_for_a_port(serve: Start) -> None:
    listener, port = taken_port()
    with listener:
        server = serve(bind=f"127.0.0.1:{port}", ready=False)
        server.wait_for("is in use; trying again")
        assert server.stop() == 0


def test_an_address_of_another_machine_is_an_error() -> None:
    ended = run("-b", "192.0.2.1:0", "lives:app")
    assert ended.returncode == 1
    assert "cannot listen on 192.0.2.1:0" in ended.stderr


def ask_unix(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def test_several_addresses(serve: Start, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    server = serve("-b", "[::1]:0", "-b", f"unix:{path}")
    ipv4, ipv6, unix = server.addresses
    assert unix == f"unix:{path}"
    assert server.get("/pid").status == 200
    with socket.create_connection(("::1", int(ipv6.rpartition(":")[2])), 30) as client:
        client.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert ask_unix(path).startswith(b"HTTP/1.1 200 ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    server.stop()
    assert not path.exists()


def test_umask_is_for_unix_sockets(serve: Start, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    serve("-m", "027", bind=f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_a_stale_unix_socket_is_replaced(serve: Start, tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
        stale.listen()
    assert path.is_socket()
    serve(bind=f"unix:{path}")
    assert ask_unix(path).startswith(b"HTTP/1.1 200 ")


def test_a_live_unix_socket_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        ended = run("-b", f"unix:{path}", "lives:app")
        assert ended.returncode == 1
        assert f"cannot listen on unix:{path}: address already in use" in ended.stderr
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_is_never_taken_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    ended = run("-b", f"unix:{path}", "lives:app")
    assert ended.returncode == 1
    assert "it is no socket" in ended.stderr
    assert path.read_text() == "data"


def test_an_inherited_socket(serve: Start) -> None:
    listener, port = taken_port()
    with listener:
        server = serve(bind=f"fd://{listener.fileno()}", pass_fds=[listener.fileno()])
        assert server.addresses == [f"http://127.0.0.1:{port}"]
    assert server.get("/pid").status == 200


def test_a_descriptor_that_is_no_listener_is_an_error() -> None:
    ended = run("-b", "fd://77", "lives:app")
    assert ended.returncode == 1
    assert "fd://77" in ended.stderr


# --- the pid file --------------------------------------------------------------------------


def test_pid_file(serve: Start, tmp_path: Path) -> None:
    path = tmp_path / "penstock.pid"
    server = serve("-p", str(path))
    assert path.read_text() == f"{server.pid}\n"
    second = run("-b", "127.0.0.1:0", "-p", str(path), "lives:app")
    assert second.returncode == 1
    assert f"already running as pid {server.pid}" in second.stderr
    assert path.read_text() == f"{server.pid}\n"
    server.stop()
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "rubbish\n", "4194304\n", "the test's own pid\n"])
def test_a_stale_pid_file_is_replaced(serve: Start, tmp_path: Path, content: str) -> None:
    path = tmp_path / "penstock.pid"
    path.write_text(content.replace("the test's own pid", str(os.getpid())))
    server = serve("-p", str(path))
    assert path.read_text() == f"{server.pid}\n"


# --- what it survives ----------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_others_serve_on(serve: Start) -> None:
    server = serve("-w", "2")
    server.wait_for("ready", count=2)
    victim, other = server.worker_pids
    os.kill(victim, signal.SIGKILL)
    server.wait_for(rf"pid {victim}\) was killed by signal 9 \(Killed\); another is started")
    server.wait_for(r"worker \d\.3 ready")
    assert other in server.worker_pids and victim not in server.worker_pids
    assert server.get("/pid").status == 200


def test_a_worker_that_keeps_failing_is_started_less_and_less_often(serve: Start) -> None:
    server = serve()
    for number, delay in enumerate(("0.1", "0.2", "0.4", "0.8"), 1):
        server.wait_for(rf"worker 1\.{number} ready")
        assert server.get("/exit?7").status == 502
        server.wait_for(
            rf"worker 1\.{number} \(pid \d+\) exited with status 7; "
            rf"another is started in {delay} s"
        )
    assert server.get("/pid").status == 200


def test_a_broken_deploy_is_tried_again(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "lives.py").write_text((APPS / "lives.py").read_text())
    server = serve(env={"LIVES_IMPORT": "once"}, cwd=tmp_path)
    (tmp_path / "fail").touch()
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.wait_for(r"worker 1\.2 \(pid \d+\) exited with status 3; another is started in 0.2 s")
    (tmp_path / "fail").unlink()
    assert server.get("/pid").status == 200


def test_a_killed_gateway_is_replaced_and_workers_stay(serve: Start) -> None:
    server = serve("-w", "2")
    server.wait_for("ready", count=2)
    before, gateway = sorted(server.worker_pids), server.gateway_pid
    os.kill(gateway, signal.SIGKILL)
    assert server.get("/pid").status == 200
    server.wait_for(rf"gateway \(pid {gateway}\) was killed by signal 9")
    server.wait_for(r"worker \d\.\d ready", count=4)
    assert sorted(server.worker_pids) == before
    assert server.gateway_pid != gateway


def test_a_killed_arbiter_leaves_nothing_behind(serve: Start) -> None:
    server = serve("-w", "2")
    server.wait_for("ready", count=2)
    children = [server.gateway_pid, *server.worker_pids]
    directory, port = server.runtime_directory, server.port
    assert directory.is_dir()
    server.signal(signal.SIGKILL)
    server.wait()
    eventually(lambda: not any(map(is_alive, children)), "its children's end")
    assert is_free(port)
    assert not directory.exists()


def test_a_killed_arbiter_finishes_what_waits(serve: Start) -> None:
    server = serve("-w", "1")
    server.wait_for("worker 1.1 ready")
    first = under_way(server, "/sleep?0.5")
    with contextlib.ExitStack() as clients:
        waiting = [clients.enter_context(Client(("127.0.0.1", server.port))) for _ in range(4)]
        for client in waiting:
            client.get("/sleep?0.1")
        server.signal(signal.SIGKILL)
        server.wait()
        assert first.answer().body == b"slept"
        for client in waiting:
            response = client.response()
            assert (response.status, response.field("Connection")) == (200, "close")


def test_a_killed_arbiter_leaves_no_stuck_worker_behind(serve: Start) -> None:
    server = serve("-w", "1", "--graceful-timeout", "0", "--timeout", "0")
    server.wait_for("worker 1.1 ready")
    children = [server.gateway_pid, *server.worker_pids]
    asked = under_way(server, "/sleep?600")
    server.signal(signal.SIGKILL)
    server.wait()
    eventually(lambda: not any(map(is_alive, children)), "its children's end")
    asked.result()


def test_what_a_dead_arbiter_left_is_swept(serve: Start) -> None:
    server = serve()
    directory = server.runtime_directory.with_name("penstock-4194304")
    alive = server.runtime_directory.with_name(f"penstock-{os.getpid()}")
    foreign = server.runtime_directory.with_name("penstock-4194303")
    renamed = server.runtime_directory.with_name("penstock-4194304-x0Yz9B")
    for made, mode in ((directory, 0o700), (renamed, 0o700), (alive, 0o700), (foreign, 0o755)):
        hidden = made.with_name(f"tests-{made.name}")  # from a penstock of another test
        hidden.mkdir()
        hidden.chmod(mode)
        if made == directory:
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(hidden / "1.1.sock"))
        hidden.rename(made)
    try:
        second = serve()
        assert not directory.exists() and not renamed.exists()
        assert alive.is_dir() and foreign.is_dir()
        assert server.runtime_directory.is_dir() and second.runtime_directory.is_dir()
    finally:
        alive.rmdir()
        foreign.rmdir()


def test_nobody_blocks_a_start_by_taking_its_directorys_name(serve: Start, tmp_path: Path) -> None:
    parent = Path("/run") if os.geteuid() == 0 else tmp_path

    def take() -> None:
        taken = parent / f"penstock-{os.getpid()}"
        taken.mkdir()
        taken.chmod(0o755)

    server = serve(preexec_fn=take, env={"XDG_RUNTIME_DIR": str(parent)})
    taken = parent / f"penstock-{server.pid}"
    try:
        (directory,) = parent.glob(f"{taken.name}-*")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert server.get("/who").status == 200
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not directory.exists()
        assert taken.is_dir() and not list(taken.iterdir())
    finally:
        taken.rmdir()


def test_a_request_that_runs_too_long_is_504_and_its_worker_is_replaced(serve: Start) -> None:
    server = serve("-w", "2", "-t", "1")
    server.wait_for("ready", count=2)
    assert server.get("/sleep?60").status == 504
    line = server.wait_for(r"worker (\S+) \(pid \d+\): GET /sleep\S* passed its deadline")
    worker = re.escape(line.group(1))
    server.wait_for(rf"worker {worker}: .*lives\.py.*_sleep")
    server.wait_for(rf"worker {worker} \(pid \d+\) is gone; another is started")
    server.wait_for(r"worker \d\.3 ready")
    assert server.get("/pid").status == 200


def test_an_unknown_child_is_reaped(serve: Start) -> None:
    """As process 1 of a container it inherits orphans."""
    server = serve(preexec_fn=_become_subreaper)
    assert server.get("/orphan").body == b"born"
    assert server.get("/exit?0").status == 502
    server.wait_for(r"worker 1\.1: a subprocess speaks")
    eventually(lambda: not _zombies(server.pid), "no zombie")


def _become_subreaper() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _zombies(parent: int) -> list[str]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [pid for pid in children if not is_alive(int(pid))]


# --- what workers print --------------------------------------------------------------------


def test_lines_of_workers_are_framed(serve: Start) -> None:
    server = serve()
    worker = server.worker_pids[0]
    server.get("/say?hello%20there")
    server.wait_for(rf"\[{worker}\] \[INFO\] worker 1\.1: hello%20there$")
    server.get("/last?unfinished")
    server.wait_for(rf"\[{worker}\] \[INFO\] worker 1\.1: unfinished$")


def peak_memory(pid: int) -> int:
    """In KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def test_a_worker_that_floods_the_log_harms_nobody(serve: Start) -> None:
    server = serve("-w", "2")
    server.wait_for("ready", count=2)
    before = peak_memory(server.pid)
    flood = Asked(server, "/flood?2")
    time.sleep(0.2)
    other = [pid for pid in server.worker_pids]
    for _ in range(10):
        assert int(server.get("/pid").body) in other
    os.kill(server.gateway_pid, signal.SIGKILL)
    server.wait_for(r"gateway \(pid \d+\) was killed by signal 9")
    assert server.get("/pid").status == 200
    flood.result()
    assert peak_memory(server.pid) - before < 16 * 1024


# --- the end -------------------------------------------------------------------------------


def under_way(server: Penstock, path: str) -> Asked:
    """Ask for PATH, a "/sleep", and wait until a worker is at it."""
    asked = Asked(server, path)
    server.wait_for(r"worker [0-9.]+: sleeping")
    return asked


def test_term_finishes_requests(serve: Start) -> None:
    server = serve()
    asked = under_way(server, "/sleep?2")
    assert server.stop(signal.SIGTERM) == 0
    assert asked.answer().body == b"slept"
    assert not server.runtime_directory.exists()


def test_term_ends_what_does_not_finish(serve: Start) -> None:
    server = serve("--graceful-timeout", "1")
    asked = under_way(server, "/sleep?60")
    begun = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 30
    asked.result()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_second_signal_is_quicker(serve: Start, second: int) -> None:
    server = serve()
    asked = under_way(server, "/sleep?60")
    server.signal(signal.SIGTERM)
    server.wait_for("SIGTERM from pid")
    assert server.stop(second) == 0
    asked.result()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_are_quick(serve: Start, number: int) -> None:
    server = serve("-w", "2")
    children = [server.gateway_pid, *server.worker_pids]
    asked = under_way(server, "/sleep?60")
    assert server.stop(number) == 0
    asked.result()
    assert not any(map(is_alive, children))


def test_signals_of_later_versions_are_ignored(serve: Start) -> None:
    server = serve()
    server.signal(signal.SIGUSR2)
    server.wait_for(rf"\[WARNING\] SIGUSR2 from pid {os.getpid()} is ignored")
    server.signal(signal.SIGWINCH)  # a terminal's; it is for daemons
    assert server.get("/pid").status == 200


# --- who the children are ------------------------------------------------------------------


def test_the_environment_and_the_directory(serve: Start, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    server = serve("-e", "A=1", "-e", "B=x=y", "--chdir", "work", "--pythonpath", str(APPS),
                   cwd=tmp_path)  # fmt: skip
    told = who(server)
    assert told["environ"]["A"] == "1" and told["environ"]["B"] == "x=y"
    assert not {"PENSTOCK_CONTROL", "PENSTOCK_PAGE"} & set(told["environ"])
    assert told["cwd"] == str(tmp_path / "work")
    assert str(APPS) in told["path"]


def test_the_gateway_may_open_as_many_files_as_the_system_allows(serve: Start) -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))

    server = serve(preexec_fn=lower)

    def limit(pid: int) -> list[str]:
        text = Path(f"/proc/{pid}/limits").read_text()
        return re.search(r"Max open files\s+(\d+)\s+(\d+)", text).groups()

    assert limit(server.gateway_pid) == ("512", "512")
    assert limit(server.worker_pids[0]) == ("256", "512")


def test_no_worker_has_a_client_listener(serve: Start) -> None:
    server = serve()
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"
    }
    assert len(inodes) == 1
    sockets = {f"socket:[{inode}]" for inode in inodes}

    def links(pid: int) -> set[str]:
        return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}

    assert sockets <= links(server.gateway_pid)
    assert not sockets & links(server.worker_pids[0])


@pytest.fixture
def anybodys() -> Iterator[Path]:
    """A directory for any user, with a plugin in it: the tests' Python may be root's own."""
    for above in installed.GATEWAY.parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            pytest.skip(f"other users cannot enter {above}, where this tree is installed")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        build_plugin("probe.c", directory / "probe.so").chmod(0o755)
        yield directory


def credentials(pid: int) -> dict[str, list[int]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: [int(n) for n in fields[name].split()] for name in ("Uid", "Gid", "Groups")}


NOBODY = {"Uid": [65534] * 4, "Gid": [65534] * 4, "Groups": [65534]}


@as_root
def test_another_user(penstock: Start, anybodys: Path) -> None:
    path = anybodys / "http.sock"
    server = penstock("./probe.so", "-u", "nobody", "-b", f"unix:{path}", cwd=anybodys)
    assert server.get("/pid").status == 200
    assert credentials(server.gateway_pid) == NOBODY
    assert credentials(server.worker_pids[0]) == NOBODY
    assert credentials(server.pid)["Uid"] == [0] * 4
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    assert server.runtime_directory.stat().st_uid == 65534
    assert stat.S_IMODE(server.runtime_directory.stat().st_mode) == 0o700


@as_root
def test_another_group_and_all_groups(penstock: Start, anybodys: Path) -> None:
    server = penstock("./probe.so", "-u", "root", "-g", "12", cwd=anybodys)
    assert credentials(server.worker_pids[0]) == {"Uid": [0] * 4, "Gid": [12] * 4, "Groups": [12]}
    server = penstock("./probe.so", "-u", "root", "-g", "12", "--initgroups", cwd=anybodys)
    expected = sorted({12, *os.getgrouplist("root", 12)})
    assert sorted(credentials(server.worker_pids[0])["Groups"]) == expected


@as_root
def test_the_directory_of_another_user_is_swept(penstock: Start, anybodys: Path) -> None:
    """Its gateway may empty but not remove it."""
    server = penstock("./probe.so", "-u", "nobody", cwd=anybodys)
    children = [server.gateway_pid, *server.worker_pids]
    directory = server.runtime_directory
    server.signal(signal.SIGKILL)
    server.wait()
    eventually(lambda: not any(map(is_alive, children)), "its children's end")
    with contextlib.suppress(FileNotFoundError):  # any other start removes it, too
        assert not list(directory.iterdir())
    penstock("./probe.so", "-u", "nobody", cwd=anybodys)
    # Another start may be about to do it; and the number may be another process's by now.
    eventually(lambda: not directory.exists() or is_alive(server.pid), "its end")


def test_a_directory_that_somebody_removes_is_made_again(serve: Start) -> None:
    """Workers that serve have no need of it; the next ones have."""
    server = serve("-w", "2")
    directory = server.runtime_directory
    before = directory.stat()
    shutil.rmtree(directory)
    assert server.get("/pid").status == 200
    for pid in server.worker_pids:
        os.kill(pid, signal.SIGKILL)
    server.wait_for(rf"\[WARNING\] the directory of the workers' sockets, {directory}, was removed")
    server.wait_for(r"worker \S+ ready", count=4)
    assert server.get("/pid").status == 200
    after = directory.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert server.stop() == 0
    assert not directory.exists()


def test_descriptors_are_scarce(serve: Start) -> None:
    def limit(count: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    server = serve(preexec_fn=limit(20), ready=False)
    assert server.wait() == 1
    assert "Too many open files (the limit is 20: ulimit -n, LimitNOFILE=" in server.log
    assert "the gateway could not be started: giving up" in server.log
    assert serve(preexec_fn=limit(40)).get("/pid").status == 200


def test_an_application_that_ends_the_process_in_silence(penstock: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import os\nos._exit(0)\n")
    server = penstock("shop:app", cwd=tmp_path, ready=False)
    assert server.wait() == 1
    assert re.search(r"'shop:app' exited with status 0 before it was ready: it printed nothing; "
                     "giving up", server.log)  # fmt: skip


def test_only_root_changes_the_user() -> None:
    command = [str(installed.PENSTOCK), "-u", "root", "lives:app"]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    ended = subprocess.run(command, env=environment(), stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert "only root may change them" in ended.stderr


@pytest.mark.parametrize("alone", [True, False])
def test_with_one_processor_the_gateway_gives_way(serve: Start, alone: bool) -> None:
    mine = sorted(os.sched_getaffinity(0))
    if not alone and len(mine) == 1:
        pytest.skip("there is one processor")
    allowed = mine[:1] if alone else mine
    server = serve(preexec_fn=lambda: os.sched_setaffinity(0, allowed))
    policies = [os.sched_getscheduler(pid) for pid in (server.gateway_pid, *server.worker_pids)]
    assert policies == [os.SCHED_BATCH if alone else os.SCHED_OTHER, os.SCHED_OTHER]


def test_a_worker_that_cannot_be_started_has_its_own_name(penstock: Start) -> None:
    server = penstock("gateway_app:app", cwd=APPS)
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(server.worker_pids[0], signal.SIGKILL)
    server.wait_for(r"worker 1\.2: cannot make its socket .*: Too many open files")
    server.wait_for(r"worker 1\.2 could not be started; another try in \d")
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
    server.wait_for(r"worker 1\.\d+ ready", 2)
    assert server.get("/").status == 200
