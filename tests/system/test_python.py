"""The embedded Python: which interpreter, which application, and how it ends."""
from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import installed
from worker import Server, Worker, behind_nginx, wait_for

WITHOUT_GIL = "t" if "t" in sys.abiflags else ""  # as names of Pythons have it

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start a worker for the application APP in tmp_path."""
    workers = []

    def start(app: str, *options: str, env: dict[str, str] | None = None) -> Worker:
        worker = Worker(app, tmp_path, *options, cwd=tmp_path, env=env)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.stop()


def write(directory: Path, **modules: str) -> None:
    for name, source in modules.items():
        (directory / f"{name}.py").write_text(textwrap.dedent(source))


def failure(worker: Worker, status: int = 3) -> str:
    """The line that a worker said last, which did not start."""
    assert worker.process.wait(60) == status, worker.printed()
    return worker.printed()


def answers(worker: Worker, path: str = "/") -> str:
    with behind_nginx(worker) as server:
        status, body = server.get(path)
    assert status == 200, worker.printed()
    return body.decode()


def show(expression: str) -> str:
    """An application that answers with an expression's value."""
    return f"""
        import os, sys
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(({expression})).encode()]
    """


# --- what is named -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "app",
    ["shop", "shop:", "shop:application", "shop:site.inner.application", "shop:create()",
     "shop:create(name='a', sizes=[1, 2])", "shop:create('a')", "shop:Application()",
     "shop:site.create()", "shop:Class"],
)  # fmt: skip
def test_names_and_factories(serve, tmp_path: Path, app: str) -> None:
    write(tmp_path, shop=HELLO + """
class Application:
    def __call__(self, environ, start_response):
        return application(environ, start_response)
def create(name="", *, sizes=()):
    assert name in ("", "a") and sizes in ((), [1, 2])
    return application
class Class:
    def __init__(self, environ, start_response):
        self.start_response = start_response
    def __iter__(self):
        self.start_response("200 OK", [])
        return iter([b"hello"])
class site:
    create = staticmethod(create)
    class inner:
        application = staticmethod(application)
""")
    assert answers(serve(app)) == "hello"


def test_packages(serve, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").touch()
    write(tmp_path / "shop", wsgi=HELLO)
    assert answers(serve("shop.wsgi")) == "hello"


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("absent", "cannot load absent: there is no module absent in {cwd}"),
        ("absent.wsgi:app", "there is no module absent.wsgi in {cwd}"),
        ("shop.wsgi", "there is no module shop.wsgi in {cwd}"),
        ("shop.py", "did you mean shop:application?"),
        ("shop:aplication", "module shop ({cwd}/shop.py) has no aplication; it has application"),
        ("named:application", "it has app (did you mean that?)"),
        ("broken", "importing module broken failed with ModuleNotFoundError: No module named 'nothere'"),
        ("syntax", "importing module syntax failed with SyntaxError"),
        ("exits", "importing module exits failed with SystemExit: 7"),
        ("shop:NUMBER", "NUMBER is of the type int, which cannot be called"),
        ("shop:factory", "if it is a factory, write 'shop:factory()'"),
        ("shop:factory(", "is not a name, or a call with literal arguments"),
        ("shop:factory(open)", "is not a name, or a call with literal arguments"),
        ("shop:factory(1)", "calling shop failed"),
        ("shop:bad()", "calling bad() failed with ZeroDivisionError"),
        ("shop:none()", "none() is of the type NoneType, which cannot be called"),
        ("asgi:function", "it is an ASGI application, and sync workers serve WSGI: type "
         "'penstock -k async asgi:function'"),
        ("asgi:instance", "it is an ASGI application, and sync workers serve WSGI"),
        ("asgi:Application", "type 'penstock -k async asgi:Application()'"),
        ("asgi:wrapped", "it is an ASGI application, and sync workers serve WSGI"),
        ("asgi:partial", "it is an ASGI application, and sync workers serve WSGI"),
        ("asgi:plain", "it is an ASGI application, and sync workers serve WSGI"),
        ("asgi:Awaited", "it is an ASGI application, and sync workers serve WSGI"),
        ("asgi:double", "application = asgiref.compatibility.guarantee_single_callable(double) in"),
        ("asgi:Double", "it takes one argument, as ASGI 2 applications did; ASGI 3 is served"),
        ("asgi:handler", "it cannot be called with (environ, start_response)"),
        ("asgi:make()", "make() is a coroutine: a factory is no async function"),
        (":application", "an application is MODULE:CALLABLE"),
    ],
)  # fmt: skip
def test_an_application_that_does_not_load(serve, tmp_path: Path, app: str, expected: str) -> None:
    write(
        tmp_path,
        shop=HELLO + "NUMBER = 1\ndef factory(): return application\n"
        "def bad(): 1 / 0\ndef none(): pass\n",
        named="def app(environ, start_response): pass\n",
        broken="import nothere\n",
        syntax="def\n",
        exits="import sys; sys.exit(7)\n",
        asgi="""
            async def function(scope, receive, send): pass
            class Application:
                async def __call__(self, scope, receive, send): pass
            instance = Application()
            import functools
            def decorate(app):
                @functools.wraps(app)
                def inner(*args, **kwargs): return app(*args, **kwargs)
                return inner
            wrapped = decorate(function)
            async def more(config, scope, receive, send): pass
            partial = functools.partial(more, 1)
            def plain(scope, receive, send): return function(scope, receive, send)
            class Awaited:
                def __init__(self, scope, receive, send): pass
                def __await__(self): return iter(())
            def double(scope): return None
            class Double:
                def __init__(self, scope): pass
                async def __call__(self, receive, send): pass
            async def handler(request): pass
            async def make(): pass
        """,
    )
    if app == "shop:factory(1)":
        expected = "calling factory(1) failed with TypeError"
    printed = failure(serve(app))
    lines = printed.splitlines()
    (line,) = [line for line in lines if f"cannot load {app}: " in line]
    assert expected.format(cwd=tmp_path) in line
    has_cause = " failed with " in expected or "no module" in expected
    assert ("Traceback" in printed or "Error: " in printed) or not has_cause


