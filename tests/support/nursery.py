"""Runs in processes of their own that can be killed. They are cheap: a process with all imports done forks them.

``python -m tests.support.nursery`` reads one JSON object per line: an order, or a signal to the run of an order. It
answers with one JSON line when a run has stopped or ended. It alone signals runs, since it alone knows that one still
lives: the id of a process that has ended may be another one's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.prefect_server import inherited
from tests.support.runs import Order, do_run
from tests.support.service_models import share_service_models


@dataclass(frozen=True)
class Ended:
    """How a run has ended, after so many seconds: killed, with an error, or well if there is neither."""

    seconds: float
    killed: bool
    error: str | None

    @property
    def well(self) -> bool:
        """Whether the run came to its end without an error."""
        return not self.killed and self.error is None


class Nursery:
    """The forking process, to be used as a context manager, from one thread at a time.

    `forked`: it is a fork of this process, which has no threads yet, and not a new one, which has to import all.
    """

    def __init__(self, *, forked: bool = False) -> None:
        self._process: Fork | subprocess.Popen[str]
        self._is_forked = forked

    def __enter__(self) -> Self:
        if self._is_forked:
            self._process = Fork(_serve)
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.nursery"], env=inherited(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
            )  # fmt: skip
        self._begun = 0
        self._ended: dict[int, Ended] = {}
        self._stopped: set[int] = set()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def stop(self) -> None:
        """End all runs, from a signal handler, too; no other can begin."""
        os.kill(self._process.pid, signal.SIGTERM)

    def start(self, order: Order) -> int:
        """Begin a run; gives its number."""
        self._begun += 1
        self._say({"start": self._begun, "order": asdict(order)})
        return self._begun

    def send(self, run: int, what: signal.Signals) -> None:
        """Send a signal to a run; nothing happens if it has ended."""
        self._say({"signal": int(what), "run": run})

    def stopped(self, run: int) -> bool:
        """Wait until a run has stopped or ended; whether it has stopped."""
        while run not in self._stopped and run not in self._ended:
            self._listen()
        return run in self._stopped

    def go_on(self, run: int) -> None:
        """Let a stopped run continue."""
        self._stopped.discard(run)
        self.send(run, signal.SIGCONT)

    def wait(self, run: int) -> Ended:
        """Wait until a run has ended."""
        while run not in self._ended:
            self._listen()
        return self._ended.pop(run)

    def do(self, order: Order) -> Ended:
        """Begin a run, and wait until it has ended."""
        return self.wait(self.start(order))

    def _say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        if answer["stopped"]:
            self._stopped.add(answer["run"])
        else:
            self._ended[answer["run"]] = Ended(answer["seconds"], answer["killed"], answer["error"])


class Fork:
    """A fork of this process that works on what is written to its standard input, like a Popen as far as it goes."""

    def __init__(self, work: Callable[[], None]) -> None:
        read, write = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(read[0], 0)
            os.dup2(write[1], 1)
            for end in (*read, *write):
                os.close(end)
            status = 1
            try:
                work()
                status = 0
            except SystemExit:
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                signal.set_wakeup_fd(-1)
                sys.stdout.flush()
                os._exit(status)
        self.status: int | None = None
        os.close(read[0])
        os.close(write[1])
        self.stdin: IO[str] = os.fdopen(read[1], "w")
        self.stdout: IO[str] = os.fdopen(write[0])

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def terminate(self) -> None:
        """Tell it to end, if it has not been waited for."""
        if self.status is None:
            os.kill(self.pid, signal.SIGTERM)


@dataclass
class _Child:
    run: int
    began: float
    errors: int
    """Where the child writes its error: the end of a pipe to read from."""
    ends: float | None


class Forker:
    """Forks runs, signals them, and tells how they end. It has one thread, since a process with more cannot fork."""

    def __init__(self) -> None:
        self._children: dict[int, _Child] = {}
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until standard input is closed; runs that are left are killed."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            self._serve()
        finally:
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)

    def _serve(self) -> None:
        text = b""
        while True:
            now = time.monotonic()
            ends = [child.ends for child in self._children.values() if child.ends is not None]
            ready, _, _ = select.select([0, self._wake], [], [], max(0.0, min(ends) - now) if ends else None)
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            if 0 in ready:
                read = os.read(0, 1 << 16)
                if not read:
                    break
                *lines, text = (text + read).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._kill_due()
            self._reap()

    def _obey(self, told: dict[str, Any]) -> None:
        if "signal" in told:
            self._reap()  # so that no process is signalled that has ended
            for pid in [pid for pid, child in self._children.items() if child.run == told["run"]]:
                os.kill(pid, told["signal"])
            return
        order = Order(**told["order"])
        errors, write = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _become(order, write)
        os.close(write)
        self._children[pid] = _Child(
            told["start"], began, errors, None if order.seconds is None else began + order.seconds
        )

    def _kill_due(self) -> None:
        now = time.monotonic()
        self._reap()
        for pid, child in self._children.items():
            if child.ends is not None and child.ends <= now:
                os.kill(pid, signal.SIGKILL)
                child.ends = None

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return
            child, seconds = self._children[pid], time.monotonic() - self._children[pid].began
            answer: dict[str, Any] = {"run": child.run, "stopped": os.WIFSTOPPED(status), "seconds": seconds}
            if not answer["stopped"]:
                with os.fdopen(child.errors, "rb") as errors:
                    said = errors.read().decode()
                code = os.waitstatus_to_exitcode(status)
                answer |= {"killed": code < 0, "error": (said or f"exit status {code}") if code > 0 else None}
                del self._children[pid]
            print(json.dumps(answer), flush=True)


def _become(order: Order, errors: int) -> None:
    """The child process: run, then exit without the parent's exit handlers."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if order.log is not None:
            log = os.open(order.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 2)
            logging.basicConfig(level=logging.INFO, format=f"%(relativeCreated)d {order.run_id} %(message)s")
        do_run(order)
        status = 0
    except BaseException as error:
        logging.exception("the run ends")
        os.write(errors, f"{type(error).__name__}: {error}".encode()[:4000])
    finally:
        os._exit(status)


def _serve() -> None:
    import botocore.session
    import deltalake  # noqa: F401 -- once, instead of in each fork, as the description of S3
    import s3fs  # noqa: F401

    share_service_models()
    botocore.session.get_session().create_client("s3", region_name="us-east-1")
    Forker().serve()


if __name__ == "__main__":
    _serve()
