"""Model fields that keep their value encrypted (AES-GCM), each value naming its key."""

from __future__ import annotations

import base64
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

from apps.core.keys import KeyStore, KeyStoreError

NONCE = 12
KEY_NAME = re.compile(r"fields-[0-9]{1,9}")
SEALED = re.compile(r"fields-[0-9]{1,9}:[A-Za-z0-9+/]+={0,2}")


class SealedValueError(ValueError):
    """A stored secret cannot be opened: wrong key, or the value was changed."""


def seal(text: str, *, context: str) -> str:
    """Encrypt `text` for one column (`context`): 'fields-1:base64(nonce + ciphertext)'."""
    name = KeyStore(settings.NETRA_KEYS).newest("fields")
    nonce = os.urandom(NONCE)
    sealed = nonce + _cipher(settings.NETRA_KEYS, name).encrypt(
        nonce, text.encode(), context.encode()
    )
    return f"{name}:{base64.b64encode(sealed).decode()}"


def unseal(stored: str, *, context: str) -> str:
    """Open what `seal` made; raises SealedValueError when it is not intact."""
    name, _, body = stored.partition(":")
    try:
        raw = base64.b64decode(body, validate=True)
        cipher = _cipher(settings.NETRA_KEYS, name)
        return cipher.decrypt(raw[:NONCE], raw[NONCE:], context.encode()).decode()
    except (InvalidTag, KeyStoreError, ValueError) as error:
        raise SealedValueError(
            f"the secret in {context} cannot be opened with key {name!r}"
        ) from error


def is_sealed(stored: str) -> bool:
    """Whether `stored` has the form that `seal` gives: it names a key."""
    return SEALED.fullmatch(stored) is not None


@lru_cache(maxsize=16)
def _cipher(folder: Path, name: str) -> AESGCM:
    """Keys never change under their name; a new one has a name of its own."""
    if not KEY_NAME.fullmatch(name):
        raise ValueError(name)
    return AESGCM(bytes.fromhex(KeyStore(folder).read(name).decode()))


if TYPE_CHECKING:
    PlainTextField = models.TextField[str, str]
else:
    PlainTextField = models.TextField


class EncryptedTextField(PlainTextField):
    """Text that is encrypted in the database and plain in Python."""

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        return unseal(value, context=self.context) if value else value

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return seal(text, context=self.context) if text else text

    @property
    def context(self) -> str:
        """To which column a value is bound: moved to another one it does not open."""
        return f"{self.model._meta.db_table}.{self.attname}"
