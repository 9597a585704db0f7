"""What a verified answer of a provider says: the claims that admission asks about, and allauth's own record.

Sign-ins and test logins read it here, in one way. Nothing is written.
"""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialAccount, SocialLogin

from apps.accounts.admission import Claims, SignInRefusedError
from apps.accounts.models import User
from apps.accounts.oidc.provider import says_yes

RECORD_RULE = "one_account_per_identity"


def claims_in(login: SocialLogin) -> Claims:
    """What the provider says of the person."""
    told: dict[str, Any] = login.account.get_provider_account().get_user_data() or {}
    return Claims(
        sub=login.account.uid,
        emails=tuple(address.email for address in login.email_addresses),
        name=str(told.get("name") or ""),
        # Silence is no claim; whatever is said must be a yes.
        unverified="email_verified" in told and not says_yes(told["email_verified"]),
        attributes=told,
    )


def record_of(login: SocialLogin) -> SocialAccount | None:
    """The record that allauth keeps of this identity."""
    return SocialAccount.objects.filter(
        provider=login.account.provider, uid=login.account.uid
    ).first()


def against_record(
    record: SocialAccount | None, user: User | None
) -> SignInRefusedError | None:
    """The refusal where allauth's record names another account than ours does."""
    if record is None or (user is not None and record.user_id == user.pk):
        return None
    return SignInRefusedError(
        "This sign-in is recorded for another account.",
        rule=RECORD_RULE,
        fix="Tell support; they can see both records.",
    )
