"""Everything that goes wrong between this package and Intercom, by way of reading, and how a run ends then.

The page deployments/docs/fault-matrix.md is made of this table (`tests.fault_page`); tests/sync/test_fault_matrix.py
tries its cells, and `make soak` all of them: each table of the catalogue, each fault, increments and full refreshes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access

FOR_EVER: Final = 1_000_000
Requests = Literal["every", "pages", "records"]


class Way(StrEnum):
    """How a table is read, by which faults differ. A derived table asks for nothing."""

    SEARCH = "search"
    SCROLL = "scroll"
    PAGES = "list by pages"
    LIST = "list"
    LOG = "log"
    PARENTS = "parents of a child table"
    CHILDREN = "children"


WAYS: Final[Mapping[Access, tuple[Way, ...]]] = {
    Access.SEARCH: (Way.SEARCH,),
    Access.SCROLL: (Way.SCROLL,),
    Access.PAGES: (Way.PAGES,),
    Access.LIST: (Way.LIST,),
    Access.TIME_LOG: (Way.LOG,),
    Access.CHILD: (Way.PARENTS, Way.CHILDREN),
    Access.DERIVED: (),
}


class Outcome(StrEnum):
    """How a run ends. Whatever it is, the next run without it leaves the table exact; after MISSED a full one does."""

    EXACT = "exact"
    """The table is what the workspace has."""
    ERROR = "error"
    """The table fails, with an error that names it and what to do. Its rows and its watermark are as before."""
    WARNED = "warning"
    """The run says what is short; no row is removed, and the watermark stays."""
    OWED = "owed"
    """The run names parents without an answer, and keeps them as owed: each run asks for them until they answer."""
    LATER = "later"
    """Nothing looked wrong, and what was not read is read by the next run: the watermark has not passed it."""
    MISSED = "missed"
    """Nothing looked wrong. No stored row is removed; new children that the answer lacked come with a full refresh."""
    NEVER = "-"
    """There is no such request, or nothing in the answer to be wrong."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Fault:
    """One fault: which answers are wrong, and how a run ends by way of reading.

    `answers` are the arguments of `SandboxServer.fail`, empty where the fault is no wrong answer: `trick` names what
    happens then, see `tests.support.fault_cells`. `after` requests are answered before it begins, `times` are hit.
    `expected` has the outcomes that are possible, for ways that differ from `otherwise`. `tables` are those whose
    answers it can be told by; None for all. `reconciles`: the run is a reconcile, which asks for single records.
    """

    name: str
    what: str
    answers: Mapping[str, Any] = field(default_factory=dict)
    trick: str = ""
    requests: Requests = "pages"
    after: int = 1
    times: int = 1
    otherwise: frozenset[Outcome] = frozenset({Outcome.EXACT})
    expected: Mapping[Way, frozenset[Outcome]] = field(default_factory=dict)
    tables: frozenset[str] | None = None
    reconciles: bool = False

    def concerns(self, table: str, way: Way) -> bool:
        """Whether it happens to a table that is read this way, and can be told."""
        return self.outcomes(way) != NEVER and (self.tables is None or table in self.tables)

    def outcomes(self, way: Way) -> frozenset[Outcome]:
        """The outcomes that are right for a way of reading."""
        return self.expected.get(way, self.otherwise)


def _fails(
    name: str, what: str, *, ways: Mapping[Way, frozenset[Outcome]] | None = None, **answers: Any
) -> list[Fault]:
    """A failure that passes after two requests, and one that does not."""
    owed = {Way.CHILDREN: OWED_OR_ERROR}
    return [
        Fault(name=f"{name}, twice", what=what, answers=answers, times=2, expected=ways or {}),
        Fault(
            name=f"{name}, for ever",
            what=what,
            answers=answers,
            requests="every",
            times=FOR_EVER,
            otherwise=ERROR,
            expected=owed,
        ),
    ]


EXACT: Final = frozenset({Outcome.EXACT})
ERROR: Final = frozenset({Outcome.ERROR})
OWED_OR_ERROR: Final = frozenset({Outcome.OWED, Outcome.ERROR})
NEVER: Final = frozenset({Outcome.NEVER})
WARNED: Final = frozenset({Outcome.WARNED})
_UNTOLD: Final = {Way.CHILDREN: EXACT | {Outcome.MISSED}}
_UNCOUNTED: Final[Mapping[Way, frozenset[Outcome]]] = {Way.LIST: NEVER, Way.LOG: NEVER, Way.CHILDREN: EXACT}
_OF_SCROLLS: Final[Mapping[Way, frozenset[Outcome]]] = {Way.SCROLL: EXACT, Way.PARENTS: EXACT}

