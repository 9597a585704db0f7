"""Breakers as several processes share them: each `Breakers` here stands for one process."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pytest
from django.db import OperationalError

from apps.core.database import read, write_now
from apps.core.errors import UnavailableError
from apps.core.flags import Switch
from apps.executions import breakers
from apps.executions.breakers import Breakers, Permit, Refusal, key_of
from apps.executions.circuit import Circuit
from apps.executions.models import Breaker
from tests.chat.questions import aside
from tests.factories import TESTER, TESTS
from tests.switches import off

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("committed")]
KEY = "openai:m"


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def here(time) -> Breakers:
    return Breakers(now=time)


@pytest.fixture
def there(time) -> Breakers:
    return Breakers(now=time)


@pytest.fixture
def traffic(monkeypatch) -> Counter[str]:
    """How often the rows were looked at and changed."""
    seen: Counter[str] = Counter()
    look, change = breakers.read, breakers.write

    async def counted_look(scope, work):
        seen["read"] += 1
        return await look(scope, work)

    async def counted_change(scope, work):
        seen["write"] += 1
        return await change(scope, work)

    monkeypatch.setattr(breakers, "read", counted_look)
    monkeypatch.setattr(breakers, "write", counted_change)
    return seen


async def row() -> Breaker:
    return await read(TESTS, lambda: Breaker.objects.get(key=KEY))


async def permit(process: Breakers) -> Permit:
    given = await process.ask(KEY)
    assert isinstance(given, Permit)
    return given


async def fail(process: Breakers, times: int = 1) -> list[bool]:
    return [
        await process.failed(await permit(process), "ModelServerError 500")
        for _ in range(times)
    ]


# -- what all processes share ------------------------------------------------------------


async def test_three_failures_in_different_processes_open_it_once_for_all(
    here, there, time
):
    opened = [*await fail(here), *await fail(there), *await fail(here)]

    time.pass_by(1)
    refusals = [await here.ask(KEY), await there.ask(KEY)]
    stored = await row()
    assert opened == [False, False, True]
    assert (stored.state, stored.trips, stored.failures) == ("open", 1, 3)
    assert stored.last_error == "ModelServerError 500"
    for refusal in refusals:
        assert isinstance(refusal, Refusal)
        assert 25 < refusal.seconds <= 32
        assert not refusal.is_pause


async def test_failures_at_the_same_moment_open_it_once(time):
    processes = [Breakers(now=time) for _ in range(6)]
    permits = [(process, await permit(process)) for process in processes * 3]

    opened = await asyncio.gather(*(p.failed(given, "500") for p, given in permits))

    assert opened.count(True) == 1
    assert (await row()).trips == 1


async def test_when_the_time_is_up_one_call_of_all_processes_probes(here, time):
    await fail(here, 3)
    time.pass_by(34)
    processes = [here, *(Breakers(now=time) for _ in range(5))]

    answers = await asyncio.gather(*(p.ask(KEY) for p in processes for _ in range(3)))

    probes = [given for given in answers if isinstance(given, Permit)]
    assert [given.token is not None for given in probes] == [True]
    assert (await row()).probe_token == probes[0].token


async def test_good_probes_close_it_for_all(here, there, time):
    await fail(here, 3)
    time.pass_by(34)
    for process in (here, there):
        await process.succeeded(await permit(process))
        time.pass_by(1)

    stored = await row()
    assert (stored.state, stored.failures, stored.trips) == ("closed", 0, 1)
    assert (await permit(here)).token is (await permit(there)).token is None


async def test_a_failed_probe_opens_it_again_for_all(here, there, time):
    await fail(here, 3)
    time.pass_by(34)

    assert await fail(there) == [True]

    time.pass_by(1)
    again = await here.ask(KEY)
    assert isinstance(again, Refusal)
    assert 50 < again.seconds <= 65
    assert (await row()).trips == 2


async def test_a_probe_that_was_stopped_lets_another_process_probe(here, there, time):
    await fail(here, 3)
    time.pass_by(34)
    probe = await permit(here)
    assert isinstance(await there.ask(KEY), Refusal)

    here.let_go(probe)
    await asyncio.gather(*here._tasks)

    time.pass_by(1)
    assert (await permit(there)).token not in {None, probe.token}


async def test_a_pause_that_the_provider_asked_for_holds_everywhere(here, there, time):
    await here.paused(await permit(here), 20)

    told = await there.ask(KEY)
    assert told == Refusal(key=KEY, seconds=20, is_pause=True)
    assert (await row()).trips == 0
    time.pass_by(20)
    assert [(await permit(here)).token, (await permit(there)).token] == [None, None]


async def test_a_busy_provider_that_names_no_time_stops_nobody(here, traffic):
    await here.paused(await permit(here), None)

    assert isinstance(await here.ask(KEY), Permit)
    assert traffic["write"] == 0


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
async def test_an_absurd_pause_is_cut_to_five_minutes(here, seconds: float):
    await here.paused(await permit(here), seconds)

    assert await here.ask(KEY) == Refusal(key=KEY, seconds=300, is_pause=True)


async def test_breakers_of_different_models_know_nothing_of_each_other(here):
    await fail(here, 3)

    assert isinstance(await here.ask(KEY), Refusal)
    assert isinstance(await here.ask("openai:other"), Permit)


async def test_closed_by_hand_it_is_closed_for_all_within_a_second(here, there, time):
    await fail(here, 3)
    close = partial(breakers.close_now, KEY, actor=TESTER, reason="They said sorry.")

    closed = [await aside(write_now, TESTS, close) for _ in range(2)]

    time.pass_by(1)
    stored = await row()
    assert closed == [True, False]
    assert (stored.state, stored.failures, stored.trips) == ("closed", 0, 1)
    assert TESTER.label in stored.last_error
    assert "They said sorry." in stored.last_error
    assert (await permit(here)).token is (await permit(there)).token is None


# -- what it costs -------------------------------------------------------------------------


async def test_calls_that_go_well_write_nothing_and_look_once_a_second(
    here, time, traffic
):
    for _ in range(50):
        await here.succeeded(await permit(here))
    assert traffic == {"read": 1}

    time.pass_by(1)
    await asyncio.gather(*(permit(here) for _ in range(50)))
    assert traffic == {"read": 2}


async def test_successes_after_failures_are_written_once_a_second_at_most(
    here, time, traffic
):
    await fail(here)
    await here.succeeded(await permit(here))  # written: the count was not 0
    await fail(here)
    written = traffic["write"]
    await here.succeeded(await permit(here))  # kept until the next write …
    assert traffic["write"] == written

    await fail(here)  # … which knows of it
    assert (await row()).failures == 1

    time.pass_by(1)
    await here.succeeded(await permit(here))
    assert (await row()).failures == 0


async def test_a_process_keeps_few_breakers(here, monkeypatch):
    monkeypatch.setattr(breakers, "KEYS_MAX", 3)
    for n in range(10):
        await here.ask(f"openai:{n}")

    assert list(here._known) == ["openai:7", "openai:8", "openai:9"]


# -- when the rows are out of reach ----------------------------------------------------------


@pytest.fixture
def lost(monkeypatch):
    """From now on, neither reading nor writing works."""

    def lose(error: Exception) -> None:
        async def nothing(scope, work):
            raise error

        monkeypatch.setattr(breakers, "read", nothing)
        monkeypatch.setattr(breakers, "write", nothing)

    return lose


@pytest.mark.parametrize("error", [OperationalError("gone"), UnavailableError("full")])
async def test_calls_pass_while_the_rows_are_out_of_reach(
    here, time, lost, caplog, monkeypatch, error
):
    monkeypatch.setattr(breakers, "unreachable", Counter())
    await fail(here, 3)
    assert isinstance(await here.ask(KEY), Refusal)

    lost(error)
    time.pass_by(1)
    for _ in range(5):
        given = await permit(here)
        assert await here.failed(given, "500") is False
        await here.succeeded(given)

    said = [r for r in caplog.records if "out of reach" in r.getMessage()]
    assert len(said) == 1
    assert breakers.unreachable[type(error).__name__] >= 5


async def test_calls_pass_when_the_rows_do_not_answer(here, monkeypatch):
    async def never(scope, work):
        await asyncio.Event().wait()

    monkeypatch.setattr(breakers, "read", never)
    monkeypatch.setattr(breakers, "STORE_SECONDS", 0.05)

    async with asyncio.timeout(10):
        assert isinstance(await here.ask(KEY), Permit)


async def test_when_the_rows_are_back_they_count_again(here, time, monkeypatch):
    await fail(here, 3)
    with monkeypatch.context() as away:

        async def nothing(scope, work):
            raise OperationalError

        away.setattr(breakers, "read", nothing)
        time.pass_by(1)
        assert isinstance(await here.ask(KEY), Permit)

    time.pass_by(1)
    assert isinstance(await here.ask(KEY), Refusal)


# -- compare-and-swap ------------------------------------------------------------------------


@pytest.mark.mission_critical
def test_a_change_decided_on_an_old_row_is_decided_again(here, time):
    def another(before: Circuit) -> tuple[Circuit, None]:
        return Circuit(failures=before.failures + 1), None

    seen = []

    def change(before: Circuit) -> tuple[Circuit, None]:
        seen.append(before.failures)
        if len(seen) == 1:  # somebody else is faster
            breakers._swap(KEY, another, time())
        return another(before)

    write_now(TESTS, lambda: breakers._swap(KEY, another, time()))
    write_now(TESTS, lambda: breakers._swap(KEY, change, time()))

    assert seen == [1, 2]
    with TESTS:
        stored = Breaker.objects.get(key=KEY)
    assert (stored.failures, stored.version) == (3, 3)


def test_a_row_that_never_stands_still_is_given_up(time):
    versions = count(1000)

    def change(before: Circuit) -> tuple[Circuit, None]:
        Breaker.objects.filter(key=KEY).update(version=next(versions))
        return Circuit(failures=1), None

    with TESTS:
        Breaker.objects.create(key=KEY, updated_at=time())
    with pytest.raises(UnavailableError):
        write_now(TESTS, lambda: breakers._swap(KEY, change, time()))


# -- the switch, and the name --------------------------------------------------------------


async def test_switched_off_every_call_passes_and_nothing_is_counted(here, traffic):
    await fail(here, 3)
    looked = dict(traffic)

    with off(Switch.BREAKERS):
        given = await permit(here)
        assert await here.failed(given, "500") is False
        await here.paused(given, 20)
        await here.succeeded(given)

    assert traffic == looked
    assert isinstance(await here.ask(KEY), Refusal)


def test_a_key_names_provider_and_model_and_fits_its_column():
    assert key_of("openai", "gpt") == "openai:gpt"
    assert key_of("openai", "gpt", "llm.acme.example") == "openai:llm.acme.example:gpt"
    assert len(key_of("openai", "m" * 500)) == 160


async def test_prometheus_is_told(here, client):
    await fail(here, 3)

    figures = (
        await aside(partial(client.get, headers={"Host": "127.0.0.1"}), "/metrics")
    ).content.decode()

    assert f'netra_breaker_state{{key="{KEY}",state="open"}} 1\n' in figures
    assert f'netra_breaker_trips_total{{key="{KEY}"}} 1\n' in figures
