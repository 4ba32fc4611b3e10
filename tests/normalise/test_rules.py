"""What tells one version of the rules that make rows from another one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from intercom.normalise import rules


def test_rules_change_with_any_module_that_makes_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = rules.rules()
    copies = {room: tmp_path / room for room in ("intercom.normalise", "intercom.tables")}
    for room, copy in copies.items():
        copy.mkdir()
        for module in files(room).iterdir():
            if module.name.endswith(".py"):
                (copy / module.name).write_bytes(module.read_bytes())
    monkeypatch.setattr(rules, "files", copies.__getitem__)
    assert rules.as_installed() == now
    for room, name in [("intercom.normalise", "coerce.py"), ("intercom.tables", "contacts.py")]:
        module = copies[room] / name
        text = module.read_bytes()
        module.write_bytes(text + b"\n")
        assert rules.as_installed() != now
        assert rules.rules() == now  # rows are made by what was loaded, whatever is installed meanwhile
        module.write_bytes(text)
