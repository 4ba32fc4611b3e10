"""``bootstrap``: sets up a Prefect server for this package. Running it again changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def bootstrap(
    *,
    connections_file: Annotated[
        Path | None, Parameter(metavar="FILE", help="Also save the connections of this YAML file as blocks.")
    ] = None,
    notify: Annotated[
        str | None,
        Parameter(
            metavar="TYPE/NAME",
            help="Create two automations that notify through this block, such as slack-webhook/team: a run has failed; "
            "a table has not been synced for three hours.",
        ),
    ] = None,
) -> int:
    """Register the block types, create the work pool and a concurrency limit for each connection.

    Prefect's server is the one of PREFECT_API_URL. What is there already stays as it is.
    """
    import httpx

    from intercom.config.redaction import one_line
    from intercom.errors import ConfigurationError, IntercomLakeError
    from intercom.orchestration.server.provision import prepare_server

    try:
        for line in prepare_server(connections_file, notify):
            print(line, flush=True)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"Prefect's API has failed: {one_line(error)}\nRun again: what was made stays.", file=sys.stderr)
        return 1
    return 0
