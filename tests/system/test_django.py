"""A real Django site: admin, static files app, uploads, sessions, streams, files and errors."""
from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from penstock import PATIENCE, Answer, Penstock, environment, eventually
from worker import APPS

SITE = APPS / "bookshop"
FILE = os.urandom(1024) * (5 * 1024)  # 5 MiB


def manage(scratch: Path, *command: str) -> None:
    """What `manage.py` does."""
    settings = {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "PYTHONPATH": f"{SITE}:{SITE}/lib",
        "SCRATCH": str(scratch),
    }
    subprocess.run(
        [sys.executable, "-m", "django", *command], env=environment(settings), check=True
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("django")
    manage(directory, "migrate", "--verbosity", "0")
    manage(directory, "createsuperuser", "--noinput", "--username", "admin",
           "--email", "admin@shop.example", "--verbosity", "0")  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def shop(scratch: Path) -> Iterator[Penstock]:
    server = Penstock(
        scratch, "project.wsgi", "--chdir", str(SITE), "--pythonpath", str(SITE / "lib"),
        "-e", "DJANGO_SETTINGS_MODULE=project.settings", "-e", f"SCRATCH={scratch}",
        "--python", sys.executable, "-w", "2",
    )  # fmt: skip
    try:
        yield server.wait_ready()
        assert server.stop() == 0, server.log
    finally:
        server.clean_up()


class Browser:
    """Keeps cookies, follows redirects, fills in the CSRF token of the form it saw last."""

    def __init__(self, server: Penstock) -> None:
        self.site = f"http://127.0.0.1:{server.port}"
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.url = self.site
        self.token = ""

    def get(self, path: str) -> Answer:
        return self.open(urllib.request.Request(self.site + path))

    def post(self, path: str, fields: dict[str, str], files: dict[str, bytes] | None = None,
             token: bool = True) -> Answer:  # fmt: skip
        if token:
            fields = {"csrfmiddlewaretoken": self.token} | fields
        content_type, body = encode_form(fields, files or {})
        return self.open(
            urllib.request.Request(self.site + path, body, {"Content-Type": content_type})
        )

    def open(self, request: urllib.request.Request) -> Answer:
        try:
            response = self.opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            answer = Answer(response.status, response.headers, response.read())
        self.url = response.url
        found = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', answer.body)
        if found:
            self.token = found[1].decode()
        return answer


def encode_form(fields: dict[str, str], files: dict[str, bytes]) -> tuple[str, bytes]:
    """A form's content type and body."""
    if not files:
        return "application/x-www-form-urlencoded", urllib.parse.urlencode(fields).encode()
    edge = "edge-of-a-part"
    body = b""
    for name, value in fields.items():
        body += f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        body += value.encode() + b"\r\n"
    for name, content in files.items():
        body += (
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="f.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        body += content + b"\r\n"
    return f"multipart/form-data; boundary={edge}", body + f"--{edge}--\r\n".encode()


@pytest.fixture(scope="module")
def admin(shop: Penstock) -> Browser:
    """A browser that has logged in to the admin."""
    browser = Browser(shop)
    assert b"Log in" in browser.get("/admin/").body
    assert browser.url.endswith("/admin/login/?next=/admin/")
    wrong = browser.post("/admin/login/?next=/admin/", {"username": "admin", "password": "wrong"})
    assert b"Please enter the correct username" in wrong.body
    answer = browser.post("/admin/login/?next=/admin/", {"username": "admin", "password": "secret"})
    assert (answer.status, browser.url) == (200, f"{browser.site}/admin/")
    assert b"Site administration" in answer.body
    return browser


# --- admin and static files ----------------------------------------------------------------


def test_the_admin_adds_changes_and_finds_an_object(shop: Penstock, admin: Browser) -> None:
    admin.get("/admin/books/book/add/")
    answer = admin.post(
        "/admin/books/book/add/", {"title": "Gr\xfc\xdfe \u20ac", "pages": "10"}, {"cover": FILE}
    )
    assert (answer.status, admin.url) == (200, f"{admin.site}/admin/books/book/")
    found = re.search(rb"/admin/books/book/(\d+)/change/", answer.body)
    assert found, answer.body
    number = int(found[1])

    page = admin.get(f"/admin/books/book/{number}/change/")
    assert "Gr\xfc\xdfe \u20ac".encode() in page.body
    changed = {"title": "Gr\xfc\xdfe \u20ac", "pages": "11", "_continue": "Save"}
    answer = admin.post(f"/admin/books/book/{number}/change/", changed)
    assert b"was changed successfully" in answer.body
    found_again = admin.get("/admin/books/book/?q=" + urllib.parse.quote("\u20ac"))
    assert f"/admin/books/book/{number}/change/".encode() in found_again.body
    books = json.loads(shop.get("/books/").body)["books"]
    assert books == [{"title": "Gr\xfc\xdfe \u20ac", "pages": 11}]

    download = shop.get(f"/books/{number}/cover/")
    assert (download.status, download.body) == (200, FILE)
    assert download.headers["Content-Length"] == str(len(FILE))
    assert "filename*=utf-8''%C3%9Cbersicht.bin" in download.headers["Content-Disposition"]
    head = shop.request("HEAD", f"/books/{number}/cover/")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(FILE)), b"")


