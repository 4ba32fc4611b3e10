"""What the page on security says: permissions. Whom a run talks to is seen in `test_wheel.py`."""

from __future__ import annotations

from intercom.tables.catalogue import TABLES
from tests.deployments.scripts import ROOT

PAGE = (ROOT / "deployments/docs/security.md").read_text()


def test_the_page_names_the_permission_of_each_table() -> None:
    scopes: dict[str, list[str]] = {}
    for table in TABLES.values():
        if table.made_of is None:
            scopes.setdefault(table.scope, []).append(f"`{table.name}`")
    rows = [f"| {', '.join(names)} | *{scope}* |" for scope, names in scopes.items()]
    assert [line for line in PAGE.splitlines() if line.startswith("| `") and line.endswith("* |")] == rows
