"""Fills a fresh installation for the live suites: organisations, people, tokens, sessions.

Run as a program with the environment of that installation; prints what is secret as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[2]
CROWD = 250  # people of acme, each with limits of their own


def main() -> None:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    json.dump(seed(), sys.stdout)


def seed() -> dict[str, object]:
    """Everybody's secrets by e-mail address: a bearer token, and a session's key."""
    from apps.accounts.models import Organisation

    places = {
        slug: Organisation.objects.create(
            slug=slug,
            name=slug,
            tier=tier,
            kind=kind,
            concurrent_executions=CROWD,  # these tests share one organisation
        )
        for slug, tier, kind in (
            ("acme", "enterprise", "customer"),
            ("globex", "mid", "customer"),
            ("netra", "platform", "platform"),
        )
    }
    people = [(f"p{n}@acme.example", "acme", "member") for n in range(CROWD)]
    people += [
        ("alice@acme.example", "acme", "owner"),
        ("viewer@acme.example", "acme", "viewer"),
        ("mallory@globex.example", "globex", "owner"),
        ("support@netra.example", "netra", "member"),
    ]
    return {email: _person(email, places[at], role) for email, at, role in people}


def _person(email, place, role) -> dict[str, str]:
    from django.contrib.auth import (
        BACKEND_SESSION_KEY,
        HASH_SESSION_KEY,
        SESSION_KEY,
    )
    from django.contrib.sessions.backends.db import SessionStore
    from django.utils import timezone

    from apps.accounts import actions
    from apps.accounts.actions.sessions import Proof
    from apps.accounts.models import User
    from apps.core.actors import Actor
    from apps.core.database import write_now
    from apps.core.tenancy import tenant

    user = User.objects.create(email=email, name=email.partition("@")[0], password="!")
    actor = Actor.system("tests")

    def unit() -> str:
        first = "member" if role == "viewer" else role
        row = actions.add_member(actor=actor, organisation=place, user=user, role=first)
        secret = actions.create_token(
            actor=actor, user=user, organisation_id=place.pk, name="live"
        )
        actions.change_role(actor=actor, membership=row, role=role)
        return secret

    token = write_now(tenant(place.pk, user.pk), unit)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    write_now(
        tenant(place.pk, user.pk),
        lambda: actions.begin_sign_in(
            actor=actor,
            user=user,
            session_key=str(session.session_key),
            proof=Proof(authenticated_at=timezone.now()),
        ),
    )
    return {"id": str(user.pk), "token": token, "session": session.session_key}


if __name__ == "__main__":
    main()
