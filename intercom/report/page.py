"""The page: tiles, sections and pictures as one HTML document, which has no script and fetches nothing.

Every text is escaped by the template; only the pictures, which are escaped by what draws them, are put in as they are.
The page also forbids the browser to run or fetch anything (Content-Security-Policy).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from intercom.report.blocks import Figure, Panel, Section, minute
from intercom.report.conversations import conversations
from intercom.report.drawing import draw
from intercom.report.facts import LakeFacts
from intercom.report.growth import growth
from intercom.report.overview import freshness, tiles
from intercom.report.people import people_and_articles
from intercom.report.runs import sync_history
from intercom.report.trust import trust

_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A panel with its pictures: SVG as text."""

    panel: Panel
    narrow: str
    wide: str | None


def sections(facts: LakeFacts) -> list[Section]:
    """All parts of the page in order."""
    made = (freshness, growth, conversations, people_and_articles, sync_history, trust)
    return [make(facts) for make in made]


def as_html(facts: LakeFacts) -> str:
    """The page as text. Takes about a tenth of a second for each picture."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found = sections(facts)
    drawn: dict[int, Sequence[_Drawn]] = {
        id(figure): [_drawn(panel) for panel in figure.panels] for section in found for figure in section.figures
    }

    def pictures(figure: Figure) -> Sequence[_Drawn]:
        return drawn[id(figure)]

    return environment.get_template("page.html.j2").render(
        facts=facts,
        made_at=minute(facts.now),
        version=_version(),
        tiles=tiles(facts),
        sections=found,
        pictures=pictures,
        style=(_FOLDER / "page.css").read_text(encoding="utf-8"),
    )


def _drawn(panel: Panel) -> _Drawn:
    return _Drawn(panel, draw(panel.narrow), None if panel.wide is None else draw(panel.wide))


def _version() -> str:
    try:
        return version("intercom-lake")
    except PackageNotFoundError:  # run from a source tree
        return ""
