"""What accounts hear: saved users, finished sign-ins, and whoever leaves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import (
    authentication_step_completed,
    password_changed,
    password_set,
    user_logged_in,
)
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
)
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in as user_began
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save
from django.dispatch import Signal, receiver
from django.http import HttpRequest
from django.utils import timezone

from apps.accounts import access, actions, validity
from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import Identity, SignIn, User
from apps.accounts.sessions import evidence, stepup
from apps.accounts.signin import failures
from apps.core.actors import Actor
from apps.core.addresses import client_address
from apps.core.database import write_now
from apps.core.errors import NetraError
from apps.core.events import projector, publish

CHANGE = Actor.system("accounts")
# What sessions stand on. The other ends are announced where the sessions, or one token, end.
GROUND = frozenset(
    {
        EndOfAccess.MEMBERSHIP_ENDED,
        EndOfAccess.DEACTIVATED,
        EndOfAccess.IDENTITY_SUSPENDED,
    }
)


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


@receiver(user_began, dispatch_uid="accounts.keep_sign_in")
def keep_sign_in(request: HttpRequest, user: User, **_: Any) -> None:
    """Keep the sign-in beside its session; a session without one counts for nothing."""
    if not request.session.session_key:
        request.session.create()
    try:
        row = _begun(request, user)
    except NetraError:
        logout(request)  # Django has signed them in already
        raise
    setattr(request, "sign_in", row)  # noqa: B010 - Django's type has no such attribute


def _begun(request: HttpRequest, user: User) -> SignIn:
    key, now = str(request.session.session_key), timezone.now()
    proof = evidence.proof_of(request, user, now)

    def unit() -> SignIn:
        evidence.check_vouched(proof)
        return actions.begin_sign_in(
            actor=actions.actor_of(user),
            user=user,
            session_key=key,
            proof=proof,
            now=now,
        )

    return write_now(validity.SCOPE, unit)


@receiver(user_logged_out, dispatch_uid="accounts.end_sign_in")
def end_sign_in(request: HttpRequest, user: User | None, **_: Any) -> None:
    """End a sign-in by its owner's wish; nobody is told of a stranger's."""
    key = request.session.session_key if user is not None else None
    row = validity.found(key) if key else None
    if user is None or row is None or row.user_id != user.pk:
        return
    write_now(
        validity.SCOPE,
        lambda: actions.end_sign_ins(
            actor=actions.actor_of(user), rows=[row], why=EndOfAccess.LOGGED_OUT
        ),
    )


@receiver(authentication_step_completed, dispatch_uid="accounts.keep_confirmation")
def keep_confirmation(
    request: HttpRequest, user: User, method: str, **details: Any
) -> None:
    """Whoever proves anew who they are has stepped up; with a second factor set up, by that alone."""
    row = stepup.present(request)
    if not details.get("reauthenticated") or row is None or row.user_id != user.pk:
        return
    if method != "mfa" and is_mfa_enabled(user):
        return
    factor = str(details.get("type", "")) if method == "mfa" else ""
    stepup.keep(request, row, at=timezone.now(), second_factor=factor)


@receiver(
    [authenticator_added, authenticator_removed, authenticator_reset],
    dispatch_uid="accounts.change_second_factor",
)
def change_second_factor(
    request: HttpRequest,
    user: User,
    authenticator: Authenticator,
    signal: Signal,
    **_: Any,
) -> None:
    """A second factor that came or went ends the person's sessions elsewhere."""
    changes = {authenticator_added: "added", authenticator_removed: "removed"}
    row = stepup.present(request)
    write_now(
        validity.SCOPE,
        lambda: actions.change_second_factor(
            actor=actions.actor_of(user),
            user=user,
            sign_in=row,
            change=changes.get(signal, "renewed"),
            kind=str(authenticator.type),
            left=_factors_of(user),
        ),
    )


@receiver(post_save, sender=User, dispatch_uid="accounts.end_voided_sessions")
def end_voided_sessions(
    instance: User, *, raw: bool, update_fields: Collection[str] | None, **_: Any
) -> None:
    """A new password ends the sessions that began under the old one."""
    if raw or (update_fields is not None and "password" not in update_fields):
        return
    actions.end_outdated(actor=CHANGE, user=instance)


@receiver([password_changed, password_set], dispatch_uid="accounts.go_on")
def go_on(request: HttpRequest, user: User, **_: Any) -> None:
    """The session in which somebody changed their own password goes on."""
    row, key = stepup.present(request), request.session.session_key
    if row is not None and row.user_id == user.pk and key:
        actions.continue_sign_in(sign_in=row, session_key=key, user=user)
        row.session_key = key


@receiver(post_save, sender=User, dispatch_uid="accounts.announce_deactivation")
def announce_deactivation(instance: User, *, raw: bool, **_: Any) -> None:
    """Tell that an account is closed; again with each later change of it, which costs nothing."""
    if not raw and not instance.is_active:
        _announce(instance, EndOfAccess.DEACTIVATED)


@receiver(post_delete, sender=Identity, dispatch_uid="accounts.forget_at_allauth")
def forget_at_allauth(instance: Identity, **_: Any) -> None:
    """Take allauth's record of an unlinked identity away, so that it cannot sign anybody in."""
    SocialAccount.objects.filter(
        provider=instance.provider.provider_id, uid=instance.sub
    ).delete()


@receiver(post_delete, sender=User, dispatch_uid="accounts.announce_deletion")
def announce_deletion(instance: User, **_: Any) -> None:
    """Tell that an account is gone."""
    _announce(instance, EndOfAccess.DEACTIVATED)


@projector(AccessEnded)
def end_sessions(event: AccessEnded) -> None:
    """Sessions end with what they stood on."""
    if event.why in GROUND:
        actions.end_what_stood_on(actor=CHANGE, event=event)


def _factors_of(user: User) -> set[str]:
    rows = Authenticator.objects.filter(user_id=user.pk)
    return set(rows.values_list("type", flat=True))


@receiver(authentication_failed, dispatch_uid="accounts.note_wrong_code")
def note_wrong_code(request: HttpRequest, user: User, **_: Any) -> None:
    """A wrong code of a second factor is a try to get in."""
    failures.note(client_address(request), user.email)


def close_sign_ins() -> int:
    """A sweep: sign-ins that outlived their end, and what is forgotten."""
    return write_now(validity.SCOPE, actions.sweep_sign_ins)


def _announce(user: User, why: EndOfAccess) -> None:
    publish(AccessEnded(user_id=user.pk, organisation_id=None, why=why))
