"""Where a Prefect server under test keeps leases of slots: in memory as by default, and the shortest end sooner.

Its API grants 60 seconds at least, which a test would have to wait for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.server.concurrency.lease_storage import memory
from prefect.server.utilities.leasing import ResourceLease

LEAST = timedelta(seconds=60)


class ConcurrencyLeaseStorage(memory.ConcurrencyLeaseStorage):
    """A lease of 60 seconds ends after 20; who holds one renews it each 15."""

    async def create_lease(self, resource_ids: list[UUID], ttl: timedelta, metadata: Any = None) -> ResourceLease[Any]:
        return await super().create_lease(resource_ids, _shortened(ttl), metadata)

    async def renew_lease(self, lease_id: UUID, ttl: timedelta) -> bool:
        return await super().renew_lease(lease_id, _shortened(ttl))


def _shortened(lease: timedelta) -> timedelta:
    return lease / 3 if lease == LEAST else lease
