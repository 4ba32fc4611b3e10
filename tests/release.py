"""What a release needs: ``python -m tests.release --tag v1.2.3`` prints its notes, ``--lake 1.2.3`` keeps a lake of it.

The notes are the changelog's first section, which must be of that version. The lake is for all later versions, whose
tests upgrade it (tests/deployments/test_upgrade.py); it is written before the tag.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "deployments" / "docs" / "changelog.md"
_SECTION = re.compile(r"^## (\S+) \((\d{4}-\d\d-\d\d|not yet released)\)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def releases(changelog: str) -> dict[str, str]:
    """Version -> notes, the latest first; with that of the next release, if the changelog has one yet."""
    return {version: notes.strip() for version, _, notes in _SECTION.findall(changelog)}


def notes_of(tag: str, changelog: str) -> str:
    """The notes of a tag. ValueError unless its version is the changelog's latest, with the date of its release."""
    latest = _SECTION.search(changelog)
    if latest is None or f"v{latest[1]}" != tag:
        raise ValueError(f"{CHANGELOG.name} has no section for {tag} at its top: '## {tag[1:]} (YYYY-MM-DD)'.")
    if not latest[2][0].isdigit():
        raise ValueError(f"{CHANGELOG.name} says that {tag} is {latest[2]}. Write the date of the release.")
    return latest[3].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--tag", help="print the notes of this release")
    wanted.add_argument("--lake", metavar="VERSION", help="write a lake of this version to tests/deployments/lakes")
    given = parser.parse_args()
    if given.tag:
        try:
            print(notes_of(given.tag, CHANGELOG.read_text(encoding="utf-8")))
        except ValueError as error:
            raise SystemExit(str(error)) from error
    else:
        from tests.support.released_lake import save

        print(save(given.lake))


if __name__ == "__main__":
    main()
