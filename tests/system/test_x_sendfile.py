"""X-Sendfile: which files an application may name, and what becomes of the response."""
from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from penstock import Answer, Penstock, eventually
from penstock import run as run_penstock

APPS = Path(__file__).parent / "apps"
KINDS = {
    "sync": ("sendfiles:app", "-k", "sync"),
    "threaded": ("sendfiles:app", "-k", "threaded", "--threads", "2"),
    "async": ("sendfiles:asgi", "-k", "async"),
}
SMALL, LARGE = b"small\n", os.urandom(300000)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two allowed directories, files in them, and much that is not allowed."""
    for name in ("one/below", "two"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "one/small").write_bytes(SMALL)
    (tmp_path / "one/below/large").write_bytes(LARGE)
    (tmp_path / "two/other").write_bytes(b"other\n")
    (tmp_path / "one/empty").touch()
    (tmp_path / "secret").write_bytes(b"secret\n")
    (tmp_path / "onesecret").write_bytes(b"secret\n")
    (tmp_path / "one/link").symlink_to("below/large")
    (tmp_path / "one/out").symlink_to("../secret")
    (tmp_path / "one/up").symlink_to("..")
    (tmp_path / "one/absolute").symlink_to(tmp_path / "secret")
    (tmp_path / "one/loop").symlink_to("loop")
    (tmp_path / "alias").symlink_to("one")
    os.mkfifo(tmp_path / "one/fifo")
    return tmp_path


@pytest.fixture(params=KINDS)
def server(penstock: Callable[..., Penstock], request: pytest.FixtureRequest, files: Path) -> Penstock:
    app, *options = KINDS[request.param]
    allowed = f"{files}/alias,{files}/two"
    return penstock(app, *options, "--x-sendfile", allowed, cwd=APPS, env={"FILES": str(files)})


def ask(server: Penstock, name: Path | str, path: str = "/", method: str = "GET", **more: str) -> Answer:
    query = urlencode({"file": str(name)} | more)
    answer = server.request(method, f"{path}?{query}")
    assert answer.headers["X-Sendfile"] is None
    return answer


def test_files(server: Penstock, files: Path) -> None:
    for path in ("/", "/more"):
        for name, content in (
            ("alias/small", SMALL), ("one/small", SMALL), ("one/below/large", LARGE),
            ("one/link", LARGE), ("one/below/../small", SMALL), ("one//below/./large", LARGE),
            ("two/other", b"other\n"), ("one/empty", b""),
        ):  # fmt: skip
            answer = ask(server, files / name if "/." not in name else f"{files}/{name}", path)
            assert (answer.status, answer.body) == (200, content), name
            assert answer.headers["Content-Length"] == str(len(content))
            assert answer.headers["Content-Type"] == "text/x-test"
    assert ask(server, "below/large").body == LARGE
    assert ask(server, "other").body == b"other\n"
    assert ask(server, "small", status="404").body == SMALL


def test_head(server: Penstock, files: Path) -> None:
    answer = ask(server, files / "one/below/large", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(LARGE))


@pytest.mark.parametrize("status", ["204", "304"])
def test_no_body(server: Penstock, files: Path, status: str) -> None:
    for name in ("one/small", "secret"):
        answer = ask(server, files / name, status=status)
        assert (answer.status, answer.body) == (int(status), b"")


def test_parts(server: Penstock, files: Path) -> None:
    name, size = files / "one/below/large", len(LARGE)
    for first, last in ((0, 0), (5, 9), (100, 299999), (0, 299999)):
        answer = ask(server, name, status="206", Content_Range=f"bytes {first}-{last}/{size}")
        assert (answer.status, answer.body) == (206, LARGE[first : last + 1])
        assert answer.headers["Content-Length"] == str(last - first + 1)
    for wrong in ("bytes 0-300000/300000", "bytes 9-5/300000", "bytes 0-9/300001", "bytes 0-9/*",
                  "bytes */300000", "bytes 0-9", "lines 0-9/300000", "bytes -9-9/300000"):  # fmt: skip
        assert ask(server, name, status="206", Content_Range=wrong).status == 500, wrong
    assert ask(server, name, status="206").status == 500


def test_what_is_not_sent(server: Penstock, files: Path) -> None:
    for name, status in (
        ("secret", 500), ("onesecret", 500), ("one/../secret", 500), ("one/out", 500), ("one/up/secret", 500),
        ("one/absolute", 500), ("one/loop", 500), ("one/fifo", 500), ("one/below", 500), ("one", 500), ("one/", 500),
        ("one/small/", 404), ("one/missing", 404), ("one/missing/small", 404), ("one/below/../../secret", 500),
        ("one/" + "x" * 300, 500),
    ):  # fmt: skip
        answer = ask(server, f"{files}/{name}")
        assert answer.status == status, name
        assert b"secret" not in answer.body
        assert answer.headers["Content-Type"] == "text/plain"
    for name in ("../secret", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/", ".", "..", ""):
        assert ask(server, name).status == 500, name
    assert ask(server, "missing").status == 404
    log = server.log
    assert f"X-Sendfile: {files}/secret: it is not below a directory of --x-sendfile" in log
    assert f"X-Sendfile: {files}/one/fifo: it is no regular file" in log
    assert f"X-Sendfile: {files}/one/missing: No such file or directory: answered 404" in log


def test_descriptors_do_not_pile_up(server: Penstock, files: Path) -> None:
    (pid,) = server.worker_pids

    def turn() -> int:
        for name in ("one/below/large", "one/small", "one/fifo", "one/missing", "one/empty"):
            ask(server, files / name)
            ask(server, files / name, method="HEAD")
        return len(os.listdir(f"/proc/{pid}/fd"))

    first = turn()
    eventually(lambda: turn() <= first, "descriptors to be closed")


def test_off_by_default(penstock: Callable[..., Penstock], files: Path) -> None:
    server = penstock(*KINDS["sync"], cwd=APPS, env={"FILES": str(files)})
    answer = server.get(f"/?file={files}/one/small")
    assert (answer.headers["X-Sendfile"], answer.body) == (f"{files}/one/small", b"abc")


def test_flask(penstock: Callable[..., Penstock], files: Path) -> None:
    server = penstock("sendfiles:flask_app", "--x-sendfile", str(files / "one"), cwd=APPS,
                      env={"FILES": str(files / "one")})  # fmt: skip
    whole = server.get("/small")
    assert (whole.status, whole.body) == (200, SMALL)
    assert whole.headers["X-Sendfile"] is None
    part = server.get("/small", {"Range": "bytes=1-3"})
    assert (part.status, part.body) == (206, SMALL[1:4])
    assert server.get("/small", {"If-None-Match": whole.headers["ETag"]}).status == 304


@pytest.mark.parametrize(
    "options",
    [("-k", "sync", "django_sendfiles:app"), ("-k", "async", "django_sendfiles:asgi")],
    ids=["WSGI", "ASGI"],
)
def test_django(penstock: Callable[..., Penstock], files: Path, options: tuple[str, ...]) -> None:
    root = files / "one"
    (root / "b\xfccher").write_bytes(SMALL)
    server = penstock(options[-1], *options[:-1], "--python", sys.executable,
                      "--x-sendfile", str(root), cwd=APPS, env={"FILES": str(root)})  # fmt: skip
    for path in ("plain/small", "plain/b%C3%BCcher", "library/small"):
        whole = server.get(f"/{path}", {"Accept-Encoding": "gzip"})
        assert (whole.status, whole.body) == (200, SMALL), path
        assert whole.headers["X-Sendfile"] is None
        assert whole.headers["Content-Length"] == str(len(SMALL))
        assert server.request("HEAD", f"/{path}").status == 200
    assert server.get("/library/below/large").body == LARGE
    assert server.get("/library/small").headers["Content-Disposition"].startswith("attachment;")
    assert server.get("/plain/missing").status == 404
    assert server.get("/plain/../secret").status in (404, 500)
    assert server.stop() == 0


def test_tornado(penstock: Callable[..., Penstock], files: Path) -> None:
    server = penstock("tornado_sendfiles:app", "--python", sys.executable, "--x-sendfile",
                      str(files / "one"), cwd=APPS, env={"FILES": str(files / "one")})  # fmt: skip
    for more in ("", "?more=1"):
        for name, content in (("small", SMALL), ("below/large", LARGE), ("empty", b"")):
            answer = server.get(f"/{name}{more}")
            assert (answer.status, answer.body) == (200, content), name
            assert answer.headers["X-Sendfile"] is None
            assert answer.headers["Content-Length"] == str(len(content))
            assert answer.headers["Content-Type"] == "text/x-test"
        assert server.get(f"/missing{more}").status == 404
        assert server.get(f"/out{more}").status == 500
    assert "it is not below a directory of --x-sendfile" in server.log
    assert server.stop() == 0


def test_directories_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("missing", "No such file"), ("file", "Not a directory")):
        done = run_penstock("-b", "127.0.0.1:0", "--chdir", str(APPS), "--x-sendfile",
                            str(tmp_path / name), "sendfiles:app")  # fmt: skip
        assert done.returncode != 0
        assert f"--x-sendfile {tmp_path / name}: {reason}" in done.stderr
