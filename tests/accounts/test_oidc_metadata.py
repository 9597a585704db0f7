"""What a provider tells about itself: kept for a while, and refused where it is wrong."""

from __future__ import annotations

import pytest

from tests.accounts.lying_provider import KEYS, METADATA, public_jwk
from tests.accounts.oidc import assert_refused, assert_signed_in
from tests.accounts.test_oidc import change

pytestmark = pytest.mark.security


def test_metadata_and_keys_are_kept_for_a_while(visitor, liar, alice):
    for _ in range(3):
        assert_signed_in(visitor, visitor.sign_in())
        visitor.client.logout()

    assert liar.asked.count(METADATA) == 1
    assert liar.asked.count(KEYS) == 1


def test_a_new_key_is_found_at_once(visitor, liar, alice):
    visitor.sign_in()
    visitor.client.logout()
    liar.key_name = "second"
    liar.keys = [public_jwk(), public_jwk("RS256", "second")]

    assert_signed_in(visitor, visitor.sign_in())
    assert liar.asked.count(KEYS) == 2


def test_unknown_keys_do_not_make_us_ask_each_time(visitor, liar):
    liar.key_name = "mallorys"
    for _ in range(4):
        visitor.sign_in()

    assert liar.asked.count(KEYS) == 2


def test_a_changed_issuer_is_asked_anew(visitor, liar):
    visitor.start()
    change(issuer=f"{liar.url}/")

    assert_refused(visitor.start(), "metadata_issuer", visitor)
    assert liar.asked.count(METADATA) == 2


@pytest.mark.parametrize("issuer", ["https://mallory.example", "", None, 7])
def test_a_provider_that_calls_itself_otherwise_is_refused(visitor, liar, issuer):
    liar.metadata = {"issuer": issuer}

    assert_refused(visitor.start(), "metadata_issuer", visitor)


@pytest.mark.parametrize(
    "name", ["authorization_endpoint", "token_endpoint", "jwks_uri"]
)
@pytest.mark.parametrize("value", [None, 7, ["x"]])
def test_metadata_lacks_nothing(visitor, liar, name, value):
    liar.metadata = {name: value}

    assert_refused(visitor.start(), "metadata_complete", visitor)


@pytest.mark.parametrize(
    "address",
    [
        "http://id.mallory.example/x\r\nX: y",
        "javascript:alert(1)",
        "//mallory.example",
        "file:///etc/passwd",
        "https://user:pw@mallory.example/",
        "https://mallory.example\\@127.0.0.1/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
    ],
)
def test_an_endpoint_is_a_plain_address(visitor, liar, address):
    liar.metadata = {"authorization_endpoint": address}

    assert_refused(visitor.start(), "public_address", visitor)


@pytest.mark.parametrize("keys", [None, {}, "x"])
def test_keys_that_are_no_list_are_refused(visitor, liar, keys):
    liar.keys = keys

    assert_refused(visitor.sign_in(), "metadata_complete", visitor)


def test_in_production_this_machine_is_not_asked(visitor, settings):
    settings.PRODUCTION = True

    assert_refused(visitor.start(), "public_address", visitor)
