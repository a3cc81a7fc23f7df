"""The servers that are measured, and how each is started.

In a command, {python} is the interpreter of the environment that holds the peers' packages, {prefix}
its folder, {older} that of one with older releases, {penstock} the installed program, {unit} the folder
of an installed NGINX Unit, {port}, {workers} and {app} (MODULE:CALLABLE, or {module} and {callable})
speak for themselves, {options} is what the peer has for the scenario, {run} a folder of its own, {sock}
a socket in it, {built} the folder of the helpers in C; the folder of the applications, {apps}, is the
working directory.
"""
from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Peer:
    name: str
    serves: str  # "wsgi", "asgi", "tornado", "fastcgi", or "floor": what no application server reaches
    command: str
    # What must be there: words "exe:NAME" on the PATH, "module:NAME" in {python}, "older:NAME" in
    # {older}.
    needs: str
    version: str  # a command whose first line of output is the version
    options: dict[str, str] = field(default_factory=dict)  # by scenario; "*": in others
    files: dict[str, str] = field(default_factory=dict)  # in {run}, with @tokens@
    behind: Peer | None = None  # it is a front: this one is started first
    unix: bool = False  # it listens on {sock}, and is behind a front only
    websocket: bool = False
    only: frozenset[str] = field(default_factory=frozenset)  # scenarios; none: all that fit


def module_version(module: str) -> str:
    return ("{python} -c 'import importlib.metadata as m; print(\"" + module +
            " \" + m.version(\"" + module + "\"))'")


# In which a peer takes part that has but one process, and those that add little to others like them.
ONE_PROCESS = frozenset({"hello", "io-64", "post-64k", "flask", "idle", "cold"})
MINOR = frozenset({"hello", "io", "idle", "cold"})
THREADS = {"*": "--threads 8", "io": "--threads 64", "io-64": "--threads 64"}
PENSTOCK = ("{penstock} -b 127.0.0.1:{port} -w {workers} --python {python} --log-level warning"
            " {options} {app} -k ")
GUNICORN = ("{python} -m gunicorn -b 127.0.0.1:{port} -w {workers} --keep-alive 75 --backlog 2048"
            " --worker-connections 20000 --log-level warning {options} {app} -k ")
UWSGI = ("{prefix}/bin/uwsgi --virtualenv {prefix} --master --die-on-term --need-app --disable-logging"
         " --listen 1024 --buffer-size 16384 --chdir {apps} --processes {workers} --module {app}"
         " {options} ")
UWSGI_THREADS = {"io": "--threads 64", "io-64": "--threads 64"}


def penstock(kind: str, serves: str = "wsgi", **more: object) -> Peer:
    name = more.pop("name", kind)
    return Peer(f"penstock-{name}", serves, PENSTOCK + kind, f"exe:{{penstock}} {more.pop('needs', '')}",
                "{penstock} --version", **more)  # type: ignore[arg-type]


def gunicorn(kind: str, serves: str = "wsgi", needs: str = "", **more: object) -> Peer:
    return Peer(f"gunicorn-{kind}", serves, GUNICORN + kind, f"module:gunicorn {needs}",
                "{python} -m gunicorn --version", **more)  # type: ignore[arg-type]


def uwsgi(name: str, how: str, **more: object) -> Peer:
    return Peer(name, "wsgi", UWSGI + how, "exe:{prefix}/bin/uwsgi", "{prefix}/bin/uwsgi --version",
                options=UWSGI_THREADS, **more)  # type: ignore[arg-type]


def unit(serves: str) -> Peer:
    """Its own front process, and threads where they help: what it is in 1.35, the last release."""
    return Peer(f"unit-{serves}", serves,
                "{unit}/sbin/unitd --no-daemon --user root --group root --control unix:{run}/control"
                " --pid {run}/pid --log {run}/log --statedir {run} --tmpdir {run}",
                "exe:{unit}/sbin/unitd", "{unit}/sbin/unitd --version",
                options={"io": ', "threads": 64', "io-64": ', "threads": 64'},
                files={"conf.json": UNIT.replace("PROTOCOL", serves)})


def launched(server: str, serves: str = "wsgi", name: str = "") -> Peer:
    return Peer(name or server, serves, "{python} {apps}/launch.py " + server + " {app} {port} {workers}",
                f"module:{server}", module_version(server))


