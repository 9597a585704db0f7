"""Django's sessions in the database, asked for only by what can be a key.

A cookie may hold anything; PostgreSQL does not even take each text as a question.
"""

from __future__ import annotations

import re

from django.contrib.sessions.backends import db

FORM = re.compile(r"[0-9a-z]{32}")


class SessionStore(db.SessionStore):
    """Takes what has another form than Django's own keys for no key at all."""

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and FORM.fullmatch(key) is not None
