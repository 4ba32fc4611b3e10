"""A PostgreSQL server of its own for tests, from the system's package."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

from tests.support.ports import free_port


def _programs() -> Path | None:
    """The folder of Debian's newest PostgreSQL server; None when its package is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


PROGRAMS: Final = _programs()


class Postgres:
    """A server with one database, `url`; it trusts whoever comes, and listens on loopback alone.

    The database is empty, or what `keep` has left in the folder `begun`.
    """

    def __init__(self, begun: Path | None = None) -> None:
        assert PROGRAMS is not None
        self._user = "postgres" if os.getuid() == 0 else getpass.getuser()  # it refuses to run as root
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are closed to other users
        shutil.chown(self._folder, self._user)
        port = free_port()
        self.url = f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        with (self._folder / "log").open("wb") as log:
            if begun is None:
                subprocess.run(
                    [PROGRAMS / "initdb", "-D", self._folder / "data", "-U", "prefect", "-A", "trust", "--no-sync"],
                    stdout=log, stderr=log, check=True, user=self._user, cwd="/",
                )  # fmt: skip
            else:
                shutil.copytree(begun, self._folder / "data")
                for path in [self._folder / "data", *(self._folder / "data").rglob("*")]:
                    shutil.chown(path, self._user)
            self._process = subprocess.Popen(
                [PROGRAMS / "postgres", "-D", self._folder / "data", "-p", str(port), "-k", self._folder,
                 "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
                stdout=log, stderr=log, user=self._user, cwd="/",
            )  # fmt: skip
        ready = [str(PROGRAMS / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self._folder)

    def keep(self, begun: Path) -> None:
        """End the server, and keep what it has for others to begin with."""
        self._stop()
        shutil.copytree(self._folder / "data", begun)

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # a fast shutdown: it does not wait for clients
        self._process.wait(30)