NGINX = """daemon off; user root; worker_processes 1; pid @run@/nginx.pid; error_log @run@/nginx.err error;
worker_rlimit_nofile 20000; events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 75; keepalive_requests 1000000000;
  client_body_temp_path @run@/t1; proxy_temp_path @run@/t2; fastcgi_temp_path @run@/t3;
  uwsgi_temp_path @run@/t4; scgi_temp_path @run@/t5;
  upstream app { server @upstream@; KEEP }
  server { listen 127.0.0.1:@port@ backlog=4096; location / { PASS } }
}
"""
KEEP = "keepalive 64; keepalive_requests 1000000000;"
PROXY = 'proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";'
FASTCGI = """fastcgi_pass app; fastcgi_param GATEWAY_INTERFACE CGI/1.1;
  fastcgi_param SERVER_SOFTWARE nginx; fastcgi_param QUERY_STRING $query_string;
  fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
  fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param SCRIPT_FILENAME @apps@/hello.php;
  fastcgi_param SCRIPT_NAME /hello.php; fastcgi_param REQUEST_URI $request_uri;
  fastcgi_param DOCUMENT_URI $document_uri; fastcgi_param DOCUMENT_ROOT @apps@;
  fastcgi_param SERVER_PROTOCOL $server_protocol; fastcgi_param REQUEST_SCHEME $scheme;
  fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param REMOTE_PORT $remote_port;
  fastcgi_param SERVER_ADDR $server_addr; fastcgi_param SERVER_PORT $server_port;
  fastcgi_param SERVER_NAME $server_name; fastcgi_param REDIRECT_STATUS 200; """
UWSGI_PASS = """uwsgi_pass app; uwsgi_param QUERY_STRING $query_string;
  uwsgi_param REQUEST_METHOD $request_method; uwsgi_param CONTENT_TYPE $content_type;
  uwsgi_param CONTENT_LENGTH $content_length; uwsgi_param REQUEST_URI $request_uri;
  uwsgi_param PATH_INFO $document_uri; uwsgi_param DOCUMENT_ROOT $document_root;
  uwsgi_param SERVER_PROTOCOL $server_protocol; uwsgi_param REMOTE_ADDR $remote_addr;
  uwsgi_param REMOTE_PORT $remote_port; uwsgi_param SERVER_PORT $server_port;
  uwsgi_param SERVER_NAME $server_name; """
UNIT = """{"listeners": {"127.0.0.1:@port@": {"pass": "applications/app"}},
 "settings": {"http": {"idle_timeout": 75}},
 "applications": {"app": {"type": "python 3", "protocol": "PROTOCOL", "user": "root", "path": "@apps@",
  "home": "@prefix@", "module": "@module@", "callable": "@callable@", "processes": @workers@ @options@}}}
"""
FPM = """[global]
error_log = @run@/fpm.err
daemonize = no
[www]
user = www-data
group = www-data
listen = @sock@
listen.mode = 0666
listen.backlog = 1024
pm = static
pm.max_children = @workers@
"""
# Penstock in nginx's place; as many connections as the server behind it takes at once.
REMOTE = """listen: ["127.0.0.1:@port@"]
log_level: warning
pools:
  default: {fastcgi: "unix:@sock@", connections: CONNECTIONS, MORE}
"""
SCRIPTS = 'root: "@apps@", index: /hello.php'


def nginx(name: str, behind: Peer, location: str, keep: str = KEEP) -> Peer:
    return Peer(f"nginx>{name}", behind.serves, "nginx -p {run} -e {run}/nginx.err -c {run}/nginx.conf",
                f"exe:nginx {behind.needs}", "nginx -v", behind=behind,
                files={"nginx.conf": NGINX.replace("KEEP", keep).replace("PASS", location)})


def front(name: str, behind: Peer, more: str = "keep_conn: off", connections: str = "@workers@") -> Peer:
    settings = REMOTE.replace("CONNECTIONS", connections).replace("MORE", more)
    return Peer(f"penstock>{name}", "fastcgi", "{penstock} -c {run}/penstock.yaml",
                f"exe:{{penstock}} {behind.needs}", "{penstock} --version", behind=behind,
                files={"penstock.yaml": settings})


SYNC = penstock("sync")
ASYNC = penstock("async", "asgi", websocket=True)
GUNICORN_SYNC = gunicorn("sync")
UVICORN = Peer(
    "uvicorn", "asgi",
    "{python} -m uvicorn --host 127.0.0.1 --port {port} --workers {workers} --log-level warning"
    " --no-access-log --timeout-keep-alive 75 --backlog 2048 {app}",
    "module:uvicorn module:uvloop module:httptools", "{python} -m uvicorn --version",
    websocket=True)
BJOERN = launched("bjoern")
FASTPYSGI = launched("fastpysgi")
GUNICORN_GTHREAD = gunicorn("gthread", options=THREADS)
UWSGI_SOCKET = uwsgi("uwsgi-socket", "--socket {sock} --chmod-socket=666", unix=True)
LIBFCGI = Peer("libfcgi", "fastcgi", "{built}/fcgi_hello {sock}", "exe:{built}/fcgi_hello", "true", unix=True)
PHP_FPM = Peer("php-fpm", "fastcgi", "php-fpm8.2 -F -R -n -d opcache.enable=1 -y {run}/fpm.conf",
               "exe:php-fpm8.2", "php-fpm8.2 -v", files={"fpm.conf": FPM}, unix=True)

