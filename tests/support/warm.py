"""Processes under test that start with all imports done: one process imports everything and forks for each of them.

Importing Prefect and this package takes two to three seconds of CPU, most of the cost of a short run, and a hundred
tests start a process. A forked process has its own environment, folder, arguments and output, reads Prefect's
settings and sets up logging from them as a new one does, and ends as one, with all handlers of its exit. What depends
on the imports themselves is tested with processes of their own, in `tests/cli/test_start.py`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

IMPORTED = (
    "anyio._backends._asyncio",
    "fsspec.implementations.chained",
    "prefect.concurrency.services",
    "prefect.main",
    "prefect_dask",
    "prefect.flow_engine",
    "prefect.utilities.visualization",
    "prefect.cli.deploy",
    "prefect.cli.worker",
    "prefect.workers.process",
    "prefect.server.api.server",
    "intercom.cli.live_display",
    "intercom.cli.progress_lines",
    "intercom.cli.run",
    "intercom.cli.settings",
    "intercom.cli.commands.bootstrap",
    "intercom.orchestration.finish",
    "intercom.orchestration.prepare",
    "intercom.orchestration.tasks",
    "intercom.orchestration.observe.output",
    "intercom.orchestration.server.provision",
    *(f"intercom.flows.{name}" for name in ("compact", "reconcile", "sync", "verify")),
)
"""What runs, workers, servers and commands import, at their start or late."""

INSTALLED = "WARM_INSTALLED"
"""The variable with the folder in which a test has installed this project: forks import it from there."""


class WarmProcess:
    """The process that forks, from now until `stop`; `address` is the socket that takes orders, once it does."""

    def __init__(self, environment: Mapping[str, str], root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="warm-")
        self.address = str(Path(self._folder.name) / "socket")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm", self.address], env=dict(environment), cwd=root
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._folder.cleanup()


class WarmPython:
    """`run` works like `subprocess.run([sys.executable, ...])`: a script, ``-c`` and a program, ``-m`` and a module.

    `address` is that of a `WarmProcess`, which may be another process's.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    @property
    def address(self) -> str:
        """Of the socket, which takes orders; see `tests/support/as_installed/sitecustomize.py`."""
        self._connected().close()
        return self._address

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; after `timeout` seconds the process is killed, with TimeoutExpired."""
        with (
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
            Path(os.devnull).open() as nothing,
            self._connected() as connection,
        ):
            connection.settimeout(timeout)
            socket.send_fds(connection, [b"\n"], [nothing.fileno(), out.fileno(), err.fileno()])
            order = {"command": list(command), "env": dict(env), "cwd": str(cwd)}
            connection.sendall(json.dumps(order).encode() + b"\n")
            with connection.makefile("r") as lines:
                lines.readline()
                try:
                    status = int(lines.readline())
                except TimeoutError as error:  # whose connection ends is killed
                    raise subprocess.TimeoutExpired(list(command), timeout, _text(out), _text(err)) from error
            return subprocess.CompletedProcess(list(command), status, _text(out), _text(err))

    def _connected(self) -> socket.socket:
        """A connection to the forking process, which listens once its imports are done."""
        for _ in range(1200):
            connection = socket.socket(socket.AF_UNIX)
            with suppress(FileNotFoundError, ConnectionRefusedError):
                connection.connect(self._address)
                return connection
            connection.close()
            assert Path(self._address).parent.exists(), "the process that forks has ended"
            time.sleep(0.1)
        raise AssertionError("the process that forks does not listen")


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _serve(address: str) -> None:
    """For each connection, fork a process that runs the process under test and reports its exit status."""
    try:
        remembered = importlib.import_module("tests.support.remembered")
        remembered.remember()
        for module in IMPORTED:
            importlib.import_module(module)
        remembered.rehearse()
        importlib.import_module("tests.support.seldom").look_seldom()
        importlib.import_module("tests.support.unwaited").leave_heartbeats()
    except BaseException:
        shutil.rmtree(Path(address).parent)  # so that nobody waits
        raise

    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(16)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _supervise(connection)
            connection.close()


def _reap(*_: object) -> None:
    """Wait for processes that have ended: of those whose end is ignored, the CPU time is counted nowhere."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _supervise(connection: socket.socket) -> None:
    """Fork the process under test, tell its id and then its exit status; kill it if whoever asked has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    if not streams:  # whoever asked has only looked whether there is somebody
        os._exit(0)
    lines = connection.makefile("rw")
    order = json.loads(lines.readline())
    child = os.fork()
    if child == 0:
        connection.close()
        lines.close()
        try:
            _become(order, streams)
        except SystemExit as end:
            _exit(end)
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    with suppress(BrokenPipeError):
        print(child, file=lines, flush=True)
        select.select([ended, connection.fileno()], [], [])
        if not select.select([ended], [], [], 0)[0]:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=lines, flush=True)
    os._exit(0)


def _exit(end: SystemExit) -> None:
    """End as the interpreter does: wait for threads, call exit handlers, write what is left.

    But tear no module down. That takes 0.3 s of CPU, because each object that is touched is in a page to be copied.
    """
    status = end.code if isinstance(end.code, int) else int(end.code is not None)
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status & 0xFF)


def _become(order: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Run the command in this process, with these standard streams, and raise SystemExit at its end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)

    # These read the environment at import, which was another one.
    import dask.config
    import fsspec.config
    from prefect.context import refresh_global_settings_context
    from prefect.logging.configuration import setup_logging

    fsspec.config.set_conf_env(fsspec.config.conf)
    if any(name.startswith("DASK_") for name in os.environ):
        dask.config.refresh()
    refresh_global_settings_context()
    setup_logging(incremental=False)
    if packages := os.environ.get(INSTALLED):
        _leave_the_checkout(packages)
    first, *rest = order["command"]
    if is_safe := first == "-P":  # nothing is put before the path
        first, *rest = rest
    if first == "-c":
        program, *rest = rest
        sys.argv = ["-c", *rest]
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
    elif first == "-m":
        module, *rest = rest
        sys.argv = [module, *rest]
        sys.path[:0] = [] if is_safe else [order["cwd"]]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *rest]
        sys.path[:0] = [] if is_safe else [str(Path(first).resolve().parent)]
        runpy.run_path(first, run_name="__main__")
    sys.exit(0)


def _leave_the_checkout(packages: str) -> None:
    """Import this project anew, from that folder of packages."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("intercom", "intercom_lake")]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if not Path(place, "intercom").is_dir()]
    site.addsitedir(packages)
    importlib.invalidate_caches()


if __name__ == "__main__":
    _serve(sys.argv[1])