_WITH_PARENT: Final = {name: table.parent for name, table in TABLES.items() if table.is_child and table.parent}
NAMED: Final = frozenset(name for name, parent in _WITH_PARENT.items() if parent.is_named)
"""Child tables whose answers name the parent."""
BELIEVED: Final = tuple(name for name, parent in _WITH_PARENT.items() if not parent.is_named)
"""Child tables whose answers have nothing to compare: a list that is another parent's is believed."""
_ADDRESSED: Final = frozenset(name for name, table in TABLES.items() if table.record_path)


def _of_another(times: str, outcomes: frozenset[Outcome], number: int) -> list[Fault]:
    """Answers that are well formed, and those to another request: of a list of children, and of a single record."""
    later = frozenset({Outcome.LATER}) if number > 1 else EXACT
    ways = dict.fromkeys((Way.SEARCH, Way.SCROLL, Way.PAGES), later)
    return [
        Fault(
            name=f"another parent's list, {times}",
            what="the children of another parent come, and they name that parent",
            answers={"kind": "another"},
            after=0,
            times=number,
            otherwise=NEVER,
            expected={Way.CHILDREN: outcomes},
            tables=NAMED,
        ),
        Fault(
            name=f"another record, {times}",
            what="in a reconcile, a request for one record is answered with another record",
            answers={"kind": "another"},
            requests="records",
            times=number,
            after=int(number == 1),
            otherwise=NEVER,
            expected=ways,
            tables=_ADDRESSED,
            reconciles=True,
        ),
    ]


