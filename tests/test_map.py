"""The map of the package in intercom/README.md, held against its folders."""

from __future__ import annotations

import re
from pathlib import Path

import intercom

PACKAGE = Path(intercom.__file__).parent
MAP = (PACKAGE / "README.md").read_text(encoding="utf-8")


def test_the_map_names_every_room_and_every_module_of_it_and_no_other() -> None:
    drawn = {
        room: set(re.findall(r"`(\w+)`", modules))
        for room, modules in re.findall(r"^\| `([\w/]+)` \| (`.*) \|$", MAP, re.M)
    }
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/**/*.py")}
    folders -= {"flows", "bundled"}  # whose files are those of the checkout's other folders
    there = {room: {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"} for room in folders}
    assert drawn == there
    assert all(f"`{path.stem}`" in MAP or path.stem in MAP for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def test_the_places_that_the_map_names_are_there() -> None:
    places = re.findall(r"`((?:[a-z_]+/)+[a-z_]+)`", MAP.partition("## Where is")[2].partition("## One more")[0])
    assert places
    assert [place for place in places if not (PACKAGE / f"{place}.py").exists()] == []
