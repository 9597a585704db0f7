"""How an agent's turn can fail, in words for the person who asked."""

from __future__ import annotations

from apps.core.errors import NetraError


class ProviderError(NetraError):
    """The model's provider failed."""

    code, status, retryable, transient = "provider_error", 502, True, True
    fix = "Try again in a moment."


class ProviderTimeoutError(ProviderError):
    """The model's provider did not answer in time."""

    code, status = "provider_timeout", 504


class ProviderRateLimitError(ProviderError):
    """The model's provider is busy."""

    code = "provider_rate_limited"
    fix = "Wait a minute, then try again."


class ProviderRefusedError(ProviderError):
    """The model's provider refused the request."""

    code, retryable, transient = "provider_refused", False, False
    fix = "An administrator should check the model's name and key."


class CircuitBreakerOpenError(NetraError):
    """Calls to the model's provider are stopped for a while, because it kept failing."""

    code, status, retryable = "circuit_breaker_open", 503, True


class ProviderPausedError(CircuitBreakerOpenError):
    """The model's provider asked not to be called for a while."""

    # It is well, and nothing was sent to it: waiting is all that is needed.
    transient = True


class ToolFailedError(NetraError):
    """A tool of the agent failed."""

    code, retryable = "tool_failed", True
    fix = "Try again; support has been told."


class ModelMisbehavedError(NetraError):
    """The model gave no usable answer."""

    code, retryable = "model_misbehaved", True
    fix = "Ask again, perhaps in other words."


class UnknownModelError(NetraError):
    """The model's name is not known."""

    code = "unknown_model"
    fix = "An administrator should set NETRA_MODEL, or the agent's model, to a name that pydantic-ai knows."
