"""A provider's model behind its circuit breaker: every request asks first and tells how it went.

Bounds how long a silent provider is waited for. Retrying belongs to the runner.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, ModelRateLimitError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings

from apps.agents import runtime
from apps.agents.errors import CircuitBreakerOpenError, ProviderPausedError
from apps.core.errors import NetraError
from apps.executions import breakers
from apps.executions.breakers import Breakers, Permit, Refusal

# Without a byte from the provider, before its answer or in the middle of it. pydantic-ai's
# own clients give a connection 5 s within this.
SILENCE_SECONDS = 15.0


def model_named(name: str) -> Model:
    """The provider's model `name`, guarded; raises UnknownModelError."""
    return GuardedModel(runtime.model_named(name))


class GuardedModel(WrapperModel):
    """A model that is not called while its breaker is open."""

    def __init__(self, wrapped: Model, *, guards: Breakers | None = None) -> None:
        super().__init__(wrapped)
        self._guards = guards or breakers.breakers
        self._key = breakers.key_of(wrapped.system, wrapped.model_name)
        # The provider's client would retry by itself, unseen by the breaker.
        self._limits = ModelSettings(timeout=SILENCE_SECONDS, max_retries=0)

    @property
    def settings(self) -> ModelSettings | None:
        return merge_model_settings(self._limits, self.wrapped.settings)

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        async with self._guard():
            return await self.wrapped.request(
                messages, model_settings, model_request_parameters
            )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        async with (
            self._guard(),
            self.wrapped.request_stream(
                messages, model_settings, model_request_parameters, run_context
            ) as stream,
        ):
            yield stream

    @asynccontextmanager
    async def _guard(self) -> AsyncIterator[None]:
        permit = await self._guards.ask(self._key)
        if isinstance(permit, Refusal):
            raise _refused(permit)
        try:
            yield
        except ModelAPIError as error:
            raise await self._told(permit, error) from error
        except BaseException:
            self._guards.let_go(permit)
            raise
        await self._guards.succeeded(permit)

    async def _told(self, permit: Permit, error: ModelAPIError) -> NetraError:
        """Tell the breaker of a failure; returns the failure in words."""
        said = runtime.explained(error)
        if isinstance(error, ModelRateLimitError):
            await self._guards.paused(permit, error.retry_after)
        elif not runtime.is_outage(error):
            self._guards.let_go(permit)
        elif await self._guards.failed(permit, _named(error)):
            said.breaker = permit.key
        return said


def _named(error: ModelAPIError) -> str:
    """What staff read: the kind of error, nothing of what the provider wrote."""
    status = f" {error.status_code}" if isinstance(error, ModelHTTPError) else ""
    return type(error).__name__ + status


def _refused(refusal: Refusal) -> CircuitBreakerOpenError:
    seconds = max(1, math.ceil(refusal.seconds))
    kind = ProviderPausedError if refusal.is_pause else CircuitBreakerOpenError
    why = (
        "asked not to be called for now"
        if refusal.is_pause
        else "has failed repeatedly"
    )
    error = kind(
        f"The model's provider {why}; calls to it are stopped for another {seconds} s.",
        fix=f"Ask again in {seconds} seconds.",
        retry_after=refusal.seconds,
        values={"breaker": refusal.key, "retry_after": seconds},
    )
    error.breaker = refusal.key
    return error
