"""The servers that are measured, and how each is started.

In a command, {python} is the interpreter of the environment that holds the peers' packages,
{penstock} the installed program, {port}, {workers} and {app} (module:callable) speak for
themselves; the folder of the applications is the working directory.
"""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    name: str
    command: str
    needs: str  # what must be there: "exe:NAME" on the PATH, or "module:NAME" in {python}
    version: str  # a command whose first line of output is the version


PEERS = (
    Peer(
        "penstock-sync",
        "{penstock} -b 127.0.0.1:{port} -w {workers} -k sync --python {python}"
        " --log-level warning {app}",
        "exe:{penstock}",
        "{penstock} --version",
    ),
    Peer(
        "gunicorn-sync",
        "{python} -m gunicorn -b 127.0.0.1:{port} -w {workers} -k sync"
        " --log-level warning {app}",
        "module:gunicorn",
        "{python} -m gunicorn --version",
    ),
    Peer(
        "gunicorn-gthread",
        "{python} -m gunicorn -b 127.0.0.1:{port} -w {workers} -k gthread --threads 4"
        " --keep-alive 75 --log-level warning {app}",
        "module:gunicorn",
        "{python} -m gunicorn --version",
    ),
    Peer(
        "uwsgi-http",
        # The router in front of the workers, as people run it without nginx.
        "uwsgi --plugins http,python3 --master --die-on-term --need-app --disable-logging"
        " --listen 1024 --buffer-size 16384 --http-keepalive --http 127.0.0.1:{port}"
        " --chdir {apps} --processes {workers} --module {app}",
        "exe:uwsgi",
        "uwsgi --version",
    ),
    Peer(
        "uwsgi-http-socket",
        # No router: the workers speak HTTP themselves, one connection after the other.
        "uwsgi --plugins python3 --master --die-on-term --need-app --disable-logging"
        " --listen 1024 --buffer-size 16384 --http-socket 127.0.0.1:{port}"
        " --chdir {apps} --processes {workers} --module {app}",
        "exe:uwsgi",
        "uwsgi --version",
    ),
)
