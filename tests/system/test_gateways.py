"""--gateways: several of them share the listeners, and each has its share of the workers."""
from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from figures import Show
from foreign import ForeignServer
from gateway import Exchange
from hold import Held
from load import Load
from peers import program
from penstock import Penstock, eventually, is_alive, run
from raw import Client
from test_ctl import ask, status
from test_drain import Storm
from test_reload import SOURCE

Start = Callable[..., Penstock]


@pytest.fixture
def shop(penstock: Start, tmp_path: Path) -> Start:
    def start(
        *options: str, gateways: int = 2, workers: int = 4, bind: str = "127.0.0.1:0"
    ) -> Penstock:
        text = SOURCE.replace("{version}", "1").replace("{more}", "")
        (tmp_path / "site_app.py").write_text(text)
        return penstock(
            "site_app:app", "--gateways", str(gateways), "-w", str(workers), *options,
            cwd=tmp_path, env={"PYTHONDONTWRITEBYTECODE": "1"}, bind=bind,
        ).wait_ready()  # fmt: skip

    return start


def gateways(server: Penstock) -> list[int]:
    return [pid for pid, name in server._children() if name == "gateway"]


def shares(server: Penstock) -> dict[int, set[int]]:
    """The workers of each gateway, all by their pids."""
    told = status(server)
    return {
        one["pid"]: {w["pid"] for w in told["workers"] if str(w["gateway"]) == one["number"]}
        for one in told["gateways"]
    }


def worker_of(client: Client) -> int:
    """Which worker answered."""
    client.get("/")
    response = client.response()
    assert response.status == 200
    return int(response.field("X-Pid") or "")


@contextlib.contextmanager
def clients(server: Penstock, count: int) -> Iterator[dict[Client, int]]:
    """COUNT clients that stay, or more until each gateway has one, and whose each is."""
    with contextlib.ExitStack() as stack:
        own = shares(server)
        owner = {worker: gateway for gateway in own for worker in own[gateway]}
        found: dict[Client, int] = {}

        def found_all() -> bool:
            client = stack.enter_context(Client(("127.0.0.1", server.port)))
            found[client] = owner[worker_of(client)]
            return len(found) >= count and set(found.values()) == set(own)

        eventually(found_all, "a client of each gateway")
        yield found


# --- who serves whom -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--threads", "2")], ids=["sync", "threaded"])
def test_each_gateway_has_its_workers(shop: Start, options: tuple[str, ...]) -> None:
    """A connection stays with its gateway, so it sees the workers of that one only."""
    server = shop(*options)
    own = shares(server)
    assert set(own) == set(gateways(server)) and len(own) == 2
    assert set.union(*own.values()) == set(server.worker_pids)
    with clients(server, 8) as found:
        for client, gateway in found.items():
            for _ in range(8):
                assert worker_of(client) in own[gateway]
        assert set(found.values()) == set(own)
    assert server.stop() == 0


@pytest.mark.parametrize("gap", [0.0, 0.005])
def test_clients_are_divided_evenly(shop: Start, show: Show, gap: float) -> None:
    """Those that come at once, and those that come one after the other to a server that sleeps."""
    server = shop(workers=2)
    opened = []
    for _ in range(64):
        opened.append(Client(("127.0.0.1", server.port)))
        time.sleep(gap)

    def counts() -> list[int]:
        return [gateway["clients"] for gateway in status(server)["gateways"]]

    eventually(lambda: sum(counts()) == 64, "all clients")
    show(f"64 clients, one each {gap * 1000:g} ms: {counts()}")
    assert min(counts()) >= 8  # a busy machine may have woken one of them late
    for client in opened:
        client.close()


