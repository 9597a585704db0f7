"""F22: a model's provider fails under two workers: tried by policy, one breaker for all, one probe."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.agents.provider import WORDS, Mode
from tests.faults.client import FaultClient, execution_of
from tests.faults.conftest import Field, OpenClient, eventually
from tests.live.chat import Frame
from tests.live.installation import ROOT, free_port

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("faults-redis"),
]
ANSWER = "".join(WORDS)
PATIENCE = 60.0


class Fake:
    """The provider as a process, told what to do over HTTP."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.agents.provider", "--port", str(self.port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        self.web = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    def answers(self) -> bool:
        try:
            return self.web.get("/calls").is_success
        except httpx.TransportError:
            return False

    def be(self, mode: Mode) -> int:
        """Behave like this from now on; returns how many calls there were so far."""
        self.web.post("/mode", params={"is": mode.value}).raise_for_status()
        return self.calls()["calls"]

    def calls(self) -> dict[str, int]:
        counts: dict[str, int] = self.web.get("/calls").json()
        return counts

    def close(self) -> None:
        self.web.close()
        self._process.kill()
        self._process.wait(10)


@pytest.fixture(scope="module")
def fake() -> Iterator[Fake]:
    provider = Fake()
    yield provider
    provider.close()


@pytest.fixture
async def two(field: Field, fake: Fake) -> AsyncIterator[Field]:
    """The field with two workers that ask the fake for each test another model, unknown to breakers."""
    await eventually(fake.answers)
    model = f"openai-chat:fake-{len(field.processes)}-{free_port()}"
    for _ in range(2):
        field.worker(
            2,
            NETRA_MODEL=model,
            OPENAI_BASE_URL=f"http://127.0.0.1:{fake.port}/v1",
            OPENAI_API_KEY="none",
        )
    yield field
    fake.be(Mode.OK)


async def ended(who: FaultClient) -> tuple[Frame, Frame]:
    asked = await who.ask("analyst")
    return asked, await who.end_of(asked["execution_id"], PATIENCE)


def breaker(field: Field) -> tuple[object, ...]:
    (row,) = field.rows(
        "SELECT state, trips FROM executions_breaker ORDER BY updated_at DESC LIMIT 1"
    )
    return row


@pytest.mark.parametrize("mode", [Mode.BUSY, Mode.AWAY, Mode.REFUSE])
async def test_a_failure_that_passes_is_tried_again_until_it_is_an_answer(
    mode: Mode, two: Field, fake: Fake, client: OpenClient
) -> None:
    alice = await client(two)
    before = fake.be(mode)
    asked = await alice.ask("analyst")
    await eventually(lambda: fake.calls()["calls"] > before)
    fake.be(Mode.OK)

    end = await alice.end_of(asked["execution_id"], PATIENCE)

    assert end["type"] == "agent_completed", end
    assert end["data"]["text"] == ANSWER
    assert alice.attempts(asked["execution_id"])[0] == 2


async def test_a_broken_provider_opens_one_breaker_for_all_and_one_probe_tries(
    two: Field, fake: Fake, client: OpenClient
) -> None:
    people = [await client(two) for _ in range(6)]
    before = fake.be(Mode.BROKEN)

    ends = await asyncio.gather(*(ended(one) for one in people))

    codes = {end["data"]["code"] for _, end in ends}
    assert codes <= {"provider_error", "circuit_breaker_open"}
    assert breaker(two) == ("open", 1)
    calls = fake.calls()["calls"] - before
    assert 3 <= calls <= 3 + len(people)  # those that were on their way when it opened
    asked, end = await ended(people[0])
    assert end["data"]["code"] == "circuit_breaker_open"
    assert fake.calls()["calls"] - before == calls
    assert execution_of(two.rows, asked["execution_id"])["attempt"] == 1

    over(two)
    before = fake.be(Mode.SLOW)
    ends = await asyncio.gather(*(ended(one) for one in people))
    probed = [end for _, end in ends if end["type"] == "agent_completed"]
    refused = [end for _, end in ends if end["type"] != "agent_completed"]
    assert len(probed) >= 1
    assert {end["data"]["code"] for end in refused} <= {"circuit_breaker_open"}
    assert fake.calls()["calls"] - before == len(probed)


def over(field: Field) -> None:
    """Let the time be over for which the breaker is open, and what processes remember of it."""
    import psycopg

    with psycopg.connect(field.database) as database:
        database.execute("UPDATE executions_breaker SET open_until = now()")


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.STALL])
async def test_an_answer_that_breaks_off_is_told_and_what_was_said_is_kept(
    mode: Mode, two: Field, fake: Fake, client: OpenClient
) -> None:
    alice = await client(two)
    fake.be(mode)

    asked, end = await ended(alice)

    assert (end["type"], end["data"]["final"]) == ("agent_error", True)
    assert end["data"]["text"] == "".join(WORDS[:2])
    assert end["data"]["retryable"]
    assert alice.attempts(asked["execution_id"]) == []


async def test_a_silent_provider_is_not_waited_for_for_ever(
    two: Field, fake: Fake, client: OpenClient
) -> None:
    alice = await client(two)
    fake.be(Mode.HANG)
    asked = await alice.ask("analyst")
    again = await alice.until(lambda f: f["type"] == "attempt_started", PATIENCE)
    fake.be(Mode.OK)

    end = await alice.end_of(asked["execution_id"], PATIENCE)

    assert again["data"]["attempt"] == 2
    assert end["data"]["text"] == ANSWER
