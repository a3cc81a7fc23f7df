"""An application that does not care where it stands: its links begin with SCRIPT_NAME."""


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/") or "you"
    home = environ["SCRIPT_NAME"] + "/"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"hello {name}; my home is {home}\n".encode()]
