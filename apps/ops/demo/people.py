"""Writes the cast: organisations, users who can log in, their places, providers and identities."""

from __future__ import annotations

import secrets

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import Group
from django.utils import timezone

from apps.accounts import actions as accounts
from apps.accounts.models import Domain, Identity, IdentityProvider, Organisation, User
from apps.agents.catalogue import AGENTS
from apps.agents.models import Agent
from apps.core.actors import Actor
from apps.ops.demo import passwords
from apps.ops.demo.cast import COMPANIES, PEOPLE, Company, Person

DEMO = Actor.system("demo")


def settle() -> dict[str, Organisation]:
    """Make whoever of the cast is missing; what is there stays as it is."""
    organisations = {company.slug: _organisation(company) for company in COMPANIES}
    known = set(
        User.objects.values_list("email", flat=True).filter(email__in=_emails())
    )
    secrets_of = passwords.ensure(email for email in _emails() if email not in known)
    for person in PEOPLE:
        user = _user(person, secrets_of)
        organisation = organisations[person.company]
        accounts.add_member(
            actor=DEMO, organisation=organisation, user=user, role=person.role
        )
        _identify(user, organisation)
    for organisation in organisations.values():
        _equip(organisation)
    return organisations


def _emails() -> list[str]:
    return [person.email for person in PEOPLE]


def _organisation(company: Company) -> Organisation:
    organisation, _ = Organisation.objects.get_or_create(
        slug=company.slug,
        defaults={"name": company.name, "tier": company.tier, "kind": company.kind},
    )
    if company.mail_domain:
        Domain.objects.get_or_create(
            organisation=organisation,
            domain=company.mail_domain,
            defaults={
                "challenge": secrets.token_urlsafe(24),
                "proved_at": timezone.now(),
                "checked_at": timezone.now(),
            },
        )
        IdentityProvider.objects.get_or_create(
            provider_id=company.slug,
            defaults={
                "organisation": organisation,
                "name": company.name,
                "issuer": settings.NETRA_OIDC_URL,
                "client_id": f"netra-{company.slug}",
                "secret": secrets.token_urlsafe(32),
            },
        )
    return organisation


def _user(person: Person, secrets_of: dict[str, str]) -> User:
    user = User.objects.filter(email=person.email).first()
    if user is None:
        user = User.objects.create(
            email=person.email,
            name=person.name,
            password=passwords.hashed(secrets_of[person.email]),
            is_staff=person.is_staff,
            is_superuser=person.is_superuser,
        )
        if person.group:
            user.groups.add(Group.objects.get_or_create(name=person.group)[0])
    EmailAddress.objects.get_or_create(
        user=user, email=person.email, defaults={"verified": True, "primary": True}
    )
    return user


def _identify(user: User, organisation: Organisation) -> None:
    """Link the person to the organisation's provider, as a first sign-in would."""
    provider = IdentityProvider.objects.filter(organisation=organisation).first()
    if (
        provider is None
        or Identity.objects.filter(provider=provider, sub=user.email).exists()
    ):
        return
    accounts.link_identity(
        actor=DEMO, provider=provider, user=user, sub=user.email, email=user.email
    )
    claims = {
        "sub": user.email,
        "email": user.email,
        "email_verified": True,
        "name": user.name,
    }
    SocialAccount.objects.get_or_create(
        provider=provider.provider_id,
        uid=user.email,
        defaults={"user": user, "extra_data": {"userinfo": claims, "id_token": claims}},
    )


def _equip(organisation: Organisation) -> None:
    """Give the organisation a row for every agent of the catalogue."""
    known = set(
        Agent.objects.filter(organisation=organisation).values_list("name", flat=True)
    )
    Agent.objects.bulk_create(
        Agent(
            organisation=organisation,
            name=profile.name,
            title=profile.title,
            description=profile.description,
        )
        for profile in AGENTS.values()
        if profile.name not in known
    )
