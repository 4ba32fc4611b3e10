"""The half of a verification that asks Intercom: one table of a lake against its workspace. Writes nothing.

How a table is read decides what can be compared, within the requests that are allowed:

    a search            counts in windows, a sample, the records of windows that differ: `against_search`
    a list by pages     all of it, if it is short enough; else its count, and a sample by the records' own addresses
    a scroll            the list beside it, which leaves out companies without users: a scroll would shut out a sync's
    a small list        all of it
    a log               pages counted in windows, and some of them read
    a child table       the number of children in the parents' records, and those of a sample of parents
    a derived table     nothing: it is made of the lake's own rows

A sync reads everything that has changed since its watermark less the lookback, so what is later than that is left to
it, and is no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from intercom.api.allowance import Allowance
from intercom.api.client import IntercomClient
from intercom.api.workspace import Workspace
from intercom.config.lookback import USUAL_LOOKBACK
from intercom.errors import ApiError, ConfigurationError, RequestsSpentError
from intercom.extract.whole_search import CREATED
from intercom.lake.layout import TablePaths
from intercom.lake.parquet import is_damage
from intercom.lake.state import TableState
from intercom.lake.table import LakeTable
from intercom.sync.table_record import check_workspace
from intercom.sync.time_text import shown_time
from intercom.sync.vanished import ASKED_ONE_BY_ONE
from intercom.tables.table import Access, Table
from intercom.verify.against_lists import compare_list
from intercom.verify.against_log import compare_log
from intercom.verify.against_parents import compare_children
from intercom.verify.against_search import compare_search
from intercom.verify.case import ApiLimits, Case
from intercom.verify.findings import Difference, Kind, Repair, TableProof, Window, about_rows
from intercom.verify.judge import Expected, Judged
from intercom.verify.lake_index import has_columns, indexed
from intercom.verify.window_counts import CountedWindow

_WINDOWS_NAMED = 20


def most_requests(table: Table, limits: ApiLimits) -> int:
    """The most requests that `verify_against_api` sends for a table; 0 for one that asks nothing."""
    return 0 if table.access is Access.DERIVED else limits.most_requests


def verify_against_api(
    table: Table,
    client: IntercomClient,
    lake_table: LakeTable,
    workspace: Workspace,
    limits: ApiLimits,
) -> TableProof:
    """Compare a table of the lake with the workspace, by at most `most_requests` requests.

    After an error of the API the proof has failed, and what was found until then is told. It has failed, too, if the
    workspace is another one than the table was read from. Raises AbandonedError when the process ends.
    """
    if table.access is Access.DERIVED:
        return TableProof(table.name)
    try:
        index = indexed(table, lake_table)
    except Exception as error:
        if not is_damage(error):
            raise
        return TableProof(table.name, notes=(f"{table.name}: a damaged file, so nothing was asked of Intercom",))
    if index is None:
        return TableProof(table.name, notes=(f"{table.name}: has no record that holds still: nothing was compared",))
    try:
        check_workspace(table, lake_table, index.state, workspace.code)
    except ConfigurationError as error:
        return TableProof(table.name, failure=str(error))
    expected, why_not = expected_of(table, index.state, workspace, limits.lookback.of(table.name))
    if why_not:
        return TableProof(table.name, notes=(f"{table.name}: not compared with Intercom, since {why_not}",))
    allowance = Allowance(limits.most_requests)
    case = Case(
        table, client, lake_table, index, expected, workspace.server_time, allowance, limits, zone=workspace.timezone
    )
    if not has_columns(table, index):
        case.notes.append(f"{table.name}: the next sync rewrites its columns, so no field was compared")
    failure = None
    try:
        sampled, differences = _compared(case)
    except (ApiError, RequestsSpentError) as error:
        told = f"{table.name}: not compared to the end: {error}"
        if isinstance(error, ApiError):
            failure = told
        else:
            case.notes.append(told)
        sampled, differences = (0, []) if table.is_child else _of_rows(case, [], [], [])
    return TableProof(
        table.name,
        windows=case.windows,
        sampled=sampled,
        requests=allowance.spent,
        differences=tuple(differences),
        notes=tuple(dict.fromkeys(case.notes)),
        failure=failure,
    )


def expected_of(
    table: Table, state: TableState, workspace: Workspace, lookback: int = USUAL_LOOKBACK.seconds
) -> tuple[Expected, str]:
    """What the lake has to have by its record, and why it need not have anything, if so. `lookback` is in seconds."""
    if state.backfills_only:
        return Expected(None), "only runs with an end date have read it"
    if table.cursor_field is None:
        return Expected(_read_at(state, workspace, lookback), is_timed=False), ""
    if state.watermark is None:
        return Expected(None), "the next sync reads it from the beginning"
    return Expected(state.watermark - lookback, state.history_from), ""


def _read_at(state: TableState, workspace: Workspace, lookback: int) -> int | None:
    """As much before the start of the last run, by the server's clock; None if it is not known."""
    if state.ingested_at is None:
        return None
    ahead = datetime.now(UTC).timestamp() - workspace.server_time
    return int(state.ingested_at.timestamp() - max(0.0, ahead)) - lookback


