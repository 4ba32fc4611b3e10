"""Run a flow from the shell: its options are the flow's own parameters.

Options and settings are checked first, without Prefect, whose import takes seconds. Then its temporary server starts in
a process of its own, which takes longer, while this one imports what the run needs.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, Final

from cyclopts import App

from intercom.cli.call import LAST_WINS, call
from intercom.cli.demo import LAKE, demo_connection, use_own_prefect
from intercom.cli.endings import COMPLETED, FAILED, WRONG_SETTINGS, InterruptedCommand, ending_cleanly
from intercom.cli.options import FlowOptions, flag, flow_options
from intercom.cli.temporary_server import TemporaryServer, local_settings
from intercom.config.redaction import one_line
from intercom.errors import ConfigurationError, IntercomLakeError

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

_NAME: Final = "intercom-lake"
_QUIET = flag("quiet", "Print nothing but errors.")
_JSON = flag("json", "Print one JSON object on standard output instead of the table.")
_FRESH_HOME = (
    "set PREFECT_HOME to a new folder, or PREFECT_API_URL to a server: watermarks are in the lake, too, blocks of "
    "connections are not"
)
_DEMO = flag("demo", f"Copy a simulated workspace instead, into {LAKE}; no account needed.")


def flow_command(file: Path) -> Callable[..., int]:
    """The function of a command that runs a file's flow; a flow that reads a workspace can also run as a demo."""
    known = flow_options(file)
    reads = any(option.name == "full_refresh" for option in known.options)
    return known.command(
        known.flow, lambda given: _run(file, known, given), [_QUIET, _JSON, *([_DEMO] if reads else [])]
    )


def run_from_shell(file: str, arguments: Sequence[str] | None = None) -> int:
    """Run the file's flow with the shell's options; the exit status is that of the command ``intercom-lake``."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    app = App(name=f"python {Path(file).name}", version_flags=(), default_parameter=LAST_WINS)
    app.default(flow_command(Path(file)))
    return call(app, arguments)


def _run(file: Path, known: FlowOptions, given: dict[str, Any]) -> int:
    from intercom.cli.live_display import live_progress  # and what these import: not for the help
    from intercom.cli.settings import faults
    from intercom.orchestration.observe.output import OUTPUT, Output

    demo = bool(given.pop("demo", False))
    output = Output.JSON if given.pop("json", False) else Output.QUIET if given.pop("quiet", False) else Output.TABLE
    options = known.defaults | ({"lake": LAKE} if demo else {}) | given
    OUTPUT.set(output)
    if demo:
        use_own_prefect()
    if found := faults(options, os.environ, demo=demo):
        print("\n".join(found), file=sys.stderr)
        return WRONG_SETTINGS
    try:
        with ending_cleanly(lambda: _how_far(options)):
            with nullcontext() if output is Output.QUIET else live_progress():
                state = _state_of(file, known, options, demo=demo)
            copies = output is Output.TABLE and "table_format" in options
            name = "demo" if demo else str(options["connection"])
            return _ended(state, _where(options["lake"], name, demo=demo) if copies else None)
    except InterruptedCommand as ended:
        return ended.status
    except LaterFault as error:
        print(error, file=sys.stderr)
        return FAILED


class LaterFault(Exception):
    """What kept a run from beginning, after its settings were found right."""


def _state_of(file: Path, known: FlowOptions, options: dict[str, Any], *, demo: bool) -> State[Any]:
    """Run the flow: its state at its end. Raises LaterFault where Prefect's API cannot be had."""
    from intercom.orchestration.observe.output import OUTPUT, Output
    from intercom.sync.board import BOARD

    server = None if os.environ.get("PREFECT_API_URL") else TemporaryServer(wanted=demo)
    BOARD.stage("Importing Prefect" if server is None else "Starting Prefect's temporary server")
    gc.disable()  # imported objects stay anyway: to scan them again and again takes a tenth of the start
    flow = _loaded(f"{file}:{known.flow}")
    _quiet_prefect(of_us_too=OUTPUT.get() is Output.QUIET)  # now that Prefect has set up its logging
    # Imports what the run would, now that there is time: the server still starts.
    flow.serialize_parameters(known.parameters(options))
    gc.freeze()
    gc.enable()
    if server is not None and not server.connect() and (fault := server.fault()):
        raise LaterFault(
            f"Prefect's temporary server did not start ({one_line(fault)}). Nothing was read. Run again; if it stays, "
            f"{_FRESH_HOME if not demo else 'look at the folder for temporary files'}."
        )
    BOARD.stage("Registering the run with Prefect")
    connection: AbstractContextManager[dict[str, str]] = demo_connection() if demo else nullcontext({})
    with connection as overrides, local_settings(), _faults_of_prefect():
        state: Any = flow(**known.parameters({**options, **overrides}), return_state=True)
    ended: State[Any] = state
    return ended


@contextmanager
def _faults_of_prefect() -> Iterator[None]:
    """What Prefect's client raises instead of ending the run, as LaterFault: no API, of another version, that refuses.

    Errors of the run itself are in its state.
    """
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        raise LaterFault(
            f"Prefect's API has failed, and the run with it: {one_line(error)} What the run has committed is in the "
            "lake. Check the server (intercom-lake check), and run again."
        ) from None


def _ended(state: State[Any], where: str | None) -> int:
    """Say how a flow has ended: `where` its rows are, or on standard error why the flow did not complete."""
    from intercom.orchestration.observe.output import show_failure

    if state.is_completed():
        if where is not None:
            print(where, flush=True)
        return COMPLETED
    error = state.result(raise_on_failure=False)
    told = str(error) if isinstance(error, IntercomLakeError) else str(state.message)
    show_failure(told)
    print(told, file=sys.stderr)
    return WRONG_SETTINGS if isinstance(error, ConfigurationError) else FAILED


def _where(lake: str, connection: str, *, demo: bool) -> str:
    """Where a lake's rows are; after the demo also what to do with them."""
    from intercom.lake.layout import data_folder

    folder = f"{lake.rstrip('/')}/{data_folder(connection)}"
    told = f"The lake is in {lake}: one folder for each table below {folder}."
    if not demo:
        return told
    views = f"{_command()} ddl duckdb --lake {lake} --connection demo > demo.sql"
    return f"{told}\nViews for DuckDB: {views}\nThen, if you have DuckDB's shell: duckdb -init demo.sql"


def _command() -> str:
    """How this command is called from here: after `make demo` it is on nobody's path."""
    return _NAME if which(_NAME) or Path(sys.argv[0]).name != _NAME else sys.argv[0]


def _how_far(options: dict[str, Any]) -> str:
    from intercom.sync.board import BOARD
    from intercom.tables.selection import select_tables

    BOARD.end()  # the live display gives the terminal back
    done, staged = BOARD.reached()
    if not done and not staged:
        return "No table was brought up to date. Run again."
    tables = len(select_tables(options["tables"]).tables)
    waiting = f", {staged:,} rows are staged" if staged else ""
    again = "" if done == tables else " Run again to go on."
    return f"{done} of {tables} tables are in the lake{waiting}.{again}"


def _loaded(entrypoint: str) -> Flow[..., Any]:
    """The flow, as a worker loads it."""
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def _quiet_prefect(*, of_us_too: bool) -> None:
    """Log this package's lines, and Prefect's warnings without its tracebacks: the run reports failures by table.

    `of_us_too`: print no line of this package but warnings; Prefect's log of the run has all of them.
    """
    logging.getLogger("prefect").setLevel(logging.WARNING)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers if of_us_too else ():
        handler.setLevel(logging.WARNING)
