"""A workspace of ordinary size, all nine tables: requests, CPU and memory of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from intercom.sandbox import Workspace
from tests.benchmarks.load import UNLIMITED, serving
from tests.benchmarks.processes import bare_flow, sync, told
from tests.benchmarks.table import Row
from tests.support.rig import Rig

ROUNDS = 3
MOST_OF_A_BARE_FLOW = 0.5
"""4 s where a bare flow takes 8 s."""
SCROLL = "/companies/scroll"
CHANGED_STEP = 100  # every hundredth row


def measure() -> Iterator[Row]:
    """Requests first: they are counts, and the same on every machine."""
    yield from _requests(_workspace())
    yield from _costs(_workspace())


def _workspace() -> Workspace:
    return Workspace.seeded(contacts=20_000, companies=3_000, conversations=10_000, articles=500)


def _requests(workspace: Workspace) -> Iterator[Row]:
    with serving(workspace, rate_limit=UNLIMITED) as (server, lake):
        rig = Rig(server, str(lake))
        total, _ = _run(rig)
        yield Row("requests of a first load, nine tables, 34,000 rows", f"{total}", "<= 275", total <= 275)
        workspace.travel(3_600)
        change_some(workspace)
        for what, most in (("after 1 % of the rows changed", 40), ("of an idle run", 30)):
            workspace.travel(3_600)
            total, scrolled = _run(rig)
            beyond = total - scrolled
            figure = f"{total}, {beyond} of them beyond the scroll"
            yield Row(f"requests {what}", figure, f"<= {most} beyond the scroll", beyond <= most)


def _run(rig: Rig) -> tuple[int, int]:
    """Requests of one run, and those of the scroll among them."""
    rig.server.clear_log()
    rig.sync()
    return len(rig.server.requests()), len(rig.server.requests(SCROLL))


def change_some(workspace: Workspace) -> None:
    """Every hundredth row of the four large tables, with a new time of change."""
    for table in ("contacts", "companies", "conversations", "articles"):
        for row in workspace.rows(table)[::CHANGED_STEP]:
            workspace.update(table, row["id"])


def _costs(workspace: Workspace) -> Iterator[Row]:
    """In alternating rounds, since Prefect's server takes more or less by seconds each time."""
    rounds = []
    for _ in range(ROUNDS):
        with serving(workspace, rate_limit=UNLIMITED) as (server, lake):
            rounds.append((bare_flow(), sync(server, lake), sync(server, lake)))
    bare, whole, idle = rounds[-1]
    floor = median(bare.cpu_seconds for bare, _, _ in rounds)
    own, again = (median(each[place].cpu_seconds - each[0].cpu_seconds for each in rounds) for place in (1, 2))
    yield Row("CPU of a bare flow", f"{floor:.1f} s (the last: {told(bare)})")
    yield Row(
        "CPU of a first load beyond that",
        f"{own:.1f} s, {own / floor:.2f}x a bare flow (the last: {told(whole)})",
        f"<= {MOST_OF_A_BARE_FLOW}x",
        own <= MOST_OF_A_BARE_FLOW * floor,
    )
    yield Row("CPU of an idle run beyond that", f"{again:.1f} s, {again / floor:.2f}x (the last: {told(idle)})")
    peak, floor = whole.peak_megabytes, bare.peak_megabytes
    yield Row("peak memory of a first load", f"{peak:.0f} MB (a bare flow: {floor:.0f} MB)", "< 300 MB", peak < 300)