def _compared(case: Case) -> tuple[int, list[Difference]]:
    """Records that were compared field by field, and what differs."""
    match case.table.access:
        case Access.SEARCH:
            read, unread, extra = compare_search(case)
            return _of_rows(case, extra, [one.window for one in read], unread)
        case Access.TIME_LOG:
            read_windows, lacking = compare_log(case)
            sampled, differences = _of_rows(case, [], read_windows, [])
            return sampled, [*differences, *(_uncompared(case, window, "more", "fewer") for window in lacking)]
        case Access.CHILD:
            return _of_children(case)
        case _:
            return _of_rows(case, compare_list(case), [], [])


def _of_rows(
    case: Case, extra: Sequence[str], read: Sequence[Window], unread: Sequence[CountedWindow]
) -> tuple[int, list[Difference]]:
    judged, gone = case.conclude(extra)
    sampled = len(judged.same) + len(judged.fields)
    found = [*_missing(case, judged, read), *_stale(case, judged), *_fields(case, judged)]
    if gone:
        found.append(
            about_rows(
                case.table.name,
                Kind.EXTRA,
                "records that Intercom does not know by their own addresses",
                "no such rows",
                f"{len(gone):,} in the lake",
                Repair.REMOVE,
                gone,
            )
        )
    for one in unread:
        found.append(_uncompared(case, one.window, f"{one.counted:,}", f"{one.stored:,}"))
    if case.table.is_replaced:
        case.notes += _since_the_last_sync(case, judged.later, len(extra))
    left = case.unanswered(extra)
    if left:
        case.notes.append(
            f"{case.table.name}: {left:,} rows of the lake that Intercom does not list were not asked for one by one"
        )
    return sampled, found


def _since_the_last_sync(case: Case, later: int, extra: int) -> Iterator[str]:
    """Rows of a list that differ, and may have come, changed or gone since the last sync, which read the list whole."""
    for rows, what in ((later, "of Intercom that the lake does not have so"), (extra, "that Intercom does not list")):
        if rows:
            yield (
                f"{case.table.name}: {'1 row' if rows == 1 else f'{rows:,} rows'} {what}, perhaps since the last sync: "
                "the next one reads the whole list"
            )


def _missing(case: Case, judged: Judged, read: Sequence[Window]) -> Iterator[Difference]:
    """A difference for each window with missing records, and one for those outside of all windows."""
    if case.table.is_replaced:
        if judged.missing:
            yield _row_difference(
                case, Kind.MISSING, "the whole list", judged.missing, Repair.READ_TABLE, "as many rows", "none of them"
            )
        return
    by_window: dict[Window | None, list[str]] = {}
    for key, created in judged.missing.items():
        window = next((one for one in read[:_WINDOWS_NAMED] if _holds(one, created)), None)
        by_window.setdefault(window, []).append(key)
    for window, keys in by_window.items():
        where = "records that were drawn, or listed" if window is None else str(window)
        # A log has no addresses; and of many rows, pages are fewer requests than records.
        by_pages = window is not None and (not case.table.record_path or len(keys) > ASKED_ONE_BY_ONE)
        repair = Repair.READ_WINDOWS if by_pages or not case.table.record_path else Repair.READ_KEYS
        windows = (window,) if window is not None else (Window(str(case.table.cursor_field), None, None),)
        yield _row_difference(
            case,
            Kind.MISSING,
            where,
            keys,
            repair,
            f"{len(keys):,} row{'s' if len(keys) > 1 else ''} that Intercom has",
            "none of them" if len(keys) > 1 else "no such row",
            windows if repair is Repair.READ_WINDOWS else (),
        )