def test_a_gateway_that_hangs_gets_nobody(shop: Start) -> None:
    """Until then it has fewer clients than the other, which takes them nevertheless."""
    server = shop(workers=2)
    hung, other = gateways(server)
    os.kill(hung, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(32):
                client = stack.enter_context(Client(("127.0.0.1", server.port)))
                assert worker_of(client)
    finally:
        os.kill(hung, signal.SIGCONT)
    assert gateways(server) == [hung, other]


def test_a_unix_socket(shop: Start, tmp_path: Path) -> None:
    path = str(tmp_path / "http.sock")
    server = shop(bind=f"unix:{path}")
    seen = set()
    for _ in range(32):
        with Client(path) as client:
            seen.add(worker_of(client))
    assert seen <= set(server.worker_pids)
    assert server.stop() == 0 and not os.path.exists(path)


# --- what ends -----------------------------------------------------------------------------


def test_a_gateway_is_killed(shop: Start) -> None:
    """Its clients are gone and it is started again; the other's do not notice."""
    server = shop("--max-requests", "0")
    workers = server.worker_pids
    with clients(server, 16) as found:
        victim, other = gateways(server)
        assert set(found.values()) == {victim, other}
        os.kill(victim, signal.SIGKILL)
        server.wait_for(rf"gateway \d \(pid {victim}\) was killed by signal 9 .*; another is")
        for client, gateway in found.items():
            if gateway == victim:
                assert client.is_closed()
            else:
                assert worker_of(client)
        eventually(lambda: victim not in gateways(server) and len(gateways(server)) == 2, "another")
        eventually(
            lambda: all(w["state"] == "usable" for w in status(server)["workers"]), "its workers"
        )
    assert other in gateways(server) and server.worker_pids == workers
    with clients(server, 8) as found:
        assert set(found.values()) == set(gateways(server))


def test_load_while_gateways_are_killed(shop: Start, show: Show) -> None:
    """Who asks anew for each request and finds a gateway gone loses that request; no other."""
    server = shop()
    kills = 0
    with Storm(("127.0.0.1", server.port), clients=8) as storm:
        for _ in range(4):
            time.sleep(0.2)
            os.kill(gateways(server)[kills % 2], signal.SIGKILL)
            kills += 1
            server.wait_for("was killed by signal 9", kills)
            eventually(lambda: len(gateways(server)) == 2, "another gateway")
        time.sleep(0.3)
        assert server.stop() == 0
    show(f"{kills} gateways of 2 killed: {storm.figures}")
    # At most what each of 8 clients had open when one was killed.
    assert len(storm.lost) <= 8 * kills
    assert {status for status, _ in storm.answered} == {200}
    assert storm.answered.total() > 20


def test_a_worker_is_killed(shop: Start) -> None:
    server = shop()
    with Load(server, slow=0, uploads=0) as load:
        for i in range(3):
            pids = server.worker_pids
            os.kill(pids[i % len(pids)], signal.SIGKILL)
            server.wait_for("was killed by signal 9", i + 1)
            server.wait_workers(4)
    # It takes with it what it was doing, and that alone.
    assert len(load.failures) <= 3
    assert all("502" in failure for failure in load.failures), load.failures
    assert load.answered > 20


def test_the_last_worker_of_a_gateway_is_killed(shop: Start) -> None:
    """Its requests wait for the next, though others are free."""
    server = shop(workers=2)
    own = shares(server)
    with clients(server, 8) as found:
        victim = gateways(server)[0]
        (worker,) = own[victim]
        os.kill(worker, signal.SIGKILL)
        for client, gateway in found.items():
            assert (worker_of(client) in own[gateway]) == (gateway != victim)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends(shop: Start, number: int) -> None:
    assert shop().stop(number) == 0


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_nobody_who_connects_is_reset(
    shop: Start, tmp_path: Path, show: Show, kind: str
) -> None:
    bind = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path / 'http.sock'}"
    server = shop(bind=bind)
    with Storm(("127.0.0.1", server.port) if kind == "tcp" else bind[5:]) as storm:
        time.sleep(0.5)
        assert server.stop() == 0
    show(f"TERM, 2 gateways, new connections to a {kind} socket: {storm.figures}")
    assert not storm.lost
    assert {status for status, _ in storm.answered} == {200} and storm.answered.total() > 20


