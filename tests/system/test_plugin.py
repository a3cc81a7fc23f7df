"""Plugins of other people: the example project, built out of tree, and those to be refused."""
from __future__ import annotations

import contextlib
import http.client
import os
import resource
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fcgi
import installed
from adapter import Adapter, build_plugin
from penstock import Penstock

EXAMPLE = installed.SOURCE / "examples" / "plugin"
PLUGIN_H = installed.SOURCE / "adapters" / "include" / "penstock" / "plugin.h"
MINOR = re.search(r"#define PST_PLUGIN_MINOR (\d+)", PLUGIN_H.read_text())[1]  # type: ignore


# --- the example project ---


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """app.so as a user gets it: autoreconf, configure, make, make install."""
    top = tmp_path_factory.mktemp("example")
    source, build, prefix = top / "source", top / "build", top / "inst"
    source.mkdir()
    for name in ("app.c", "waiter.c", "configure.ac", "Makefile.am", "README.md"):
        shutil.copyfile(EXAMPLE / name, source / name)
    build.mkdir()
    environment = os.environ | {"PKG_CONFIG_PATH": str(installed.PKGCONFIGDIR)}

    def run(command: str, directory: Path) -> None:
        done = subprocess.run(
            shlex.split(command), cwd=directory, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout

    run("autoreconf -fi", source)
    run(f"{source}/configure --prefix={prefix} CFLAGS='-O1 -g -Werror'", build)
    run("make install", build)
    path = prefix / "lib" / "penstock-example" / "app.so"
    assert not path.with_suffix(".la").exists()
    return path


def test_the_example_has_no_undefined_symbols_of_penstock(example: Path) -> None:
    symbols = subprocess.run(
        ["nm", "-D", str(example)], check=True, text=True, stdout=subprocess.PIPE
    ).stdout.splitlines()
    assert not [line for line in symbols if " U pst_" in line]
    ours = [line.split()[-1] for line in symbols if " T " in line]
    assert ours == ["penstock_plugin"]


@pytest.fixture
def app(example: Path, tmp_path: Path) -> Iterator[Adapter]:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)
    with Adapter(tmp_path, "--option", f"file={file}", str(example)) as adapter:
        yield adapter
        assert adapter.terminate() == 0, adapter.log


def test_the_example_served_by_hand(app: Adapter) -> None:
    with fcgi.Connection(app.path) as connection:
        assert connection.ask("/").body == b"Hello from C\n"
        assert b"PATH_INFO=/params\n" in connection.ask("/params").body
        assert connection.ask("/stream").body.splitlines()[9] == b"line 10"
        response = connection.ask("/file")
        assert "Content-Length: 256000" in response.head
        assert response.body == bytes(range(256)) * 1000
        assert connection.ask("/nowhere").status == "404 Not Found"
        connection.send(
            fcgi.head("/echo", REQUEST_METHOD="POST") + fcgi.stream(fcgi.STDIN, 1, b"back")
        )
        assert connection.response().body == b"back"


def test_the_example_whose_file_is_missing(example: Path, tmp_path: Path) -> None:
    with Adapter(tmp_path, "--option", "file=/does/not/exist", str(example)) as adapter:
        assert adapter.wait() == 3
        assert "error: /does/not/exist: No such file or directory" in adapter.log


def test_the_example_served_by_penstock(
    example: Path, penstock: Callable[..., Penstock]
) -> None:
    server = penstock("./app.so", "-w", "2", cwd=example.parent)
    answer = server.get("/")
    assert (answer.status, answer.body) == (200, b"Hello from C\n")
    body = os.urandom(1 << 20)
    assert server.request("POST", "/echo", body=body).body == body
    assert server.get("/stream").body.splitlines()[-1] == b"line 10"
    head = server.request("HEAD", "/")
    assert (head.status, head.body) == (200, b"")
    assert server.stop() == 0


