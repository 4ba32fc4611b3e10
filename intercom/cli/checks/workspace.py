"""Findings about the token, the workspace that it belongs to, the clock, and the rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.workspace import Workspace, is_region, regions_that_accept
from intercom.cli.checks.findings import Finding, Verdict, last_reason
from intercom.config.connection import Connection
from intercom.errors import ApiError

POLICY = RetryPolicy(tries=2, total_seconds=30.0, connect_seconds=5.0, read_seconds=15.0, answer_seconds=30.0)
"""Tries of a request: few and short, since somebody waits for the answer, and nothing depends on it."""
_PLAN = "api_plan_restricted"
_CLOCK_SECONDS = 60
_BUSY_SHARE = 0.5
"""Share of the rate limit from which on others are told as a warning."""


def client_of(connection: Connection) -> IntercomClient:
    """A client that gives up soon."""
    limiter = RateLimiter(connection.requests_per_10s, most_in_flight=connection.requests_in_flight)
    return IntercomClient(connection, limiter, policy=POLICY)


def may_read_all_the_same(error: ApiError) -> bool:
    """Whether tables may be read though the token may not say whose it is: it lacks that permission alone."""
    return error.status == 403 and error.code != _PLAN


def refused_token(connection: Connection, error: ApiError) -> Finding:
    """What it means that the first request had no usable answer."""
    where = f"region {connection.region.value}"
    if connection.base_url != connection.region.base_url:
        where = connection.base_url
    said = error.answer
    facts = {"http_status": error.status, "code": error.code}
    if may_read_all_the_same(error):
        cure = 'Grant "Read admins" in the Developer Hub: without it a run does not notice another workspace.'
        return Finding("token", Verdict.WARN, f"{said}: the token may not say whose it is", cure, facts=facts)
    if error.status == 401:
        accepting = [region.value for region in regions_that_accept(connection, POLICY)]
        if accepting:
            return Finding(
                "region",
                Verdict.FAIL,
                f"{said}: {where} refuses the token, and region {accepting[0]} takes it",
                f"Set region: {accepting[0]} in the connection. No table was tried.",
                setting=True,
                facts=facts | {"accepted_in": accepting},
            )
        return Finding(
            "token",
            Verdict.FAIL,
            f"{said}: {where} refuses the token: it is wrong, expired, revoked, or of another region",
            "Copy the app's present one from Intercom's Developer Hub (Configure, Authentication), and check the "
            "region. No table was tried.",
            facts=facts,
        )
    if error.status in (402, 403):
        cure = "Ask the workspace's owner for a plan that includes the API. No table was tried."
        return Finding("token", Verdict.FAIL, f"{said}: the workspace's plan lacks the API", cure, facts=facts)
    if error.status is not None and error.status < 500 and error.status not in (408, 429):
        cure = "Check base_url of the connection. No table was tried."
        return Finding("intercom", Verdict.FAIL, f"{said} from {connection.base_url}: not Intercom's API", cure,
                       setting=True, facts=facts)  # fmt: skip
    detail = f"no usable answer from {connection.base_url}: {last_reason(error)}"
    cure = "Check the network, proxies (HTTPS_PROXY) and intercomstatus.com, and try again. No table was tried."
    return Finding("intercom", Verdict.FAIL, detail, cure, facts=facts)


def token_findings(connection: Connection, workspace: Workspace) -> Iterator[Finding]:
    """The workspace of the token, and whether it is in the region of the connection."""
    name = f'"{workspace.name}"' if workspace.name else "without a name"
    code = f" ({workspace.code})" if workspace.code else ""
    facts = {"workspace": workspace.code, "name": workspace.name, "region": workspace.region or None}
    yield Finding(
        "token",
        Verdict.OK,
        f"workspace {name}{code}, region {workspace.region or connection.region.value}",
        facts=facts,
    )
    if workspace.region is not None and not is_region(workspace.region, connection.region):
        yield Finding(
            "region",
            Verdict.WARN,
            f"the connection says {connection.region.value}, the workspace {workspace.region}",
            "Correct region in the connection.",
        )


def clock_findings(workspace: Workspace, sent: float, received: float) -> Iterator[Finding]:
    """A warning if this machine's clock is wrong, as far as a second and the time of the answer let that be known."""
    if workspace.doubt:
        yield Finding(
            "clock",
            Verdict.WARN,
            "the answers have no Date header",
            "Each run then reads the last day again. Let the proxy keep this header.",
        )
        return
    ahead, behind = sent - (workspace.server_time + 1), workspace.server_time - received
    apart = max(0.0, ahead, behind)
    if apart > _CLOCK_SECONDS:
        yield Finding(
            "clock",
            Verdict.WARN,
            f"this machine is {apart:.0f} s {'ahead of' if ahead > 0 else 'behind'} Intercom",
            "Set its clock (NTP): S3 refuses requests from 15 minutes on. Watermarks go by Intercom's clock.",
            facts={"seconds_apart": round(apart)},
        )


def rate_limit_finding(limiter: RateLimiter, connection: Connection) -> Finding:
    """The rate limit as the one answer so far tells it; one request of the window is our own."""
    told = limiter.told()
    own = connection.requests_per_10s
    capped = f", of which {own} may be used (requests_per_10s)" if own else ""
    if told.limit is None:
        detail = f"Intercom does not send it: {limiter.usage().limit} requests per 10 s are assumed"
        return Finding("rate limit", Verdict.NOTE, detail, facts={"per_10s": None, "cap": own})
    detail = f"{told.limit} requests per 10 s{capped}"
    facts: dict[str, Any] = {"per_10s": told.limit, "cap": own}
    if told.remaining is None:
        return Finding("rate limit", Verdict.OK, detail, facts=facts)
    others = max(0, told.limit - told.remaining - 1)
    facts["used_by_others"] = others
    seconds = None
    if told.reset is not None and told.date is not None:
        seconds = min(max(QUOTA_SECONDS - (told.reset - told.date), 0), QUOTA_SECONDS)
        facts["in_seconds"] = seconds
    within = "10 s" if seconds is None else f"{seconds:.0f} s" if seconds else "second"
    detail += f"; others used {others or 'none'} in the last {within}"
    if others < _BUSY_SHARE * told.limit:
        return Finding("rate limit", Verdict.OK, detail, facts=facts)
    cure = "Runs leave room for them, and take longer. Find out which other apps use this token or workspace."
    return Finding("rate limit", Verdict.WARN, detail, cure, facts=facts)
