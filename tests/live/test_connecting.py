"""Who may open a socket, how long it holds, and what others' ids look like through it."""

from __future__ import annotations

import asyncio
import re
import uuid

import pytest
import requests

from tests.live.chat import Chat
from tests.live.conftest import OpenChat
from tests.live.installation import Installation

pytestmark = [
    pytest.mark.live,
    pytest.mark.golden_path,
    pytest.mark.integration,
    pytest.mark.security,
]


# -- who may connect -----------------------------------------------------------------


async def test_who_is_not_known_is_told_why_and_sent_away(
    netra_server: Installation, open_chat: OpenChat
):
    alice = netra_server.people["alice@acme.example"]
    own = f"http://127.0.0.1:{netra_server.port}"
    cookie = {"Cookie": f"sessionid={alice['session']}"}
    good = f"Bearer {alice['token']}"
    cases: dict[str, tuple[dict[str, object], int, str]] = {
        "nothing": ({"headers": {}}, 4401, "not_authenticated"),
        "an unknown token": (
            {"headers": {"Authorization": "Bearer ntr_0123456789abcdef"}},
            4401,
            "not_authenticated",
        ),
        "another scheme": (
            {"headers": {"Authorization": "Basic YTpi"}},
            4401,
            "not_authenticated",
        ),
        "a bad header and a good cookie": (
            {"headers": {"Authorization": "Bearer no", "Origin": own, **cookie}},
            4401,
            "not_authenticated",
        ),
        "a bad sub-protocol token and a good cookie": (
            {
                "headers": {"Origin": own, **cookie},
                "subprotocols": ["netra.v1", "bearer.no"],
            },
            4401,
            "not_authenticated",
        ),
        "an unknown session": (
            {"headers": {"Cookie": "sessionid=" + "a" * 32, "Origin": own}},
            4401,
            "not_authenticated",
        ),
        "a cookie without an origin": ({"headers": cookie}, 4403, "not_allowed"),
        "a cookie from elsewhere": (
            {"headers": {"Origin": "http://evil.example", **cookie}},
            4403,
            "not_allowed",
        ),
        "a cookie from a null origin": (
            {"headers": {"Origin": "null", **cookie}},
            4403,
            "not_allowed",
        ),
        "a cookie from another port": (
            {"headers": {"Origin": "http://127.0.0.1:1", **cookie}},
            4403,
            "not_allowed",
        ),
        "a token from elsewhere": (
            {"headers": {"Authorization": good, "Origin": "http://evil.example"}},
            4403,
            "not_allowed",
        ),
        "another organisation": (
            {"headers": {"Authorization": good}, "query": "?organisation=globex"},
            4403,
            "not_allowed",
        ),
        "no organisation of that name": (
            {"headers": {"Authorization": good}, "query": "?organisation=absent"},
            4403,
            "not_allowed",
        ),
        "a session in another organisation": (
            {"headers": {"Origin": own, **cookie}, "query": "?organisation=globex"},
            4403,
            "not_allowed",
        ),
        "other sub-protocols only": (
            {"headers": {"Authorization": good}, "subprotocols": ["graphql-ws"]},
            4400,
            "bad_frame",
        ),
    }
    wrong = {}
    for name, (options, code, error) in cases.items():
        chat = await open_chat(**options)
        got = await chat.close_code()
        said = [frame["data"]["code"] for frame in chat.frames]
        if (got, said) != (code, [error]):
            wrong[name] = (got, chat.frames)
    assert wrong == {}


async def test_an_organisation_of_others_and_none_are_refused_alike(
    netra_server: Installation, open_chat: OpenChat
):
    answers = []
    for slug in ("globex", "no-such-place"):
        chat = await open_chat(
            headers={
                "Authorization": f"Bearer {netra_server.people['alice@acme.example']['token']}"
            },
            query=f"?organisation={slug}",
        )
        answers.append((await chat.close_code(), chat.frames))

    assert answers[0] == answers[1]


async def test_a_token_may_come_as_a_sub_protocol_and_is_never_echoed(
    netra_server: Installation, open_chat: OpenChat
):
    token = netra_server.people[netra_server.someone()]["token"]

    chat = await open_chat(headers={}, subprotocols=[f"bearer.{token}", "netra.v1"])

    assert (await chat.receive())["type"] == "connection_established"
    assert chat.socket.subprotocol == "netra.v1"
    assert chat.socket.response is not None
    assert token not in str(chat.socket.response.headers)
    assert token not in netra_server.said()


async def test_no_sub_protocol_is_accepted_without_one(chat: Chat):
    assert chat.socket.subprotocol is None


async def test_a_session_works_from_the_own_origin(
    netra_server: Installation, open_chat: OpenChat
):
    email = netra_server.someone()
    headers = {
        "Cookie": f"sessionid={netra_server.people[email]['session']}",
        "Origin": f"http://127.0.0.1:{netra_server.port}",
    }

    chat = await open_chat(headers=headers, query="?organisation=acme")

    assert (await chat.receive())["data"]["user"]["email"] == email


