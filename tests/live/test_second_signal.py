"""Ctrl+C twice: what runs is handed back at once, and said so, instead of a drain to its end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.live.chat import Chat
from tests.live.installation import Installation

SOONER = 8  # seconds; a drain would take the 10 of tests/live/installation.py

pytestmark = [pytest.mark.live, pytest.mark.faults, pytest.mark.integration]


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_second_signal_hands_back_at_once(
    seeded: Installation, tmp_path: Path, kind: str
):
    at = Installation(tmp_path, server=kind)
    at.copy_of(seeded)
    try:
        at.start()
        chat = await Chat.open(at, at.someone())
        await chat.ask("hanging-turn")
        await chat.until(lambda f: f["type"] == "agent_thinking")
        process = at._process
        assert process is not None

        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            while "Ctrl+C again" not in at.said():  # noqa: ASYNC110 - a file rings no bell
                await asyncio.sleep(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)

        assert await asyncio.to_thread(process.wait, SOONER) == 0
        assert await chat.close_code() == 4503
        assert at.rows("SELECT state FROM executions_execution") == [("pending",)]
        assert at.said().count("hands back what runs and stops now") == 1
        assert "Traceback" not in at.said()
        assert "1 running execution ended" in at.said()
    finally:
        at.kill()
