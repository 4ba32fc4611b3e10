"""The commands that run a flow: `sync`, `reconcile` and `compact` with the options of their flows, and the demo."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from intercom import bundled
from intercom.cli.demo import LAKE
from intercom.cli.run import flow_command

sync = flow_command(bundled.path("flows/sync.py"))
reconcile = flow_command(bundled.path("flows/reconcile.py"))
compact = flow_command(bundled.path("flows/compact.py"))


def demo(*, lake: Annotated[str, Parameter(help="Folder or URL of the lake.", metavar="URL")] = LAKE) -> int:
    """Copy a simulated workspace into a lake of its own: no account and no Prefect server needed."""
    return sync(demo=True, lake=lake)
