"""Writes the generated pages of the documentation: ``python -m tests.docs.generate``. A test holds that they are so."""

from __future__ import annotations

from typing import Final

from intercom.tables.catalogue import TABLES
from tests.docs.columns import table_page
from tests.docs.parameters import commands_page, parameters_page
from tests.support.markdown import DOCS

REFERENCE: Final = DOCS / "reference"


def generated() -> dict[str, str]:
    """The text of each page, by its path below `REFERENCE`."""
    pages = {f"tables/{name}.md": table_page(table) for name, table in TABLES.items()}
    return pages | {"commands.md": commands_page(), "parameters.md": parameters_page()}


def main() -> None:
    for name, text in generated().items():
        (REFERENCE / name).parent.mkdir(exist_ok=True)
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
