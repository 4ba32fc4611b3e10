"""Metadata hook of hatchling: the project's addresses, and a README that an index can show.

Both are those of the repository that builds the release, as GitHub's workflows name it in the environment; a build
anywhere else has no addresses, and the README as it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE = re.compile(r"(\]\(|\b(?:src|srcset|href)=\")(?!https?:|#|mailto:)(?:\./)?([^)\"\s]+)")
_PICTURE = re.compile(r"\.(?:png|svg|jpe?g|gif|webp)$")


def repository() -> str | None:
    """The address of the repository whose workflow is running."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    return f"{server}/{name}" if server and name else None


def with_addresses(readme: str, address: str, commit: str) -> str:
    """The text with its relative links made absolute: an index has neither the files nor the pictures."""

    def absolute(match: re.Match[str]) -> str:
        kind = "raw" if _PICTURE.search(match[2]) else "blob"
        return f"{match[1]}{address}/{kind}/{commit}/{match[2]}"

    return _RELATIVE.sub(absolute, readme)


class MetadataHook(MetadataHookInterface):
    """Fills ``readme`` and ``urls``, which pyproject.toml declares as dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """`metadata` is the table ``project``."""
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        address = repository()
        if address is not None:
            readme = with_addresses(readme, address, os.environ.get("GITHUB_SHA", "HEAD"))
            owner, _, name = os.environ["GITHUB_REPOSITORY"].partition("/")
            pages = f"https://{owner}.github.io/{name}"
            metadata["urls"] = {
                "Documentation": pages,
                "Source": address,
                "Issues": f"{address}/issues",
                "Changelog": f"{pages}/changelog.html",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