def test_a_thousand_requests_wait_in_one_process(
    example: Path, penstock: Callable[..., Penstock]
) -> None:
    """One after the other they would take a quarter of an hour."""
    server = penstock("./waiter.so", "-k", "async", cwd=example.parent)
    assert server.get("/").body == b"Hello from C\n"
    body = os.urandom(1 << 20)
    assert server.request("POST", "/echo", body=body).body == body
    with contextlib.ExitStack() as stack:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        waiting = []
        for _ in range(1000):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            client.sendall(b"GET /wait?1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            waiting.append(client)
        for client in waiting:
            with client.makefile("rb") as answer:
                got = answer.read()
            assert got.startswith(b"HTTP/1.1 200 OK\r\n") and got.endswith(b"at last\n"), got
    assert server.stop() == 0


def test_the_plugin_that_the_guide_begins_with(tmp_path: Path) -> None:
    guide = (installed.SOURCE / "docs" / "plugin.md").read_text()
    source = tmp_path / "hello.c"
    source.write_text(guide.partition("```c\n")[2].partition("```\n")[0])
    plugin = build_plugin(source, tmp_path / "hello.so")
    with Adapter(tmp_path, str(plugin)) as adapter, fcgi.Connection(adapter.path) as connection:
        assert connection.ask("/").body == b"Hello\n"


def test_the_plugin_of_the_guide_that_waits(tmp_path: Path) -> None:
    guide = (installed.SOURCE / "docs" / "plugin.md").read_text()
    source = tmp_path / "later.c"
    source.write_text(guide.split("```c\n")[2].partition("```\n")[0])
    plugin = build_plugin(source, tmp_path / "later.so")
    with (
        Adapter(tmp_path, str(plugin), program=installed.ASYNC) as adapter,
        fcgi.Connection(adapter.path) as connection,
        fcgi.Connection(adapter.path) as other,
    ):
        other.send(fcgi.request("/"))
        assert connection.ask("/").body == b"Hello\n"
        assert other.response().body == b"Hello\n"


# --- the host that plays a script ---


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment = os.environ | {"PKG_CONFIG_PATH": str(installed.PKGCONFIGDIR)}
    target = tmp_path_factory.mktemp("host") / "host"
    source = installed.SOURCE / "tests" / "plugins" / "host.c"
    command = f"{os.environ.get('CC', 'cc')} -std=gnu11 -Wall -Wextra -Werror -o {target} {source}"
    subprocess.run(
        f"{command} $(pkg-config --cflags penstock) -ldl", shell=True, env=environment, check=True
    )
    return target


def play(host: Path, plugin: Path, script: str) -> tuple[int, str]:
    done = subprocess.run(
        [host, plugin], input=script, text=True, timeout=60, stdout=subprocess.PIPE
    )
    return done.returncode, done.stdout


def test_the_waiter_event_by_event(host: Path, tmp_path: Path) -> None:
    """What it does for each event of the script, which is in what is expected, behind "> "."""
    waiter = build_plugin(EXAMPLE / "waiter.c", tmp_path / "waiter.so")
    expected = (installed.SOURCE / "tests" / "plugins" / "waiter.expected").read_text()
    script = "".join(line[2:] for line in expected.splitlines(True) if line.startswith("> "))
    assert play(host, waiter, script) == (0, expected)


def test_the_host_drives_a_loop_of_the_plugins_own(host: Path, tmp_path: Path) -> None:
    plugin = build_plugin("async_probe.c", tmp_path / "probe.so", "-DOWN_LOOP")
    script = "request a PATH_INFO=/echo\nbody a xyz\nend a\nready a\nturn\n"
    status, said = play(host, plugin, script)
    assert status == 0, said
    assert 'a: write "xyz"\n' in said and "a: finish 0\n" in said


def test_the_host_says_what_is_wrong(host: Path, tmp_path: Path) -> None:
    plugin = build_plugin("async_probe.c", tmp_path / "probe.so")
    status, said = play(host, plugin, "request a PATH_INFO=/hang\nturn\n")
    assert (status, said.splitlines()[-2]) == (1, "WRONG: a: it was not finished")
    status, said = play(host, plugin, "request a PATH_INFO=/nothing\nturn\n")
    assert status == 1 and "WRONG: a: finish(0) without a response\n" in said


# --- what is refused ---


def refused(tmp_path: Path, app: str, **environment: str) -> str:
    """The one line with which the adapter ends with status 1."""
    with Adapter(tmp_path, app, environment=environment) as adapter:
        assert adapter.wait() == 1, adapter.log
        assert adapter.log.count("\n") == 1, adapter.log
        return adapter.log


@pytest.mark.parametrize(
    "flags, said",
    [
        (["-DMAGIC=0x12345678"], "is no plugin's description (magic 0x12345678)"),
        (["-DMAJOR=1"], f"was built for plugin ABI 1.{MINOR}, and this is 0.{MINOR}"),
        (["-DMINOR=99"], f"was built for plugin ABI 0.99, and this is 0.{MINOR}"),
        (["-DSIZE=16"], "says that it has 16 bytes"),
        (["-DMODELS=1u<<PST_MODEL_ASYNC"], "does not support the sync model"),
        (["-DNO_OPEN"], "has no lifecycle->open"),
        (["-DNO_HANDLE"], "has no blocking->handle"),
        (["-DNULL_PLUGIN"], "penstock_plugin() returned NULL"),
        (["-DENTRY=another_name"], "is not a Penstock plugin: it exports no penstock_plugin()"),
    ],
)
def test_plugins_that_are_refused(tmp_path: Path, flags: list[str], said: str) -> None:
    plugin = build_plugin("bad.c", tmp_path / "bad.so", *flags)
    line = refused(tmp_path, str(plugin))
    assert said in line
    assert str(plugin) in line


def test_a_plugin_that_is_missing(tmp_path: Path) -> None:
    line = refused(tmp_path, "./none.so")
    assert line == "sync: critical: plugin ./none.so: No such file or directory\n"
    # dlopen() would have looked for this one in the system's directories.
    assert "plugin ./libc.so: No such file" in refused(tmp_path, "libc.so")


def test_a_file_that_is_no_shared_object(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no ELF\n")
    assert "text.so cannot be loaded: " in refused(tmp_path, str(tmp_path / "text.so"))
    (tmp_path / "shop.py").write_text("no ELF\n")
    line = refused(tmp_path, str(tmp_path / "shop.py"))
    assert "a Python application is named without its directory, as MODULE:CALLABLE" in line


def test_a_plugin_with_an_undefined_symbol(tmp_path: Path) -> None:
    source = tmp_path / "undefined.c"
    source.write_text("void missing(void); void call(void); void call(void) { missing(); }\n")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "undefined.so"), str(source)], check=True
    )
    line = refused(tmp_path, str(tmp_path / "undefined.so"))
    assert "undefined symbol: missing" in line


