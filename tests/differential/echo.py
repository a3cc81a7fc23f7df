"""What an application sees of a request: "METHOD target host length-of-body"; see servers.py."""


def application(environ, start_response):
    seen = " ".join([
        environ["REQUEST_METHOD"],
        environ.get("REQUEST_URI") or environ["PATH_INFO"] + "?" + environ["QUERY_STRING"],
        environ.get("HTTP_HOST", ""),
        str(len(environ["wsgi.input"].read())),
    ]).encode("latin-1")
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(seen)))]
    if environ["REQUEST_METHOD"] == "HEAD":
        fields.append(("X-Seen", seen.decode("latin-1") + "."))
    start_response("200 OK", fields)
    return [seen]
