"""Through whom an organisation's people sign in: providers made and changed."""

from __future__ import annotations

from django.db import transaction

from apps.accounts.actions.changes import CHANGED, differences, told
from apps.accounts.errors import BadRoleMapError
from apps.accounts.models import Identity, IdentityProvider
from apps.accounts.roles import map_problem
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.core.actors import Actor
from apps.core.errors import ConflictError

# Neither `provider_id` nor the organisation: identities hang on them, they never change.
FACTS = (
    "name",
    "issuer",
    "client_id",
    "secret",
    "enabled",
    "creates_members",
    "default_role",
    "preset",
    "token_auth",
    "ask_userinfo",
    "role_claim",
    "role_map",
    "secret_expires_at",
)


class IssuerInUseError(ConflictError):
    """People are known by what this issuer calls them."""

    code = "issuer_in_use"
    fix = (
        "Set up another provider with the new issuer: people are found by their address at their "
        "next sign-in. Then switch this one off."
    )


@transaction.atomic
def create_provider(*, actor: Actor, provider: IdentityProvider) -> None:
    """Store a new provider; who made it is checked by the door."""
    _check(provider)
    provider.save(force_insert=True)
    facts = {
        name: told(getattr(provider, name)) for name in FACTS if name != "secret"
    } | {"secret": CHANGED}
    trail.record(
        Act.PROVIDER_CREATED,
        actor=actor,
        organisation_id=provider.organisation_id,
        target=f"provider:{provider.pk}",
        outcome=Outcome.DONE,
        provider_id=provider.provider_id,
        **facts,
    )


@transaction.atomic
def change_provider(*, actor: Actor, provider: IdentityProvider) -> None:
    """Store what differs from the row that is kept. Who is signed in stays so."""
    _check(provider)
    before = IdentityProvider.objects.select_for_update(no_key=True).get(pk=provider.pk)
    facts = differences(before, provider, FACTS)
    if not facts:
        return
    if "issuer" in facts:
        _check_unused(before)
    provider.save(update_fields=list(facts))
    trail.record(
        Act.PROVIDER_CHANGED,
        actor=actor,
        organisation_id=before.organisation_id,
        target=f"provider:{provider.pk}",
        outcome=Outcome.DONE,
        provider_id=before.provider_id,
        **facts,
    )


def record_provider_test(
    *, actor: Actor, provider: IdentityProvider, leads_to: str, rule: str = ""
) -> None:
    """Seal that somebody tested the provider, and how far it went; nothing else is written."""
    trail.record(
        Act.PROVIDER_TESTED,
        actor=actor,
        organisation_id=provider.organisation_id,
        target=f"provider:{provider.pk}",
        outcome=Outcome.REFUSED if rule else Outcome.DONE,
        provider_id=provider.provider_id,
        leads_to=leads_to,
        rule=rule,
    )


def _check(provider: IdentityProvider) -> None:
    if problem := map_problem(provider.role_map):
        raise BadRoleMapError(problem, field="role_map")


def _check_unused(provider: IdentityProvider) -> None:
    """A subject means somebody at one issuer; at the next one it may be somebody else."""
    if Identity.objects.filter(provider=provider).exists():
        raise IssuerInUseError(
            f"People sign in through {provider.name} already, so its issuer stays.",
            field="issuer",
        )
