"""Start a server that has no command line: launch.py SERVER MODULE:CALLABLE PORT WORKERS
[THREADS]."""
from __future__ import annotations

import importlib
import os
import sys


def main() -> None:
    server, target, port, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    module, _, name = target.partition(":")
    sys.path.insert(0, os.getcwd())
    app = getattr(importlib.import_module(module), name)
    package = importlib.import_module(f"{server}.wsgi" if server == "cheroot" else server)
    if server == "bjoern":
        package.listen(app, "127.0.0.1", port)
        for _ in range(workers - 1):
            if os.fork() == 0:
                break
        package.run()
    elif server == "tornado":
        importlib.import_module("tornado.httpserver").HTTPServer(app).listen(port, "127.0.0.1")
        importlib.import_module("tornado.ioloop").IOLoop.current().start()
    elif server == "cheroot":
        package.Server(("127.0.0.1", port), app, numthreads=int(sys.argv[5]),
                       request_queue_size=2048).start()
    else:
        package.run(app, "127.0.0.1", port, 2, workers)


main()