def test_the_arbiter_is_killed(shop: Start, tmp_path: Path) -> None:
    """Each gateway finishes what it has, and the last one removes what they needed for it."""
    server = shop("--graceful-timeout", "60")
    directory = server.runtime_directory
    children = [pid for pid, _ in server._children()]
    with clients(server, 8) as found:
        first, last = gateways(server)
        slow = {gateway: client for client, gateway in found.items()}
        held = {gateway: Held(tmp_path) for gateway in slow}
        for gateway, client in slow.items():
            client.get(held[gateway].path)
            held[gateway].wait_begun()
        server.process.kill()
        server.process.wait()
        for gateway in (first, last):
            assert directory.exists()
            held[gateway].let_go()
            assert slow[gateway].response().status == 200
            eventually(lambda pid=gateway: not is_alive(pid), "the gateway's end")
    eventually(lambda: not any(map(is_alive, children)), "the workers' end")
    assert not directory.exists()


# --- reloads -------------------------------------------------------------------------------

HEAD = """
gateways: {gateways}
pools: {{web: {{app: "site_app:app", workers: {workers}, env: [VERSION={version}]}}}}
keep_alive: {keep_alive}
"""


class Site:
    """A file that changes, and the penstock that serves it."""

    def __init__(self, directory: Path, penstock: Start, **first: object) -> None:
        self.directory = directory
        self.reloads = 0
        source = SOURCE.replace('"{version}"', 'os.environ["VERSION"]').replace("{more}", "")
        (directory / "site_app.py").write_text("import os\n" + source)
        self._configure(**first)
        self.server = penstock("", "-c", "penstock.yaml", cwd=directory).wait_ready()

    def _configure(self, **settings: object) -> None:
        default = {"gateways": 2, "workers": 4, "version": "1", "keep_alive": 75}
        text = HEAD.format(**(default | settings))
        new = self.directory / "new.yaml"
        new.write_text(text)
        new.rename(self.directory / "penstock.yaml")

    def hup(self, **settings: object) -> None:
        self._configure(**settings)
        self.server.signal(signal.SIGHUP)

    def reload(self, **settings: object) -> None:
        self.hup(**settings)
        self.reloads += 1
        self.server.wait_for("reload done", self.reloads)

    def settle(self, gateways_: int, workers: int) -> None:
        def are_all() -> bool:
            told = status(self.server)
            running = [one for one in told["gateways"] if one["state"] == "usable"]
            return len(running) == gateways_ and told["instance"]["gateways_leaving"] == 0

        eventually(are_all, f"{gateways_} gateways")
        self.server.wait_workers(workers)


def test_nothing_is_lost_by_reloads(penstock: Start, tmp_path: Path, show: Show) -> None:
    """The workers alone, then the gateways, too, then more of them, one, and as before."""
    site = Site(tmp_path, penstock)
    first = gateways(site.server)
    with Load(site.server, quick=6) as load:
        site.reload(version="2")
        assert gateways(site.server) == first
        for settings in (
            {"keep_alive": 60},
            {"gateways": 4, "workers": 4},
            {"gateways": 1, "workers": 1},
            {"gateways": 3, "workers": 6},
            {"gateways": 2, "workers": 2},
            {},
        ):
            time.sleep(0.2)
            site.reload(version="3", **settings)
        time.sleep(0.2)
    site.settle(2, 4)
    show(f"7 reloads of 1 to 4 gateways: {load.figures} over {load.connections} connections")
    assert load.failures == []
    assert load.answered == load.sent
    assert site.server.stop() == 0


def test_more_gateways_than_workers_before(penstock: Start, tmp_path: Path) -> None:
    """None of them serves without a worker: those that were missing are there before it does."""
    site = Site(tmp_path, penstock, gateways=1, workers=1)
    site.reload(gateways=3, workers=3, version="2")
    with clients(site.server, 12) as found:
        assert len(set(found.values())) == 3
    done = site.server.log.index("reload done")
    assert len(re.findall(r"worker \S+ ready", site.server.log[:done])) >= 4
    site.settle(3, 3)