PEERS = (
    SYNC,
    penstock("threaded", options=THREADS),
    penstock("gevent", needs="module:gevent", options={"*": "--worker-connections 2000"}, only=MINOR),
    penstock("eventlet", needs="module:eventlet", options={"*": "--worker-connections 2000"}, only=MINOR),
    penstock("tornado", "tornado", needs="module:tornado"),
    ASYNC,
    penstock("async", "asgi", name="async-asyncio", options={"*": "--loop asyncio"}),
    GUNICORN_SYNC,
    GUNICORN_GTHREAD,
    gunicorn("gevent", needs="module:gevent", only=MINOR),
    Peer("gunicorn-eventlet", "wsgi", GUNICORN.replace("{python}", "{older}") + "eventlet",
         # Release 26 has no such worker any more.
         "older:gunicorn older:eventlet", "{older} -m gunicorn --version", only=MINOR),
    gunicorn("tornado", "tornado", needs="module:tornado"),
    launched("tornado", "tornado"),
    gunicorn("asgi", "asgi", websocket=True),
    Peer("gunicorn-uvicorn", "asgi", GUNICORN + "uvicorn.workers.UvicornWorker",
         "module:gunicorn module:uvicorn", "{python} -m gunicorn --version", websocket=True),
    # The router in front of the workers, as people run it without nginx.
    uwsgi("uwsgi-http", "--http-keepalive=75 --http-timeout 75 --http-auto-chunked --socket 127.0.0.1:0"
          " --http 127.0.0.1:{port}"),
    # No router: the workers speak HTTP themselves, and close each connection without saying so.
    uwsgi("uwsgi-http-socket", "--http-socket 127.0.0.1:{port} --add-header Connection:close"),
    Peer("waitress", "wsgi",
         "{python} -m waitress --listen=127.0.0.1:{port} --connection-limit=20000 --backlog=2048"
         " --asyncore-use-poll {options} {app}", "module:waitress", module_version("waitress"),
         options={"*": "--threads=8", "io": "--threads=64", "io-64": "--threads=64"}, only=ONE_PROCESS),
    Peer("cheroot", "wsgi", "{python} {apps}/launch.py cheroot {app} {port} {workers} {options}",
         "module:cheroot", module_version("cheroot"), options={"*": "8", "io": "64", "io-64": "64"},
         only=ONE_PROCESS),
    unit("wsgi"),
    unit("asgi"),
    BJOERN,
    FASTPYSGI,
    launched("fastpysgi", "asgi", "fastpysgi-asgi"),
    Peer("floor-epoll", "floor", "{built}/floor_hello {port}", "exe:{built}/floor_hello", "echo floor_hello.c"),
    UVICORN,
    Peer("hypercorn", "asgi",
         "{python} -m hypercorn -b 127.0.0.1:{port} -w {workers} --keep-alive 75 --backlog 2048"
         " --log-level warning -k uvloop {app}",
         "module:hypercorn module:uvloop", module_version("hypercorn"), websocket=True),
    Peer("granian-asgi", "asgi",
         "{python} -m granian --interface asgi --host 127.0.0.1 --port {port} --workers {workers}"
         " --log-level warning --no-access-log {app}",
         "module:granian", "{python} -m granian --version", websocket=True),
    Peer("granian-wsgi", "wsgi",
         "{python} -m granian --interface wsgi --host 127.0.0.1 --port {port} --workers {workers}"
         " --log-level warning --no-access-log {options} {app}",
         "module:granian", "{python} -m granian --version",
         options={"io": "--blocking-threads 64", "io-64": "--blocking-threads 64"}),
    nginx("penstock-sync", SYNC, PROXY),
    nginx("penstock-async", ASYNC, PROXY),
    nginx("gunicorn-sync", GUNICORN_SYNC, PROXY),
    nginx("bjoern", BJOERN, PROXY),
    nginx("uvicorn", UVICORN, PROXY),
    nginx("fastpysgi", FASTPYSGI, PROXY),
    nginx("gunicorn-gthread", GUNICORN_GTHREAD, PROXY),
    nginx("uwsgi_pass", UWSGI_SOCKET, UWSGI_PASS, keep=""),
    nginx("libfcgi", LIBFCGI, FASTCGI, keep=""),
    nginx("php-fpm", PHP_FPM, FASTCGI, keep=""),
    front("libfcgi", LIBFCGI),
    front("php-fpm", PHP_FPM, SCRIPTS),
    # What nginx cannot do here: it has no queue, so of what does not get one of the few connections
    # that such a server keeps nobody would be served. The program is one process.
    front("libfcgi-kept", LIBFCGI, "keep_conn: on", connections="1"),
    front("php-fpm-kept", PHP_FPM, SCRIPTS + ", keep_conn: on"),
)
