"""A fake provider on loopback that real models of pydantic-ai talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from apps.agents import guarded, runtime, turns
from tests.agents import provider
from tests.agents.provider import Provider


@pytest.fixture
async def fake(monkeypatch) -> AsyncIterator[Provider]:
    models: list[Any] = []
    infer = runtime.infer_model

    def remembered(name: str) -> Any:
        models.append(infer(name))
        return models[-1]

    turns.agent_for.cache_clear()
    monkeypatch.setattr(runtime, "infer_model", remembered)
    monkeypatch.setattr(guarded, "SILENCE_SECONDS", 0.4)
    async with provider.serving() as serving:
        monkeypatch.setenv("OPENAI_BASE_URL", serving.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "no-key")
        yield serving
        for model in models:
            await model.client.close()
    turns.agent_for.cache_clear()
