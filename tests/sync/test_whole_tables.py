"""Tables that every run reads whole: what changed without a sign of it is found, and what is gone goes."""

from __future__ import annotations

from tests.support.rig import Rig


def test_a_renamed_and_a_deleted_tag_are_followed(rig: Rig) -> None:
    rig.load(["tags"])
    first, second, *_ = rig.workspace.rows("tags")
    rig.workspace.update("tags", first["id"], name="renamed")
    rig.workspace.delete("tags", second["id"])
    results = rig.sync(["tags"])
    rig.check(["tags"])
    assert (results["tags"][1].changed, results["tags"][1].removed) == (1, 1)


def test_an_empty_list_is_a_legal_empty_table(rig: Rig) -> None:
    rig.load(["tags"])
    for tag in rig.workspace.rows("tags"):
        rig.workspace.delete("tags", tag["id"])
    rig.sync(["tags"])
    assert rig.rows("tags").num_rows == 0
    rig.check(["tags"])


def test_attributes_of_one_name_in_two_models_are_both_kept(rig: Rig) -> None:
    rig.sync(["data_attributes"])
    rig.check(["data_attributes"])
    names = rig.rows("data_attributes").column("name").to_pylist()
    assert len(names) > len(set(names))


def test_changes_without_a_new_cursor_value_are_found_where_tables_are_read_whole(rig: Rig) -> None:
    rig.load(["companies", "articles"])
    company, article = rig.workspace.rows("companies")[0], rig.workspace.rows("articles")[0]
    rig.workspace.update("companies", company["id"], touch=False, user_count=4711)
    rig.workspace.update("articles", article["id"], touch=False, translated_content={"de": {"title": "neu"}})
    results = rig.sync(["companies", "articles"])
    rig.check(["companies", "articles"])
    assert [compacted.changed for _, compacted in results.values()] == [1, 1]