def test_the_traceback_of_a_failed_import_is_printed(serve, tmp_path: Path) -> None:
    write(tmp_path, shop="import deeper\n", deeper="raise ValueError('look here')\n")
    printed = failure(serve("shop"))
    assert f'File "{tmp_path}/deeper.py", line 1' in printed
    assert printed.count("ValueError: look here") == 2


# --- where it looks ------------------------------------------------------------------------


def test_the_path_begins_with_the_working_directory_and_pythonpath(serve, tmp_path: Path) -> None:
    write(tmp_path, shop=show("sys.path[:4]"))
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    worker = serve("shop", "--pythonpath", f"one,{tmp_path}/two", "--pythonpath", "three")
    expected = [str(tmp_path), *(f"{tmp_path}/{name}" for name in ("one", "two", "three"))]
    assert answers(worker) == str(expected)


def test_argv_names_the_application(serve, tmp_path: Path) -> None:
    write(tmp_path, shop=show("sys.argv"))
    assert answers(serve("shop:application")) == "['penstock', 'shop:application']"


# --- which interpreter ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv with a module of its own."""
    directory = tmp_path_factory.mktemp("venv")
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}{WITHOUT_GIL}"
    subprocess.run([base, "-m", "venv", "--without-pip", directory], check=True)
    (site,) = directory.glob("lib/python3*/site-packages")
    (site / "only_here.py").write_text("here = True\n")
    return directory


SEEN = "sys.prefix, sys.executable, __import__('only_here').here"


@pytest.mark.parametrize("how", ["VIRTUAL_ENV", "--python DIR", "--python FILE"])
def test_a_virtualenv(serve, tmp_path: Path, venv: Path, how: str) -> None:
    write(tmp_path, shop=show(SEEN))
    if how == "VIRTUAL_ENV":
        worker = serve("shop", env={"VIRTUAL_ENV": str(venv)})
    elif how == "--python DIR":
        worker = serve("shop", "--python", str(venv), env={"VIRTUAL_ENV": "/nonexistent"})
    else:
        worker = serve("shop", "--python", f"{venv}/bin/python")
    seen = answers(worker)
    assert re.fullmatch(rf"\('{venv}', '{venv}/bin/python3?', True\)", seen), seen


def test_without_one_it_is_the_configured_python(serve, tmp_path: Path) -> None:
    write(tmp_path, shop=show("sys.prefix == sys.base_prefix"))
    assert answers(serve("shop")) == "True"


def test_what_is_no_python_is_refused(serve, tmp_path: Path) -> None:
    write(tmp_path, shop=HELLO)
    for path in (tmp_path / "nothing", tmp_path, Path("/bin/true"), Path("/etc/passwd")):
        printed = failure(serve("shop", "--python", str(path)), status=3)
        assert re.search(r"neither a Python interpreter nor a virtualenv|does not run as a Python 3",
                         printed), printed  # fmt: skip
        (tmp_path / "worker.log").unlink()


def other_pythons() -> list[Path]:
    """Interpreters on this machine that are not the one under test."""
    found = {}
    for path in [Path("/usr/bin/python3"), *Path.home().glob(".pyenv/versions/3.*/bin/python3")]:
        script = "import sys; print(sys.version, sys.base_prefix)"
        run = subprocess.run([path, "-I", "-c", script], capture_output=True, text=True)
        if run.returncode == 0:
            found[run.stdout] = path
    found.pop(f"{sys.version} {sys.base_prefix}\n", None)
    return list(found.values())


def make_stranger(directory: Path) -> Path:
    """A program that says, asked as the plugin asks, that it is another Python."""
    stranger = directory / "python3"
    stranger.write_text("#!/bin/sh\nprintf '3.99.1\\n/opt/strange\\n'\n")
    stranger.chmod(0o755)
    return stranger


