"""``intercom-lake verify``: holds a lake against its records, and against the workspace.

No lock is taken, and nothing is written but the result, unless differences are to be repaired. No Prefect server is
started.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from intercom.cli.endings import FAILED, WRONG_SETTINGS
from intercom.cli.options import list_of_names, parsed_by

if TYPE_CHECKING:
    from intercom.cli.commands.plan import Prefect
    from intercom.verify.case import ApiLimits
    from intercom.verify.tables import Asked


def verify(
    *,
    connection: Annotated[str, Parameter(metavar="NAME", help="Name of the connection.")] = "default",
    connections_file: Annotated[
        str | None, Parameter(metavar="FILE", help="YAML file with connections; ./connections.yml if it exists.")
    ] = None,
    lake: Annotated[str, Parameter(metavar="URL", help="Folder, or fsspec URL such as s3://bucket/prefix.")] = "./lake",
    tables: Annotated[
        Sequence[str],
        parsed_by(list_of_names, "A,B,...", "Tables to verify; all that the lake has if none is named."),
    ] = (),
    local_only: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Check the files only: needs no connection, sends no request."),
    ] = False,
    repair: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            help="Repair the differences, and verify again. The next sync reads a table with wrong files again.",
        ),
    ] = False,
    sample: Annotated[
        int,
        Parameter(
            metavar="N",
            help="Records of each table that are compared field by field: this many of the newest, of the oldest, "
            "and at random; more of the last changed ones.",
        ),
    ] = 50,
    most_requests: Annotated[
        int, Parameter(metavar="N", help="The largest number of requests to Intercom for each table.")
    ] = 200,
    lookback: Annotated[
        str,
        Parameter(
            metavar="26h,TABLE=2d", help="The lookback of your syncs: what they read again counts as no difference."
        ),
    ] = "1h",
    storage_options: Annotated[
        str | None,
        Parameter(
            metavar="JSON|BLOCK", help="How to reach the lake's store: a JSON object, or the name of a Prefect block."
        ),
    ] = None,
    json: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Print one JSON object instead of the table.")
    ] = False,
) -> int:
    """Prove that the lake is right: each page of each file is read, each key is there once, and Intercom has the rows.

    Exit status: 0 proven, 1 there are differences, or a table could not be verified, 2 a setting is wrong. The largest
    number of requests is printed before the first one. A line for each difference says what repairs it. The result is
    also left in the lake, for the report.
    """
    import sys

    from intercom.errors import ConfigurationError, IntercomLakeError

    given: dict[str, Any] = {
        "connection": connection,
        "connections_file": connections_file,
        "lake": lake,
        "tables": tables,
        "local_only": local_only,
        "sample": sample,
        "most_requests": most_requests,
        "lookback": lookback,
        "storage_options": storage_options,
    }
    try:
        return _verified(given, to_repair=repair, json=json)
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return WRONG_SETTINGS if isinstance(error, ConfigurationError) else FAILED


def _verified(given: dict[str, Any], *, to_repair: bool, json: bool) -> int:
    import sys
    from contextlib import ExitStack
    from datetime import UTC, datetime
    from itertools import chain
    from uuid import uuid4

    from intercom.cli.commands.plan import Prefect
    from intercom.config.lookback import parse_lookback
    from intercom.errors import LakeError
    from intercom.lake.storage import Lake
    from intercom.verify.case import ApiLimits
    from intercom.verify.repair import repair
    from intercom.verify.report import Scope, as_json, as_text, exit_status
    from intercom.verify.summary import keep_summary
    from intercom.verify.tables import strangers, tables_to_verify, verify_table

    began, prefect, name, run_id = datetime.now(UTC), Prefect(), given["connection"], f"verify-{uuid4()}"
    limits = ApiLimits(given["sample"], given["most_requests"], lookback=parse_lookback(given["lookback"]))
    lake = Lake(given["lake"], prefect.storage_options(given["storage_options"]))
    with ExitStack() as stack:
        names = tables_to_verify(lake, name, given["tables"])
        asked = None if given["local_only"] else stack.enter_context(_asking(given, prefect, names, limits))
        proofs = {table: verify_table(lake, name, table, asked) for table in names}
        if to_repair:
            store = prefect.watermarks(name, names, lake.known_identity())
            done = repair(lake, name, proofs.values(), run_id, store, asked)
            for line in chain.from_iterable(done.values()):
                print(line, file=sys.stderr, flush=True)
            proofs |= {table: verify_table(lake, name, table, asked) for table in done}
    found, strays, ended = list(proofs.values()), strangers(lake, name), datetime.now(UTC)
    scope = Scope(tuple(given["tables"]), asked is not None)
    told = as_json(
        found, strays, run_id=run_id, connection=name, lake=lake.url, started_at=began, ended_at=ended, scope=scope
    )
    try:
        keep_summary(lake, told, ended, None if asked is None else asked.workspace)
    except LakeError as error:  # a lake that may only be read is proven all the same
        print(f"note: This result could not be left in the lake. {error}", file=sys.stderr)
    if json:
        import json as encoder

        print(encoder.dumps(told, ensure_ascii=False, indent=1))
    else:
        print(as_text(found, strays, scope), flush=True)
    return exit_status(found, strays)


@contextmanager
def _asking(given: dict[str, Any], prefect: Prefect, names: Sequence[str], limits: ApiLimits) -> Iterator[Asked]:
    """The workspace, once the most requests were told on standard error; the client is closed after the block."""
    import os
    import sys
    from pathlib import Path

    from intercom.api.client import IntercomClient
    from intercom.api.rate_limit.limiter import RateLimiter
    from intercom.config.lookup import find_connection
    from intercom.verify.tables import Asked, announcement

    file = given["connections_file"]
    found = find_connection(
        given["connection"],
        connections_file=None if file is None else Path(file),
        environ=os.environ,
        load_block=prefect.connection,
    )
    client = IntercomClient(found, RateLimiter(found.requests_per_10s, most_in_flight=found.requests_in_flight))
    try:
        print(announcement(names, limits), file=sys.stderr, flush=True)
        yield Asked.of(client, limits)
    finally:
        client.close()
