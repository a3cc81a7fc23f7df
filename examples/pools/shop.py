"""A shop, as far as penstock.yaml needs one: it tells where it was asked, and by whom it runs."""

import os


def application(environ, start_response):
    greeting = os.environ.get("GREETING", "hello")
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{greeting} to the shop, {environ['PATH_INFO']}, process {os.getpid()}\n".encode()]
