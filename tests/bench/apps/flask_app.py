"""hello as Flask has it."""
from flask import Flask, Response

app = Flask(__name__)


@app.route("/")
def hello() -> Response:
    return Response("Hello, World!", mimetype="text/plain")
