"""The command `sandbox`: a simulated workspace on loopback."""

from __future__ import annotations

import time
from typing import Annotated, Final

from cyclopts import Parameter

_DAY: Final = 86_400


def sandbox(
    *,
    port: Annotated[int, Parameter(help="Port to listen on; 0 means any free port.")] = 0,
    seed: Annotated[int, Parameter(help="The same seed makes the same records.")] = 7,
    contacts: Annotated[int, Parameter(help="Number of contacts.")] = 300,
    companies: Annotated[int, Parameter(help="Number of companies.")] = 80,
    conversations: Annotated[int, Parameter(help="Number of conversations.")] = 150,
    articles: Annotated[int, Parameter(help="Number of articles.")] = 40,
    timezone: Annotated[str, Parameter(help="Time zone of the calendar days that contact search compares.")] = "UTC",
    history_days: Annotated[int, Parameter(help="Records were created in the last days, up to this number.")] = 5 * 365,
    one_day: Annotated[
        bool, Parameter(help="Every record was created and changed yesterday.", negative=(), show_default=False)
    ] = False,
    rate_limit: Annotated[int, Parameter(help="Requests per 10 seconds.")] = 166,
    latency_ms: Annotated[float, Parameter(help="Milliseconds of waiting before each answer.")] = 0.0,
    changes_per_minute: Annotated[
        float, Parameter(help="Contacts and conversations that are created or changed each minute.")
    ] = 0.0,
    compress: Annotated[bool, Parameter(help="Compress answers with gzip for clients that accept it.")] = True,
) -> int:
    """Serve a simulated workspace until Ctrl-C or SIGTERM; its address and token are the first line."""
    from intercom.cli.demo import FURTHER_RECORDS
    from intercom.sandbox.serve import serve
    from intercom.sandbox.workspace import Workspace

    began = None if one_day else time.time() // _DAY * _DAY  # so that one that is started again has the same records
    workspace = Workspace.seeded(
        now=began,
        seed=seed,
        contacts=contacts,
        companies=companies,
        conversations=conversations,
        articles=articles,
        timezone=timezone,
        history_days=history_days,
        one_day=one_day,
        **FURTHER_RECORDS,
    )
    workspace.travel_to(time.time())
    serve(
        workspace,
        port=port,
        rate_limit=rate_limit,
        latency_seconds=latency_ms / 1000,
        compress=compress,
        changes_per_minute=changes_per_minute,
    )
    return 0
