"""Room in memory for merges that go on at the same time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread

import pytest

from intercom.compaction.memory import MemoryBudget


def beside(work: Callable[[], None]) -> Thread:
    """A thread that does not keep a failing test from ending."""
    thread = Thread(target=work, daemon=True)
    thread.start()
    return thread


def taking(room: MemoryBudget, size: int) -> Thread:
    def work() -> None:
        with room.taken(size):
            pass

    return beside(work)


def waits(thread: Thread) -> bool:
    thread.join(0.05)
    return thread.is_alive()


def ends(thread: Thread) -> bool:
    thread.join(30)
    return not thread.is_alive()


def test_work_that_fits_goes_on_at_the_same_time() -> None:
    room = MemoryBudget(10)
    with room.taken(4):
        assert ends(taking(room, 6))


def test_work_waits_until_others_have_left_enough_room() -> None:
    room = MemoryBudget(10)
    with room.taken(4):
        work = taking(room, 7)
        assert waits(work)
    assert ends(work)


@pytest.mark.parametrize(("first", "second"), [(1, 1_000), (1_000, 1)])
def test_work_that_is_larger_than_the_room_is_done_alone(first: int, second: int) -> None:
    room = MemoryBudget(10)
    with room.taken(first):
        work = taking(room, second)
        assert waits(work)
    assert ends(work)
    assert ends(taking(room, first))


def test_room_is_given_back_by_work_that_fails() -> None:
    room = MemoryBudget(10)
    with pytest.raises(ValueError, match="broken"), room.taken(10):
        raise ValueError("broken")
    assert ends(taking(room, 10))


def test_no_more_than_the_room_is_ever_taken() -> None:
    room, lock = MemoryBudget(10), Lock()
    taken, most = 0, 0

    def work() -> None:
        nonlocal taken, most
        for size in range(1, 11):
            with room.taken(size):
                with lock:
                    taken += size
                    most = max(most, taken)
                with lock:
                    taken -= size

    threads = [beside(work) for _ in range(8)]
    assert all(ends(thread) for thread in threads)
    assert most <= 10
    assert taken == 0
