"""Ctrl-C and SIGTERM: one line, the right exit status, and no wait for what hangs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from intercom.cli.endings import GRACE_SECONDS
from tests.support.signals import children_get_sigint

COMMAND = """
import atexit, os, signal, sys, threading, time
from intercom.cli.endings import InterruptedCommand, ending_cleanly
BLOCK = {
    "sleeps": lambda: time.sleep(60),
    "has a handler of its own": lambda: (signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)), tell(), time.sleep(60)),
    "hangs": lambda: threading.Thread(target=time.sleep, args=(60,)).start() or time.sleep(60),
    "hangs at its end": lambda: atexit.register(time.sleep, 60) and time.sleep(60),
    "takes it as its end": lambda: take(),
    "logs": lambda: (threading.Thread(target=complain, daemon=True).start(), time.sleep(60)),
}
def take():
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.2)
def complain():
    import logging
    while True:
        logging.getLogger("x").error("a thread that is cut off")
        time.sleep(0.01)
def tell():
    print("ready", flush=True)
try:
    with ending_cleanly(lambda: "2 of 9 tables are in the lake."):
        tell()
        BLOCK[sys.argv[1]]()
except InterruptedCommand as ended:
    sys.exit(ended.status)
"""


def interrupted(case: str, *numbers: signal.Signals) -> tuple[int, str]:
    """Exit status and standard error of a command that gets signals while it works."""
    with children_get_sigint():
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, case], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    assert process.stdout is not None
    process.stdout.readline()
    for number in numbers:
        process.send_signal(number)
    _, told = process.communicate(timeout=GRACE_SECONDS + 20)
    return process.returncode, told


@pytest.mark.parametrize(
    "case", ["sleeps", "hangs", "hangs at its end", "takes it as its end", "has a handler of its own"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_one_line(case: str, number: signal.Signals) -> None:
    status, told = interrupted(case, number)
    assert status == 128 + number
    begin = "Interrupted" if number == signal.SIGINT else "Told to end"
    assert told == f"{begin}. 2 of 9 tables are in the lake.\n"


def test_a_second_signal_ends_it_at_once() -> None:
    status, told = interrupted("hangs", signal.SIGINT, signal.SIGINT)
    assert status == 130
    assert told == "Interrupted. 2 of 9 tables are in the lake.\n"


def test_threads_that_are_cut_off_log_nothing_more() -> None:
    _, told = interrupted("logs", signal.SIGINT)
    _, ended, after = told.partition("Interrupted. 2 of 9 tables are in the lake.\n")
    assert ended
    assert len(after.splitlines()) <= 1  # a line that was on its way when the signal came


def test_errors_of_the_command_pass() -> None:
    code = "from intercom.cli.endings import *\nwith ending_cleanly(lambda: ''): raise ValueError('a fault')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ValueError: a fault" in done.stderr
