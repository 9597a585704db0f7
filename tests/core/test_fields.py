"""Encrypted fields: unreadable in the database, whole in Python, and every change is noticed."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import IdentityProvider
from apps.core.fields import SealedValueError, seal, unseal
from tests.factories import TESTS

CONTEXT = "accounts_identityprovider.secret"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_again(text: str) -> None:
    assert unseal(seal(text, context=CONTEXT), context=CONTEXT) == text


def test_two_seals_of_one_text_differ() -> None:
    assert seal("same", context=CONTEXT) != seal("same", context=CONTEXT)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, change: int) -> None:
    name, _, body = seal("a secret", context=CONTEXT).partition(":")
    raw = bytearray(base64.b64decode(body))
    raw[position % len(raw)] ^= change

    with pytest.raises(SealedValueError):
        unseal(f"{name}:{base64.b64encode(raw).decode()}", context=CONTEXT)


def test_a_value_moved_to_another_column_does_not_open() -> None:
    with pytest.raises(SealedValueError):
        unseal(seal("a secret", context=CONTEXT), context="accounts_token.digest")


@pytest.mark.parametrize(
    "stored", ["fields-1:", "fields-1:!!!", "fields-1:AAAA", "plain text"]
)
def test_what_was_never_sealed_does_not_open(stored: str) -> None:
    with pytest.raises((SealedValueError, Exception)) as caught:
        unseal(stored, context=CONTEXT)

    assert "a secret" not in str(caught.value)


@pytest.mark.django_db
@pytest.mark.security
def test_the_database_never_holds_the_plain_text(
    acme, django_assert_num_queries
) -> None:
    with TESTS:
        row = IdentityProvider.objects.create(
            organisation=acme, provider_id="acme", name="Acme", issuer="https://id.acme.example",
            client_id="c", secret="a plain secret",
        )  # fmt: skip
        stored = IdentityProvider.objects.extra(select={"raw": "secret"}).get(pk=row.pk)

        assert IdentityProvider.objects.get(pk=row.pk).secret == "a plain secret"
    assert "plain" not in stored.raw
    assert stored.raw.startswith("fields-1:")


@pytest.mark.django_db
def test_an_empty_secret_stays_empty(acme) -> None:
    with TESTS:
        row = IdentityProvider.objects.create(
            organisation=acme, provider_id="acme", name="Acme", issuer="https://id.acme.example",
            client_id="c",
        )  # fmt: skip
        row.refresh_from_db()

    assert row.secret == ""


def test_a_new_key_seals_and_the_old_one_still_opens(settings, tmp_path: Path) -> None:
    from apps.core import fields

    settings.NETRA_KEYS = tmp_path
    fields._cipher.cache_clear()
    (tmp_path / "fields-1").write_text(secrets.token_hex(32))
    old = seal("a secret", context=CONTEXT)
    (tmp_path / "fields-2").write_text(secrets.token_hex(32))

    new = seal("a secret", context=CONTEXT)

    assert (old[:8], new[:8]) == ("fields-1", "fields-2")
    assert unseal(old, context=CONTEXT) == unseal(new, context=CONTEXT) == "a secret"
    fields._cipher.cache_clear()
