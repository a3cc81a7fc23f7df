"""A small Flask application to try Penstock with.

    penstock -w 2 app:app        (in this folder, with Flask in the virtualenv)
"""
from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from datetime import datetime

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 256 * 1024 * 1024

LONGEST = 60.0
STARTED = datetime.now()


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        abort(400, f"{text!r} is not a number of seconds")
    if not 0 <= value <= LONGEST:
        abort(400, f"0 to {LONGEST:g} seconds, please")
    return value


@app.get("/")
def index() -> str:
    interesting = ("REQUEST_METHOD", "SERVER_PROTOCOL", "SERVER_SOFTWARE", "REMOTE_ADDR", "HTTP_HOST",
                   "wsgi.url_scheme", "wsgi.multithread", "wsgi.multiprocess")
    environ = {name: request.environ.get(name, "") for name in interesting}
    return render_template("index.html", pid=os.getpid(), started=STARTED, environ=environ)


@app.get("/hello")
def hello() -> Response:
    name = request.args.get("name", "world")
    return Response(f"Hello, {name}, from process {os.getpid()}\n", mimetype="text/plain")


@app.post("/upload")
def upload() -> dict[str, object]:
    """Files of a form, or the body itself; nothing is kept."""
    files = request.files.getlist("file")
    if not files:
        return {"bytes": len(body := request.get_data()), "sha256": hashlib.sha256(body).hexdigest()}
    digests = []
    for file in files:
        digest = hashlib.file_digest(file.stream, "sha256")
        digests.append({"name": file.filename, "bytes": file.stream.tell(), "sha256": digest.hexdigest()})
    return {"text": request.form.get("text", ""), "files": digests}


@app.get("/stream")
def stream() -> Response:
    """A line at a time, each sent when it is made."""
    lines = min(request.args.get("lines", 5, type=int), 1000)
    pause = seconds(request.args.get("pause", "1"))

    def generate() -> Iterator[str]:
        for number in range(1, lines + 1):
            yield f"{datetime.now():%H:%M:%S} line {number} of {lines} from process {os.getpid()}\n"
            if number < lines:
                time.sleep(pause)

    return Response(generate(), mimetype="text/plain")


@app.get("/slow/<for_seconds>")
def slow(for_seconds: str) -> Response:
    """Keeps a worker: longer than --timeout, and the gateway answers 504 in its place."""
    time.sleep(seconds(for_seconds))
    return Response(f"process {os.getpid()} slept for {for_seconds} s\n", mimetype="text/plain")


@app.get("/fail")
def fail() -> Response:
    raise RuntimeError("this route always fails: look at the error log")


@app.errorhandler(HTTPException)
def problem(error: HTTPException) -> tuple[str, int, dict[str, str]]:
    return f"{error.code} {error.name}: {error.description}\n", error.code or 500, {"Content-Type": "text/plain"}