def test_a_reload_that_fails(penstock: Start, tmp_path: Path) -> None:
    site = Site(tmp_path, penstock)
    before = gateways(site.server)
    site.hup(gateways=8)
    site.server.wait_for(
        r"penstock\.yaml:2:\d+: gateways is 8, and penstock\.yaml:3:\d+: workers of pool web is 4"
    )
    site.server.wait_for("nothing is reloaded")
    site.hup(gateways=4, keep_alive="30\nspool_dir: /proc")
    site.server.wait_for("reload failed")
    eventually(lambda: gateways(site.server) == before, "the successors' end")
    with clients(site.server, 8) as found:
        assert set(found.values()) == set(before)
    site.reload(gateways=4)
    site.settle(4, 4)


def test_hups_one_upon_another(penstock: Start, tmp_path: Path) -> None:
    site = Site(tmp_path, penstock)
    with Load(site.server, quick=4) as load:
        for i in range(6):
            site.hup(gateways=1 + i % 4, keep_alive=50 + i)
            time.sleep(0.05 + 0.05 * i)
        site.reload(version="last")
        time.sleep(0.2)
    site.settle(2, 4)
    assert load.failures == []
    assert load.versions["last"] > 0


def test_a_gateway_dies_in_a_reload(penstock: Start, tmp_path: Path) -> None:
    """One that serves is started again and takes part; the reload goes on."""
    site = Site(tmp_path, penstock)
    with Client(("127.0.0.1", site.server.port)) as client:
        held = Held(tmp_path)
        client.get(held.path)
        held.wait_begun()
        site.reload(keep_alive=60)
        old, new = gateways(site.server)[:-2], gateways(site.server)[-2:]
        assert len(old) >= 1
        os.kill(new[1], signal.SIGKILL)
        site.server.wait_for(r"gateway 2 \(pid \d+\) was killed by signal 9")
        held.let_go()
        assert client.response().status == 200
    site.settle(2, 4)
    with clients(site.server, 8) as found:
        assert set(found.values()) == set(gateways(site.server))


# --- how many ------------------------------------------------------------------------------


def test_too_few_workers() -> None:
    for more in ([], ["--check-config"]):
        result = run("--gateways", "3", "-w", "2", *more, "shop:app")
        assert result.returncode == 2
        assert result.stderr == (
            "penstock: --gateways is 3, and --workers of pool default is 2: each gateway has to "
            "have one of the pool's workers, so it wants at least 3\n"
        )


def test_too_few_in_a_pool(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "gateways: 4\n"
        "pools:\n"
        "  web: {app: x, workers: 4}\n"
        "  php: {command: [x], workers: 3}\n"
        "  far: {fastcgi: 'h:1', connections: 2}\n"
        "routes: [{path: /p, pool: php}, {path: /f, pool: far}, {path: /, pool: web}]\n"
    )
    result = run("-c", str(tmp_path / "p.yaml"), "--check-config")
    assert result.returncode == 2
    assert "pool php is 3: each gateway has to have one of the pool's workers" in result.stderr
    assert "pool far is 2: each gateway has to have one of the pool's connections" in result.stderr
    assert "pool web" not in result.stderr


def test_workers_come_and_go(shop: Start) -> None:
    """Never one fewer than there are gateways."""
    server = shop(workers=2)
    server.signal(signal.SIGTTOU)
    server.wait_for("no worker is taken away: there are 2 gateways, and each has to have one")
    for count in (3, 4):
        server.signal(signal.SIGTTIN)
        server.wait_workers(count)
    assert sorted(map(len, shares(server).values())) == [2, 2]
    result = ask(server, "scale", "default", "1")
    assert result.returncode == 1
    assert "pool default has 2 workers, had 4" in result.stdout + result.stderr
    server.wait_workers(2)
    assert sorted(map(len, shares(server).values())) == [1, 1]


# --- other pools ---------------------------------------------------------------------------


