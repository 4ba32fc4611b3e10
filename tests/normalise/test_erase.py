"""Records without forgotten people: examples, and a law over any JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.normalise.erase import Eraser
from intercom.normalise.protect import FORGOTTEN
from intercom.normalise.records import SentRecord
from intercom.tables.catalogue import TABLES
from tests.support.effort import effort

ADA, MAIL, PHONE = "5ba682d23d7cf92bef87bfd4", "ada@example.com", "+44123456789"


@dataclass(frozen=True)
class People:
    """Forgotten values in plain text."""

    values: frozenset[bytes] = frozenset({ADA.encode(), MAIL.encode(), PHONE.encode()})

    @property
    def lengths(self) -> frozenset[int]:
        return frozenset(map(len, self.values))

    def holds(self, value: bytes, *, external: bool = False) -> bool:
        return (value.lower() if b"@" in value else value) in self.values


def erased(table: str, record: dict[str, Any]) -> dict[str, Any] | None:
    left = Eraser(TABLES[table], People()).text(json.dumps(record).encode())
    return None if left is None else json.loads(left)


@pytest.mark.parametrize(
    ("table", "record"),
    [
        ("contacts", {"id": ADA}),
        ("contact_notes", {"id": "1", "contact_id": ADA, "body": "about her"}),
        ("contact_segments", {"id": "s", "contact_id": ADA}),
    ],
)
def test_a_record_of_ones_own_is_dropped(table: str, record: dict[str, Any]) -> None:
    assert erased(table, record) is None


def test_another_contact_stays_whole_also_with_the_same_email() -> None:
    other = {"id": "5ba682d23d7cf92bef87bfd5", "email": MAIL}
    assert erased("contacts", other) == other


def test_what_a_person_wrote_in_a_conversation_is_masked_and_the_rest_stays() -> None:
    author = {"type": "user", "id": ADA, "name": "Ada", "email": MAIL.upper(), "from_ai": False}
    record = {
        "id": "77",
        "title": "My secret",
        "source": {"type": "email", "body": "<p>my secret</p>", "subject": "secret", "author": author},
        "contacts": {"contacts": [{"type": "contact", "id": ADA}, {"type": "contact", "id": "other"}]},
        "teammates": {"admins": [{"type": "admin", "id": "5", "email": MAIL}]},
        "custom_attributes": {"caller": PHONE, "order": "9"},
        "unread": True,
    }
    assert erased("conversations", record) == {
        "id": "77",
        "title": FORGOTTEN,
        "source": {
            "type": "email",
            "body": FORGOTTEN,
            "subject": FORGOTTEN,
            "author": {"type": "user", "id": FORGOTTEN, "name": FORGOTTEN, "email": FORGOTTEN, "from_ai": None},
        },
        "contacts": {"contacts": [{"type": "contact", "id": "other"}]},
        "teammates": {"admins": [{"type": "admin", "id": "5", "email": MAIL}]},
        "custom_attributes": {"caller": FORGOTTEN, "order": "9"},
        "unread": True,
    }


def test_a_part_by_somebody_else_stays_and_one_by_the_person_has_no_text() -> None:
    theirs = {"id": "1", "body": "hello", "author": {"type": "admin", "id": "5"}, "conversation_id": "77"}
    assert erased("conversation_parts", theirs) == theirs
    own = {**theirs, "author": {"type": "lead", "id": ADA}, "attachments": [{"name": "passport.pdf"}]}
    assert erased("conversation_parts", own) == {
        **theirs,
        "body": FORGOTTEN,
        "author": {"type": "lead", "id": FORGOTTEN},
        "attachments": None,
    }


def test_a_call_keeps_its_times_and_no_number() -> None:
    call = {"id": "1", "contact_id": ADA, "phone": PHONE, "direction": "inbound", "recording_url": "https://x/y"}
    assert erased("calls", call) == {
        "id": "1",
        "contact_id": FORGOTTEN,
        "phone": FORGOTTEN,
        "direction": "inbound",
        "recording_url": FORGOTTEN,
    }


needles = st.sampled_from([ADA, MAIL, MAIL.upper(), PHONE])
spelled = needles | st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | spelled,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "email", "author", "source", "contacts", "x"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["source", "contacts", "custom_attributes", "tags", "new"]), values), st.data())
@settings(max_examples=effort(150, 20_000), deadline=None)
def test_no_spelling_of_a_name_gets_through(members: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps({"id": "77", **members}, ensure_ascii=data.draw(st.booleans()))
    if data.draw(st.booleans()):  # escapes that nobody needs
        text = text.replace("@", "\\u0040").replace("5ba", "\\u0035ba")
    left = Eraser(TABLES["conversations"], People()).record(SentRecord(text.encode()))  # type: ignore[arg-type]
    assert left is not None
    after = json.loads(bytes(left.text))  # type: ignore[attr-defined]
    assert after["id"] == "77"
    assert list(theirs(after)) == []
    if not list(theirs({"id": "77", **members})):
        assert after == {"id": "77", **members}


def theirs(value: Any) -> Any:
    """The forgotten values in a JSON value."""
    if isinstance(value, str) and value.lower() in (ADA, MAIL, PHONE):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from theirs(inner)
