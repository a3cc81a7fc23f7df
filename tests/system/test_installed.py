"""What `make install` puts where."""
from __future__ import annotations

import os
import shlex
import subprocess

import installed


def test_programs_are_executable() -> None:
    for program in (installed.PENSTOCK, installed.GATEWAY, installed.SYNC, installed.THREADED):
        assert os.access(program, os.X_OK), program


def test_pkg_config_names_the_plugin_directory_and_a_usable_include_path() -> None:
    environment = os.environ | {"PKG_CONFIG_PATH": str(installed.PKGCONFIGDIR)}

    def ask(*args: str) -> str:
        command = ["pkg-config", *args, "penstock"]
        return subprocess.run(
            command, env=environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout.strip()

    assert ask("--variable=plugindir") == str(installed.PLUGINDIR)
    assert ask("--variable=libexecdir") == str(installed.LIBEXECDIR)
    subprocess.run(
        [*shlex.split(os.environ["CC"]), *ask("--cflags").split(), "-x", "c", "-fsyntax-only", "-"],
        input="#include <penstock/plugin.h>\n",
        text=True,
        check=True,
    )
