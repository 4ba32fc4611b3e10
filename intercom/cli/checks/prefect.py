"""Findings about Prefect: whether its API answers, its version, and what deployments need of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from intercom.cli.checks.findings import Finding, Verdict, fault
from intercom.cli.checks.settings import PrefectAccess, slug_of
from intercom.errors import PrefectError
from intercom.orchestration.server.api_settings import ApiSettings

if TYPE_CHECKING:
    from intercom.orchestration.server.plain_api import PlainApi

_WORK_POOL = "local-process"  # of `provision`, which imports Prefect; a test holds the two together


def prefect_findings(prefect: PrefectAccess, connection: str) -> list[Finding]:
    """Whether Prefect's API answers, and what deployments need of it."""
    if prefect.fault is not None:
        found = fault("prefect", prefect.fault)
        return [replace(found, cure=f"{found.cure} A block of the connection could not be looked for.")]
    settings, api = prefect.settings, prefect.api
    assert settings is not None
    if api is None:
        if not settings.temporary:
            cure = "Set PREFECT_API_URL, or PREFECT_SERVER_EPHEMERAL_ENABLED=true."
            return [Finding("prefect", Verdict.FAIL, "no API is configured, and no temporary one allowed", cure,
                            setting=True)]  # fmt: skip
        detail = "no API is configured: sync starts a temporary server. Blocks in its database were not read"
        return [Finding("prefect", Verdict.OK, detail, facts={"url": None})]
    try:
        return [_reached(settings, api), *_set_up(api, connection)]
    except PrefectError as error:
        return [fault("prefect", error)]


def _reached(settings: ApiSettings, api: PlainApi) -> Finding:
    ours, theirs = version("prefect"), None if settings.is_cloud else api.get("/admin/version")
    facts = {"url": api.url, "from": settings.place, "version": theirs, "own_version": ours}
    detail = f"{api.url}, from {settings.place}"
    if not isinstance(theirs, str):
        return Finding("prefect", Verdict.OK, detail, facts=facts)
    theirs = theirs[:40]
    if theirs == ours:
        return Finding("prefect", Verdict.OK, f"{detail}, version {ours}, the same as here", facts=facts)
    detail += f", version {theirs}, and {ours} here"
    if theirs.split(".")[0] != ours.split(".")[0]:
        cure = "Prefect's client refuses this: install the same major version."
        return Finding("prefect", Verdict.FAIL, detail, cure, facts=facts)
    if _numbers(theirs) < _numbers(ours):
        cure = "A Prefect server must not be older than its clients: upgrade the server."
        return Finding("prefect", Verdict.WARN, detail, cure, facts=facts)
    return Finding("prefect", Verdict.OK, detail, facts=facts)


def _set_up(api: PlainApi, connection: str) -> Iterator[Finding]:
    """A finding about what `intercom-lake bootstrap` makes: whether the server has it."""
    wanted = {
        "block type intercom-connection": "/block_types/slug/intercom-connection",
        f"work pool {_WORK_POOL}": f"/work_pools/{_WORK_POOL}",
    }
    if slug := slug_of(connection):
        wanted[f"limit intercom-sync-{slug}"] = f"/v2/concurrency_limits/intercom-sync-{slug}"
    with ThreadPoolExecutor(len(wanted), thread_name_prefix="prefect") as pool:
        found = list(pool.map(api.get, wanted.values()))
    missing = [what for what, there in zip(wanted, found, strict=True) if there is None]
    if not missing:
        yield Finding("deployments", Verdict.OK, "the server is set up for them", facts={"missing": []})
        return
    cure = "Only deployments need this: intercom-lake bootstrap creates it."
    yield Finding("deployments", Verdict.NOTE, f"not set up: {', '.join(missing)}", cure, facts={"missing": missing})


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split("+")[0].split(".")[:3] if part.isdecimal()]
