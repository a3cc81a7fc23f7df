"""An application of Tornado that names files by X-Sendfile."""
from __future__ import annotations

import os

from tornado import web


class File(web.RequestHandler):
    def get(self, name):
        self.set_header("X-Sendfile", os.path.join(os.environ["FILES"], name))
        self.set_header("Content-Type", "text/x-test")
        if self.get_argument("more", ""):
            self.write(b"what the file replaces")


app = web.Application([("/(.*)", File)])
