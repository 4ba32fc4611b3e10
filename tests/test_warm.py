"""Python processes that become forks of a warm one, beside those that start by themselves: the same in what matters.

See `tests/support/as_installed/sitecustomize.py` and `tests/support/warm.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.prefect_server import Prefect, inherited
from tests.support.signals import children_get_sigint

TELLS = """
import json, os, sys
told = {
    "name": __name__, "argv": sys.argv, "folder": os.getcwd(), "first": sys.path[0], "input": sys.stdin.read(),
    "environment": {name: value for name, value in os.environ.items() if name != "WARM_PYTHON"},
}
print(json.dumps(told, sort_keys=True))
print("an error", file=sys.stderr)
"""
IMPORTED = "import sys; print('prefect.main' in sys.modules)"
OF_PREFECT = """
import json, logging, sys
from pathlib import Path
import prefect.main
from prefect.flows import load_flow_from_entrypoint
from prefect.logging.configuration import PROCESS_LOGGING_CONFIG
from prefect.settings import PREFECT_LOGGING_LEVEL, get_current_settings, temporary_settings

flow = Path(sys.argv[1])
flow.write_text(flow.read_text().replace("int", "str"))
def settings():
    return get_current_settings().model_dump(mode="json", context={"include_secrets": True})

told = {"settings": settings()}
with temporary_settings({PREFECT_LOGGING_LEVEL: "ERROR"}):
    told["changed"] = settings()
told["logging"] = PROCESS_LOGGING_CONFIG | {"incremental": False}
told["levels"] = {name: logging.getLogger(name).level for name in ("prefect", "prefect.server", "mine")}
told["handlers"] = [type(handler).__name__ for handler in logging.getLogger("mine").handlers]
told["flow"] = load_flow_from_entrypoint(f"{flow}:copy").parameters.model_dump(mode="json")
print(json.dumps(told, sort_keys=True, default=str))
"""


@pytest.fixture
def fresh(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that starts by itself."""
    return {**inherited(), "OF_THIS_TEST": "1", "HOME": str(tmp_path)}


@pytest.fixture
def forked(prefect: Prefect, fresh: dict[str, str]) -> dict[str, str]:
    """The same for a process that becomes a fork."""
    return {**fresh, "WARM_PYTHON": prefect.environment["WARM_PYTHON"]}


