"""The pictures of a report as Vega-Lite: bars and lines over time, and bars by name. Pure.

Colours are names of the page's style (``var(--first)``), so that one picture is right on light and dark pages and on
paper. Names of the workspace are values of the data only, never a part of an expression.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import Any, Final
from unicodedata import east_asian_width

from intercom.report.blocks import distinct

WIDE: Final = 500
NARROW: Final = 326
"""Widths in pixels: of half the page of a screen, and of a phone's."""
_ROW: Final = 27
"""Height of a horizontal bar with its gap."""
_MOST_DOTS: Final = 40
_FEWEST: Final = 8
"""Places that an axis has at least: a single bar would fill the picture."""

Spec = dict[str, Any]
Series = Mapping[str, Sequence[float | None]]
"""Name of a colour -> a value for each place on the axis."""


def bars_over_time(
    series: Series,
    labels: Sequence[str],
    *,
    width: int,
    height: int,
    percent: bool = False,
    most: float | None = None,
) -> Spec:
    """Stacked bars, one for each label; only as many labels as have room are written.

    A bar that is higher than `most` is cut there, and has a mark.
    """
    bars: list[Spec] = []
    cut: list[Spec] = []
    top = inf if most is None else most
    for place in range(len(labels)):
        low = 0.0
        for color, values in series.items():
            high = low + (values[place] or 0)
            if min(high, top) > low:
                end = min(high, top)
                bars.append({"from": place - 0.4, "to": place + 0.4, "low": low, "high": end, "color": color})
            low = high
        if low > top:
            cut.append({"from": place, "low": top})
    greatest = max((bar["high"] for bar in bars), default=0)
    whole = all(isinstance(value, int) for values in series.values() for value in values if value is not None)
    x, y = _place("from", labels, width), _amount("low", greatest, percent=percent, whole=whole)
    encoding = {
        "x": x,
        "x2": {"field": "to"},
        "y": y,
        "y2": {"field": "high"},
        "color": _colors(series),
    }
    bar = {"mark": {"type": "bar", "aria": False}, "encoding": encoding}
    if not cut:
        return _spec(width, height, bars, bar)
    shape = {"type": "point", "shape": "triangle-up", "filled": True, "size": 36, "yOffset": -6, "aria": False}
    mark = {"data": {"values": cut}, "mark": {**shape, "fill": "var(--soft)"}, "encoding": {"x": x, "y": y}}
    return _spec(width, height, bars, {"layer": [bar, mark]})


def line_over_time(values: Sequence[float | None], labels: Sequence[str], *, width: int, height: int) -> Spec:
    """A line with a gap where there is no value; with dots if there are few values, or no others beside one."""
    few = len(values) <= _MOST_DOTS
    points = [{"from": place, "high": value} for place, value in enumerate(values)]
    apart = [
        point
        for place, point in enumerate(points)
        if few or all(one["high"] is None for one in points[max(0, place - 1) : place + 2] if one is not point)
    ]
    encoding = {
        "x": _place("from", labels, width),
        "y": _amount("high", max((value for value in values if value is not None), default=0)),
    }
    line = {"type": "line", "stroke": "var(--first)", "strokeWidth": 1.75, "strokeJoin": "round", "aria": False}
    dots = {"type": "point", "filled": True, "size": 22, "fill": "var(--first)", "opacity": 1, "aria": False}
    layers = [
        {"mark": line, "encoding": encoding},
        {"data": {"values": apart}, "mark": dots, "encoding": encoding},
    ]
    return _spec(width, height, points, {"layer": layers})