def test_the_admin_refuses_a_form_without_token(admin: Browser) -> None:
    answer = admin.post("/admin/books/book/add/", {"title": "x", "pages": "1"}, token=False)
    assert answer.status == 403
    assert b"CSRF verification failed" in answer.body


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/static/admin/css/base.css", "text/css"), ("/static/books/style.css", "text/css"),
     ("/static/admin/img/icon-yes.svg", "image/svg+xml")],
)  # fmt: skip
def test_static_files(shop: Penstock, path: str, kind: str) -> None:
    answer = shop.get(path)
    assert (answer.status, answer.headers.get_content_type()) == (200, kind)
    assert answer.headers["Content-Length"] == str(len(answer.body)) and answer.body
    same = shop.get(path, {"If-Modified-Since": answer.headers["Last-Modified"]})
    assert (same.status, same.body) == (304, b"")
    assert shop.request("HEAD", path).headers["Content-Length"] == str(len(answer.body))


def test_absent_static_files(shop: Penstock) -> None:
    assert shop.get("/static/admin/css/absent.css").status == 404
    assert shop.get("/static/books/").status == 404


# --- uploads -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"), [("memory", "InMemoryUploadedFile"), ("file", "TemporaryUploadedFile")]
)
def test_uploads_by_either_handler(shop: Penstock, scratch: Path, kind: str, name: str) -> None:
    browser = Browser(shop)
    browser.get(f"/upload/{kind}/")
    answer = browser.post(f"/upload/{kind}/", {}, {"file": FILE})
    assert answer.status == 200, shop.log
    assert json.loads(answer.body) == {
        "class": name, "name": "f.bin", "size": len(FILE),
        "sha256": hashlib.sha256(FILE).hexdigest(),
    }  # fmt: skip
    # Django removes its file when the response is closed, which the client does not wait for.
    eventually(lambda: not list(scratch.glob("*.upload*")), "the end of the temporary file")


def test_a_chunked_upload(shop: Penstock) -> None:
    """Django goes by CONTENT_LENGTH alone: under other servers it sees no body."""
    browser = Browser(shop)
    browser.get("/upload/file/")
    content_type, body = encode_form({"csrfmiddlewaretoken": browser.token}, {"file": FILE})
    (cookie,) = browser.jar
    connection = shop.connect()
    connection.request(
        "POST", "/upload/file/", iter([body[:10], body[10:70000], body[70000:]]),
        {"Content-Type": content_type, "Cookie": f"{cookie.name}={cookie.value}"},
        encode_chunked=True,
    )  # fmt: skip
    response = connection.getresponse()
    assert response.status == 200, shop.log
    assert json.loads(response.read())["sha256"] == hashlib.sha256(FILE).hexdigest()
    connection.close()


def test_an_upload_without_token(shop: Penstock) -> None:
    """It is refused without having been read by the application."""
    answer = Browser(shop).post("/upload/file/", {}, {"file": FILE}, token=False)
    assert answer.status == 403


# --- streams -------------------------------------------------------------------------------


class Stream:
    """A streamed response whose first piece was read."""

    def __init__(self, server: Penstock, scratch: Path, name: str) -> None:
        self.seen = scratch / f"seen-{name}"
        self.connection = server.connect()
        self.connection.request("GET", f"/stream/{name}/")
        self.response = self.connection.getresponse()
        self.process = json.loads(self.response.readline())["process"]

    def finish(self) -> bytes:
        self.seen.touch()
        try:
            return self.response.read()
        finally:
            self.connection.close()


def test_a_piece_arrives_before_the_next_is_made(shop: Penstock, scratch: Path) -> None:
    stream = Stream(shop, scratch, "pieces")
    assert stream.response.getheader("Content-Length") is None
    assert stream.finish() == b"second\n"


