"""What accounts hear: saved users, finished sign-ins, and whoever leaves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import user_logged_in
from allauth.socialaccount.models import SocialLogin
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from apps.accounts import access
from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import User
from apps.core.events import publish


@receiver(post_save, sender=User, dispatch_uid="accounts.vouch_for_address")
def vouch_for_address(
    instance: User, *, raw: bool, update_fields: Collection[str] | None, **_: Any
) -> None:
    """Keep exactly one address for allauth: operators and providers vouch for it, sign-up is closed."""
    if raw or (update_fields is not None and "email" not in update_fields):
        return
    EmailAddress.objects.filter(user=instance).exclude(email=instance.email).delete()
    EmailAddress.objects.update_or_create(
        user=instance,
        email=instance.email,
        defaults={"verified": True, "primary": True},
    )


@receiver(user_logged_in, dispatch_uid="accounts.choose_organisation")
def choose_organisation(
    request: HttpRequest, sociallogin: SocialLogin | None = None, **_: Any
) -> None:
    """Who signs in through a company's provider starts in that company."""
    if sociallogin is not None and (
        row := access.provider_for(sociallogin.account.provider)
    ):
        request.session["organisation"] = row.organisation.slug


@receiver(user_logged_out, dispatch_uid="accounts.announce_logout")
def announce_logout(user: User | None, **_: Any) -> None:
    """Tell that a session ended by its owner's wish; nobody is told of a stranger's."""
    if user is not None:
        _announce(user, EndOfAccess.LOGGED_OUT)


@receiver(post_save, sender=User, dispatch_uid="accounts.announce_deactivation")
def announce_deactivation(instance: User, *, raw: bool, **_: Any) -> None:
    """Tell that an account is closed; again with each later change of it, which costs nothing."""
    if not raw and not instance.is_active:
        _announce(instance, EndOfAccess.DEACTIVATED)


@receiver(post_delete, sender=User, dispatch_uid="accounts.announce_deletion")
def announce_deletion(instance: User, **_: Any) -> None:
    """Tell that an account is gone."""
    _announce(instance, EndOfAccess.DEACTIVATED)


def _announce(user: User, why: EndOfAccess) -> None:
    publish(AccessEnded(user_id=user.pk, organisation_id=None, why=why))
