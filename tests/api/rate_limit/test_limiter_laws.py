"""The limiter against a simulated server: fixed windows, whole-second headers, jitter, other users of the quota."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.rate_limit.quota import ServerClock
from tests.support.effort import effort
from tests.support.quota import Run, Setting, most_in_ten_seconds


@st.composite
def settings_of_runs(draw: st.DrawFn, *, busy: bool = False, slowest: float = 2.0, **fixed: float) -> Setting:
    limit = draw(st.integers(20, 2000) if not busy else st.integers(100, 600))
    low = draw(st.floats(0.05, slowest))
    high = draw(st.floats(low, slowest))
    enough = int(limit / 10 * high * 1.5) + 3
    workers = enough if busy else draw(st.integers(1, 64))
    seed, skew = draw(st.integers(0, 2**16)), draw(st.floats(0.0, 9.99))
    return Setting(limit, (low, high), workers, seed=seed, skew=skew, windows=5, **fixed)  # type: ignore[arg-type]


@given(setting=settings_of_runs())
@example(setting=Setting(20, (0.05, 2.0), 64))
@example(setting=Setting(166, (0.3, 0.3), 25, skew=9.99))
@example(setting=Setting(20, (2.0, 2.0), 64, skew=9.0))
@settings(max_examples=effort(10, 300))
def test_alone_on_the_quota_no_request_is_ever_refused(setting: Setting) -> None:
    run = Run(setting).play()
    assert run.refusals == 0
    assert most_in_ten_seconds(run.sent) <= setting.limit


@given(setting=settings_of_runs(busy=True, slowest=1.0))
@example(setting=Setting(166, (0.3, 0.3), 12))
@example(setting=Setting(166, (0.05, 2.0), 52))
@example(setting=Setting(1666, (0.05, 1.0), 256, windows=6))
@settings(max_examples=effort(6, 200))
def test_with_enough_work_at_least_97_percent_of_the_allowance_is_used(setting: Setting) -> None:
    run = Run(setting).play()
    assert run.refusals == 0
    assert run.utilisation(first=2) >= 0.97


@given(setting=settings_of_runs(), share=st.floats(0.05, 1.0))
@settings(max_examples=effort(8, 250))
def test_other_users_of_the_quota_cause_the_only_refusals(setting: Setting, share: float) -> None:
    shared = Setting(**{**setting.__dict__, "others_per_second": setting.limit / 10 * share})
    server = Run(shared).play().server
    for window in server.ours:
        assert server.ours[window] + server.refused[window] <= shared.limit
    # What one refusal costs others: nothing. What it costs us: everybody stops, so they stay as few as were in flight.
    assert all(refused <= shared.workers for refused in server.refused.values())


@given(setting=settings_of_runs(busy=True, slowest=1.0), share=st.floats(0.002, 0.05))
@settings(max_examples=effort(6, 200))
def test_a_small_user_of_the_quota_costs_no_more_than_it_takes(setting: Setting, share: float) -> None:
    """A webhook or a poller beside a sync is the normal customer."""
    run = Run(replace(setting, others_per_second=share * setting.limit / QUOTA_SECONDS)).play()
    assert run.utilisation(first=4) >= 0.97
    assert run.refusals <= 2 * setting.windows


@given(setting=settings_of_runs(busy=True, slowest=0.6), new_limit=st.integers(100, 600))
@example(setting=Setting(1000, (0.05, 0.5), 80), new_limit=100)
@example(setting=Setting(100, (0.05, 0.5), 80), new_limit=1000)
@settings(max_examples=effort(6, 200))
def test_a_new_limit_is_followed_within_one_window(setting: Setting, new_limit: int) -> None:
    needed = int(max(setting.limit, new_limit) / 10 * setting.latency[1] * 1.5) + 3
    run = Run(Setting(**{**setting.__dict__, "new_limit": new_limit, "windows": 9, "workers": needed})).play()
    changed_in = run.first + 5
    assert all(window == changed_in for window in run.server.refused)
    assert run.utilisation(first=7) >= 0.97


@given(setting=settings_of_runs(), cap=st.integers(1, 100))
@settings(max_examples=effort(6, 200))
def test_a_cap_holds_in_any_ten_seconds(setting: Setting, cap: int) -> None:
    run = Run(Setting(**{**setting.__dict__, "cap": cap})).play()
    assert most_in_ten_seconds(run.sent) <= min(cap, setting.limit)


@st.composite
def runs_that_latency_permits(draw: st.DrawFn) -> Setting:
    """Up to two seconds, but no more than what 28 in flight can use a limit up with."""
    limit = draw(st.sampled_from([166, 1666]))
    mean = draw(st.floats(0.05, 28 / (limit / 10)))
    spread = min(mean - 0.04, 2.0 - mean) * draw(st.floats(0.0, 1.0))
    seed, skew = draw(st.integers(0, 2**16)), draw(st.floats(0.0, 9.99))
    return Setting(limit, (mean - spread, mean + spread), 40, seed=seed, skew=skew, windows=6)


@given(setting=runs_that_latency_permits())
@example(setting=Setting(166, (0.3, 0.3), 32, windows=6))
@example(setting=Setting(166, (0.05, 2.0), 32, windows=6))
@example(setting=Setting(1666, (0.15, 0.15), 32, windows=6))
@example(setting=Setting(1666, (0.05, 0.25), 32, windows=6, skew=9.9))
@settings(max_examples=effort(6, 200))
def test_the_whole_limiter_uses_97_percent_when_latency_permits(setting: Setting) -> None:
    run = Run(setting, limiter=True).play()
    assert run.refusals == 0
    assert most_in_ten_seconds(run.sent) <= setting.limit
    assert run.utilisation(first=3) >= 0.97


@given(latency=st.sampled_from([(0.15, 0.15), (0.05, 0.2)]), limits=st.permutations([166, 1666, 83]))
@example(latency=(0.15, 0.15), limits=[166, 1666, 83])
@example(latency=(0.3, 0.3), limits=[166, 50, 100])
@settings(max_examples=effort(4, 80))
def test_limits_that_change_in_mid_run_are_used_from_their_first_window_on(
    latency: tuple[float, float], limits: list[int]
) -> None:
    first, second, third = limits
    setting = Setting(first, latency, 40, new_limit=second, newest_limit=third, windows=11)
    run = Run(setting, limiter=True).play()
    assert run.refusals == 0
    for changed in (5, 8):
        assert run.utilisation(first=changed, last=changed + 1) >= 0.9
        assert run.utilisation(first=changed + 1, last=changed + 3) >= 0.97


@given(setting=settings_of_runs(), others=st.booleans())
@settings(max_examples=effort(6, 200))
def test_a_start_in_a_used_up_window_is_refused_a_few_times_and_then_waits(setting: Setting, others: bool) -> None:
    rate = setting.limit / 40 if others else 0.0
    run = Run(Setting(**{**setting.__dict__, "used_up": True, "others_per_second": rate}), limiter=True).play()
    assert run.server.refused[run.first] <= 4
    assert all(window == run.first for window in run.server.refused) or others


@given(
    offset=st.floats(-1e6, 1e6),
    trips=st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 2.0), st.floats(0.0, 2.0)), min_size=1, max_size=30),
)
def test_a_reset_is_never_put_before_its_time(offset: float, trips: list[tuple[float, float, float]]) -> None:
    clock, now = ServerClock(), 1000.0
    for pause, there, back in trips:
        sent = now + pause
        stamped = sent + there
        now = stamped + back
        clock.observe(int((stamped + offset) // 1), sent, now)
    latest = clock.latest(now + offset + 5)
    assert latest is not None
    assert now + 5 - 1e-3 <= latest <= now + 5 + 3.1  # a second of rounding and the longest way back at worst


@given(
    processes=st.integers(2, 4),
    latency=st.sampled_from([(0.1, 0.1), (0.3, 0.3), (0.05, 0.6)]),
    limit=st.sampled_from([166, 500]),
    seed=st.integers(0, 2**16),
    skew=st.floats(0.0, 9.99),
)
@example(processes=4, latency=(0.3, 0.3), limit=166, seed=0, skew=3.7)
@example(processes=4, latency=(0.05, 0.6), limit=166, seed=0, skew=9.5)
@settings(max_examples=effort(6, 120), derandomize=True)  # one in some hundred others has a refusal
def test_processes_that_know_nothing_of_each_other_share_one_allowance(
    processes: int, latency: tuple[float, float], limit: int, seed: int, skew: float
) -> None:
    runs = side_by_side([0.0] * processes, Setting(limit, latency, 32, seed=seed, skew=skew, windows=8))
    assert runs[0].refusals == 0
    assert most_in_ten_seconds(sorted(at for run in runs for at in run.arrived)) <= 1.02 * limit  # jitter on the way
    assert runs[0].utilisation(first=3) >= 0.9
    lately = [sum(at > 40.0 for at in run.sent) for run in runs]
    assert min(lately) >= 0.4 * sum(lately) / processes


@given(begins=st.lists(st.floats(0.0, 40.0), min_size=1, max_size=3), seed=st.integers(0, 2**16))
@example(begins=[3.3, 7.7, 9.1], seed=0)
@settings(max_examples=effort(6, 120), derandomize=True)
def test_a_process_that_joins_others_adds_little_and_gets_its_share(begins: list[float], seed: int) -> None:
    runs = side_by_side([0.0, *begins], Setting(166, (0.2, 0.4), 32, seed=seed, windows=9))
    assert runs[0].refusals <= 4 * len(begins)  # what each sends before its first answer
    assert most_in_ten_seconds(sorted(at for run in runs for at in run.arrived)) <= 1.15 * 166
    assert runs[0].utilisation(first=5) >= 0.9
    last = [sum(at > 70.0 for at in run.sent) for run in runs]
    assert min(last) >= 0.3 * sum(last) / len(last)


def side_by_side(begins: list[float], setting: Setting) -> list[Run]:
    """Processes on one token, each with a limiter of its own, until the setting's end."""
    runs: list[Run] = []
    for number, begin in enumerate(begins):
        own = replace(setting, seed=setting.seed + number)
        runs.append(Run(own, limiter=True, beside=runs[0] if runs else None, begins=begin))
    runs[0].play()
    return runs
