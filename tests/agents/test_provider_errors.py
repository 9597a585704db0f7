"""A real provider's model on loopback fails in every way there is: words, and what the breaker is told."""

from __future__ import annotations

import asyncio

import pytest
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelRequestTimeout,
)
from pydantic_ai.messages import ModelRequest, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters

from apps.agents import guarded, runtime, turns
from apps.agents.errors import (
    CircuitBreakerOpenError,
    ProviderError,
    ProviderPausedError,
    ProviderRateLimitError,
    ProviderRefusedError,
    ProviderTimeoutError,
)
from apps.agents.guarded import GuardedModel
from apps.agents.runtime import Situation
from apps.core.errors import NetraError
from apps.executions.breakers import Breakers, Permit, Refusal
from apps.executions.contexts import UserExecutionContext
from tests.agents.provider import Mode
from tests.agents.test_runtime import Ear, Person
from tests.factories import OWNER

MODEL = "openai-chat:fake-1"
KEY = "openai:fake-1"
PATIENCE = 20.0


# -- what the breaker is told, and the person --------------------------------------------


class Notebook(Breakers):
    """Lets every call pass, or none, and writes down what it is told."""

    def __init__(self, answer: Permit | Refusal | None = None) -> None:
        super().__init__()
        self.answer, self.told = answer or Permit(key=KEY), []

    async def ask(self, key: str) -> Permit | Refusal:
        self.told.append(key)
        return self.answer

    async def succeeded(self, permit: Permit) -> None:
        self.told.append("succeeded")

    async def failed(self, permit: Permit, error: str) -> bool:
        self.told.append(("failed", error))
        return True

    async def paused(self, permit: Permit, seconds: float | None) -> None:
        self.told.append(("paused", seconds))

    def let_go(self, permit: Permit) -> None:
        self.told.append("let go")


async def turn(notes: Breakers, ear: Ear | None = None) -> str:
    agent = runtime.build(
        GuardedModel(runtime.model_named(MODEL), guards=notes), "", []
    )
    context = UserExecutionContext.for_principal(
        Person(), thread_id=OWNER, run_id=OWNER
    )
    answer = await runtime.run(
        agent, question="?", history=[], situation=Situation(context, ear or Ear())
    )
    return answer.text


async def test_a_provider_that_is_well_is_asked_once_and_said_to_be_well(fake):
    notes = Notebook()

    assert await turn(notes) == "It is well."
    assert notes.told == [KEY, "succeeded"]
    assert fake.calls == 1


COUNTED = {
    Mode.BROKEN: (ProviderError, "ModelServerError 500"),
    Mode.AWAY: (ProviderError, "ModelUnavailableError 503"),
    Mode.HANG: (ProviderTimeoutError, "ModelTimeoutError"),
    Mode.STALL: (ProviderTimeoutError, "ModelTimeoutError"),
    Mode.CUT: (ProviderError, "ModelConnectionError"),
    Mode.REFUSE: (ProviderError, "ModelConnectionError"),
}


@pytest.mark.parametrize("mode", COUNTED)
async def test_an_outage_is_counted_and_may_pass(fake, mode: Mode):
    fake.mode, (kind, named) = mode, COUNTED[mode]
    notes, ear = Notebook(), Ear()

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(NetraError) as failure:
            await turn(notes, ear)

    assert type(failure.value) is kind
    assert notes.told == [KEY, ("failed", named)]
    assert (failure.value.transient, failure.value.breaker) == (True, KEY)
    assert ear.text == ("It is " if mode in {Mode.STALL, Mode.CUT} else "")
    assert "secret" not in failure.value.message + failure.value.fix
    assert fake.calls == 1  # the provider's own client does not retry


async def test_nobody_listening_is_an_outage(fake, monkeypatch, unused_tcp_port):
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{unused_tcp_port}/v1")
    notes = Notebook()

    with pytest.raises(ProviderError):
        await turn(notes)

    assert notes.told == [KEY, ("failed", "ModelConnectionError")]


@pytest.mark.parametrize(
    ("mode", "kind", "told", "transient"),
    [
        (Mode.BUSY, ProviderRateLimitError, ("paused", 2.0), True),
        (Mode.BUSY_FOR_EVER, ProviderRateLimitError, ("paused", None), True),
        (Mode.UNWILLING, ProviderRefusedError, "let go", False),
        (Mode.SPENT, ProviderRefusedError, "let go", False),
    ],
)
async def test_a_provider_that_refuses_is_not_ill(fake, mode, kind, told, transient):
    fake.mode = mode
    notes = Notebook()

    with pytest.raises(kind) as failure:
        await turn(notes)

    assert notes.told == [KEY, told]
    assert failure.value.transient is transient
    assert failure.value.retry_after == (2.0 if mode is Mode.BUSY else None)
    assert (failure.value.breaker, fake.calls) == ("", 1)
    assert "secret" not in failure.value.message + failure.value.fix


@pytest.mark.parametrize(
    ("error", "is_outage"),
    [
        (ModelConnectionError("m", "x", phase="connect"), True),
        (ModelConnectionError("m", "x", phase="pool"), False),  # our own pool is full
        (ModelRequestTimeout("m", 1), True),
        (ModelHTTPError(500, "m"), True),
        (ModelHTTPError(408, "m"), False),
        (ModelAPIError("m", "who knows"), False),
    ],
    ids=repr,
)
def test_only_what_the_provider_did_is_an_outage(error, is_outage: bool):
    assert runtime.is_outage(error) is is_outage


@pytest.mark.parametrize("is_pause", [False, True])
async def test_an_open_breaker_says_how_long_and_calls_nobody(fake, is_pause: bool):
    notes = Notebook(Refusal(key=KEY, seconds=11.2, is_pause=is_pause))

    with pytest.raises(CircuitBreakerOpenError) as failure:
        await turn(notes)

    error = failure.value
    assert (error.code, error.breaker) == ("circuit_breaker_open", KEY)
    assert "12 s" in error.message
    assert "12 seconds" in error.fix
    assert error.retry_after == 11.2
    assert (type(error) is ProviderPausedError) is error.transient is is_pause
    assert fake.calls == 0


async def test_a_call_that_is_stopped_says_nothing_about_the_provider(fake):
    fake.mode = Mode.HANG
    notes = Notebook()
    calling = asyncio.create_task(turn(notes))
    async with asyncio.timeout(PATIENCE):
        while not fake.calls:  # noqa: ASYNC110 - the provider's counter does not ring
            await asyncio.sleep(0.01)
    calling.cancel()

    with pytest.raises(asyncio.CancelledError):
        await calling
    assert notes.told == [KEY, "let go"]


async def test_a_request_without_a_stream_is_guarded_too():
    class Broken(Model):
        system = "openai"
        model_name = "fake-1"

        async def request(self, *given):
            raise runtime.ModelServerError("fake-1", "x")

    notes = Notebook()
    asked = [ModelRequest(parts=[UserPromptPart("?")])]

    with pytest.raises(ProviderError):
        await GuardedModel(Broken(), guards=notes).request(
            asked, None, ModelRequestParameters()
        )
    assert notes.told == [KEY, ("failed", "ModelServerError")]


def test_models_that_call_nobody_have_no_breaker():
    assert not isinstance(turns.agent_for("analyst", "").model, GuardedModel)
    assert not isinstance(turns.agent_for("golden-turn", "").model, GuardedModel)


async def test_a_providers_model_has_a_breaker_and_bounds(fake):
    model = turns.agent_for("analyst", MODEL).model

    assert isinstance(model, GuardedModel)
    assert model.settings == {"timeout": guarded.SILENCE_SECONDS, "max_retries": 0}
