"""Options of a workspace: differences between workspaces, and every behaviour of the API that is in doubt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from intercom.sandbox.listing import Following, Paging


@dataclass(slots=True)
class LogOptions:
    """How the log of activities answers: every doubt about it."""

    per_page: int = 20
    inclusive: bool = True
    """Whether entries of the second of a bound belong to the range."""
    newest_first: bool = True
    following: Following = "string"
    totals: bool = True
    needs_link: bool = False
    """Pages after the first are refused without all parameters of the link to them."""
    oldest: int | None = None
    """``created_at_after`` before this unix second is refused with 400."""
    oldest_seconds: int | None = None
    """``created_at_after`` is refused with 400 if it is more seconds ago than this."""
    arriving: int = 0
    """Entries that are still to arrive: one after each page that is served."""
    repeats: int | None = None
    """The page of this number names itself as the next one."""


@dataclass(slots=True)
class Options:
    """How this workspace answers; every field may be changed while the server runs."""

    timezone: str = "UTC"
    """Time zone of the calendar days that the date filters of contact search compare; GET /me has it."""
    index_timezone: str | None = None
    """Time zone of the days of stored times, if it is not the zone of the filter's value (`timezone`)."""
    contacts_by_second: bool = False
    """Contact search compares seconds instead of days, as the preview version of the API does."""
    conversations_by_day: bool = False
    """Conversation search compares calendar days instead of seconds."""
    inclusive_bounds: bool = False
    """``>`` and ``<`` of conversation search include the bound: "greater (or equal)" in the specification's table."""
    sortable_fields: set[str] = field(default_factory=lambda: {"updated_at", "created_at", "id"})
    search_end: tuple[Literal["null", "absent", "no_cursor", "pages_null", "pages_absent"], ...] = ("null", "absent")
    """How the last page of a search says that it is the last, taken in turn."""
    empty_page_every: int | None = None
    """n (at least 2): each n-th page of a search has no records, but links to a next page."""
    paging: dict[str, Paging] = field(default_factory=dict)
    """Table -> how its list by page number answers, if not as its endpoint says."""
    log: LogOptions = field(default_factory=LogOptions)
    heavy_above: dict[str, int] = field(default_factory=dict)
    """Path -> the per_page above which it answers 502."""
    scroll_ttl_seconds: float = 60.0
    scroll_page_size: int = 100
    null_admin: bool = False
    """The list of admins has a null element, which its schema allows."""
    region: str = "US"
    app_id: str = "sbx7k2qd"
    me_status: int | None = None
    """Status with which GET /me is refused."""
    me_code: str | None = None
    """Intercom's code in that refusal, the usual one for the status if None."""
    children_counted: Literal["all", "served"] = "all"
    """What ``total_count`` of a conversation's parts counts: all of them, or those in the answer."""