def _stale(case: Case, judged: Judged) -> Iterator[Difference]:
    if judged.stale:
        settled = case.expected.settled
        assert settled is not None
        yield _row_difference(
            case,
            Kind.STALE,
            f"rows that changed before {shown_time(settled)}",
            judged.stale,
            Repair.READ_KEYS if case.table.record_path else Repair.READ_TABLE,
            "their last version",
            "an older one, that no sync reads again",
        )


def _fields(case: Case, judged: Judged) -> Iterator[Difference]:
    if not judged.fields:
        return
    names = ", ".join(dict.fromkeys(name for own in judged.fields.values() for name in own))
    if case.table.cursor_field is None:
        case.notes.append(
            f"{case.table.name}: {len(judged.fields):,} rows differ in {names}: the next sync reads the whole list"
        )
        return
    yield _row_difference(
        case,
        Kind.FIELDS,
        "rows of the same version on both sides",
        list(judged.fields),
        Repair.READ_KEYS if case.table.record_path else Repair.READ_TABLE,
        "the same values",
        f"others of {names}",
    )


def _row_difference(
    case: Case,
    kind: Kind,
    where: str,
    keys: Iterable[str],
    repair: Repair,
    expected: str,
    found: str,
    windows: Sequence[Window] = (),
) -> Difference:
    return about_rows(case.table.name, kind, where, expected, found, repair, list(keys), windows)


def _uncompared(case: Case, window: Window, counted: str, stored: str) -> Difference:
    """A window whose counts differ, and whose records were not all read: the allowed requests do not suffice."""
    return Difference(
        case.table.name,
        Kind.COUNT,
        str(window),
        f"{counted} rows, as Intercom counts them",
        f"{stored}; the rows were not read, since {case.allowance.most:,} requests are allowed",
        Repair.READ_WINDOWS,
        windows=(window,),
    )


def _holds(window: Window, second: int | None) -> bool:
    if second is None or window.field != CREATED:
        return False
    return (window.start is None or second >= window.start) and (window.end is None or second < window.end)


def _of_children(case: Case) -> tuple[int, list[Difference]]:
    declared = case.table.parent
    assert declared is not None
    if case.index.state.staged:
        case.notes.append(f"{case.table.name}: staged rows wait to be merged, so it was not compared with Intercom")
        return 0, []
    paths = TablePaths(case.lake_table.paths.connection, declared.table.name)
    found = compare_children(case, case.lake_table.beside(paths))
    case.windows += found.asked
    name, parents = case.table.name, declared.table.name
    repair = Repair.READ_KEYS if declared.table.record_path else Repair.READ_TABLE
    differences = []
    for kind, counted in ((Kind.MISSING, found.missing), (Kind.EXTRA, found.extra)):
        if counted:
            rows = f"{sum(counted.values()):,} rows of {len(counted):,} {parents}"
            said = ("these rows", f"{rows} are not in the lake") if kind is Kind.MISSING else ("no such rows", rows)
            differences.append(about_rows(name, kind, f"{parents} (keys)", *said, repair, list(counted)))
    if found.fields:
        names = ", ".join(dict.fromkeys(column for own in found.fields.values() for column in own))
        differences.append(
            about_rows(
                name,
                Kind.FIELDS,
                f"{parents} (keys)",
                "the same values",
                f"others of {names}",
                repair,
                list(found.fields),
            )
        )
    if found.unasked and found.suspects:
        differences.append(
            about_rows(
                name,
                Kind.COUNT,
                f"{parents} (keys)",
                f"{sum(one.said for one in found.unasked.values()):,} rows, as the {parents} count them",
                f"{sum(one.stored for one in found.unasked.values()):,}; these {parents} were not asked for",
                repair,
                list(found.unasked),
            )
        )
    elif found.unasked:
        case.notes.append(
            f"{name}: {len(found.unasked):,} {parents} count another number of rows than the lake has, as others do "
            "whose rows are right"
        )
    return found.same, differences
