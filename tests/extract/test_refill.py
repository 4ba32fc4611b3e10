"""Lists that come cut with a contact: the rest is asked for if a run wants it, and whatever changes there arrives."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from intercom.errors import RetriableApiError
from tests.support.rig import Rig

BOTH = ("contacts", "contact_tags")


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A few contacts, 80 tags, and no list that is cut."""
    rig = make_rig(contacts=6, companies=14, conversations=0, articles=0, tags=80, history_days=20)
    for row in rig.workspace.rows("contacts"):
        lists = {name: cut(row["id"], name, 0, 0) for name in ("tags", "companies")}
        rig.workspace.update("contacts", row["id"], touch=False, **lists)
    return rig


def cut(contact: str, name: str, sent: int, total: int, url: str = "") -> dict[str, Any]:
    """A list with so many elements that counts more; the first ones are those of another workspace."""
    data = [{"type": name.rstrip("s"), "id": f"{number}", "url": f"/{name}/{number}"} for number in range(sent)]
    url = url or f"/contacts/{contact}/{name}"
    return {"type": "list", "data": data, "url": url, "total_count": total, "has_more": total > sent}


def first(rig: Rig) -> str:
    return next(iter(rig.workspace.rows("contacts")))["id"]


def stored(rig: Rig, contact: str, name: str = "tags") -> dict[str, Any]:
    (text,) = [row[name] for row in rig.rows("contacts").to_pylist() if row["id"] == contact]
    return json.loads(text)


def asked(rig: Rig, contact: str, name: str = "tags") -> list[dict[str, str]]:
    return [dict(request.params) for request in rig.server.requests(f"/contacts/{contact}/{name}")]


def test_every_element_of_a_cut_list_arrives_page_by_page_and_in_the_derived_table(rig: Rig) -> None:
    contact = first(rig)
    sent = {name: cut(contact, name, 10, total) for name, total in (("tags", 75), ("companies", 14))}
    rig.workspace.update("contacts", contact, **sent)
    found = rig.sync((*BOTH, "contact_companies"), refill_lists=True)
    assert asked(rig, contact) == [{"per_page": "60", "page": "1"}, {"per_page": "60", "page": "2"}]
    assert len(asked(rig, contact, "companies")) == 1
    for name, total in (("tags", 75), ("companies", 14)):
        whole = stored(rig, contact, name)
        assert (whole["has_more"], whole["total_count"], whole["url"]) == (False, total, sent[name]["url"])
        assert whole["data"][:10] == sent[name]["data"]
        assert len({element["id"] for element in whole["data"]}) == len(whole["data"]) == total
        assert all(element.keys() == {"id", "type"} for element in whole["data"][10:])
        derived = rig.rows(f"contact_{name}").to_pylist()
        assert sorted(row["id"] for row in derived) == sorted(element["id"] for element in whole["data"])
        assert [row["_extra"] for row in derived] == [None] * total
    assert not [hint for _, (read, _) in found.items() for hint in read.hints if "lists that" in hint or "with" in hint]


def test_without_the_option_a_list_is_as_sent_and_no_request_more(rig: Rig) -> None:
    contact = first(rig)
    rig.workspace.update("contacts", contact, tags=(sent := cut(contact, "tags", 10, 75)))
    read, _ = rig.sync(BOTH)["contact_tags"]
    assert (stored(rig, contact), asked(rig, contact)) == (sent, [])
    assert read.hints == (
        "contact_tags: contacts whose tags are not all here, since Intercom sends only the first ones: 1 "
        "(--refill-lists asks for the others)",
    )


