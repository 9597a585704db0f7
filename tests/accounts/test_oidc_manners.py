"""Providers that are down, slow, redirecting, too talkative or not making sense: named refusals."""

from __future__ import annotations

import socket
import time

import pytest

from apps.accounts import outbound
from tests.accounts.lying_provider import (
    KEYS,
    METADATA,
    TOKEN,
    USERINFO,
    answer,
    answer_json,
)
from tests.accounts.oidc import assert_refused
from tests.accounts.test_oidc import change

pytestmark = pytest.mark.security
PLACES = [METADATA, KEYS, TOKEN, USERINFO]


@pytest.fixture(autouse=True)
def somebody(alice):
    """Alice is a member already: what is refused could have been her."""


@pytest.fixture
def meet(visitor, liar):
    """Signs in at a provider that behaves in some way at one of its addresses."""

    def meeting(place, behaviour):
        change(ask_userinfo=True)
        liar.userinfo = {"sub": "s-1", "email": "alice@acme.example"}
        liar.behave[place] = behaviour
        started = visitor.start()
        return visitor.come_back() if started.status_code == 302 else started

    return meeting


def redirecting(handler) -> None:
    answer(handler, b"", status=302, Location="http://127.0.0.1:1/")


def hanging_up(handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler) -> None:
    time.sleep(0.6)


def dripping(handler) -> None:
    """A byte at a time: each is in time, the whole never is."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(40):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.05)


def endless(handler) -> None:
    answer(handler, b'{"keys": "' + b"x" * outbound.LARGEST + b'"}')


def compressed(handler) -> None:
    answer(handler, b"\x1f\x8b", Content_Encoding="gzip")


def talking_nonsense(handler) -> None:
    answer(handler, b"<html>We are moving house</html>")


def listing(handler) -> None:
    answer_json(handler, ["not", "an", "object"])


def nested(handler) -> None:
    answer(handler, b"[" * 200_000)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("behaviour", "rule"),
    [
        (redirecting, "no_redirects"),
        (hanging_up, "provider_up"),
        (endless, "answer_size"),
        (talking_nonsense, "answer_readable"),
        (listing, "answer_readable"),
        (nested, "answer_readable"),
        (compressed, "answer_readable"),
    ],
)
def test_a_provider_that_misbehaves_is_refused(meet, visitor, place, behaviour, rule):
    receipt = assert_refused(meet(place, behaviour), rule, visitor)

    assert receipt.fix


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("behaviour", [silent, dripping])
def test_a_provider_that_keeps_us_waiting_is_left(
    meet, visitor, monkeypatch, place, behaviour
):
    monkeypatch.setattr(outbound, "READ_SECONDS", 0.3)
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.5)

    response = meet(place, behaviour)

    assert_refused(response, "provider_in_time", visitor)
    assert (response.status_code, response["Retry-After"]) == (503, "60")


@pytest.mark.parametrize("place", [METADATA, KEYS, USERINFO])
@pytest.mark.parametrize("status", [204, 400, 404, 500])
def test_a_status_that_is_no_yes_is_refused(meet, visitor, place, status):
    def refusing(handler) -> None:
        answer_json(handler, {"sub": "s-1"}, status=status)

    assert_refused(meet(place, refusing), "answer_readable", visitor)


@pytest.mark.parametrize(
    ("status", "rule"),
    [(400, "code_accepted"), (401, "code_accepted"), (500, "provider_up")],
)
def test_a_code_that_is_not_taken_is_told(meet, visitor, status, rule):
    def refusing(handler) -> None:
        answer_json(handler, {"error": "invalid_grant"}, status=status)

    assert_refused(meet(TOKEN, refusing), rule, visitor)


@pytest.mark.parametrize("token", [None, "", 7, "t" * 20_000])
def test_an_answer_without_a_sane_access_token_is_refused(visitor, liar, token):
    liar.extra = {"access_token": token}

    assert_refused(visitor.sign_in(), "token_present", visitor)


def test_a_provider_that_is_gone_is_told(visitor):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        change(issuer=f"http://127.0.0.1:{closed.getsockname()[1]}")

        response = visitor.start()

    assert_refused(response, "provider_up", visitor)
    assert response["Retry-After"] == "60"


def test_a_failed_fetch_is_not_kept(visitor, liar, alice):
    liar.behave[METADATA] = talking_nonsense
    visitor.start()
    liar.behave.clear()

    assert visitor.start().status_code == 302
