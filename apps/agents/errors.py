"""How an agent's turn can fail, in words for the person who asked."""

from __future__ import annotations

from apps.core.errors import NetraError


class ProviderError(NetraError):
    """The model's provider failed."""

    code, status, retryable = "provider_error", 502, True
    fix = "Try again in a moment."


class ProviderRateLimitError(ProviderError):
    """The model's provider is busy."""

    code = "provider_rate_limited"
    fix = "Wait a minute, then try again."


class ProviderRefusedError(ProviderError):
    """The model's provider refused the request."""

    code, retryable = "provider_refused", False
    fix = "An administrator should check the model's name and key."


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