def test_a_tag_beyond_the_ten_that_comes_later_is_no_unchanged_row(rig: Rig) -> None:
    contact = first(rig)
    rig.workspace.travel(7200)
    rig.workspace.update("contacts", contact, tags=cut(contact, "tags", 10, 12))
    rig.sync(BOTH)
    rig.sync(BOTH, refill_lists=True)  # the record is as the lake has it: not so its list
    assert len(stored(rig, contact)["data"]) == 12
    old = stored(rig, contact)["data"][-1]["id"]
    rig.workspace.delete("tags", old)
    _, made = rig.sync(BOTH, refill_lists=True)["contact_tags"]
    assert (made.new, made.removed) == (1, 1)
    assert old not in {element["id"] for element in stored(rig, contact)["data"]}
    read, made = rig.sync(BOTH, refill_lists=True)["contacts"]
    assert (made.files, read.unchanged > 0) == (0, True)


def test_a_count_that_is_larger_than_what_there_is_and_a_contact_that_has_gone_are_told(rig: Rig) -> None:
    one, two, three, *_ = (row["id"] for row in rig.workspace.rows("contacts"))
    rig.workspace.update("contacts", one, companies=cut(one, "companies", 10, 99))
    rig.workspace.update("contacts", two, tags=(gone := cut(two, "tags", 10, 14, "/contacts/nobody/tags")))
    rig.workspace.update("contacts", three, tags={**cut(three, "tags", 1, 2), "data": "none"}, companies=None)
    read, _ = rig.sync(["contacts"], refill_lists=True)["contacts"]
    assert len(stored(rig, one, "companies")["data"]) == 24
    assert stored(rig, two) == gone
    assert [hint for hint in read.hints if "lists" in hint] == [
        "contacts: lists with fewer elements than they count, asked for alone: 1",
        "contacts: lists that stay cut, because their record was gone when they were asked for: 1",
    ]


def test_the_token_goes_to_the_configured_host_alone(rig: Rig) -> None:
    contact = first(rig)
    elsewhere = f"https://elsewhere.example/contacts/{contact}/tags?page=7"
    rig.workspace.update("contacts", contact, tags=cut(contact, "tags", 10, 12, elsewhere))
    rig.sync(["contacts"], refill_lists=True)
    assert asked(rig, contact) == [{"per_page": "60", "page": "1"}]


def test_a_list_that_cannot_be_had_fails_the_table_and_the_next_run_has_it(rig: Rig) -> None:
    contact = first(rig)
    rig.workspace.update("contacts", contact, tags=cut(contact, "tags", 10, 12))
    rig.server.fail(f"/contacts/{contact}/tags", status=503, times=99)
    with pytest.raises(RetriableApiError):
        rig.sync(["contacts"], refill_lists=True)
    rig.server.clear_faults()
    rig.sync(["contacts"], refill_lists=True)
    assert len(stored(rig, contact)["data"]) == 12


@pytest.mark.parametrize(("times", "whole"), [(1, True), (99, False)])
def test_another_contacts_list_is_asked_for_again_and_never_taken(rig: Rig, times: int, whole: bool) -> None:
    one, two, *_ = (row["id"] for row in rig.workspace.rows("contacts"))
    rig.workspace.update("contacts", one, tags=(sent := cut(one, "tags", 10, 14)))
    theirs = {**cut(two, "tags", 0, 12), "data": [{"type": "tag", "id": f"9{number}"} for number in range(12)]}
    rig.workspace.update("contacts", two, tags={**theirs, "has_more": False})
    path, other = f"/contacts/{one}/tags", f"/contacts/{two}/tags"
    rig.server.fail(path, kind="another", instead=lambda _: other, times=times)
    read, _ = rig.sync(["contacts"], refill_lists=True)["contacts"]
    assert len(asked(rig, one)) == 2
    assert not {f"9{number}" for number in range(12)} & {tag["id"] for tag in stored(rig, one)["data"]}
    assert (len(stored(rig, one)["data"]) == 14) is whole
    assert (stored(rig, one) == sent) is not whole
    assert (
        [hint for hint in read.hints if "lists" in hint] == []
        if whole
        else [
            "contacts: lists that stay cut, because the answers lacked what came with the record, as those for another "
            "record do: 1"
        ]
    )
