"""Model fields that keep their value encrypted (AES-GCM), each value naming its key."""

from __future__ import annotations

import base64
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

from apps.core.keys import KeyStore

NONCE = 12


class SealedValueError(ValueError):
    """A stored secret cannot be opened: wrong key, or the value was changed."""


def seal(text: str, *, context: str) -> str:
    """Encrypt `text` for one column (`context`): 'fields-1:base64(nonce + ciphertext)'."""
    name = KeyStore(settings.NETRA_KEYS).newest("fields")
    nonce = os.urandom(NONCE)
    sealed = nonce + _cipher(name).encrypt(nonce, text.encode(), context.encode())
    return f"{name}:{base64.b64encode(sealed).decode()}"


def unseal(stored: str, *, context: str) -> str:
    """Open what `seal` made; raises SealedValueError when it is not intact."""
    name, _, body = stored.partition(":")
    try:
        raw = base64.b64decode(body, validate=True)
        return (
            _cipher(name).decrypt(raw[:NONCE], raw[NONCE:], context.encode()).decode()
        )
    except (InvalidTag, ValueError) as error:
        raise SealedValueError(
            f"the secret in {context} cannot be opened with key {name!r}"
        ) from error


@lru_cache(maxsize=16)
def _cipher(name: str) -> AESGCM:
    return AESGCM(bytes.fromhex(KeyStore(settings.NETRA_KEYS).read(name).decode()))


if TYPE_CHECKING:
    PlainTextField = models.TextField[str, str]
else:
    PlainTextField = models.TextField


class EncryptedTextField(PlainTextField):
    """Text that is encrypted in the database and plain in Python."""

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        return unseal(value, context=self._context) if value else value

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return seal(text, context=self._context) if text else text

    @property
    def _context(self) -> str:
        return f"{self.model._meta.db_table}.{self.attname}"
