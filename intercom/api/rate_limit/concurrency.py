"""How many requests may be under way at once: found by trying, without clock, threads or sleep.

More at once is faster until the server has no more to give; from there on each further request only slows down all the
others. Where that is differs between workspaces, tables and hours, so the number is tried out: a higher one stays if it
brought more answers a second, a lower one if it brought as many. While the number is used up, latency is the number
divided by answers a second, so this compares latencies, too; but mean ones under the same load, where the best latency
seen would take a list of tags as the measure for pages of conversations.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from intercom.config.connection import MOST_IN_FLIGHT

_FIRST = 8
_FEWEST = 4  # with fewer, one slow answer decides what is measured
_FIRST_STEP, _STEP = 2.0, 1.5
_SHARE_GAINED = 0.25  # of what a higher number promises, for it to stay
_SHARE_KEPT = 0.92  # of the answers a second, for a lower number to stay
_SLOWER = 1.5  # so much fewer answers a second than before: the server's load may have changed
# Measured before each decision: two rounds, and enough answers that slow and quick ones even out.
_ROUNDS, _FEWEST_ANSWERS, _FEWEST_FIRST_ANSWERS = 2, 32, 16
_SHORTEST_REST, _LONGEST_REST = 16, 64  # measurements before the next trial; twice as many after each that failed
_LATELY = 3  # measurements
# The number is what holds requests back when it is nearly used up and the rate is no more than a trifle in the way.
_USED_UP = 0.75
_TRIFLE, _NEARLY_ALL = 0.1, 0.9


@dataclass(frozen=True)
class _Before:
    """What a trial is compared with."""

    number: int
    speed: float  # answers a second


class AdaptiveConcurrency:
    """Decides how many requests may be in flight, at least 4 and at most ``most``; times are in seconds.

    Told of every change by ``level``, and of every answer by ``answered`` after that.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self.most = most
        self.number = min(_FIRST, most)
        self._fewest = min(_FEWEST, most)
        self._step = _FIRST_STEP
        self._before: _Before | None = None  # while a trial goes on
        self._resting, self._rest = 0, _SHORTEST_REST
        self._lately: deque[float] = deque(maxlen=_LATELY)  # answers a second at this number
        self._best = 0.0  # the highest usual speed since the number was confirmed
        self._settling = 0  # answers to wait for until all that is under way was sent under this number
        self._in_flight = 0
        self._rate_holds = False
        self._at = 0.0
        self._measure(0.0)

    def has_place(self, in_flight: int, *, urgent: bool) -> bool:
        """Whether one more may leave; an urgent request may be one above the number."""
        return in_flight < self.number + urgent

    def level(self, in_flight: int, now: float, *, rate_holds: bool = False) -> None:
        """So many are in flight from now on; ``rate_holds``: the allowed rate is what the next one waits for."""
        if not self._in_flight:
            self._settling = max(self._settling, self.number)  # what was not busy says nothing
        passed = now - self._at
        self._request_seconds += self._in_flight * passed
        self._held_seconds += passed if self._rate_holds else 0.0
        self._in_flight, self._rate_holds, self._at = in_flight, rate_holds, now

    def answered(self, now: float) -> None:
        """One answer has come; every few rounds of them the number is judged."""
        if self._settling:
            self._settling -= 1
            if not self._settling:
                self._measure(now)
            return
        self._answers += 1
        fewest = _FEWEST_FIRST_ANSWERS if self._step > _STEP else _FEWEST_ANSWERS
        if self._answers >= max(_ROUNDS * self.number, fewest) and now > self._since:
            self._judge(now - self._since)
            self._measure(now)

    def _measure(self, now: float) -> None:
        self._since = now
        self._answers = 0
        self._request_seconds = 0.0
        self._held_seconds = 0.0

    def _judge(self, seconds: float) -> None:
        speed, held = self._answers / seconds, self._held_seconds / seconds
        used_up = self._request_seconds >= _USED_UP * self.number * seconds
        if used_up and held <= _TRIFLE:
            self._weigh(speed)
            return
        # Not comparable. A number that is too high does no harm while it does not count, one too low might.
        before, self._before = self._before, None
        if before is not None and before.number > self.number:
            self._set(before.number)
            self._lately.append(before.speed)
        elif before is None and used_up and held < _NEARLY_ALL:
            self._set(self._higher)

    def _weigh(self, speed: float) -> None:
        before = self._before
        if before is None:
            self._wait(speed)
        elif self.number > before.number:
            promised = self.number / before.number - 1.0
            if speed >= before.speed * (1.0 + _SHARE_GAINED * promised):
                self._rest = _SHORTEST_REST
                self._try(self._higher, speed)
                return
            self._set(before.number)
            doubled, self._step = self._step > _STEP, _STEP
            self._try(self._higher if doubled else self._lower, before.speed)
        elif speed >= before.speed * _SHARE_KEPT:
            self._rest = _SHORTEST_REST
            self._try(self._lower, speed)
        else:
            self._set(before.number)
            self._confirm(before.speed)
            self._rest = min(2 * self._rest, _LONGEST_REST)

    def _wait(self, speed: float) -> None:
        """Between trials: begin one when it is time, or when the server has become slower."""
        self._lately.append(speed)
        # Not by one measurement: a trial that begins after an unlucky one would be compared with too little.
        usual = median(self._lately)
        slower = usual < self._best / _SLOWER and len(self._lately) == _LATELY
        self._best = max(usual, self._best)
        self._resting = max(0, self._resting - 1)
        if slower:
            self._try(self._lower, usual)
        elif not self._resting:
            self._try(self._higher if self.number < self.most else self._lower, usual)

    @property
    def _higher(self) -> int:
        return min(self.most, round(self.number * self._step))

    @property
    def _lower(self) -> int:
        return max(self._fewest, round(self.number / _STEP))

    def _try(self, number: int, speed: float) -> None:
        """Compare another number with this one, at which there were so many answers a second."""
        if number == self.number:
            self._confirm(speed)
        else:
            self._before = _Before(self.number, speed)
            self._best = speed
            self._set(number)

    def _confirm(self, speed: float) -> None:
        self._before = None
        self._lately.append(speed)
        self._best = speed
        self._resting = self._rest

    def _set(self, number: int) -> None:
        if number != self.number:
            self._settling = max(self._settling, self.number, number)
            self.number = number
            self._lately.clear()
