"""--reload: what is loaded follows the files."""
from __future__ import annotations

from pathlib import Path

from penstock import Penstock, eventually
from test_reload import Site, Start, site  # noqa: F401  (a fixture)


def answers(server: Penstock, body: bytes) -> None:
    eventually(lambda: server.get("/").body == body, f"{body!r} to be served")


def test_a_changed_module_is_loaded(site) -> None:
    shop: Site = site("--reload")
    shop.deploy("2")
    shop.server.wait_for(r"site_app\.py has changed: the application is loaded anew \(--reload\)$")
    shop.server.wait_for("reload done: 2 workers replaced")
    assert shop.version() == "2"

    shop.deploy("3", "raise LookupError('a broken edit')")
    shop.server.wait_for("reload failed")
    assert shop.version() == "2"
    shop.deploy("4")
    shop.server.wait_for("reload done", count=2)
    assert shop.version() == "4"
    assert shop.server.stop() == 0
    assert shop.server.log.count("is loaded anew (--reload)") == 3


def test_without_it_nothing_is_watched(site) -> None:
    shop: Site = site()
    shop.deploy("2")
    shop.hup()
    shop.server.wait_for("reload done")
    assert "(--reload)" not in shop.server.log


def test_a_reload_by_hand_is_not_repeated(site, tmp_path: Path) -> None:
    """What HUP has loaded is no news, but a file that changes while it loads is."""
    shop: Site = site("--reload", workers=1)
    shop.hup_and_load("2", "")
    (tmp_path / "late.py").write_text("")
    shop.server.wait_for(r"late\.py has changed")
    shop.server.wait_for("reload done")
    eventually(lambda: shop.version() == "2", "the new version")
    assert shop.server.stop() == 0
    assert "site_app.py has changed" not in shop.server.log


def test_pools_paths_extra_files_and_the_configuration(penstock: Start, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/words.py").write_text("WORD = b'lib'\n")
    (tmp_path / "text.html").write_text("text")
    (tmp_path / "one/shop.py").write_text(
        "import os, words\n"
        "body = words.WORD + open('../text.html', 'rb').read() + os.environ['MOTTO'].encode()\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [body]\n"
    )
    conf = (
        "reload: true\nreload_extra_file: [text.html]\nenv: {MOTTO: %s}\n"
        "pools: {web: {app: shop, chdir: one, pythonpath: ../lib}}\n"
    )
    (tmp_path / "penstock.yaml").write_text(conf % "one")
    server = penstock("", "-c", "penstock.yaml", cwd=tmp_path,
                      env={"PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    assert server.get("/").body == b"libtextone"
    (tmp_path / "lib/words.py").write_text("WORD = b'lib 2'\n")
    answers(server, b"lib 2textone")
    (tmp_path / "text.html").write_text("<p>")
    answers(server, b"lib 2<p>one")
    (tmp_path / "penstock.yaml").write_text(conf % "two")
    answers(server, b"lib 2<p>two")
    # A mistake is said once, and mended like any other change.
    (tmp_path / "penstock.yaml").write_text("nonsense: 1\n")
    server.wait_for("nothing is reloaded")
    (tmp_path / "penstock.yaml").write_text(conf % "three")
    answers(server, b"lib 2<p>three")
    # It can be turned off, too.
    (tmp_path / "penstock.yaml").write_text(conf.replace("true", "false") % "four")
    answers(server, b"lib 2<p>four")
    assert server.stop() == 0
    assert server.log.count("nothing is reloaded") == 1
