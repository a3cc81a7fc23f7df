"""What an application sees of a request: "METHOD target host length-of-body"."""


def application(environ, start_response):
    seen = " ".join([
        environ["REQUEST_METHOD"],
        environ.get("REQUEST_URI") or environ["PATH_INFO"] + "?" + environ["QUERY_STRING"],
        environ.get("HTTP_HOST", ""),
        str(len(environ["wsgi.input"].read())),
    ]).encode("latin-1")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(seen)))])
    return [seen]
