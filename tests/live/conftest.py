"""Running servers for the live suites, one of each kind in a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.live.chat import Chat
from tests.live.installation import Installation

KINDS = [
    pytest.param(kind, marks=pytest.mark.xdist_group(f"live-{kind}"))
    for kind in ("daphne", "uvicorn")
]
OpenChat = Callable[..., Awaitable[Chat]]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An installation with people in it, whose server never runs: others begin as its copy."""
    installation = Installation(tmp_path_factory.mktemp("seeded"), server="uvicorn")
    installation.seed()
    return installation


@pytest.fixture(scope="session")
def servers(
    seeded: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Installation]]:
    """Starts a server of a kind when it is first wanted, and ends all at the end."""
    running: dict[str, Installation] = {}

    def start(kind: str) -> Installation:
        if kind not in running:
            folder: Path = tmp_path_factory.mktemp(kind)
            running[kind] = Installation(folder, server=kind)
            running[kind].copy_of(seeded)
            running[kind].start()
        return running[kind]

    yield start
    for installation in running.values():
        installation.kill()


@pytest.fixture(params=KINDS)
def netra_server(
    request: pytest.FixtureRequest, servers: Callable[[str], Installation]
) -> Iterator[Installation]:
    """A running Netra, under each server; what it logged is shown when the test fails."""
    installation = servers(request.param)
    before = len(installation.said())
    yield installation
    said = installation.said()[before:]
    if said:
        request.node.add_report_section("teardown", f"log of {request.param}", said)


@pytest.fixture
async def open_chat(netra_server: Installation) -> AsyncIterator[OpenChat]:
    """Opens sockets, and closes them after the test."""
    opened: list[Chat] = []

    async def open_one(person: str | None = None, **options: object) -> Chat:
        chat = await Chat.open(netra_server, person, **options)  # type: ignore[arg-type]
        opened.append(chat)
        if person is not None:  # a known person is greeted, and from then on heard
            assert (await chat.receive())["type"] == "connection_established"
        return chat

    yield open_one
    for chat in opened:
        await chat.close()


@pytest.fixture
async def chat(netra_server: Installation, open_chat: OpenChat) -> Chat:
    """A socket of somebody who has done nothing yet."""
    return await open_chat(netra_server.someone())
