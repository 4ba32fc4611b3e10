"""Number of requests in flight, adapted by trials. Pure: time is passed in.

More requests in flight are faster until the server is saturated; from there on each further request only slows down the
others. That point differs between workspaces, tables and hours, so numbers are tried: a higher one stays if it brought
more answers a second, a lower one if it brought as many. While the number is used up, latency is the number divided by
answers a second, so the trials also compare mean latencies under the same load. The best latency ever seen would be a
wrong measure: it may be that of a list of tags, while pages of conversations are read.

The first trials need fewer answers. They look at requests that leave together after an idle time: a saturated server
answers the last ones late, any other answers all in about the same time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

from intercom.config.connection import MOST_IN_FLIGHT

_FIRST = 8
_FEWEST = 4  # with fewer, one slow answer decides the measurement
_FIRST_STEP, _STEP = 2.0, 1.5  # factor from one number to the next; the first one until a trial fails
_SHARE_GAINED = 0.25  # a higher number stays if it gains this share of what it promises
_SHARE_KEPT = 0.92  # a lower number stays if it keeps this share of the answers a second
_SLOWER = 1.5  # answers a second that fall by this factor start a trial: the server's load may have changed
# Answers that are measured before each decision: two rounds, and enough that slow and quick ones even out.
_ROUNDS, _FEWEST_ANSWERS, _FEWEST_FIRST_ANSWERS = 2, 32, 16
_SHORTEST_REST, _LONGEST_REST = 16, 64  # measurements until the next trial; doubled after each that failed
# Latencies of requests that leave together differ by this factor at most where none of them has queued up.
_ALIKE = 1.5
_TOGETHER = 0.5  # share of a latency in which they may leave one after the other, as the rate limit lets them
_RECENT = 3  # measurements, whose median is the usual speed
# Shares of the measured time. A measurement says something about the number only if the number was nearly used up, and
# the rate limit held requests back for a trifle of the time at most.
_USED_UP = 0.75
_TRIFLE, _NEARLY_ALL = 0.1, 0.9


@dataclass(frozen=True)
class _Baseline:
    """What a trial is compared with: the number before it, and its speed."""

    number: int
    speed: float  # answers a second


@dataclass
class _Volley:
    """Requests that leave together: as many as may be in flight, after an idle time or when the number was raised."""

    since: float
    fastest: float = math.inf  # seconds; of this volley and those before it that were all alike
    slowest: float = 0.0
    seconds: float = 0.0  # of all its answers
    answers: int = 0
    most_in_flight: int = 0
    held_seconds: float = 0.0  # in which the rate limit let nothing leave

    def add(self, seconds: float) -> None:
        self.fastest, self.slowest = min(self.fastest, seconds), max(self.slowest, seconds)
        self.seconds += seconds
        self.answers += 1


class AdaptiveConcurrency:
    """Decides how many requests may be in flight: at least 4 and at most ``most``. Times are local seconds.

    Every change of the number in flight is reported by ``level``, every answer by ``answered`` after that.
    """

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self.most = most
        self.number = min(_FIRST, most)
        self._fewest = min(_FEWEST, most)
        self._step = _FIRST_STEP
        self._baseline: _Baseline | None = None  # None when no trial goes on
        self._resting, self._rest = 0, _SHORTEST_REST
        self._recent: deque[float] = deque(maxlen=_RECENT)  # answers a second at this number
        self._best = 0.0  # the highest usual speed since the number was confirmed
        self._settling = 0  # answers to skip: their requests may have left under another number
        self._in_flight = 0
        self._rate_holds = False
        self._at = 0.0
        self._volley: _Volley | None = None  # None: no volley is watched now
        self._measure(0.0)

    def has_place(self, in_flight: int, *, urgent: bool) -> bool:
        """Whether one more request may leave; an urgent one may exceed the number by one."""
        return in_flight < self.number + urgent

    def level(self, in_flight: int, now: float, *, rate_holds: bool = False) -> None:
        """Report the requests in flight from now on. ``rate_holds``: the next one waits for the rate limit."""
        if not self._in_flight:
            self._settling = max(self._settling, self.number)  # an idle time says nothing about the number
            self._volley = _Volley(now) if self._step > _STEP else None
        passed = now - self._at
        self._request_seconds += self._in_flight * passed
        if self._rate_holds:
            self._held_seconds += passed
            if self._volley is not None:
                self._volley.held_seconds += passed
        self._in_flight, self._rate_holds, self._at = in_flight, rate_holds, now
        if self._volley is not None:
            self._volley.most_in_flight = max(self._volley.most_in_flight, in_flight)

    def answered(self, now: float, sent_at: float | None = None) -> None:
        """Report an answer, and when its request left. Every few rounds of answers the number is judged."""
        if self._volley is not None and sent_at is not None and self._has_room(self._volley, now, sent_at):
            volley = self._volley
            self._try(self._higher, self.number * volley.answers / volley.seconds)
            self._volley = _Volley(now, volley.fastest) if self._baseline is not None else None
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

    def _has_room(self, volley: _Volley, now: float, sent_at: float) -> bool:
        """Whether a whole volley was answered without queueing. At the first sign of a queue the watch ends."""
        if sent_at >= volley.since:
            volley.add(now - sent_at)
        if volley.slowest > _ALIKE * volley.fastest or volley.held_seconds > _TOGETHER * volley.fastest:
            self._volley = None
            return False
        return volley.answers >= self.number <= volley.most_in_flight and volley.seconds > 0.0

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
        # Not comparable. A number that is too high does no harm while it is not used up, one too low might.
        baseline, self._baseline = self._baseline, None
        if baseline is not None and baseline.number > self.number:
            self._set(baseline.number)
            self._recent.append(baseline.speed)
        elif baseline is None and used_up and held < _NEARLY_ALL:
            self._set(self._higher)

    def _weigh(self, speed: float) -> None:
        """Keep the number on trial or go back, by the answers a second that it brought."""
        baseline = self._baseline
        if baseline is None:
            self._wait(speed)
        elif self.number > baseline.number:
            promised = self.number / baseline.number - 1.0
            if speed >= baseline.speed * (1.0 + _SHARE_GAINED * promised):
                self._rest = _SHORTEST_REST
                self._try(self._higher, speed)
                return
            self._set(baseline.number)
            doubled, self._step = self._step > _STEP, _STEP
            self._try(self._higher if doubled else self._lower, baseline.speed)
        elif speed >= baseline.speed * _SHARE_KEPT:
            self._rest = _SHORTEST_REST
            self._try(self._lower, speed)
        else:
            self._set(baseline.number)
            self._confirm(baseline.speed)
            self._rest = min(2 * self._rest, _LONGEST_REST)

    def _wait(self, speed: float) -> None:
        """Between trials: begin one when it is due, or when the server has become slower."""
        self._recent.append(speed)
        # The median, since a trial after one unlucky measurement would be compared with too low a speed.
        usual = median(self._recent)
        slower = usual < self._best / _SLOWER and len(self._recent) == _RECENT
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
        """Begin a trial of another number; ``speed`` is the answers a second at the present one."""
        if number == self.number:
            self._confirm(speed)
        else:
            self._baseline = _Baseline(self.number, speed)
            self._best = speed
            self._set(number)

    def _confirm(self, speed: float) -> None:
        """Keep the present number, and rest until the next trial."""
        self._baseline = None
        self._recent.append(speed)
        self._best = speed
        self._resting = self._rest

    def _set(self, number: int) -> None:
        if number != self.number:
            self._settling = max(self._settling, self.number, number)
            self.number = number
            self._recent.clear()
