"""Pages have one term for one thing: the words of the page *Terms*, and none of those that mean the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.markdown import DOCS, ROOT, prose, with_readmes

PAGES = [page for page in with_readmes() if page.is_relative_to(DOCS) or page.parent in (ROOT, ROOT / "deployments")]
INSTEAD: Final[Mapping[str, str]] = {
    r"bookmarks?": "watermark",
    r"high[- ]water mark": "watermark",
    r"look-back|overlap window": "lookback",
    r"full (loads?|sync|resync|reload)|resyncs?": "full refresh",
    r"upserts?|upserted": "merge",
    r"staged files?|staging files?|part files?": "part",
    r"relations?": "derived table",
    r"(request )?allowance": "rate limit",
    r"tombstones?": "deleted row",
    r"in step( with)?": "up to date",
    r"held against": "compared with",
    r"anew": "again",
    r"doubled|doubles": "duplicate, or twice",
}
"""Patterns of words that pages do not have, and what they say instead."""
OF_OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "explanation/comparison.md": (r"bookmarks?", r"full (loads?|sync|resync|reload)|resyncs?"),
}
"""Words of other tools, on the page that is about these."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_each_thing_in_its_own_term(page: Path) -> None:
    allowed = OF_OTHERS.get(str(page.relative_to(DOCS)), ()) if page.is_relative_to(DOCS) else ()
    text = re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", prose(page.read_text(encoding="utf-8")))
    found = {
        match.group(0): instead
        for pattern, instead in INSTEAD.items()
        if pattern not in allowed
        for match in re.finditer(rf"(?i)\b(?:{pattern})\b", text)
    }
    assert found == {}


def test_each_term_that_is_said_instead_is_explained() -> None:
    terms = (DOCS / "reference" / "terms.md").read_text(encoding="utf-8")
    for instead in INSTEAD.values():
        if instead not in ("up to date", "compared with", "again", "duplicate, or twice"):
            assert re.search(rf"^\| ([^|]*, )?{instead}(, [^|]*)? \|", terms, re.MULTILINE), instead
