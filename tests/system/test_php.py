"""php-fpm as people run it: real scripts behind a pool that speaks to its socket."""
from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from figures import Show
from peers import PhpFpm
from penstock import Answer, Penstock, eventually

SCRIPT = """<?php
if (isset($_GET["say"])) error_log($_GET["say"]);
if (isset($_GET["status"])) http_response_code((int)$_GET["status"]);
if (isset($_GET["sleep"])) usleep(1000 * $_GET["sleep"]);
setcookie("seen", "a b;c", ["path" => "/", "httponly" => true]);
setcookie("second", "2");
$files = [];
foreach ($_FILES as $name => $file)
	$files[$name] = [$file["name"], $file["type"], $file["error"], hash_file("sha256", $file["tmp_name"])];
header("Content-Type: application/json");
echo json_encode([
	"get" => $_GET, "post" => $_POST, "cookie" => $_COOKIE, "files" => $files, "pid" => getmypid(),
	"input" => hash("sha256", file_get_contents("php://input")),
	"server" => array_intersect_key($_SERVER, array_flip([
		"SCRIPT_FILENAME", "SCRIPT_NAME", "PATH_INFO", "PATH_TRANSLATED", "PHP_SELF", "DOCUMENT_ROOT",
		"REQUEST_URI", "QUERY_STRING", "REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR",
		"SERVER_NAME", "SERVER_PROTOCOL", "HTTP_HOST", "HTTP_X_THING"])),
]);
"""


class Fpm(PhpFpm):
    """With three children, and what php makes of a body by itself."""

    children = 3
    settings = ""


class Site:
    def __init__(self, server: Penstock, root: Path) -> None:
        self.server, self.root = server, root

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **fields: str) -> dict:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        answer = self.server.request(method, path, body, headers)
        assert answer.status == 200, answer
        return json.loads(answer.body)


@pytest.fixture
def site(penstock: Callable[..., Penstock], tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "www"
    (root / "shop").mkdir(parents=True)
    for name in ("index.php", "shop/cart.php"):
        (root / name).write_text(SCRIPT)
    with Fpm(tmp_path) as fpm:
        (tmp_path / "penstock.yaml").write_text(
            f"pools: {{php: {{fastcgi: 'unix:{fpm.socket}', root: {root}, connections: 3}}}}\n"
        )
        server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
        yield Site(server, root)
        assert server.stop() == 0


def test_where_a_script_is_and_what_was_asked(site: Site) -> None:
    seen = site.ask("/shop/cart.php/items/3%20x?a=1&b[]=2&b[]=%C3%A9", X_Thing="yes")
    root = str(site.root)
    expected = {
        "SCRIPT_FILENAME": f"{root}/shop/cart.php", "SCRIPT_NAME": "/shop/cart.php",
        "PATH_INFO": "/items/3 x", "PATH_TRANSLATED": f"{root}/items/3 x",
        "PHP_SELF": "/shop/cart.php/items/3 x", "DOCUMENT_ROOT": root,
        "REQUEST_URI": "/shop/cart.php/items/3%20x?a=1&b[]=2&b[]=%C3%A9",
        "QUERY_STRING": "a=1&b[]=2&b[]=%C3%A9", "REQUEST_METHOD": "GET", "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_X_THING": "yes",
    }  # fmt: skip
    assert {name: seen["server"].get(name) for name in expected} == expected
    assert seen["get"] == {"a": "1", "b": ["2", "\u00e9"]}
    front = site.ask("/no/such/file?x")
    assert front["server"]["SCRIPT_FILENAME"] == f"{root}/index.php"
    assert front["server"]["REQUEST_URI"] == "/no/such/file?x"


def test_forms_and_bodies(site: Site) -> None:
    kind = "application/x-www-form-urlencoded"
    form = site.ask("/index.php?q=1", "POST", b"name=J%C3%B6rg&n=2", Content_Type=kind)
    assert form["post"] == {"name": "J\u00f6rg", "n": "2"} and form["get"] == {"q": "1"}
    assert form["server"]["CONTENT_LENGTH"] == "18" and form["server"]["CONTENT_TYPE"] == kind
    body = os.urandom(3 << 20)
    put = site.ask("/index.php", "PUT", body, Content_Type="application/octet-stream")
    assert put["input"] == hashlib.sha256(body).hexdigest()
    assert put["server"]["REQUEST_METHOD"] == "PUT"


def test_uploads(site: Site) -> None:
    data = os.urandom(5 << 20)
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="text"\r\n\r\nhi\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/x-thing\r\n\r\n" + data + b"\r\n--cut--\r\n"
    )
    seen = site.ask("/shop/cart.php", "POST", body, Content_Type="multipart/form-data; boundary=cut")
    digest = hashlib.sha256(data).hexdigest()
    assert seen["post"] == {"text": "hi"}
    assert seen["files"] == {"file": ["a.bin", "application/x-thing", 0, digest]}


def test_cookies(site: Site) -> None:
    answer = site.server.get("/", headers={"Cookie": "one=1; two=a%20b"})
    assert json.loads(answer.body)["cookie"] == {"one": "1", "two": "a b"}
    assert answer.headers.get_all("Set-Cookie") == ["seen=a%20b%3Bc; path=/; HttpOnly", "second=2"]


def test_status_and_error_lines(site: Site) -> None:
    assert site.server.get("/index.php?status=418").status == 418
    assert site.server.get("/index.php?say=a%20complaint").status == 200
    site.server.wait_for(r"worker php\S*: stderr: GET /index\.php: .*a complaint")
    answer = site.server.get("/absent.php")
    assert (answer.status, answer.body) == (404, b"File not found.\n")
    site.server.wait_for(r"stderr: GET /absent\.php: .*Primary script unknown")


def test_more_clients_than_children(site: Site, show: Show) -> None:
    """None is refused: what finds no child waits in the queue of the gateway."""
    answers: list[Answer] = []
    lock = threading.Lock()

    def ask() -> None:
        for _ in range(5):
            answer = site.server.get("/?sleep=20")
            with lock:
                answers.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 100
    pids = {json.loads(answer.body)["pid"] for answer in answers}
    show(f"20 clients, {len(pids)} children of php-fpm: sent 100, answered 100, failed 0")
    assert 1 < len(pids) <= 3
    assert not re.search("takes no more connections|cannot be reached", site.server.log)


def test_php_fpm_is_restarted(penstock: Callable[..., Penstock], tmp_path: Path) -> None:
    """Down it costs 502 at once, and it is found again without a reload."""
    (tmp_path / "index.php").write_text("<?php echo getmypid();")
    with Fpm(tmp_path) as fpm:
        text = f"pools: {{php: {{fastcgi: 'unix:{fpm.socket}', root: {tmp_path}}}}}\n"
        (tmp_path / "penstock.yaml").write_text(text)
        server = penstock("", "-c", "penstock.yaml", cwd=tmp_path)
        first = server.get("/").body
    assert server.get("/").status == 502
    with Fpm(tmp_path):
        eventually(lambda: server.get("/").status == 200, "php-fpm's return")
        assert server.get("/").body != first
    server.wait_for(r"is there again, after")
