"""Local passwords: how they are hashed, and which are too common. Who may have one: adapter."""

from __future__ import annotations

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

# What people type when a password must be long: runs of neighbours, back and forth.
RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1q2w3e4r5t6y7u8i9o0p",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
)
LONGEST = 1_000  # what is looked at below takes the square of the length
SHORT = 5  # letters and fewer are no secret, however they are stretched


class MeasuredArgon2(Argon2PasswordHasher):
    """Argon2id at OWASP's first setting: 19 MiB and one thread for each password that is tried.

    Django's own takes 100 MiB; a hundred strangers trying at once would take the machine.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1


class StretchedPasswordValidator(CommonPasswordValidator):
    """Refuses a common password made longer: repeated, joined to another, padded, or a run of keys."""

    def validate(self, password: str, user: object = None) -> None:  # noqa: ARG002 - Django's signature
        if len(password) > LONGEST:
            raise ValidationError(
                f"This password is too long. Use at most {LONGEST:,} characters.",
                code="password_too_long",
            )
        text = password.casefold().strip()
        unit = _unit(text)
        core = _unit(text.strip("0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "))
        padded = len(core) > SHORT and self._is_common(core)
        if self._is_common(unit) or padded or self._is_joined(core):
            raise ValidationError(
                "This password is a common one made longer. Use several words that have "
                "nothing to do with each other.",
                code="password_stretched",
            )

    def get_help_text(self) -> str:
        return "Your password can’t be a common one made longer."

    def _is_common(self, text: str) -> bool:
        if len(text) <= SHORT or text in self.passwords:
            return True
        return any(text in 3 * way for run in RUNS for way in (run, run[::-1]))

    def _is_joined(self, text: str) -> bool:
        return any(
            text[:cut] in self.passwords and text[cut:] in self.passwords
            for cut in range(3, len(text) - 2)
        )


def _unit(text: str) -> str:
    """The part of which the text is a repetition, perhaps cut short; the text itself if of none."""
    for length in range(1, len(text) // 2 + 1):
        if (text[:length] * (len(text) // length + 1)).startswith(text):
            return text[:length]
    return text
