"""Differences of every kind, planted at random in a table, one after the other: each is found, alone, and mended."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from intercom.api.workspace import identify
from intercom.sync.run import Run
from intercom.verify.case import ApiLimits
from intercom.verify.findings import Kind
from intercom.verify.mend import mend_from_api
from tests.support.compared import DAY, SEARCHED, proof, settled
from tests.support.effort import effort, tried
from tests.support.planted import with_value
from tests.support.rig import Rig

PLANTED = effort(4, 60)
ZONES = ("America/Los_Angeles", "Pacific/Auckland", "Asia/Kathmandu", "UTC")


def plant(rig: Rig, name: str, kind: Kind, chance: random.Random) -> set[str]:
    """Plant one difference; gives its keys."""
    workspace, until = rig.workspace, settled(rig, name)
    old = [row for row in workspace.rows(name) if row["updated_at"] < until and row["created_at"] < until - DAY]
    row = chance.choice(old)
    key = str(row["id"])
    match kind:
        case Kind.MISSING:
            at = chance.randrange(until - 70 * DAY, until - DAY)
            rows = [
                workspace.create(name, created_at=at + 60 * place, updated_at=at + 60 * place)
                for place in range(chance.randint(1, 12))
            ]
            return {str(one["id"]) for one in rows}
        case Kind.STALE:
            workspace.update(name, key, updated_at=chance.randrange(row["updated_at"] + 1, until), name="late")
        case Kind.EXTRA:
            workspace.delete(name, key)
        case Kind.FIELDS:
            newest = max(old, key=lambda one: int(one["updated_at"]))  # of those that a sample has in any case
            key = str(newest["id"])
            with_value(rig, name, key, "type", f"other {chance.random()}")
    return {key}


@pytest.mark.parametrize("name", effort(("contacts",), SEARCHED))
def test_whatever_is_planted_is_found_and_mended(make_rig: Callable[..., Rig], name: str) -> None:
    seed = int(os.environ.get("PLANTED", "0")) or random.SystemRandom().randrange(1, 10**9)
    print(f"PLANTED={seed}")
    chance = random.Random(seed)
    rig = make_rig(timezone=chance.choice(ZONES), contacts=200, conversations=200, tickets=200)
    rig.load([name])
    kinds = [Kind.MISSING, Kind.STALE, Kind.EXTRA, Kind.FIELDS]
    for number in range(PLANTED):
        kind = kinds[number % len(kinds)]
        by_counts = kind in (Kind.MISSING, Kind.EXTRA)  # the others may be hidden in them: the sample finds those
        limits = ApiLimits(sample=0 if by_counts else 30, seed=number)
        keys = plant(rig, name, kind, chance)
        differences = proof(rig, name, limits).differences
        assert {(one.kind, key) for one in differences for key in one.all_keys} == {(kind, key) for key in keys}
        client = rig.client()
        workspace = identify(client)
        run = Run(
            f"verify-{number}", rig.connection, datetime.now(UTC), workspace.server_time, workspace=workspace.code
        )
        mend_from_api(rig.table(name), client, rig.lake_table(name), rig.store, run, differences)
        client.close()
    tried("differences from the workspace that were planted, found and mended", PLANTED)
    assert proof(rig, name).differences == ()
    rig.check([name])