FAULTS: Final[tuple[Fault, ...]] = (
    *_fails("408", "the server did not wait for the whole request", kind="status", status=408),
    *_fails("500", "the server has an error", kind="status", status=500),
    *_fails("502", "the server is down, or the page takes too long", kind="status", status=502),
    *_fails("503", "the server is down", kind="status", status=503),
    *_fails("504", "the proxy gets no answer in time", kind="status", status=504),
    *_fails("HTML, 502", "a proxy's page", kind="html", status=502),
    *_fails("HTML, 200", "a proxy's page, with a status that says success", kind="not_json"),
    *_fails("empty body", "status 200 and no byte", kind="empty"),
    *_fails("cut body", "the connection ends in the middle of the body", kind="truncated"),
    *_fails("cut JSON", "the body has the announced length, but its JSON ends in the middle", kind="truncated_json"),
    *_fails("other JSON", "a JSON object without the list", kind="wrong_shape"),
    *_fails("closed", "the connection ends without an answer", kind="reset"),
    *_fails("reset", "the connection is reset in the middle of the body", kind="reset_body"),
    *_fails("hanging", "no byte comes in time", kind="delay", seconds=0.7),
    *_fails("dripping", "a byte comes now and then, and the answer is not complete in time", kind="drip", seconds=0.02),
    Fault(
        name="429, 30 times",
        what="other apps have used the quota; headers say when it is free again",
        answers={"kind": "status", "status": 429},
        requests="every",
        times=30,
    ),
    Fault(
        name="429 without headers, 10 times",
        what="the same, without the headers",
        answers={"kind": "status", "status": 429},
        trick="no rate headers",
        requests="every",
        times=10,
    ),
    Fault(
        name="429, for ever",
        what="for more than a quarter of an hour",
        answers={"kind": "status", "status": 429},
        requests="every",
        times=FOR_EVER,
        otherwise=ERROR,
        expected={Way.CHILDREN: OWED_OR_ERROR},
    ),
    Fault(
        name="401 in mid-run",
        what="the token is revoked while the table is read",
        answers={"kind": "status", "status": 401},
        times=FOR_EVER,
        otherwise=ERROR,
    ),
    Fault(
        name="403 in mid-run",
        what="a permission is taken away while the table is read",
        answers={"kind": "status", "status": 403},
        times=FOR_EVER,
        otherwise=ERROR,
    ),
    Fault(
        name="redirect",
        what="302 to another host",
        answers={"kind": "redirect"},
        times=FOR_EVER,
        otherwise=ERROR,
    ),
    Fault(
        name="400",
        what="the next page is refused",
        answers={"kind": "status", "status": 400},
        otherwise=ERROR,
    ),
    Fault(
        name="404",
        what="the next page is not found",
        answers={"kind": "status", "status": 404},
        otherwise=ERROR,
        expected={Way.SCROLL: EXACT, Way.CHILDREN: EXACT},
    ),
    Fault(name="refused, for a while", what="no connection can be opened", trick="refused for a while"),
    Fault(
        name="refused, for ever",
        what="no connection can be opened",
        trick="refused",
        otherwise=ERROR,
        expected={Way.CHILDREN: OWED_OR_ERROR},
    ),
    Fault(name="clock an hour ahead", what="the Date header of each answer is wrong", trick="clock ahead"),
    Fault(
        name="clock an hour behind",
        what="the Date header of each answer is wrong",
        trick="clock behind",
        expected={Way.LOG: frozenset({Outcome.LATER})},
    ),
    Fault(
        name="cursor refused",
        what="each request for a further page is refused with 400",
        answers={"kind": "status", "status": 400},
        trick="further pages",
        after=0,
        times=FOR_EVER,
        otherwise=ERROR,
        expected={Way.LIST: NEVER, Way.CHILDREN: NEVER},
    ),
    Fault(
        name="page names itself",
        what="a page names itself as the next page",
        answers={"kind": "same_next"},
        otherwise=ERROR,
        expected={Way.SCROLL: NEVER, Way.LIST: NEVER, Way.CHILDREN: NEVER, Way.PAGES: EXACT},
    ),
    Fault(
        name="pages name themselves",
        what="each page names itself as the next page",
        answers={"kind": "same_next"},
        times=FOR_EVER,
        otherwise=ERROR,
        expected={Way.SCROLL: NEVER, Way.LIST: NEVER, Way.CHILDREN: NEVER, Way.PAGES: EXACT},
    ),
    Fault(
        name="empty page",
        what="a page in the middle has no records; the count is right",
        answers={"kind": "hollow"},
        expected=_UNTOLD,
    ),
    Fault(
        name="page of before",
        what="the answer is the previous page again",
        answers={"kind": "again"},
        otherwise=ERROR,
        expected={Way.SCROLL: EXACT, Way.LIST: NEVER, Way.CHILDREN: NEVER, Way.PAGES: EXACT},
    ),
    *_of_another("once", EXACT, 1),
    *_of_another("for ever", OWED_OR_ERROR, FOR_EVER),
    Fault(
        name="short page",
        what="every third record of a page is missing",
        answers={"kind": "short", "every": 3},
        expected=_UNTOLD,
    ),
    Fault(
        name="shifted page",
        what="one record comes twice, and another one is missing",
        answers={"kind": "shifted"},
        expected=_UNTOLD,
    ),
    Fault(
        name="shard away",
        what="no records, and a count of 0",
        answers={"kind": "shard_away"},
        after=0,
        expected=_UNTOLD,
    ),
    Fault(
        name="count too low",
        what="one count is half of the right one",
        answers={"kind": "fewer"},
        requests="every",
        after=0,
        expected=_UNCOUNTED,
    ),
    Fault(
        name="count too high",
        what="one count is too high by half",
        answers={"kind": "more"},
        requests="every",
        after=0,
        expected=_UNCOUNTED,
    ),
    Fault(
        name="counts too low",
        what="each count is half of the right one",
        answers={"kind": "fewer"},
        requests="every",
        after=0,
        times=FOR_EVER,
        expected=_UNCOUNTED,
    ),
    Fault(
        name="counts too high",
        what="each count is too high by half",
        answers={"kind": "more"},
        requests="every",
        after=0,
        times=FOR_EVER,
        otherwise=WARNED,
        expected={
            **_UNCOUNTED,
            Way.PARENTS: WARNED | EXACT,
            Way.CHILDREN: WARNED | EXACT,
        },  # parents of the last days end by their order
    ),
    Fault(
        name="scroll stolen",
        what="another program uses the workspace's only scroll",
        trick="scroll stolen",
        otherwise=NEVER,
        expected=_OF_SCROLLS,
    ),
    Fault(
        name="scroll expired",
        what="more than a minute passes between two pages",
        trick="scroll expired",
        otherwise=NEVER,
        expected=_OF_SCROLLS,
    ),
)
