"""Run a flow's file from the shell: its options are the flow's own parameters.

The options are read first, without Prefect, whose import takes seconds. Then its temporary server starts in a process
of its own, which takes longer, while this one imports what the run needs.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intercom.cli.demo import LAKE, demo_connection, use_own_prefect
from intercom.cli.options import flow_options
from intercom.cli.temporary_server import TemporaryServer, local_settings
from intercom.errors import IntercomLakeError

if TYPE_CHECKING:
    from prefect import Flow


def run_from_shell(file: str, arguments: Sequence[str] | None = None) -> int:
    """Run the file's flow with the shell's options; 0 when it completed, 1 when it failed, 2 for wrong options."""
    known = flow_options(Path(file))
    if "connections_file" in vars(known.parser.parse_args([])):  # a flow that reads a workspace
        known.parser.add_argument(
            "--demo",
            action="store_true",
            help=f"Copy a simulated workspace instead, into {LAKE}; no account and no Prefect server needed.",
        )
    options = vars(known.parser.parse_args(arguments))
    demo = options.pop("demo", False)
    if demo:
        known.parser.set_defaults(lake=LAKE)
        options["lake"] = known.parser.parse_args(arguments).lake
        use_own_prefect()
    server = None if os.environ.get("PREFECT_API_URL") else TemporaryServer(wanted=demo)
    if fault := _fault_in(options):
        print(fault, file=sys.stderr)
        return 1
    gc.disable()  # imported objects stay anyway: to scan them again and again takes a tenth of the start
    flow = _loaded(f"{file}:{known.flow}")
    _quiet_prefect()  # now that Prefect has set up its logging
    # Imports what the run would, now that there is time: the server still starts.
    flow.serialize_parameters(known.parameters(options))
    gc.freeze()
    gc.enable()
    connection: AbstractContextManager[dict[str, str]] = demo_connection() if demo else nullcontext({})
    from intercom.cli.live_display import live_progress  # not before the server is on its way

    with connection as overrides, live_progress():
        if server is not None and not server.connect() and demo:
            print("Prefect's temporary server did not start, and the demo uses no other. Run again.", file=sys.stderr)
            return 1
        with local_settings():
            state: Any = flow(**known.parameters({**options, **overrides}), return_state=True)
    if state.is_completed():
        if demo:
            print(f"The lake is in {options['lake']}", flush=True)
        return 0
    error = state.result(raise_on_failure=False)
    print(error if isinstance(error, IntercomLakeError) else state.message, file=sys.stderr)
    return 1


def _fault_in(options: Mapping[str, Any]) -> str | None:
    """What is wrong with tables, dates, lake or its options: the flow would say the same, but seconds later."""
    from intercom.config.storage_options import block_named, checked_options
    from intercom.lake.storage import Lake
    from intercom.sync.run import asked_range
    from intercom.tables.catalogue import select_tables

    given = options["storage_options"]
    try:
        select_tables(options["tables"])
        asked_range(options.get("start_date"), options.get("end_date"), full_refresh=options.get("full_refresh", False))
        if isinstance(given, str):
            block_named(given)
        else:
            Lake(options["lake"], checked_options(given or {}))
    except IntercomLakeError as error:
        return str(error)
    return None


def _loaded(entrypoint: str) -> Flow[..., Any]:
    """The flow, as a worker loads it."""
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def _quiet_prefect() -> None:
    """Log this package's lines, and Prefect's warnings without its tracebacks: the run reports failures by table."""
    logging.getLogger("prefect").setLevel(logging.WARNING)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
