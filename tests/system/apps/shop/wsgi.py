"""shop.wsgi:application, as the commands in the documentation call it: examples/flask and a mirror."""
from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from flask import Response, redirect, request, url_for

sys.path.insert(0, str(Path(__file__).parents[4] / "examples/flask"))

from app import app as application  # noqa: E402


@application.route("/environ", methods=["GET", "POST"])
def environ():
    texts = {name: value for name, value in request.environ.items() if isinstance(value, str)}
    return texts | {"pid": os.getpid(), "body": len(request.get_data())}


@application.get("/below/<name>")
def moved(name: str):
    return redirect(url_for("environ", _external=True))


@application.get("/stream/<name>")
def held(name: str) -> Response:
    """Our pid at once; the rest when there is a file NAME.go. NAME.held tells that we wait."""
    scratch = Path(os.environ["SCRATCH"])

    def pieces():
        yield f"{os.getpid()}\n"
        (scratch / f"{name}.held").touch()
        deadline = time.monotonic() + 20
        while not (scratch / f"{name}.go").exists():
            if time.monotonic() > deadline:
                yield "nobody came\n"
                return
            time.sleep(0.02)
        yield "go\n"

    return Response(pieces(), mimetype="text/plain")
