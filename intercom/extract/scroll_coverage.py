"""Tells whether several scrolls over the same companies have together read everything. Pure.

Every scroll should return the companies in the same order. A stretch is a run of companies that one scroll has returned
without losing a page. Two stretches that share a company are joined. Everything was read when joined stretches lead
from the beginning to an end. If two scrolls return companies in different orders, joining proves nothing, and only a
scroll without any gap counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence


class ScrollCoverage:
    """Scrolls, one after the other: `begin`, then `add`, `gap` and `empty` in the order of the pages, and `end`.

    A scroll that is lost has no `end`; the next one begins.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        """Where a key was first met: a number that grows from scroll to scroll and from key to key."""
        self._next_place = 0
        self._first_places: list[int] = []
        """The first place of each stretch, ascending; used to find the stretch of a place."""
        self._scrolls: list[int] = []
        """The scroll of each stretch."""
        self._joined: list[int] = []
        """The parent of each stretch in a union-find forest; joined stretches have the same root."""
        self._begun: int | None = None
        """The stretch at the beginning of the first scroll; the first stretches of later scrolls are joined to it."""
        self._ended: list[int] = []
        self._scroll = 0
        self._own: set[bytes] = set()
        self._last: bytes | None = None
        self._met: dict[int, int] = {}
        """Earlier scroll -> place of the last of its keys that this scroll has returned."""
        self._pending: str | None = None
        self._gapless = True
        self._empty_between: set[tuple[bytes | None, bytes]] = set()
        self._orderly = True
        self._whole = False

    @property
    def found(self) -> int:
        """Distinct companies of all scrolls."""
        return len(self._places)

    @property
    def whole(self) -> bool:
        """Whether all companies were read, from the beginning to an end."""
        if self._whole or not self._orderly or self._begun is None:
            return self._whole
        begun = self._root(self._begun)
        return any(self._root(stretch) == begun for stretch in self._ended)

    def begin(self) -> None:
        """A new scroll."""
        self._scroll += 1
        self._own, self._met = set(), {}
        self._last, self._pending, self._gapless = None, None, True
        stretch = self._new_stretch()
        if self._begun is None:
            self._begun = stretch
        self._join(self._begun, stretch)

    def add(self, keys: Sequence[bytes]) -> None:
        """The companies of a page. One that this scroll has returned before is ignored: its place says nothing."""
        for key in keys:
            if key not in self._own:
                self._own.add(key)
                self._meet(key)

    def gap(self) -> None:
        """A page was lost: nobody knows whether companies lie between the last one and the next."""
        self._pending = "gap"

    def empty(self) -> None:
        """An empty page: the end or a gap; neither, if an earlier scroll had one between the same two companies."""
        self._pending = self._pending or "empty"

    def end(self) -> None:
        """The scroll said that it is at its end."""
        if self._pending != "gap":
            self._ended.append(self._stretch)
            self._whole = self._whole or self._gapless

    def distrust(self) -> None:
        """Forget the ends that scrolls have reported so far."""
        self._ended.clear()
        self._whole = False

    @property
    def _stretch(self) -> int:
        return len(self._joined) - 1

    def _meet(self, key: bytes) -> None:
        if self._pending is not None:
            around = (self._last, key)
            if self._pending == "gap" or around not in self._empty_between:
                self._gapless = False
                self._new_stretch()
            if self._pending == "empty":
                self._empty_between.add(around)
            self._pending = None
        self._last = key
        place = self._places.get(key)
        if place is None:
            self._places[key] = self._next_place
            self._next_place += 1
            return
        earlier = bisect_right(self._first_places, place) - 1
        scroll = self._scrolls[earlier]
        if place < self._met.get(scroll, -1):
            self._orderly = False
        self._met[scroll] = place
        self._join(earlier, self._stretch)

    def _new_stretch(self) -> int:
        self._joined.append(len(self._joined))
        self._first_places.append(self._next_place)
        self._scrolls.append(self._scroll)
        return self._stretch

    def _root(self, stretch: int) -> int:
        while self._joined[stretch] != stretch:
            self._joined[stretch] = self._joined[self._joined[stretch]]
            stretch = self._joined[stretch]
        return stretch

    def _join(self, one: int, other: int) -> None:
        self._joined[self._root(other)] = self._root(one)