async def test_the_eleventh_connection_of_a_person_is_refused(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    ten = [await open_chat(person) for _ in range(10)]
    token = netra_server.people[person]["token"]

    eleventh = await open_chat(headers={"Authorization": f"Bearer {token}"})

    assert await eleventh.close_code() == 4409
    assert [f["data"]["code"] for f in eleventh.frames] == ["too_many_connections"]
    await ten[0].close()
    async with asyncio.timeout(5):
        while True:
            again = await open_chat(headers={"Authorization": f"Bearer {token}"})
            if (await again.receive())["type"] == "connection_established":
                return


async def test_the_sixty_first_message_of_a_minute_is_refused(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    one, two = await open_chat(person), await open_chat(person)
    for n in range(60):  # refused for their content, and counted all the same
        await (one, two)[n % 2].send("user_message", id=n, text="t", agent="nobody")
    for chat in (one, two):
        await chat.settled()
    before = netra_server.written()

    await two.send("user_message", id="late", text="t", agent="golden-turn")
    refused = await two.until(lambda f: f.get("id") == "late")

    assert refused["data"]["code"] == "rate_limited"
    assert 0 < refused["data"]["retry_after"] <= 60
    assert refused["data"]["receipt_id"]
    assert netra_server.written() == before


# -- credentials that end -------------------------------------------------------------


async def test_a_revoked_token_ends_its_sockets(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    chat = await open_chat(person)
    netra_server.change(
        "UPDATE accounts_token SET revoked_at = datetime('now') WHERE user_id = ?",
        uuid.UUID(netra_server.people[person]["id"]).hex,
    )

    assert await chat.close_code(patience=5) == 4401
    assert chat.frames[-1]["data"]["code"] == "not_authenticated"


async def test_logging_out_ends_the_sockets_of_the_session(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    own = f"http://127.0.0.1:{netra_server.port}"
    session = netra_server.people[person]["session"]
    chat = await open_chat(headers={"Cookie": f"sessionid={session}", "Origin": own})
    assert (await chat.receive())["type"] == "connection_established"
    by_token = await open_chat(person)

    with requests.Session() as browser:
        browser.trust_env = False
        browser.cookies.set("sessionid", session)
        page = await asyncio.to_thread(
            browser.get, f"{own}/accounts/logout/", timeout=10
        )
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.text)
        assert token
        form = {"csrfmiddlewaretoken": token[1]}
        await asyncio.to_thread(
            browser.post,
            f"{own}/accounts/logout/",
            form,
            headers={"Referer": own},
            timeout=10,
        )

    assert await chat.close_code(patience=5) == 4401
    await by_token.settled()


async def test_a_person_who_is_deactivated_loses_every_socket(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    chat = await open_chat(person)
    netra_server.change(
        "UPDATE accounts_user SET is_active = 0 WHERE email = ?", person
    )

    assert await chat.close_code(patience=5) == 4401


# -- what is others' ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("user_message", "thread_id"),
        ("subscribe", "thread_id"),
        ("cancel", "execution_id"),
        ("ack", "thread_id"),
        ("unsubscribe", "thread_id"),
        ("typing", "thread_id"),
    ],
)
@pytest.mark.parametrize("stranger", ["mallory@globex.example", "a colleague"])
async def test_what_belongs_to_others_looks_like_what_is_not_there(
    netra_server: Installation,
    open_chat: OpenChat,
    kind: str,
    key: str,
    stranger: str,
):
    owner = await open_chat(netra_server.someone())
    theirs = await owner.ask("hanging-turn", "a secret of mine")
    await owner.until(lambda f: f["type"] == "agent_thinking")  # its last event
    if stranger not in netra_server.people:
        stranger = netra_server.someone()
    thief = await open_chat(stranger)
    before = netra_server.written()

    heard = []
    for found in (theirs[key], str(uuid.uuid4())):
        start = len(thief.frames)
        await thief.send(
            kind, id="x", text="give me", agent="golden-turn", seq=0, **{key: found}
        )
        await thief.settled()
        heard.append([f for f in thief.frames[start:] if f["type"] != "pong"])

    assert heard[0] == heard[1]
    assert [f["data"]["code"] for f in heard[0]] == (
        ["not_found"] if kind in {"user_message", "subscribe", "cancel", "ack"} else []
    )
    assert netra_server.written() == before
    await owner.send("cancel", execution_id=theirs["execution_id"])
    end = await owner.end_of(theirs["execution_id"])
    await thief.settled()
    assert end["data"]["by"] == "user"
    assert "secret" not in str(thief.frames)
    assert theirs["thread_id"] not in str(thief.frames)


async def test_who_may_only_read_is_refused_a_question(
    netra_server: Installation, open_chat: OpenChat
):
    chat = await open_chat("viewer@acme.example")
    before = netra_server.written()

    await chat.send("user_message", id="x", text="t", agent="golden-turn")

    assert (await chat.refusal())["data"]["code"] == "not_allowed"
    assert netra_server.written() == before
