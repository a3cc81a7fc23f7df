"""penstock import-gunicorn: make a configuration for penstock of a gunicorn.conf.py.

The file is Python, so it is run, as gunicorn runs it. What it sets is written as YAML; what has no
counterpart, or is not quite the same, is said on stderr and in comments.
"""
from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TextIO

EXIT_FAILED, EXIT_USAGE = 1, 2
PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./+-]*|[0-9]+")
NOT_PLAIN = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


class Failure(Exception):
    """A sentence for the user."""


class Note(NamedTuple):
    setting: str
    text: str


class Line(NamedTuple):
    key: str
    value: str  # as YAML
    comment: str  # or ""


# ---- values as YAML


def scalar(value: Any) -> str:
    text = str(value)
    if PLAIN.fullmatch(text) and text not in NOT_PLAIN:
        return text
    return json.dumps(text, ensure_ascii=True)


def text(value: Any) -> str:
    if isinstance(value, (dict, list, tuple, set)):
        raise ValueError(f"a single value is wanted, and this is {value!r}")
    return scalar(value)


def listing(value: Any) -> str:
    """A list, or a text of parts with commas between them, as gunicorn takes both."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple, set)):
        raise ValueError(f"a list is wanted, and this is {value!r}")
    return "[" + ", ".join(scalar(item) for item in value) + "]"


def flag(value: Any) -> str:
    if isinstance(value, str):
        value = value.strip().lower() == "true"
    return "true" if value else "false"


def octal(value: Any) -> str:
    """gunicorn takes a number, and of a text 0o27, 027 and 0x17."""
    if isinstance(value, str):
        value = int(value, 8) if re.fullmatch(r"0[0-7]*", value) else int(value, 0)
    return f'"{value:03o}"'


def joined(value: Any) -> str:
    return text(value if isinstance(value, str) else ",".join(str(item) for item in value))


# ---- what becomes of each of gunicorn's settings


class Same(NamedTuple):
    """There is such a setting."""

    key: str
    write: Callable[[Any], str]
    differs: str = ""  # how


SAME = {
    "bind": Same("bind", listing),
    "backlog": Same("backlog", text),
    "workers": Same("workers", text),
    "threads": Same("threads", text),
    "worker_connections": Same("worker_connections", text, "it is for async workers; idle "
                               "connections do not count"),
    "asgi_loop": Same("loop", text),
    "asgi_lifespan": Same("lifespan", text),
    "reload": Same("reload", flag, "all .py files below chdir and pythonpath are watched, those of "
                   "installed packages are not"),
    "reload_extra_files": Same("reload_extra_file", listing),
    "timeout": Same("timeout", text, "it is the time that one request's application may be silent, "
                    "and no idle worker is killed; the client gets 504"),
    "graceful_timeout": Same("graceful_timeout", text),
    "keepalive": Same("keep_alive", text, "it should be longer than the proxy's (penstock's "
                      "default is 75), so that the proxy closes first"),
    "max_requests": Same("max_requests", text),
    "max_requests_jitter": Same("max_requests_jitter", text),
    "websocket_max_message_size": Same("websocket_max_message_size", text),
    "limit_request_line": Same("limit_request_line", text),
    "limit_request_fields": Same("limit_request_fields", text),
    "limit_request_field_size": Same("limit_request_field_size", text),
    "header_map": Same("header_map", text),
    "forwarded_allow_ips": Same("forwarded_allow_ips", joined, "who is trusted is believed about "
                                "more: X-Forwarded-For, -Host and -Port, too; the proxy must set "
                                "or remove them all"),
    "chdir": Same("chdir", text),
    "pythonpath": Same("pythonpath", listing),
    "raw_env": Same("env", listing),
    "pidfile": Same("pid", text),
    "proc_name": Same("name", text),
    "user": Same("user", text),
    "group": Same("group", text),
    "initgroups": Same("initgroups", flag),
    "umask": Same("umask", octal, "it is for unix sockets only, not for what the application "
                  "makes"),
    "daemon": Same("daemon", flag),
    "accesslog": Same("access_logfile", text),
    "access_log_format": Same("access_logformat", text),
    "errorlog": Same("error_logfile", text),
    "loglevel": Same("log_level", text),
    "tmp_upload_dir": Same("spool_dir", text),
    "root_path": Same("root_path", text, "it is the SCRIPT_NAME of WSGI applications, too"),
    "control_socket": Same("control_socket", text, "it speaks to 'penstock ctl'"),
    "control_socket_disable": Same("no_control_socket", flag),
}  # fmt: skip

NOT_YET = "there is nothing like it yet"
PROXY = "leave it to the proxy in front"
STRICT = "penstock is strict here, since leniency is how requests are smuggled"
LOGGING = "configure logging in the application; penstock's own log is text"
QUEUE = "use a task queue, or a pool of its own with a longer timeout"
METRICS = NOT_YET + "; 'penstock ctl status' has figures"

# What worker_class takes (gateway/worker_class.c).
WORKER_CLASSES = {
    "sync",
    "gthread",
    "asgi",
    "gevent",
    "gevent_wsgi",
    "gevent_pywsgi",
    "eventlet",
    "tornado",
    "gunicorn.workers.sync.SyncWorker",
    "gunicorn.workers.gthread.ThreadWorker",
    "gunicorn.workers.gasgi.ASGIWorker",
    "gunicorn.workers.ggevent.GeventWorker",
    "gunicorn.workers.ggevent.GeventPyWSGIWorker",
    "gunicorn.workers.geventlet.EventletWorker",
    "gunicorn.workers.gtornado.TornadoWorker",
    "uvicorn.workers.UvicornWorker",
    "uvicorn.workers.UvicornH11Worker",
    "uvicorn_worker.UvicornWorker",
    "uvicorn_worker.UvicornH11Worker",
}

# Without a counterpart: what to do in its place.
WITHOUT = {
    "preload_app": "each worker imports the application for itself; what must happen once goes "
    "before the start",
    "reload_engine": "nothing to do: files are looked at twice a second",
    "spew": "use sys.settrace in the application",
    "sendfile": "nothing to do: wsgi.file_wrapper is always there",
    "reuse_port": "nothing to do: one process accepts",
    "worker_tmp_dir": "nothing to do: there are no heartbeat files",
    "secure_scheme_headers": "the fields are fixed: X-Forwarded-Proto, -Protocol and -SSL",
    "disable_redirect_access_to_syslog": NOT_YET,
    "capture_output": "nothing to do: what workers print is in the error log",
    "enable_stdio_inheritance": "nothing to do: what workers print is in the error log",
    "logger_class": LOGGING,
    "logconfig": LOGGING,
    "logconfig_dict": LOGGING,
    "logconfig_json": LOGGING,
    "syslog": NOT_YET + "; systemd's journal takes both logs",
    "syslog_addr": NOT_YET,
    "syslog_prefix": NOT_YET,
    "syslog_facility": NOT_YET,
    "statsd_host": METRICS,
    "statsd_prefix": METRICS,
    "dogstatsd_tags": METRICS,
    "enable_backlog_metric": "nothing waits in the backlog; %({queue}x)s in the access log tells "
    "the wait",
    "default_proc_name": "nothing to do",
    "paste": "write a module with application = loadapp(...)",
    "raw_paste_global_conf": "write a module with application = loadapp(...)",
    "proxy_protocol": NOT_YET,
    "proxy_allow_ips": NOT_YET,
    "protocol": "let the proxy speak HTTP, or FastCGI with an adapter",
    "uwsgi_allow_ips": "let the proxy speak HTTP, or FastCGI with an adapter",
    "keyfile": PROXY,
    "certfile": PROXY,
    "ssl_version": PROXY,
    "cert_reqs": PROXY,
    "ca_certs": PROXY,
    "suppress_ragged_eofs": PROXY,
    "do_handshake_on_connect": PROXY,
    "ciphers": PROXY,
    "ssl_context": PROXY,
    "http_protocols": PROXY,
    "http2_cleartext": PROXY,
    "http2_max_concurrent_streams": PROXY,
    "http2_initial_window_size": PROXY,
    "http2_max_frame_size": PROXY,
    "http2_max_header_list_size": PROXY,
    "permit_obsolete_folding": STRICT,
    "strip_header_spaces": STRICT,
    "permit_unconventional_http_method": "nothing to do: any token is a method",
    "permit_unconventional_http_version": STRICT,
    "casefold_http_method": "methods are case-sensitive",
    "forwarder_headers": "use root_path, or mount in a route",
    "asgi_disconnect_grace_period": NOT_YET,
    "http_parser": "nothing to do: there is one, in C",
    "dirty_apps": QUEUE,
    "dirty_workers": QUEUE,
    "dirty_timeout": QUEUE,
    "dirty_threads": QUEUE,
    "dirty_graceful_timeout": QUEUE,
    "control_socket_mode": "nothing to do: it is for its owner only",
    # Hooks.
    "on_starting": "run it before penstock: ExecStartPre= of a systemd unit",
    "on_reload": "run it with the reload: ExecReload= of a systemd unit",
    "when_ready": "watch the error log for 'serves at', or ask for a page",
    "pre_fork": "nothing is forked with the application loaded; do it where the module begins",
    "post_fork": "do it where the application's module is imported: each worker imports for itself",
    "post_worker_init": "do it at the end of the application's module",
    "worker_int": "use atexit in the application",
    "worker_abort": "nothing to do: the stacks are in the error log",
    "worker_exit": "use atexit in the application; it runs when the worker leaves",
    "child_exit": "the error log says how a worker ended; prometheus_client's mark_process_dead() "
    "goes into atexit",
    "pre_exec": "there is no re-execution",
    "pre_request": "use WSGI middleware",
    "post_request": "use WSGI middleware, in the close() of what it returns",
    "nworkers_changed": "'penstock ctl status' tells how many there are",
    "on_exit": "run it after penstock: ExecStopPost= of a systemd unit",
    "on_dirty_starting": QUEUE,
    "dirty_post_fork": QUEUE,
    "dirty_worker_init": QUEUE,
    "dirty_worker_exit": QUEUE,
}

# Has no effect in a file, with gunicorn either.
NO_SETTINGS = {"config", "check_config", "print_config"}

# gunicorn's defaults that do not look like "not set".
DEFAULTS: dict[str, Any] = {
    "reload_engine": "auto",
    "logger_class": "gunicorn.glogging.Logger",
    "proxy_protocol": "off",
    "protocol": "http",
    "http_protocols": "h1",
    "http2_cleartext": "off",
    "http_parser": "auto",
    "default_proc_name": "gunicorn",
    "dirty_threads": 1,
}


def is_set(setting: str, value: Any) -> bool:
    """The file says something that gunicorn would not do anyway."""
    if setting == "sendfile":
        return value is not None
    return bool(value) and value != DEFAULTS.get(setting)


# ---- the file


def run_file(name: str) -> dict[str, Any]:
    """What the file, or the module of python:MODULE, defines."""
    sys.path.insert(0, os.getcwd())
    with contextlib.redirect_stdout(sys.stderr):
        if name.startswith("python:"):
            return dict(vars(importlib.import_module(name[len("python:") :])))
        space: dict[str, Any] = {
            "__name__": "__config__", "__file__": name, "__doc__": None, "__builtins__": __builtins__
        }  # fmt: skip
        exec(compile(read_source(name), name, "exec"), space)
        return space


def read_source(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise Failure(f"cannot read {name}: {error.strerror}") from None


def computed(name: str) -> set[str]:
    """The names at the top of the file whose values are not simply written there."""
    if name.startswith("python:"):
        return set()
    found = set()
    for node in ast.walk(ast.parse(read_source(name))):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
            targets = [node.target]
        else:
            continue
        try:
            ast.literal_eval(node.value)  # type: ignore[arg-type]
        except (ValueError, TypeError, SyntaxError):
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


# ---- what is made of it


class Import:
    def __init__(self, name: str, app: str | None) -> None:
        self.name = name
        self.values = run_file(name)
        self.computed = computed(name)
        self.lines: list[Line] = []
        self.without: list[Note] = []
        self.differs: list[Note] = []
        self.missing: list[Note] = []
        self.import_app(app)
        self.import_worker_class()
        for setting, value in self.values.items():
            if setting in SAME and value is not None:
                self.import_same(setting, value)
            elif setting in WITHOUT and is_set(setting, value):
                self.without.append(Note(setting, WITHOUT[setting]))
            elif setting in NO_SETTINGS and value:
                self.without.append(Note(setting, "it is for the command line"))

    def add(self, setting: str, key: str, value: str) -> None:
        comment = "was computed when this was imported" if setting in self.computed else ""
        self.lines.append(Line(key, value, comment))

    def import_app(self, given: str | None) -> None:
        app = given or self.values.get("wsgi_app")
        if not app:
            self.missing.append(Note("app", "the file does not name the application: put it in, "
                                     "or on the command line"))  # fmt: skip
        else:
            self.add("" if given else "wsgi_app", "app", scalar(app))

    def import_worker_class(self) -> None:
        """A class that is none of gunicorn's own may be anything."""
        value = self.values.get("worker_class")
        if value is None:
            return
        if not isinstance(value, str):
            value = f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else ""
        if value.removeprefix("egg:gunicorn#") in WORKER_CLASSES:
            self.add("worker_class", "worker_class", scalar(value.removeprefix("egg:gunicorn#")))
        else:
            name = value or repr(self.values["worker_class"])
            self.without.append(Note("worker_class", f"{name} is no class of gunicorn's or "
                                     "uvicorn's: without one the kind of application decides"))  # fmt: skip

    def import_same(self, setting: str, value: Any) -> None:
        same = SAME[setting]
        if not value and same.write in (text, joined, listing, flag) and value != 0:
            if setting != "forwarded_allow_ips":
                return
        try:
            self.add(setting, same.key, same.write(value))
        except (ValueError, TypeError) as error:
            self.without.append(Note(setting, f"it cannot be taken over: {error}"))
            return
        if same.differs:
            self.differs.append(Note(setting, same.differs))

    def write(self, out: TextIO) -> None:
        out.write(f"# Made of {os.path.basename(self.name)} by penstock import-gunicorn.\n")
        write_notes(out, "Is missing:", self.missing)
        write_notes(out, "Is not quite the same as with gunicorn:", self.differs)
        write_notes(out, "Was left out, since there is no counterpart:", self.without)
        out.write("\n")
        for line in self.lines:
            comment = f"  # {line.comment}" if line.comment else ""
            out.write(f"{line.key}: {line.value}{comment}\n")

    def tell(self) -> None:
        for notes, what in (
            (self.missing, "is missing"),
            (self.differs, "is not quite the same"),
            (self.without, "was left out"),
        ):
            for note in notes:
                say(f"{self.name}: {note.setting} {what}: {note.text}")


