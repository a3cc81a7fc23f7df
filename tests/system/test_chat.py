"""examples/chat as people use it: two pages of a real browser, behind a real nginx."""
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import installed
from browser import Browser, Page, browsing
from penstock import Penstock
from servers import Server, find

EXAMPLES = installed.SOURCE / "examples"
CHAT = EXAMPLES / "chat"


class Site(Server):
    """nginx with the example's configuration, in which only ports and paths are other ones."""

    def command(self) -> list[str]:
        d = self.directory
        site = (CHAT / "nginx.conf").read_text()
        for old, new in {
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            "listen [::]:80;": "",
            "/run/chat/": f"{d}/",
        }.items():
            assert old in site
            site = site.replace(old, new)
        (d / "site.conf").write_text(site)
        params = (EXAMPLES / "nginx/penstock_proxy_params").read_text()
        (d / "penstock_proxy_params").write_text(params)
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(
            f"{kind}_temp_path {d}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (d / "nginx.conf").write_text(
            f"""{user} daemon off; pid {d}/nginx.pid; error_log {d}/nginx.log info; events {{ }}
            http {{ access_log off; {temporary} include site.conf; }}"""
        )
        return [find("nginx"), "-c", str(d / "nginx.conf"), "-e", str(d / "nginx.log")]


@contextmanager
def chat(directory: Path) -> Iterator[tuple[Penstock, str]]:
    """It, and the URL of its page."""
    server = Penstock(directory, "app:app", "--python", sys.executable, cwd=CHAT,
                      bind=f"unix:{directory}/http.sock")  # fmt: skip
    try:
        server.wait_ready()
        with Site(directory) as site:
            yield server, f"http://127.0.0.1:{site.port}/"
        assert server.stop() == 0, server.log
        assert "Traceback" not in server.log
    finally:
        server.clean_up()


def enter(browser: Browser, url: str, name: str) -> Page:
    page = browser.open(url)
    wait_connected(page)
    page.run("document.getElementById('name').value = arguments[0]", name)
    return page


def wait_connected(page: Page) -> None:
    page.wait_for("return document.getElementById('status').textContent === 'connected'")


def wait_said(page: Page, *lines: str) -> None:
    """Until it shows these LINES of messages, and no other."""
    page.wait_for(
        "return JSON.stringify([...document.querySelectorAll('.message')]"
        ".map(line => line.textContent)) === JSON.stringify(arguments[0])", lines,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_two_pages_talk_and_survive_a_reload(tmp_path: Path) -> None:
    with chat(tmp_path) as (server, url), browsing(tmp_path) as browser:
        anna, bert = enter(browser, url, "Anna"), enter(browser, url, "Bert")
        anna.type("#text", "hello\n")
        said = ["Anna: hello"]
        for page in (anna, bert):
            wait_said(page, *said)
        bert.type("#text", "<b>gr\xfc\xdfe</b> \u20ac\n")
        said.append("Bert: <b>gr\xfc\xdfe</b> \u20ac")
        for page in (anna, bert):
            wait_said(page, *said)

        (before,) = server.worker_pids
        server.signal(signal.SIGHUP)
        for page in (anna, bert):
            page.wait_for(
                "return [...document.querySelectorAll('.note')]"
                ".some(line => line.textContent === 'the server restarts (1012)')"
            )
            wait_connected(page)
        (after,) = server.wait_workers(1)
        assert after != before
        anna.type("#text", "still here\n")
        said.append("Anna: still here")
        for page in (anna, bert):
            wait_said(page, *said)