def test_programs(penstock: Start, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        f"gateways: 2\npools: {{echo: {{command: ['{program('libfcgi')}'], workers: 2}}}}\n"
    )
    server = penstock("", "-c", "p.yaml", cwd=tmp_path).wait_ready()
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(Client(("127.0.0.1", server.port)))
            for _ in range(4):
                assert client.ask("/").status == 200
        served = [worker["served"] for worker in status(server)["workers"]]
        assert sum(served) == 32 and min(served) > 0
    assert server.stop() == 0


def test_a_server_elsewhere(penstock: Start, tmp_path: Path) -> None:
    """All gateways together never have more connections than the pool may have."""
    def slowly(exchange: Exchange) -> None:
        time.sleep(0.02)
        exchange.answer()

    path = tmp_path / "far.sock"
    (tmp_path / "p.yaml").write_text(
        f"gateways: 2\npools: {{far: {{fastcgi: 'unix:{path}', connections: 3}}}}\n"
    )
    with ForeignServer(path, slowly) as far:
        server = penstock("", "-c", "p.yaml", cwd=tmp_path).wait_ready()
        failures: list[int] = []

        def client() -> None:
            with Client(("127.0.0.1", server.port)) as client:
                for _ in range(6):
                    status = client.ask("/").status
                    if status != 200:
                        failures.append(status)

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert far.requests == 48 and 2 <= far.most_open <= 3
        (pool,) = status(server)["pools"]
        assert pool["requests"] == 48
        assert server.stop() == 0


# --- what they tell ------------------------------------------------------------------------


def test_status_tells_of_each(shop: Start) -> None:
    server = shop()
    with clients(server, 6) as found:
        for client in found:
            worker_of(client)
        told = status(server)
        assert [gateway["number"] for gateway in told["gateways"]] == ["1", "2"]
        assert sum(gateway["clients"] for gateway in told["gateways"]) == len(found)
        assert sum(gateway["requests"] for gateway in told["gateways"]) == 2 * len(found)
        (pool,) = told["pools"]
        assert pool["requests"] == pool["wait"]["count"] == 2 * len(found)
        assert pool["workers"] == 4
        assert [worker["gateway"] for worker in told["workers"]] == [1, 2, 1, 2]
        shown = ask(server, "status").stdout
        assert re.search(r"^   gateway 1: pid \d+, usable .*^   gateway 2: pid \d+, usable ", shown,
                         re.MULTILINE | re.DOTALL)  # fmt: skip
        assert re.search(r"^WORKER +PID +GATEWAY ", shown, re.MULTILINE)


def test_status_while_one_hangs(shop: Start) -> None:
    server = shop()
    hung = gateways(server)[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        one, other = status(server)["gateways"]
        assert "clients" not in one and "clients" in other
    finally:
        os.kill(hung, signal.SIGCONT)
    eventually(lambda: all("clients" in g for g in status(server)["gateways"]), "both answers")


def test_one_that_hangs_is_replaced_alone(shop: Start) -> None:
    server = shop("--gateway-timeout", "1")
    hung, other = gateways(server)
    os.kill(hung, signal.SIGSTOP)
    server.wait_for(rf"the gateway \(pid {hung}\) has answered nothing for 1 s")
    eventually(lambda: not is_alive(hung) and len(gateways(server)) == 2, "another")
    assert other in gateways(server)


def test_the_access_log_has_whole_lines(shop: Start) -> None:
    server = shop("--access-logfile", "-")
    with Load(server, quick=8, slow=0, uploads=0) as load:
        time.sleep(0.5)
    assert load.failures == [] and server.stop() == 0
    lines = server.access_log.splitlines()
    assert len(lines) == load.answered
    whole = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET / HTTP/1\.1" 200 64 "-" "-"')
    assert all(map(whole.fullmatch, lines))


def test_the_logs_are_opened_again_by_all(shop: Start, tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    server = shop("--access-logfile", str(log))
    with clients(server, 8):
        log.rename(tmp_path / "requests.log.1")
        server.signal(signal.SIGUSR1)
        server.wait_for("the log files were opened again")
    with clients(server, 8) as found:
        assert set(found.values()) == set(gateways(server))
    assert server.stop() == 0
    assert len(log.read_text().splitlines()) == len(found)