def write_notes(out: TextIO, heading: str, notes: Iterable[Note]) -> None:
    notes = list(notes)
    if notes:
        out.write(f"#\n# {heading}\n")
    for note in notes:
        out.write(f"#   {note.setting}: {' '.join(note.text.split())}\n")


# ---- the program


def say(sentence: str) -> None:
    print(f"penstock: {sentence}", file=sys.stderr)


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="penstock import-gunicorn",
        description="Make a configuration for penstock of gunicorn's. The file is Python: it is "
        "run, so it must be yours. What has no counterpart is listed on stderr.",
    )
    parser.add_argument("conf", nargs="?", default="gunicorn.conf.py", metavar="FILE.py",
                        help="or python:MODULE [gunicorn.conf.py]")  # fmt: skip
    parser.add_argument("app", nargs="?", metavar="APP", help="the application, if it is not "
                        "named there (wsgi_app)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="write there; it must not exist "
                        "yet [stdout]")  # fmt: skip
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = parse(words)
    try:
        made = Import(options.conf.removeprefix("file:"), options.app)
        if options.output:
            with open(options.output, "x", encoding="utf-8") as out:
                made.write(out)
        else:
            made.write(sys.stdout)
    except Failure as failure:
        say(str(failure))
        return EXIT_USAGE
    except FileExistsError:
        say(f"{options.output} exists: remove it, or choose another name for -o")
        return EXIT_USAGE
    except OSError as error:
        say(f"cannot write {options.output or 'to stdout'}: {error.strerror}")
        return EXIT_FAILED
    made.tell()
    return 0


def run() -> int:
    try:
        return main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
        say("the file failed when it was run (above), with "
            f"{sys.executable}: what it imports must be there")  # fmt: skip
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(run())
