"""allauth's override point for second factors: seeds and recovery codes are stored encrypted."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter

from apps.accounts.actions.keys import SECOND_FACTORS
from apps.core.fields import is_sealed, seal, unseal


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    """Seals what proves a second factor."""

    def encrypt(self, text: str) -> str:
        return seal(text, context=SECOND_FACTORS)

    def decrypt(self, encrypted_text: str) -> str:
        # The release before this one stored it plain; `rotate_keys` seals what is left of that.
        if not is_sealed(encrypted_text):
            return encrypted_text
        return unseal(encrypted_text, context=SECOND_FACTORS)
