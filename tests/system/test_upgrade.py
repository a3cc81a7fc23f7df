"""A Penstock that was installed anew takes over from the one that runs: whoever holds the socket, as
systemd does, lets clients wait in it, and not one request is lost."""
from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from figures import Show
from load import Load
from penstock import Penstock
from test_reload import SOURCE


class Held:
    """A socket, and any number of penstocks that serve at it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: list[Penstock] = []
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(2048)

    def start(self) -> Penstock:
        """Each with a version of the application of its own, so that answers tell who served."""
        directory = self.directory / str(len(self.servers))
        directory.mkdir()
        source = SOURCE.format(version=len(self.servers), more="")
        (directory / "shop.py").write_text(source)
        fd = self.socket.fileno()
        server = Penstock(directory, "shop:app", "-w", "2", bind=f"fd://{fd}", pass_fds=[fd],
                          cwd=directory)  # fmt: skip
        self.servers.append(server)
        return server.wait_ready()

    def close(self) -> None:
        self.socket.close()
        for server in self.servers:
            server.clean_up()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path)
    try:
        yield held
    finally:
        held.close()


def test_a_restart(held: Held, show: Show) -> None:
    """What `systemctl restart` does."""
    with Load(held.start(), quick=4) as load:
        for _ in range(2):
            assert held.servers[-1].stop() == 0
            held.start()
    show(f"2 restarts: {load.figures}")
    assert load.failures == []
    assert held.servers[-1].stop() == 0


def test_the_new_one_beside_the_old_one(held: Held, show: Show) -> None:
    """Both serve for a while: nobody waits for an application to load."""
    with Load(held.start(), quick=4) as load:
        for _ in range(2):
            old = held.servers[-1]
            held.start()
            assert old.stop() == 0
    show(f"2 upgrades: {load.figures}")
    assert load.failures == []
    assert set(load.versions) >= {"0", "2"}
    assert held.servers[-1].get("/").headers["X-Version"] == "2"
