"""Markdown files of the repository as tests read them: their links, anchors and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "deployments" / "docs"
_FENCED: Final = re.compile(r"^( *)(```+)([a-z]*)[^\n]*\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_ADDRESS: Final = re.compile(r"^(https?|mailto):")


def pages() -> list[Path]:
    """The sources of the documentation site."""
    return sorted(DOCS.rglob("*.md"))


def with_readmes() -> list[Path]:
    """The site's pages, and what lies beside the code."""
    beside = ["README.md", "deployments", "intercom", "tests/benchmarks", ".github"]
    found = [[ROOT / name] if name.endswith(".md") else sorted((ROOT / name).rglob("*.md")) for name in beside]
    return sorted({*pages(), *chain.from_iterable(found)})


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: its language, its text without indentation, and the line where it begins."""

    language: str
    text: str
    line: int


def blocks(text: str, language: str | None = None) -> list[Block]:
    """All blocks of code, or those of one language."""
    found = []
    for match in _FENCED.finditer(text):
        indent, _, named, inside = match.groups()
        lines = [line.removeprefix(indent) for line in inside.splitlines()]
        found.append(Block(named, "\n".join(lines) + "\n", text.count("\n", 0, match.start()) + 1))
    return [block for block in found if language in (None, block.language)]


def commands(text: str) -> Iterator[str]:
    """Each command of the blocks `console`, without its prompt and comment; lines that a backslash ends are joined."""
    for block in blocks(text, "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield re.sub(r"\s+#\s.*$", "", line.removeprefix("$ ")).strip()


def prose(text: str) -> str:
    """The text without blocks of code."""
    return _FENCED.sub("", text)


def links(text: str) -> list[str]:
    """Targets of links and pictures that lie in the repository."""
    inline = re.sub(r"`[^`\n]*`", "", prose(text))
    return [target for target in _LINK.findall(inline) if not _ADDRESS.match(target)]


def headings(text: str) -> list[str]:
    """Texts of all headings, without marks."""
    found = re.findall(r"^#+ (.+?)\s*$", prose(text), re.MULTILINE)
    return [re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in found]


def anchors(text: str) -> set[str]:
    """What a link may name behind ``#``: the slugs of headings, and anchors that are set by hand."""
    return {slug(heading) for heading in headings(text)} | set(re.findall(r'<a id="([^"]+)"', text))


def slug(heading: str) -> str:
    """A heading's anchor, by the rule of GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(text: str, heading: str) -> str:
    """The text below a heading, up to the next heading of its level or above."""
    match = re.search(rf"^(#+) {re.escape(heading)}\n(.*)", text, re.DOTALL | re.MULTILINE)
    assert match, f"no heading {heading!r}"
    level, rest = match.groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
