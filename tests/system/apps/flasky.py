"""A Flask application that uses what real ones use."""
from __future__ import annotations

import io
import logging
import time
from pathlib import Path

from flask import (
    Flask, Response, abort, flash, get_flashed_messages, jsonify, redirect, render_template_string,
    request, send_file, session, stream_with_context, url_for,
)  # fmt: skip

app = Flask(__name__)
app.secret_key = "only for tests"
app.config["MAX_CONTENT_LENGTH"] = 4_000_000
app.logger.setLevel(logging.INFO)

PAGE = "{% for name in names %}<li>{{ name }}</li>{% endfor %}"
closed: list[str] = []


@app.get("/")
def index() -> str:
    return render_template_string(PAGE, names=["a", "<b>"])


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"Hello, {name} ({request.args.get('from', 'nobody')})"


@app.post("/form")
def form():
    return jsonify(request.form.to_dict(flat=False))


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.read()
    return jsonify(name=file.filename, type=file.mimetype, size=len(data), text=request.form["text"])


@app.post("/json")
def json():
    return jsonify(request.get_json())


@app.get("/count")
def count():
    session["count"] = session.get("count", 0) + 1
    flash("counted")
    return jsonify(count=session["count"], flashes=get_flashed_messages())


@app.get("/stream")
def stream():
    def pieces():
        for number in range(5):
            yield f"{request.path} {number}\n"
            time.sleep(0.01)

    response = Response(stream_with_context(pieces()), mimetype="text/plain")
    response.call_on_close(lambda: closed.append("stream"))
    return response


@app.get("/closed")
def get_closed():
    return jsonify(closed)


@app.get("/download")
def download():
    return send_file(Path(__file__), mimetype="text/x-python", as_attachment=True)


@app.get("/memory")
def memory():
    return send_file(io.BytesIO(b"from memory" * 1000), mimetype="text/plain", conditional=True)


@app.get("/redirect")
def redirected():
    return redirect(url_for("hello", name="there", _external=True))


@app.get("/error")
def error():
    raise RuntimeError("as expected")


@app.get("/teapot")
def teapot():
    abort(418)


@app.get("/log")
def log():
    app.logger.info("logged by the application")
    return "logged"