def started(environment: dict[str, str], folder: Path, *command: str) -> subprocess.Popen[str]:
    with children_get_sigint():
        return subprocess.Popen(
            [sys.executable, *command], env=environment, cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


def done(environment: dict[str, str], folder: Path, *command: str) -> tuple[int, str, str]:
    """Exit status, output, and the last line of errors, before which a traceback names other files."""
    process = started(environment, folder, *command)
    out, err = process.communicate("given", timeout=120)
    return process.returncode, out, (err.splitlines() or [""])[-1]


def test_a_process_is_a_fork_where_a_warm_one_is_named(
    fresh: dict[str, str], forked: dict[str, str], tmp_path: Path
) -> None:
    assert done(fresh, tmp_path, "-c", IMPORTED)[1] == "False\n"
    assert done(forked, tmp_path, "-c", IMPORTED)[1] == "True\n"
    assert done(forked, tmp_path, "-I", "-c", IMPORTED)[1] == "False\n"  # with options that a fork does not know


@pytest.mark.parametrize(
    "command",
    [["-c", TELLS], ["-P", "-c", TELLS], ["-m", "tells"], ["tells.py"], ["-P", "tells.py"]],
    ids=["a program", "a program and -P", "a module", "a script", "a script and -P"],
)
def test_a_fork_has_arguments_environment_folder_and_streams(
    fresh: dict[str, str], forked: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    plain, found = (done(environment, tmp_path, *command, "--one", "two words", "") for environment in (fresh, forked))
    assert (plain[0], plain[2]) == (found[0], found[2]) == (0, "an error")
    expected, told = json.loads(plain[1]), json.loads(found[1])
    assert expected["input"] == "given"
    if command[0] in ("-c", "-P"):  # before the path is nothing, and the path itself is that of the warm process
        del expected["first"], told["first"]
    assert told == expected


def test_a_module_is_run_from_the_path_with_p(forked: dict[str, str], tmp_path: Path) -> None:
    """As a run starts its temporary server."""
    (tmp_path / "tells.py").write_text(TELLS)
    status, _, told = done(forked, tmp_path, "-P", "-m", "tells")
    assert status == 1
    assert "No module named tells" in told


A_FLOW = """
from prefect import flow
@flow
def copy(months: int = 3):
    pass
"""
SETTINGS = {
    "PREFECT_API_URL": "http://127.0.0.1:1/api",
    "PREFECT_API_AUTH_STRING": "user:secret",
    "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Of": "this test"}',
    "PREFECT_LOGGING_EXTRA_LOGGERS": "mine",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_LOGGING_ROOT_LEVEL": "INFO",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "7",
}


@pytest.mark.parametrize("given", [{}, SETTINGS], ids=["none", "some"])
def test_a_fork_has_prefects_settings_logging_and_flows(
    fresh: dict[str, str], forked: dict[str, str], tmp_path: Path, given: dict[str, str]
) -> None:
    """In the environment, a file of the folder, and Prefect's home; and a flow whose file has changed meanwhile."""
    home = tmp_path / "home"
    home.mkdir()
    if given:
        (tmp_path / ".env").write_text("PREFECT_TASKS_DEFAULT_RETRIES=4\n")
        (tmp_path / "prefect.toml").write_text("[flows]\ndefault_retries = 5\n")
        (home / "profiles.toml").write_text('active = "own"\n[profiles.own]\nPREFECT_LOGGING_LEVEL = "DEBUG"\n')
    told = []
    for environment in (fresh, forked):
        (tmp_path / "flow.py").write_text(A_FLOW)
        told.append(done({**environment, "PREFECT_HOME": str(home), **given}, tmp_path, "-c", OF_PREFECT, "flow.py"))
    assert told[0][0] == 0, told[0]
    expected, found = (json.loads(out) for _, out, _ in told)
    assert found == expected
    assert expected["flow"]["properties"]["months"]["type"] == "string"
    if given:
        ours = expected["settings"]
        assert [ours["tasks"]["default_retries"], ours["flows"]["default_retries"]] == [4, 5]
        assert (ours["logging"]["level"], expected["levels"]["prefect"]) == ("DEBUG", 10)


ENDS = {
    "well": "print('told')",
    "with a status": "import sys; sys.exit(3)",
    "with a sentence": "import sys; sys.exit('It failed.')",
    "with an error": "raise ValueError('a fault')",
    "at once": "import os; os._exit(7)",
    "by a signal of its own": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "with what is to be done at exit": "import atexit; atexit.register(print, 'told at exit'); print('told')",
    "after its threads": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.3), print('told by a thread'))).start()",
}


@pytest.mark.parametrize("program", ENDS.values(), ids=ENDS)
def test_a_fork_ends_as_a_process_does(
    fresh: dict[str, str], forked: dict[str, str], tmp_path: Path, program: str
) -> None:
    assert done(forked, tmp_path, "-c", program) == done(fresh, tmp_path, "-c", program)


HANDLES = """
import signal, sys, time
def handle(number, frame):
    print("got", number, flush=True)
    sys.exit(9)
for number in map(int, sys.argv[1:]):
    signal.signal(number, handle)
print("ready", flush=True)
time.sleep(60)
"""
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("handled", [True, False], ids=["handled", "not handled"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_fork_gets_signals(
    fresh: dict[str, str], forked: dict[str, str], tmp_path: Path, number: signal.Signals, handled: bool
) -> None:
    ends = []
    for environment in (fresh, forked):
        process = started(environment, tmp_path, "-c", HANDLES, *([str(int(number))] if handled else []))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
        ends.append((process.returncode, out))
    assert ends[1] == ends[0]
    assert ends[0] == ((9, f"got {int(number)}\n") if handled else (-number, ""))


def test_a_fork_whose_process_is_killed_ends_too(forked: dict[str, str], tmp_path: Path) -> None:
    process = started(forked, tmp_path, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    assert process.stdout is not None
    fork = int(process.stdout.readline())
    assert fork != process.pid
    process.kill()
    process.communicate(timeout=60)
    for _ in range(600):
        try:
            os.kill(fork, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("it lives on")
