"""Compares a rig's lake with its workspace, and plants what a comparison has to find in the workspace."""

from __future__ import annotations

from intercom.api.workspace import identify
from intercom.verify.against_api import verify_against_api
from intercom.verify.case import ApiLimits
from intercom.verify.findings import Kind, TableProof
from tests.support.rig import Rig

DAY = 86_400
SEARCHED = ("contacts", "conversations", "tickets")


def proof(rig: Rig, name: str, limits: ApiLimits | None = None) -> TableProof:
    client = rig.client()
    try:
        workspace = identify(client)
        return verify_against_api(rig.table(name), client, rig.lake_table(name), workspace, limits or ApiLimits())
    finally:
        client.close()


def found(rig: Rig, name: str, limits: ApiLimits | None = None) -> dict[Kind, set[str]]:
    """Kind -> keys of all rows of that kind."""
    kinds: dict[Kind, set[str]] = {}
    for one in proof(rig, name, limits).differences:
        kinds.setdefault(one.kind, set()).update(one.all_keys)
    return kinds


def settled(rig: Rig, name: str) -> int:
    """The second up to which a sync reads nothing again."""
    state = rig.lake_table(name).state()
    assert state is not None
    assert state.watermark is not None
    return state.watermark - 3_600


def create_unseen(rig: Rig, name: str, number: int, day: int = 30) -> set[str]:
    """Records of a day that came into the search's index long after the sync that should have read them."""
    start = settled(rig, name) - day * DAY
    rows = [
        rig.workspace.create(name, created_at=start + 600 * place, updated_at=start + 600 * place + 60)
        for place in range(number)
    ]
    return {str(row["id"]) for row in rows}


def part_of(rig: Rig, number: int = 0) -> tuple[str, str]:
    """Ids of a part and of its conversation, of those that have parts."""
    rows = rig.rows("conversation_parts")
    return str(rows.column("id")[number]), str(rows.column("conversation_id")[number])


def remove_part(rig: Rig, part: str) -> None:
    """A part is gone from its conversation, which has not changed otherwise."""
    parts = rig.workspace.children["conversation_parts"]
    conversation = parts.parent(part)
    parts.remove(part)
    said = next(row["statistics"] for row in rig.workspace.rows("conversations") if str(row["id"]) == conversation)
    if said is not None:
        said = said | {"count_conversation_parts": len(parts.of(conversation))}
        rig.workspace.update("conversations", conversation, touch=False, statistics=said)
