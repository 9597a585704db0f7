"""Who is who, and whose is what: users, organisations, memberships, providers, identities, tokens.

Announces `MembershipChanged`. Hears allauth's sign-in signals.
"""

from __future__ import annotations
