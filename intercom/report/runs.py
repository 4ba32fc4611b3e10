"""How the runs went: rows, requests, 429s, the share of the allowance, seconds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from intercom.report.blocks import Figure, Numbers, Panel, Section, count, minute, span
from intercom.report.facts import LakeFacts
from intercom.report.growth import day_label
from intercom.report.history import PastRun
from intercom.report.pictures import NARROW, Spec, bars_over_time

_HEIGHT: Final = 118
_FEW: Final = 10
_HEADINGS: Final = (
    "ended", "kind", "state", "seconds", "rows read", "new", "changed", "removed", "requests", "429s",
    "share of allowance", "rejected",
)  # fmt: skip


def sync_history(facts: LakeFacts) -> Section:
    """The newest runs, the oldest on the left."""
    history = facts.history
    if not history.runs:
        return Section("Sync history", notes=("This lake has no summary of a run, so it has no history to show.",))
    runs = history.runs
    labels = _labels(runs)

    def bars(value: Callable[[PastRun], float | None], *, percent: bool = False) -> Spec:
        series = {
            "first": [value(run) if run.state == "completed" else None for run in runs],
            "bad": [value(run) if run.state != "completed" else None for run in runs],
        }
        most = None if percent else cut_at([value(run) or 0 for run in runs])
        return bars_over_time(series, labels, width=NARROW, height=_HEIGHT, percent=percent, most=most)

    stacked = {"first": [run.new for run in runs], "second": [run.changed for run in runs]}
    together = [(run.new or 0) + (run.changed or 0) for run in runs]
    throttled = sum(run.throttled or 0 for run in runs)
    panels = [
        Panel("Rows read", bars(lambda run: run.rows_read), value=count(_total(runs, lambda run: run.rows_read))),
        Panel(
            "New and changed",
            bars_over_time(stacked, labels, width=NARROW, height=_HEIGHT, most=cut_at(together)),
            value=f"{count(_total(runs, lambda run: run.new))} and {count(_total(runs, lambda run: run.changed))} rows",
        ),
        Panel("Requests", bars(lambda run: run.requests), value=count(_total(runs, lambda run: run.requests))),
        Panel("Answers with 429", bars(lambda run: run.throttled), value=count(throttled)),
        Panel("Share of the rate limit", bars(lambda run: run.share, percent=True), value=_usual_share(runs)),
        Panel("Seconds", bars(lambda run: run.seconds), value=f"latest: {span(runs[-1].seconds)}"),
    ]
    failed = sum(run.state != "completed" for run in runs)
    told = f"{len(runs):,} runs, the latest on the right; {failed:,} failed. Bars with a mark on top are cut."
    if history.older:
        told += f" {history.older:,} older ones are in the lake and not shown."
    figure = Figure(
        "Runs",
        told,
        tuple(panels),
        Numbers(_HEADINGS, tuple(_row(run) for run in reversed(runs)), frozenset({0, 1, 2})),
        legend=(("completed; new rows", "first"), ("changed rows", "second"), ("failed", "bad")),
        broad=True,
    )
    return Section("Sync history", figures=(figure,))


def cut_at(values: Sequence[float]) -> float | None:
    """Where bars are cut because a few, such as first loads, are far higher than all others; None if none is.

    The few are one in thirty.
    """
    usual = sorted(values)[: len(values) - max(1, len(values) // 30)]
    bound = 1.25 * max(usual, default=0)
    return bound if len(values) >= _FEW and 0 < 3 * bound < max(values) else None


def _row(run: PastRun) -> tuple[str, ...]:
    numbers = (run.rows_read, run.new, run.changed, run.removed, run.requests, run.throttled)
    seconds = "–" if run.seconds is None else f"{run.seconds:,.1f}"
    return (
        minute(run.ended_at),
        run.kind,
        run.state,
        seconds,
        *map(count, numbers),
        _percent(run.share),
        count(run.rejected),
    )


def _labels(runs: Sequence[PastRun]) -> list[str]:
    """The days of the runs; their times where all are of one day."""
    if len({run.ended_at.date() for run in runs}) == 1:
        return [f"{run.ended_at:%H:%M}" for run in runs]
    return [day_label(run.ended_at.date()) for run in runs]


def _total(runs: Sequence[PastRun], value: Callable[[PastRun], int | None]) -> int:
    return sum(value(run) or 0 for run in runs)


def _usual_share(runs: Sequence[PastRun]) -> str:
    known = [run.share for run in runs if run.share is not None]
    return f"at most {_percent(max(known))}" if known else "not known"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
