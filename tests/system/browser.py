"""A headless Chromium of our own, driven as the W3C's WebDriver says: by JSON over HTTP.

    with browsing(directory) as browser:
        page = browser.open("http://127.0.0.1:8000/")
        page.type("#text", "hello\\n")
        page.wait_for("return document.title === 'Chat'")
"""
from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock import environment, eventually
from servers import find

PATIENCE = 120.0  # seconds: a browser's start on a busy machine takes some
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's key of a reference to one
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--disable-breakpad", "--no-proxy-server",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
    # It speaks with nobody but this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Browser:
    """A session at the chromedriver that listens on PORT."""

    def __init__(self, port: int, profile: Path) -> None:
        self.port, self.path = port, ""
        options = {"args": [*OPTIONS, f"--user-data-dir={profile}"], "binary": find("chromium")}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options}}
        session = self.command("POST", "/session", capabilities=wanted)
        self.path = f"/session/{session['sessionId']}"

    def command(self, method: str, path: str, **parameters: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            body = json.dumps(parameters) if method == "POST" else None
            connection.request(method, self.path + path, body)
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        finally:
            connection.close()
        assert response.status == 200, f"{method} {path}: {value}"
        return value

    def open(self, url: str) -> Page:
        page = Page(self, self.command("POST", "/window/new", type="window")["handle"])
        page.command("POST", "/url", url=url)
        return page

    def quit(self) -> None:
        self.command("DELETE", "")


class Page:
    def __init__(self, browser: Browser, handle: str) -> None:
        self.browser, self.handle = browser, handle

    def command(self, method: str, path: str, **parameters: Any) -> Any:
        self.browser.command("POST", "/window", handle=self.handle)
        return self.browser.command(method, path, **parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """What SCRIPT, the body of a function, returns."""
        return self.command("POST", "/execute/sync", script=script, args=arguments)

    def type(self, selector: str, keys: str) -> None:
        """As a user: the element must be there, visible and enabled."""
        found = self.command("POST", "/element", using="css selector", value=selector)
        self.command("POST", f"/element/{found[ELEMENT]}/value", text=keys)

    def wait_for(self, script: str, *arguments: Any) -> None:
        """Until SCRIPT returns something true."""
        try:
            eventually(lambda: self.run(script, *arguments), script, PATIENCE)
        except AssertionError as error:
            page = self.run("return document.body.innerText")
            raise AssertionError(f"{error} {arguments}; the page:\n{page}") from None


@contextlib.contextmanager
def browsing(directory: Path) -> Iterator[Browser]:
    """A browser that logs to DIRECTORY. Its own files are elsewhere: it makes a unix socket among them,
    whose path must be short."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as files:
        with _browsing(directory / "chromedriver.log", Path(files)) as browser:
            yield browser


@contextlib.contextmanager
def _browsing(log: Path, files: Path) -> Iterator[Browser]:
    with log.open("wb") as output:
        driver = subprocess.Popen(
            [find("chromedriver"), "--port=0"], stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
            env=environment({"HOME": str(files), "TMPDIR": str(files)}),
        )  # fmt: skip
    try:

        def port() -> int:
            assert driver.poll() is None, log.read_text()
            started = re.search(r"started successfully on port (\d+)", log.read_text())
            return int(started[1]) if started else 0

        browser = Browser(eventually(port, "chromedriver's start"), files / "profile")
        try:
            yield browser
        finally:
            browser.quit()
    finally:
        with contextlib.suppress(ProcessLookupError):  # the browser, too, should it be stuck
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
