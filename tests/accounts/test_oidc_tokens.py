"""Forged, replayed, expired and misdirected ID tokens: each is refused by its own rule."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.accounts.lying_provider import (
    KEYS,
    encoded,
    private_key,
    public_jwk,
    unsigned,
)
from tests.accounts.oidc import assert_refused, assert_signed_in

pytestmark = pytest.mark.security


@pytest.fixture(autouse=True)
def somebody(alice):
    """Alice is a member already: what is refused could have been her."""


def test_an_honest_token_signs_in(visitor):
    assert_signed_in(visitor, visitor.sign_in())


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_every_listed_algorithm_is_understood(visitor, liar, algorithm):
    liar.algorithm = algorithm
    liar.keys = [public_jwk(algorithm)]

    assert_signed_in(visitor, visitor.sign_in())


# -- the signature -------------------------------------------------------------------------


def test_an_unsigned_token_is_refused(visitor, liar):
    liar.finish = unsigned

    assert_refused(visitor.sign_in(), "token_algorithm", visitor)


@pytest.mark.parametrize("name", ["None", "NONE", "nOnE", "", "HS512", "RS512", "x"])
def test_every_other_algorithm_is_refused(visitor, liar, name):
    liar.finish = lambda token: unsigned(token, name)

    assert_refused(visitor.sign_in(), "token_algorithm", visitor)


def test_a_token_whose_signature_was_cut_off_is_refused(visitor, liar):
    liar.finish = lambda token: token.rpartition(".")[0] + "."

    assert_refused(visitor.sign_in(), "token_signature", visitor)


def test_a_public_key_is_no_shared_secret(visitor, liar):
    """The old confusion: HS256 with what everybody can read."""

    def confused(token: str) -> str:
        pem = private_key().public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )  # fmt: skip
        header = encoded(json.dumps({"alg": "HS256", "kid": "RS256-first"}).encode())
        body = f"{header}.{token.split('.')[1]}"
        code = hmac.new(pem, body.encode(), hashlib.sha256).digest()
        return f"{body}.{encoded(code)}"

    liar.finish = confused

    assert_refused(visitor.sign_in(), "token_algorithm", visitor)


def test_a_shared_secret_among_the_keys_is_not_used(visitor, liar):
    secret = {
        "kty": "oct",
        "k": encoded(b"x" * 32),
        "kid": "RS256-first",
        "alg": "HS256",
    }
    liar.keys = [secret]

    assert_refused(visitor.sign_in(), "token_key_known", visitor)


def test_changed_claims_are_noticed(visitor, liar):
    def changed(token: str) -> str:
        header, claims, signature = token.split(".")
        told = json.loads(base64.urlsafe_b64decode(claims + "=="))
        told["email"] = "bob@acme.example"
        return f"{header}.{encoded(json.dumps(told).encode())}.{signature}"

    liar.finish = changed

    assert_refused(visitor.sign_in(), "token_signature", visitor)


def test_a_key_that_was_never_published_is_refused(visitor, liar):
    liar.key_name = "mallorys"

    assert_refused(visitor.sign_in(), "token_key_known", visitor)


def test_a_foreign_key_under_a_published_name_is_refused(visitor, liar):
    liar.key_name = "mallorys"
    liar.header = {"kid": "RS256-first"}

    assert_refused(visitor.sign_in(), "token_signature", visitor)


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://mallory.example/keys"},
        {"jwk": public_jwk("RS256", "mallorys")},
        {"x5u": "https://mallory.example/cert"},
        {"x5c": ["MIIB"]},
        {"zip": "DEF"},
        {"typ": "at+jwt"},
        {"typ": "logout+jwt"},
    ],
    ids=lambda header: "-".join(map(str, header.values()))[:40],
)
def test_a_token_brings_no_key_and_no_rules_of_its_own(visitor, liar, header):
    liar.header = header

    assert_refused(visitor.sign_in(), "token_header", visitor)


def test_a_token_with_rules_that_we_do_not_know_is_refused(visitor, liar):
    liar.header = {"crit": ["exp"], "exp": 1}

    assert_refused(visitor.sign_in(), "token_present", visitor)


def test_the_providers_own_key_address_in_the_header_does_no_harm(visitor, liar):
    liar.header = {"jku": liar.url + KEYS}

    assert_signed_in(visitor, visitor.sign_in())


@pytest.mark.parametrize(
    "key",
    [
        public_jwk(use="enc"),
        public_jwk(alg="RS512"),
        public_jwk(key_ops=["sign"]),
        public_jwk(key_ops=5),
        public_jwk() | {"n": "!!"},
        public_jwk() | {"kty": "EC"},
        {"kid": "RS256-first"},
    ],
)
def test_a_key_for_something_else_checks_no_signature(visitor, liar, key):
    liar.keys = [key]

    assert_refused(visitor.sign_in(), "token_key_known", visitor)


@pytest.mark.filterwarnings("ignore:.*bits long")
def test_a_key_that_can_be_broken_is_refused(visitor, liar):
    liar.key_name = "short"
    liar.keys = [public_jwk("RS256", "short")]

    assert_refused(visitor.sign_in(), "token_key_known", visitor)


def test_a_token_without_key_id_is_checked_with_each_fitting_key(visitor, liar):
    liar.keys = [public_jwk("RS256", "second"), public_jwk()]
    liar.header = {"kid": None}

    assert_signed_in(visitor, visitor.sign_in())


# -- the claims ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        ({"iss": "https://mallory.example"}, "token_issuer"),
        ({"aud": "somebody-else"}, "token_audience"),
        ({"aud": ["somebody-else", "another"]}, "token_audience"),
        ({"aud": ["netra-acme", "another"]}, "token_audience"),
        ({"aud": ["netra-acme", "another"], "azp": "another"}, "token_audience"),
        ({"azp": "somebody-else"}, "token_audience"),
        ({"exp": "tomorrow"}, "token_claims"),
        ({"exp": math.inf}, "token_claims"),
        ({"sub": ""}, "token_claims"),
        ({"sub": 7}, "token_claims"),
        ({"sub": "s" * 192}, "token_claims"),
        ({"sub": "s\0"}, "token_claims"),
        ({"email": ["@"]}, "token_claims"),
        ({"email": 7}, "token_claims"),
        ({"email": "\u0130a@acme.example"}, "token_claims"),  # İ: two letters in lower case
        ({"email": "alice@acme.example\ud800"}, "token_claims"),
        ({"name": ["Alice"]}, "token_claims"),
        ({"name": "Alice\0"}, "token_claims"),
        ({"groups": [{"name": "\0"}]}, "token_claims"),
        ({"score": math.nan}, "token_claims"),
        ({"nonce": "\ud800"}, "token_claims"),
        ({"nonce": "somebody-elses"}, "token_nonce"),
        ({"nonce": None}, "token_nonce"),
        ({"nonce": ""}, "token_nonce"),
        ({"nonce": ["x"]}, "token_nonce"),
        ({"at_hash": "of-another-token"}, "access_token_bound"),
    ],
    ids=str,
)  # fmt: skip
def test_a_token_says_what_it_must(visitor, liar, claims, rule):
    liar.claims = claims

    assert_refused(visitor.sign_in(), rule, visitor)


@pytest.mark.parametrize(
    ("claim", "rule"),
    [
        ("iss", "token_claims"),
        ("aud", "token_claims"),
        ("exp", "token_claims"),
        ("iat", "token_claims"),
        ("sub", "token_claims"),
        ("nonce", "token_nonce"),
    ],
)
def test_a_token_lacks_nothing(visitor, liar, claim, rule):
    liar.left_out = {claim}

    assert_refused(visitor.sign_in(), rule, visitor)


@pytest.mark.parametrize(
    ("times", "rule"),
    [
        ({"exp": -3600}, "token_in_time"),
        ({"iat": 3600}, "token_not_early"),
        ({"nbf": 3600}, "token_not_early"),
    ],
)
def test_a_token_counts_in_its_own_time_only(visitor, liar, times, rule):
    liar.times = times

    assert_refused(visitor.sign_in(), rule, visitor)


def test_clocks_may_differ_a_little(visitor, liar):
    liar.times = {"iat": 20, "nbf": 20, "exp": -20}

    assert_signed_in(visitor, visitor.sign_in())


def test_a_token_for_several_that_names_us_as_the_asker_is_taken(visitor, liar):
    liar.claims = {"aud": ["netra-acme", "another"], "azp": "netra-acme"}

    assert_signed_in(visitor, visitor.sign_in())


def test_the_digest_of_the_access_token_is_that_of_ours(visitor, liar):
    liar.claims = {"at_hash": encoded(hashlib.sha256(b"at-1").digest()[:16])}

    assert_signed_in(visitor, visitor.sign_in())


def test_a_token_of_another_sign_in_is_refused(visitor, liar):
    """The nonce in the browser was swapped: a token made for mallory's own sign-in comes back."""
    visitor.start()
    liar.nonce = "the-nonce-of-mallorys-own-sign-in"

    assert_refused(visitor.come_back(), "token_nonce", visitor)


def test_a_token_of_an_earlier_sign_in_is_refused(visitor, liar):
    visitor.start()
    old = liar.token()
    liar.finish = lambda _: old

    assert_refused(visitor.sign_in(), "token_nonce", visitor)


@pytest.mark.parametrize("token", ["", None, 7, ["x"], "x", "x.y", "x.y.z", "é.y.z"])
def test_what_is_no_token_is_refused(visitor, liar, token):
    liar.extra = {"id_token": token}

    assert_refused(visitor.sign_in(), "token_present", visitor)


def test_a_token_nested_without_end_is_refused(visitor, liar):
    deep = encoded(b"[" * 9000)
    liar.extra = {"id_token": f"{deep}.x.y"}

    assert_refused(visitor.sign_in(), "token_present", visitor)


def test_an_oversized_token_is_not_even_read(visitor, liar):
    liar.claims = {"groups": ["g" * 30] * 1000}

    assert_refused(visitor.sign_in(), "token_size", visitor)
