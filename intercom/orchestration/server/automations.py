"""Automations on Prefect's server that tell of trouble: a run has failed, a table has not been synced for three hours.

They are the files of ``deployments/automations``; what they tell goes to a notification block that the user has saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from intercom.bundled import path
from intercom.errors import ConfigurationError

FILES: Final = ("deployments/automations/failed.yaml", "deployments/automations/not-synced.yaml")
_NOTIFIES: Final = "notify"
"""The capability of blocks that send notifications."""
_SHOWN: Final = 200


def notification_block(reference: str) -> UUID:
    """The id of a notification block, ``<type>/<name>``; ConfigurationError, which names those that there are."""
    kind, _, name = reference.partition("/")
    with get_client(sync_client=True) as client:
        if kind and name and "/" not in name:
            try:
                document = client.read_block_document_by_name(name, kind, include_secrets=False)
            except ObjectNotFound:
                pass
            else:
                if document.block_schema is not None and _NOTIFIES in document.block_schema.capabilities:
                    return document.id
        there = _notification_blocks(client)
    raise ConfigurationError(
        f"There is no notification block {reference!r} on Prefect's server. "
        + (f"There is {', '.join(there)}" if there else "There is none at all")
        + ". Save one in Prefect's UI (Blocks: Slack Webhook, Microsoft Teams, Custom Webhook, ...), and name it as "
        "<type>/<name>, such as slack-webhook/team. Nothing was changed."
    )


def set_up_automations(block: UUID) -> Iterator[str]:
    """Create or update the automations, which notify by this block; a line for each.

    One that somebody has switched off stays off.
    """
    with get_client(sync_client=True) as client:
        for file in FILES:
            wanted = _wanted(file, block)
            yield f"automation {wanted.name}: {_save(client, wanted)}"


def _notification_blocks(client: SyncPrefectClient) -> list[str]:
    """All of them, as ``<type>/<name>``."""
    asked = {"block_schemas": {"block_capabilities": {"all_": [_NOTIFIES]}}, "limit": _SHOWN}
    found = client.request("POST", "/block_documents/filter", json=asked).json()
    return sorted(f"{one['block_type']['slug']}/{one['name']}" for one in found if one["name"])


def _wanted(file: str, block: UUID) -> AutomationCore:
    content = yaml.safe_load(path(file).read_text(encoding="utf-8"))
    for action in content["actions"]:
        action["block_document_id"] = str(block)
    return AutomationCore.model_validate(content)


def _save(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    there = client.read_automations_by_name(wanted.name)
    if not there:
        client.create_automation(wanted)
        return "created"
    found = there[0]
    wanted = wanted.model_copy(update={"enabled": found.enabled})
    if _comparable(found) == _comparable(wanted):
        return "already there"
    client.update_automation(found.id, wanted)
    return "updated"


def _comparable(automation: AutomationCore) -> Any:
    """What a user can set of an automation; the server gives ids to it and to its triggers."""
    return _without_ids(AutomationCore.model_validate(automation.model_dump(mode="json")).model_dump(mode="json"))


def _without_ids(value: Any) -> Any:
    """The value without ids, and texts in order: they are sets, whose order is another in each process."""
    if isinstance(value, dict):
        return {name: _without_ids(one) for name, one in value.items() if name != "id"}
    if isinstance(value, list):
        return sorted(value) if all(isinstance(one, str) for one in value) else [_without_ids(one) for one in value]
    return value
