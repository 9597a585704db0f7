"""The circuit breaker's state machine, example by example and under any sequence of calls."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.executions import circuit
from apps.executions.circuit import (
    RATE_LIMITED,
    Admission,
    Circuit,
    CircuitState,
    Rules,
    Verdict,
)
from apps.executions.models import Breaker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules()
ME, OTHER = uuid.uuid4(), uuid.uuid4()


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def admit(
    at: Circuit, now: datetime, token: uuid.UUID = ME
) -> tuple[Circuit, Admission]:
    return circuit.admit(at, token=token, now=now, rules=RULES)


def fail(
    at: Circuit, now: datetime = NOW, token: uuid.UUID | None = None, chance=0.5
) -> Circuit:
    return circuit.fail(
        at, error="500", token=token, now=now, rules=RULES, chance=chance
    )


def succeed(
    at: Circuit, now: datetime = NOW, token: uuid.UUID | None = None
) -> Circuit:
    return circuit.succeed(at, token=token, now=now, rules=RULES)


def pause(
    at: Circuit, seconds: float, now: datetime = NOW, token: uuid.UUID | None = None
) -> Circuit:
    wait = timedelta(seconds=seconds)
    return circuit.pause(at, wait=wait, token=token, now=now, rules=RULES)


def opened(now: datetime = NOW) -> Circuit:
    return fail(fail(fail(Circuit(), now), now), now)


def waited(at: Circuit) -> float:
    assert at.opened_at is not None
    assert at.open_until is not None
    return (at.open_until - at.opened_at).total_seconds()


def test_the_defaults_are_three_failures_thirty_seconds_two_successes():
    assert (RULES.failures, RULES.successes) == (3, 2)
    assert RULES.open_for == timedelta(seconds=30)
    assert RULES.open_at_most == timedelta(minutes=5)


def test_two_failures_leave_it_closed_and_the_third_opens_it():
    twice = fail(fail(Circuit()))
    thrice = fail(twice)

    assert (twice.state, twice.failures, twice.trips) == (CircuitState.CLOSED, 2, 0)
    assert (thrice.state, thrice.trips) == (CircuitState.OPEN, 1)
    assert (thrice.open_until, thrice.last_error) == (after(30), "500")


def test_only_failures_in_a_row_count():
    assert (
        fail(fail(succeed(fail(fail(Circuit()))))).state
        == succeed(fail(Circuit())).state
        == CircuitState.CLOSED
    )


def test_a_success_of_a_closed_circuit_changes_nothing():
    assert succeed(Circuit()) == Circuit()


def test_an_open_circuit_refuses_and_names_the_remaining_wait():
    same, admission = admit(opened(), after(12))

    assert same == opened()
    assert admission == Admission(Verdict.REFUSED, timedelta(seconds=18))


def test_when_the_time_is_up_exactly_one_call_probes():
    probing, first = admit(opened(), after(30), ME)
    same, second = admit(probing, after(30), OTHER)

    assert first.verdict is Verdict.PROBE
    assert (probing.state, probing.probe_token) == (CircuitState.HALF_OPEN, ME)
    assert same == probing
    assert second == Admission(Verdict.REFUSED, RULES.ask_again)


def test_a_probe_that_never_comes_back_gives_way_in_the_end():
    probing, _ = admit(opened(), after(30), ME)

    _, before = admit(probing, after(89), OTHER)
    taken, then = admit(probing, after(90), OTHER)

    assert before.wait == timedelta(seconds=1)
    assert (then.verdict, taken.probe_token) == (Verdict.PROBE, OTHER)
    assert succeed(taken, after(91), ME) == fail(taken, after(91), ME) == taken


def test_a_probe_that_was_stopped_lets_the_next_one_probe():
    probing, _ = admit(opened(), after(30), ME)

    assert circuit.release(probing, token=OTHER) == probing
    _, admission = admit(circuit.release(probing, token=ME), after(31), OTHER)
    assert admission.verdict is Verdict.PROBE


def test_two_good_probes_close_it():
    probing, _ = admit(opened(), after(30), ME)
    once = succeed(probing, after(31), ME)
    again, admission = admit(once, after(31), OTHER)
    closed = succeed(again, after(32), OTHER)

    assert (once.state, once.successes) == (CircuitState.HALF_OPEN, 1)
    assert admission.verdict is Verdict.PROBE
    assert closed == Circuit(trips=1, last_error="500")


def test_a_failed_probe_opens_it_again_for_twice_as_long_up_to_five_minutes():
    now, at, waits = NOW, opened(), []
    for _ in range(6):
        waits.append(waited(at))
        now = at.open_until
        at, _ = admit(at, now, ME)
        at = fail(at, now, ME)

    assert waits == [30, 60, 120, 240, 300, 300]
    assert at.trips == 7


def test_after_it_was_closed_the_wait_begins_anew():
    at, _ = admit(opened(), after(30), ME)
    at, _ = admit(fail(at, after(30), ME), after(90), ME)
    at, _ = admit(succeed(at, after(90), ME), after(90), ME)

    assert waited(opened(after(100))) == 30
    closed = succeed(at, after(90), ME)
    assert waited(fail(fail(fail(closed, after(100)), after(100)), after(100))) == 30


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_jitter_is_ten_percent_and_never_adds_up(chances: list[float]):
    at = fail(fail(fail(Circuit()), chance=chances[0]), chance=chances[0])
    for n, chance in enumerate(chances[1:], 1):
        at, _ = admit(at, at.open_until, ME)
        at = fail(at, at.probe_until, ME, chance=chance)
        expected = min(30 * 2**n, 300)
        assert expected * 0.9 - 1e-3 <= waited(at) <= min(expected * 1.1 + 1e-3, 300)


def test_calls_that_were_under_way_when_it_opened_say_nothing():
    probing, _ = admit(opened(), after(30), ME)

    for at in (opened(), probing):
        assert fail(at, after(31)) == succeed(at, after(31)) == at
        assert fail(at, after(31), OTHER) == at


# -- pauses that the provider asks for -------------------------------------------------


def test_a_pause_refuses_until_its_end_and_is_no_trip():
    paused = pause(fail(Circuit()), 7)
    _, during = admit(paused, after(5))
    same, then = admit(paused, after(7))

    assert (paused.state, paused.trips) == (CircuitState.OPEN, 0)
    assert paused.last_error == RATE_LIMITED
    assert during == Admission(Verdict.REFUSED, timedelta(seconds=2), is_pause=True)
    assert (same, then.verdict) == (paused, Verdict.PASS)  # nobody has to probe
    assert succeed(paused, after(8)) == Circuit(last_error=RATE_LIMITED)
    assert fail(paused, after(8)).failures == 2  # neither failure nor success


def test_the_longest_pause_counts_and_none_is_longer_than_five_minutes():
    assert pause(pause(Circuit(), 10), 3).open_until == after(10)
    assert pause(pause(Circuit(), 3), 10).open_until == after(10)
    assert pause(Circuit(), 86_400).open_until == after(300)
    assert pause(Circuit(), 0) == Circuit()


def test_a_late_rate_limit_does_not_shorten_a_real_trip():
    assert pause(opened(), 1, after(1)) == opened()


def test_a_probe_that_meets_a_rate_limit_turns_the_trip_into_a_pause():
    probing, _ = admit(opened(), after(30), ME)
    paused = pause(probing, 5, after(31), ME)

    assert pause(probing, 5, after(31), OTHER) == probing
    assert paused.is_pause
    assert paused.open_until == after(36)
    assert fail(paused, after(36)).state is CircuitState.OPEN  # one failure is enough


# -- whatever happens --------------------------------------------------------------------

CALLS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "good", "bad", "paused", "stopped"]),
        st.integers(0, 4),
        st.floats(0, 40),
    ),
    max_size=60,
)


@given(CALLS)
def test_whatever_happens_there_is_one_probe_and_the_rows_rules_hold(calls):
    tokens = [uuid.UUID(int=n + 1) for n in range(5)]
    at, now = Circuit(), NOW
    for what, who, seconds in calls:
        now, token, before = now + timedelta(seconds=seconds), tokens[who], at
        if what == "ask":
            at, admission = admit(at, now, token)
            live = before.probe_token and before.probe_until > now
            assert not (live and admission.verdict is Verdict.PROBE)
            assert (admission.wait > timedelta(0)) == (
                admission.verdict is Verdict.REFUSED
            )
        elif what == "good":
            at = succeed(at, now, token)
        elif what == "bad":
            at = fail(at, now, token)
        elif what == "paused":
            at = pause(at, seconds, now, token)
        else:
            at = circuit.release(at, token=token)
        _check(at, before, now)


def _check(at: Circuit, before: Circuit, now: datetime) -> None:
    if at.state is CircuitState.CLOSED:
        assert at == replace(at, opened_at=None, open_until=None, probe_token=None)
        assert at.failures < RULES.failures
    else:
        assert at.opened_at is not None
        assert at.open_until is not None
        assert at.open_until - at.opened_at <= RULES.open_at_most
    assert (at.probe_token is None) == (at.probe_until is None)
    assert at.probe_token is None or at.state is CircuitState.HALF_OPEN
    assert before.trips <= at.trips <= before.trips + 1
    assert at.successes < RULES.successes


def test_the_row_knows_the_same_states_and_columns():
    assert [state.value for state in Breaker.State] == [s.value for s in CircuitState]
    columns = {field.attname for field in Breaker._meta.concrete_fields}
    assert columns - set(Circuit.__dataclass_fields__) == {
        "id",
        "key",
        "version",
        "updated_at",
    }
