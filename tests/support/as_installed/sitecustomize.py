"""Python processes that Prefect starts become forks of a process with all imports done, where WARM_PYTHON names one.

Of each run of a deployment, Prefect's worker starts three processes one after the other, each of which imports Prefect
for two to three seconds of CPU; a run's temporary server imports for five. Python imports this module before anything
else: it hands the command, the environment and the standard streams to the process of `tests.support.warm`, passes
signals on to the fork, and ends as that ends. `tests/test_warm.py` holds that to a process of its own.
"""

import os
import sys


def _command() -> list[str]:
    """What to run: a script, ``-c`` and a program, or ``-m`` and a module; empty with options besides ``-P``."""
    command = sys.orig_argv[1:]
    what = command[1:] if command[:1] == ["-P"] else command
    if not what or not (what[0] in ("-c", "-m") or what[0].endswith(".py")):
        return []
    # It inherits descriptors by their numbers.
    return [] if any("multiprocessing" in word for word in command) else command


def _hand_over(address: str, command: list[str]) -> None:
    import json
    import signal
    import socket

    passed_on = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"\n"], [0, 1, 2])
        order = {"command": command, "env": dict(os.environ), "cwd": os.getcwd()}  # noqa: PTH109 -- pathlib is not imported yet
        connection.sendall(json.dumps(order).encode() + b"\n")
        lines = connection.makefile()
        child = int(lines.readline())
        for number in passed_on:
            signal.signal(number, lambda number, _frame: os.kill(child, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        status = int(lines.readline() or -signal.SIGKILL)
    if status < 0:
        if -status in passed_on:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if (_address := os.environ.get("WARM_PYTHON")) and (_what := _command()):
    _hand_over(_address, _what)
