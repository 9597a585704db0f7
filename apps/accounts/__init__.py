"""Who is who, and whose is what: users, organisations, memberships, providers, identities, tokens.

Announces `MembershipChanged`, `AccessEnded`. Hears the signals of signing in and out, and saved users.
"""

from __future__ import annotations
