"""``intercom-lake check``: is everything there that a run needs. A line for each check, with its cure.

Nothing is read but a record of each table, nothing stays in the lake, and no Prefect server is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Annotated

from cyclopts import Parameter

from intercom.cli.options import list_of_names, parsed_by


def check(
    *,
    connection: Annotated[str, Parameter(metavar="NAME", help="Name of the connection.")] = "default",
    connections_file: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            help="YAML file with connections; connections.yml in the current folder if it exists.",
        ),
    ] = None,
    lake: Annotated[str, Parameter(metavar="URL", help="Folder or fsspec URL of the lake.")] = "./lake",
    tables: Annotated[
        Sequence[str],
        parsed_by(list_of_names, "A,B,...", "Tables to try, by name or group; the default ones if none is named."),
    ] = (),
    storage_options: Annotated[
        str | None,
        Parameter(
            metavar="JSON|BLOCK",
            help="How to reach the lake's store: a JSON object, or the name of a Prefect block.",
        ),
    ] = None,
    json: Annotated[
        bool, Parameter(help="Print one JSON object instead of lines.", negative=(), show_default=False)
    ] = False,
) -> int:
    """Test connection, token, permissions, lake and Prefect, and say what to do if something is missing.

    Exit status: 0 success, 1 something failed, 2 a setting is wrong. One record of each table is asked for. Nothing is
    copied, and runs are not disturbed.
    """
    from intercom.cli.checks.findings import exit_status, name_column, summary
    from intercom.cli.checks.settings import Asked, selected_tables
    from intercom.cli.checks.steps import checks
    from intercom.config.redaction import without_passwords

    asked = Asked(
        connection=connection,
        connections_file=connections_file,
        lake=lake,
        storage_options=storage_options,
    )
    selected, unknown = selected_tables(tables)
    column, found = name_column(selected.names), []
    for finding in chain(unknown, checks(asked, selected)):
        found.append(finding)
        if not json:
            print(finding.lines(column), flush=True)
    status = exit_status(found)
    if json:
        import json as encoder

        result = {
            "ok": status == 0,
            "exit_status": status,
            "connection": connection,
            "lake": without_passwords(lake),
            "checks": [finding.to_json() for finding in found],
        }
        print(encoder.dumps(result, indent=1))
    else:
        print(summary(found), flush=True)
    return status