def test_sessions_belong_to_no_worker(shop: Penstock, scratch: Path) -> None:
    """A stream keeps one of the two workers, so that the other one answers."""
    browser = Browser(shop)
    answered = set()
    first = Stream(shop, scratch, "first")
    page = json.loads(browser.get("/count/").body)
    assert page["count"] == 1 and page["process"] != first.process
    answered.add(page["process"])
    second = Stream(shop, scratch, "second")
    assert second.process == page["process"]
    assert first.finish() == b"second\n"
    page = json.loads(browser.get("/count/").body)
    assert page["count"] == 2
    answered.add(page["process"])
    assert second.finish() == b"second\n"
    assert answered == {first.process, second.process} == set(shop.worker_pids)


def test_a_client_that_leaves_a_stream_closes_its_generator(shop: Penstock, scratch: Path) -> None:
    connection = shop.connect()
    connection.request("GET", "/endless/")
    assert connection.getresponse().read(100000) == b"x" * 100000
    assert not (scratch / "endless-closed").exists()
    connection.close()
    eventually((scratch / "endless-closed").exists, "the generator's end")
    assert len(shop.worker_pids) == 2
    assert "/endless/" not in shop.log


def test_the_servers_file_wrapper(shop: Penstock) -> None:
    whole = (SITE / "lib/books/views.py").read_bytes()
    assert shop.get("/wrapped/").body == whole[whole.index(b"\n") + 1 :]


# --- requests and responses ----------------------------------------------------------------


def test_conditional_requests(shop: Penstock) -> None:
    answer = shop.get("/versioned/")
    assert (answer.status, answer.body) == (200, b"content")
    etag = answer.headers["ETag"]
    same = shop.get("/versioned/", {"If-None-Match": etag})
    assert (same.status, same.headers["ETag"], same.body) == (304, etag, b"")
    assert shop.get("/versioned/", {"If-Match": '"other"'}).status == 412


def test_head_has_the_headers_of_get(shop: Penstock) -> None:
    get, head = shop.get("/books/"), shop.request("HEAD", "/books/")
    names = ("Content-Type", "Content-Length", "X-Frame-Options")
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
    assert (head.status, head.body) == (200, b"")


def test_large_cookies(shop: Penstock) -> None:
    sent = {f"cookie{number}": "v" * 1000 for number in range(7)}
    cookie = "; ".join(f"{name}={value}" for name, value in sent.items())
    answer = shop.get("/cookies/", {"Cookie": cookie})
    assert json.loads(answer.body) == {name: 1000 for name in sent}
    set_cookies = answer.headers.get_all("Set-Cookie") or []
    assert [text.partition("=")[0] for text in set_cookies] == [f"set{n}" for n in range(20)]


def test_paths_and_queries_beyond_ascii(shop: Penstock) -> None:
    path = "/b%C3%BCcher/%E2%82%AC%20%2B%2520/"
    answer = shop.get(path + "?q=%C3%BC+%26&r=%FC")
    assert json.loads(answer.body) == {
        "path": "/b\xfccher/\u20ac +%20/", "title": "\u20ac +%20",
        "query": {"q": "\xfc &", "r": "\ufffd"},
    }  # fmt: skip
    redirect = shop.get("/b%C3%BCcher/%E2%82%AC")
    assert (redirect.status, redirect.headers["Location"]) == (301, "/b%C3%BCcher/%E2%82%AC/")


def test_absolute_redirects_behind_a_proxy(shop: Penstock) -> None:
    """The site has no SECURE_PROXY_SSL_HEADER: the gateway knows the scheme."""
    headers = {"Host": "shop.example", "X-Forwarded-Proto": "https"}
    answer = shop.get("/absolute/", headers)
    assert answer.status == 302
    assert answer.headers["Location"] == "https://shop.example/books/?a=b%C3%BCcher"
    answer = shop.get("/absolute/")
    assert answer.headers["Location"] == f"http://127.0.0.1:{shop.port}/books/?a=b%C3%BCcher"
    assert shop.get("/absolute/", {"Host": "evil.example"}).status == 400


def test_errors_are_pages_and_log_lines(shop: Penstock) -> None:
    answer = shop.get("/fail/")
    assert answer.status == 500
    assert b"Server Error (500)" in answer.body and b"no such shelf" not in answer.body
    shop.wait_for(r"worker [12]\.\d+: Internal Server Error: /fail/$")
    shop.wait_for(r"worker [12]\.\d+: LookupError: no such shelf$")
    assert shop.get("/absent/").status == 404


def test_a_settings_module_that_is_absent(penstock, scratch: Path) -> None:
    server = penstock(
        "project.wsgi", "--chdir", str(SITE), "--python", sys.executable,
        "-e", "DJANGO_SETTINGS_MODULE=project.absent", "-e", f"SCRATCH={scratch}", ready=False,
    )  # fmt: skip
    assert server.wait() == 3
    assert "ModuleNotFoundError: No module named 'project.absent'" in server.log