# --- which Python plugin ---


def test_no_python_plugin(tmp_path: Path) -> None:
    line = refused(tmp_path, "shop.wsgi:application", PENSTOCK_PLUGIN_DIR=str(tmp_path))
    assert f"no Python plugin is in {tmp_path}" in line
    assert '"shop.wsgi:application"' in line


@pytest.fixture
def pythons(tmp_path: Path) -> Path:
    """Two Python plugins, which are probes; --python chooses. And an interpreter of each."""
    directory = tmp_path / "plugins"
    directory.mkdir()
    probe = build_plugin("probe.c", tmp_path / "probe.so")
    for version in ("3.98", "3.99"):
        shutil.copyfile(probe, directory / f"python{version}.so")
        interpreter = directory / f"interpreter{version}"
        interpreter.write_text(f"#!/bin/sh\necho {version}\n")
        interpreter.chmod(0o755)
    return directory


def loaded(pid: int) -> str:
    maps = Path(f"/proc/{pid}/maps").read_text()
    return next(line.rpartition("/")[2] for line in maps.splitlines() if "/python3." in line)


@pytest.mark.parametrize("version", ["3.98", "3.99"])
@pytest.mark.parametrize("how", ["option", "virtualenv"])
def test_python_chooses_the_plugin(
    pythons: Path, tmp_path: Path, version: str, how: str
) -> None:
    interpreter = pythons / f"interpreter{version}"
    environment = {"PENSTOCK_PLUGIN_DIR": str(pythons)}
    args = ["--python", str(interpreter)]
    if how == "virtualenv":
        (tmp_path / "venv" / "bin").mkdir(parents=True)
        (tmp_path / "venv" / "bin" / "python").symlink_to(interpreter)
        environment["VIRTUAL_ENV"] = str(tmp_path / "venv")
        args = []
    with Adapter(tmp_path, *args, "app", environment=environment, control=True) as adapter:
        assert adapter.line() == "READY"
        assert loaded(adapter.process.pid) == f"python{version}.so"


def test_python_that_has_no_plugin(pythons: Path, tmp_path: Path) -> None:
    (pythons / "python3.98.so").rename(pythons / "python3.97.so")
    interpreter = pythons / "interpreter3.98"
    environment = {"PENSTOCK_PLUGIN_DIR": str(pythons)}
    args = ("--python", str(interpreter), "app")
    with Adapter(tmp_path, *args, environment=environment) as adapter:
        assert adapter.wait() == 1
        assert f"{interpreter} is Python 3.98, and there is no plugin for it" in adapter.log
        assert f"--with-python={interpreter}" in adapter.log


@pytest.mark.parametrize("script, said", [
    ("exit 1", "is no Python interpreter"),
    ("echo ../../etc", "is no Python interpreter"),
    (None, "cannot be run: No such file or directory"),
])
def test_what_is_no_python(
    pythons: Path, tmp_path: Path, script: str | None, said: str
) -> None:
    interpreter = tmp_path / "python"
    if script:
        interpreter.write_text(f"#!/bin/sh\n{script}\n")
        interpreter.chmod(0o755)
    environment = {"PENSTOCK_PLUGIN_DIR": str(pythons)}
    args = ("--python", str(interpreter), "app")
    with Adapter(tmp_path, *args, environment=environment) as adapter:
        assert adapter.wait() == 1
        assert said in adapter.log


# --- files through the gateway ---


def test_a_file_through_the_gateway(
    penstock: Callable[..., Penstock], tmp_path: Path
) -> None:
    """Also one that becomes shorter: its response is broken off, and the worker stays."""
    content, path = os.urandom((10 << 20) + 4321), tmp_path / "file"
    path.write_bytes(content)
    server = penstock(str(build_plugin("probe.c", tmp_path / "probe.so")))
    workers = server.worker_pids
    answer = server.get(f"/send?999,{len(content) - 999},{path}")
    assert (answer.status, answer.body == content[999:]) == (200, True)
    os.truncate(path, 4 << 30)
    connection = server.connect()
    connection.request("GET", f"/send?0,{4 << 30},{path}")
    response = connection.getresponse()
    assert response.read(1000) == content[:1000]
    os.truncate(path, 0)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        while response.read(1 << 20):
            pass
    connection.close()
    server.wait_for("GET /send: the file that it answered with cannot be sent: its file is shorter")
    assert server.get("/hello").body == b"hello\n"
    assert server.worker_pids == workers
