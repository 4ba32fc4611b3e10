"""Copy an Intercom workspace into a merged, partitioned Parquet lake.

IntercomConnection   block: access to one workspace, for flows of your own
IntercomWatermark    block: how far a table has been read
sync_flow            the flow of flows/sync.py; `intercom.sync` is a room of this package
reconcile_flow       the flow of flows/reconcile.py
compact_flow         the flow of flows/compact.py
verify_flow          the flow of flows/verify.py

Each is imported when it is first asked for: ``import intercom`` alone imports neither Prefect nor pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from intercom._allocator import return_freed_memory

return_freed_memory()  # here, because it must run before any module of this package imports pyarrow

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

    from intercom.blocks import IntercomConnection, IntercomWatermark

    sync_flow: Flow[..., State[None]]
    compact_flow: Flow[..., State[None]]
    reconcile_flow: Flow[..., State[None]]
    verify_flow: Flow[..., State[None]]

__all__ = ["IntercomConnection", "IntercomWatermark", "compact_flow", "reconcile_flow", "sync_flow", "verify_flow"]

_PLACES: Final = {
    "IntercomConnection": ("intercom.blocks", "IntercomConnection"),
    "IntercomWatermark": ("intercom.blocks", "IntercomWatermark"),
    "compact_flow": ("intercom.flows.compact", "compact"),
    "reconcile_flow": ("intercom.flows.reconcile", "reconcile"),
    "sync_flow": ("intercom.flows.sync", "sync"),
    "verify_flow": ("intercom.flows.verify", "verify"),
}
"""Module of each export, and its name there."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, there = _PLACES[name]
    return getattr(import_module(module), there)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # `prefect block register -m intercom` looks here