def bars_by_name(names: Sequence[str], series: Mapping[str, Sequence[int]], *, width: int) -> Spec:
    """Horizontal stacked bars in the order of the names, each with its total behind it."""
    names = distinct(names, width // 17)
    bars: list[Spec] = []
    totals: list[Spec] = []
    for place, name in enumerate(names):
        low = 0
        for color, values in series.items():
            if values[place]:
                bars.append({"name": name, "low": low, "high": low + values[place], "color": color})
            low += values[place]
        totals.append({"name": name, "low": low, "text": f"{low:,}"})
    greatest = max((total["low"] for total in totals), default=0) or 1
    beside = max(map(_pixels, names), default=0) + 14
    by_name = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "scale": {"domain": names, "paddingInner": 0.35, "paddingOuter": 0.15},
        "axis": {
            "labelLimit": 0,
            "labelPadding": 8,
            "title": None,
            "domain": False,
            "grid": False,
        },
    }
    along = {
        "field": "low",
        "type": "quantitative",
        "scale": {"domain": [0, greatest * _room_behind(totals, width - beside)]},
        "axis": None,
    }
    bar = {
        "data": {"values": bars},
        "mark": {"type": "bar", "cornerRadius": 2, "aria": False},
        "encoding": {"y": by_name, "x": along, "x2": {"field": "high"}, "color": _colors(series)},
    }
    text = {
        "data": {"values": totals},
        "mark": {"type": "text", "align": "left", "dx": 6, "fill": "var(--ink)", "fontSize": 12, "aria": False},
        "encoding": {"y": by_name, "x": along, "text": {"field": "text", "type": "nominal"}},
    }
    # Not fitted by Vega, which measures names in its own fonts: these lack many characters.
    sizes = {
        "width": width - beside,
        "autosize": "none",
        "padding": {"left": beside, "right": 0, "top": 0, "bottom": 0},
    }
    return _spec(width, _ROW * len(names) + 6, [], {**sizes, "layer": [bar, text]})


def _room_behind(totals: Sequence[Spec], width: int) -> float:
    """How much longer than the longest bar its axis is, so that its total has room."""
    total = 8 * max((len(one["text"]) for one in totals), default=0) + 14
    return width / max(width - total, width / 3)


def _pixels(name: str) -> int:
    """About how wide a name is, in 12 pixels."""
    return sum(14 if east_asian_width(one) in "WF" else 11 if one in "mwMW@%" else 7 for one in name)


def _spec(width: int, height: int, values: Sequence[Mapping[str, Any]], content: Mapping[str, Any]) -> Spec:
    return {
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 0, "right": 4, "top": 6, "bottom": 4},
        "background": None,
        "data": {"values": list(values)},
        "config": {
            "font": "Arial",  # by which widths are measured; the page's style has its own
            "view": {"stroke": None},
            "axis": {
                "domainColor": "var(--line)",
                "gridColor": "var(--line)",
                "labelColor": "var(--soft)",
                "labelFontSize": 12,
                "labelPadding": 6,
                "ticks": False,
                "aria": False,
            },
        },
        **content,
    }


def _place(field: str, labels: Sequence[str], width: int) -> Spec:
    """The axis of places 0, 1, ...: the last label, and every so many before it that they have room."""
    slots = max(len(labels), _FEWEST)
    # Of a label's width half more, because the last one is moved to the left by half of it.
    needed = max(map(len, labels), default=1) * 10 + 16
    step = max(1, ceil(needed * slots / (width - 40)))
    shown = {str(place): labels[place] for place in range(len(labels) - 1, -1, -step)}
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"domain": [-0.7, slots - 0.3], "nice": False, "zero": False},
        "axis": {
            "values": sorted(map(int, shown)),
            "labelExpr": f"({json.dumps(shown)})[datum.value]",
            "labelFlush": 14,
            "labelBound": False,
            "labelOverlap": False,
            "grid": False,
            "title": None,
        },
    }


def _amount(field: str, greatest: float, *, percent: bool = False, whole: bool = False) -> Spec:
    form = ".0%" if percent else "~s" if greatest >= 1000 else ",.2~f"
    scale: Spec = {"zero": True, "nice": True}
    if greatest == 0:
        scale = {"domain": [0, 1], "nice": False}
    elif percent:
        scale = {"domain": [0, max(1.0, greatest)]}
    # As an expression, because a format of its own gives all ticks the unit of the greatest: 0k.
    axis = {"labelExpr": f"format(datum.value, '{form}')", "tickCount": 4, "domain": False, "title": None}
    if whole:
        axis |= {"values": list(range(int(greatest) + 1))} if greatest <= 4 else {"tickMinStep": 1}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def _colors(series: Mapping[str, Any]) -> Spec:
    names = list(series)
    scale = {"domain": names, "range": [f"var(--{name})" for name in names]}
    return {"field": "color", "type": "nominal", "scale": scale, "legend": None}