def test_another_python_is_refused_with_the_way_out(serve, tmp_path: Path) -> None:
    write(tmp_path, shop=HELLO)
    (tmp_path / "bin").mkdir()
    for python in [make_stranger(tmp_path / "bin"), *other_pythons()[:2]]:
        printed = failure(serve("shop", "--python", str(python)))
        (line,) = printed.splitlines()[:1]
        version = ".".join(map(str, sys.version_info[:3])) + WITHOUT_GIL
        assert f"was built for Python {version} in {sys.base_prefix}" in line
        assert f"./configure --with-python={python}" in line
        (tmp_path / "worker.log").unlink()


def test_extension_modules_can_be_imported(serve, tmp_path: Path) -> None:
    write(tmp_path, shop=show(
        "__import__('markupsafe._speedups').__name__, "
        "int(__import__('numpy').arange(5).sum()), __import__('ssl').OPENSSL_VERSION[:7]"
    ))  # fmt: skip
    assert answers(serve("shop", "--python", sys.executable)) == "('markupsafe', 10, 'OpenSSL')"


# --- stacks --------------------------------------------------------------------------------


@pytest.mark.parametrize("stuck", ["while True: pass", "import time; time.sleep(1000)"])
def test_the_stacks_of_a_stuck_worker(tmp_path: Path, serve, stuck: str) -> None:
    write(tmp_path, shop=f"""
        import threading, time
        def in_thread():
            time.sleep(1000)
        def get_stuck():
            open({str(tmp_path / 'stuck')!r}, "w")
            {stuck}
        def application(environ, start_response):
            threading.Thread(target=in_thread, daemon=True).start()
            get_stuck()
    """)
    worker = serve("shop")
    with behind_nginx(worker) as server:
        connection = server.connect()
        connection.request("GET", "/")
        wait_for((tmp_path / "stuck").exists, "the request")
        worker.process.send_signal(signal.SIGABRT)
        assert worker.process.wait(30) != 0
        connection.close()
    printed = worker.printed()
    assert re.search(r"line \d+ in get_stuck", printed), printed
    assert re.search(r"line \d+ in in_thread", printed), printed


def test_the_stack_of_an_import_that_hangs(tmp_path: Path, serve) -> None:
    write(tmp_path, shop=f"""
        import time
        open({str(tmp_path / 'stuck')!r}, "w")
        time.sleep(1000)
    """)
    worker = serve("shop")
    wait_for((tmp_path / "stuck").exists, "the import")
    worker.process.send_signal(signal.SIGABRT)
    worker.process.wait(30)
    assert re.search(r'shop.py", line 4 in <module>', worker.printed()), worker.printed()


# --- the end -------------------------------------------------------------------------------


def ready(worker: Worker) -> Server:
    """Wait until the application is loaded, by a request."""
    with behind_nginx(worker) as server:
        assert server.get("/")[0] == 200
    return server


def test_threads_end_and_atexit_functions_run(tmp_path: Path, serve) -> None:
    write(tmp_path, shop=HELLO + """
import atexit, concurrent.futures, threading, time
atexit.register(print, "atexit ran")
executor = concurrent.futures.ThreadPoolExecutor(1)
executor.submit(print, "executor ran")
done = threading.Event()
threading.Thread(target=lambda: (time.sleep(0.5), print("thread ended"))).start()
threading.Thread(target=done.wait, daemon=True).start()
""")
    worker = serve("shop")
    ready(worker)
    assert worker.stop() == 0
    printed = worker.printed()
    assert printed.index("thread ended") < printed.index("atexit ran")


def test_background_threads_run_between_requests(tmp_path: Path, serve) -> None:
    write(tmp_path, shop=HELLO + f"""
import threading, time
from pathlib import Path
def tick():
    while True:
        time.sleep(0.01)
        Path({str(tmp_path / 'tick')!r}).touch()
threading.Thread(target=tick, daemon=True).start()
""")
    ready(serve("shop"))
    wait_for((tmp_path / "tick").exists, "the thread's first turn")
    (tmp_path / "tick").unlink()
    wait_for((tmp_path / "tick").exists, "the thread's turn")


def test_a_thread_that_does_not_end_does_not_hang_the_worker(tmp_path: Path, serve) -> None:
    write(tmp_path, shop=HELLO + """
import threading
def forever():
    threading.Event().wait()
threading.Thread(target=forever).start()
""")
    worker = serve("shop")
    ready(worker)
    assert worker.stop() == 0
    assert "have not ended 10 seconds after the last request" in worker.printed()
    assert re.search(r"line \d+ in forever", worker.printed()), worker.printed()


def test_a_plugin_of_the_configured_version_is_installed() -> None:
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}{WITHOUT_GIL}.so"
    assert os.access(installed.PLUGINDIR / name, os.R_OK)
