"""What is decided about rows that a sweep lacks: never on one doubtful answer, and for each row exactly one thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from intercom.lake.sweeps import Sweep
from intercom.sync.vanished import ASKED_ONE_BY_ONE, Answer, decide, is_large, to_ask

KEYS = [f"key-{number}" for number in range(320)]
SOME = st.sets(st.sampled_from(KEYS[:12])).map(frozenset)
MANY = st.sampled_from([frozenset(KEYS[:count]) for count in (0, 3, 200, 201, 260, 320)])
MISSING = SOME | MANY
TOLD = st.sampled_from(Answer)


@st.composite
def sweeps(draw: Any, keys: Any = MISSING) -> Sweep:
    missing, kept, gone = draw(keys), draw(keys), draw(SOME)
    return Sweep(missing - kept - gone, kept - gone, gone)


@st.composite
def cases(draw: Any) -> tuple[frozenset[str], Sweep, Mapping[str, Answer] | None, bool]:
    """What a sweep lacks, what the earlier one has left, the answers of those that are asked, and if it is whole."""
    missing, earlier, whole = draw(MISSING), draw(sweeps()), draw(st.booleans())
    asked = to_ask(missing, earlier, whole=whole, salt=draw(st.sampled_from(["a", "b"])))
    if not draw(st.booleans()):
        return missing, earlier, None, whole
    one = draw(TOLD)
    others = draw(st.dictionaries(st.sampled_from(asked), TOLD, max_size=3)) if asked else {}
    return missing, earlier, {key: others.get(key, one) for key in asked}, whole


@given(cases())
def test_each_missing_row_is_gone_or_kept_or_undecided(case: Any) -> None:
    missing, earlier, answers, whole = case
    decision = decide(missing, earlier, answers, whole=whole)
    sets = [decision.gone, decision.kept, decision.undecided]
    assert frozenset().union(*sets) == missing
    assert sum(map(len, sets)) == len(missing)


@given(cases())
def test_a_row_is_gone_only_if_two_questions_agree(case: Any) -> None:
    missing, earlier, answers, whole = case
    for key in decide(missing, earlier, answers, whole=whole).gone:
        by_address = answers is not None and answers.get(key) is Answer.GONE
        by_sweeps = whole and key in earlier.missing | earlier.gone
        assert key in missing
        assert by_address or by_sweeps


@given(cases())
def test_a_row_whose_address_has_it_or_says_nothing_is_not_gone(case: Any) -> None:
    missing, earlier, answers, whole = case
    decision = decide(missing, earlier, answers, whole=whole)
    for key, answer in (answers or {}).items():
        assert answer is Answer.GONE or key not in decision.gone
        assert answer is not Answer.THERE or key in decision.kept


@given(cases())
def test_a_row_that_was_kept_goes_only_by_its_own_address(case: Any) -> None:
    missing, earlier, answers, whole = case
    decision = decide(missing, earlier, answers, whole=whole)
    for key in earlier.kept & decision.gone:
        assert answers is not None
        assert answers[key] is Answer.GONE


@given(cases())
def test_where_one_of_the_sample_is_there_no_row_goes_unasked(case: Any) -> None:
    missing, earlier, answers, whole = case
    twice = missing & (earlier.missing | earlier.gone)
    if answers is not None and any(answers[key] is not Answer.GONE for key in twice & answers.keys()):
        assert decide(missing, earlier, answers, whole=whole).gone <= answers.keys()


@given(MISSING, sweeps(), st.booleans())
def test_no_more_rows_are_asked_than_allowed_and_all_where_they_are_few(
    missing: frozenset[str], earlier: Sweep, whole: bool
) -> None:
    asked = to_ask(missing, earlier, whole=whole, salt="run")
    assert len(asked) == len(set(asked)) <= ASKED_ONE_BY_ONE
    assert set(asked) <= missing
    assert len(missing) > ASKED_ONE_BY_ONE or set(asked) == missing


@given(cases())
def test_the_next_sweep_doubts_what_this_one_lacked_and_only_if_it_is_whole(case: Any) -> None:
    missing, earlier, answers, whole = case
    decision = decide(missing, earlier, answers, whole=whole)
    left = decision.sweep(earlier, whole=whole)
    assert left.keys <= missing
    assert not left.missing & (decision.kept | decision.gone)
    assert left.missing == decision.undecided if whole else left.missing <= earlier.keys
    refused = decision.refused()
    assert not refused.gone
    assert refused.undecided == decision.undecided | decision.gone


def test_a_second_sweep_decides_about_more_rows_than_are_asked() -> None:
    first = decide(KEYS, Sweep(), {}, whole=True)
    assert (len(first.gone), len(first.undecided)) == (0, 320)
    earlier = first.sweep(Sweep(), whole=True)
    asked = to_ask(KEYS, earlier, whole=True, salt="run")
    assert len(asked) == ASKED_ONE_BY_ONE
    second = decide(KEYS, earlier, dict.fromkeys(asked, Answer.GONE), whole=True)
    assert len(second.gone) == 320
    met = earlier.without(KEYS[:300])  # a sync has read these in between
    asked = to_ask(KEYS, met, whole=True, salt="run")
    assert set(decide(KEYS, met, dict.fromkeys(asked, Answer.GONE), whole=True).gone) == set(KEYS[300:])


def test_another_sample_is_asked_in_each_run() -> None:
    earlier = Sweep(missing=frozenset(KEYS))
    one, other = (to_ask(KEYS, earlier, whole=True, salt=salt) for salt in ("a", "b"))
    assert set(one) != set(other)


def test_a_large_part_of_a_table_needs_permission_unless_the_table_is_small() -> None:
    assert not is_large(20, 100)
    assert not is_large(100, 100)
    assert not is_large(40, 200)
    assert is_large(41, 200)
