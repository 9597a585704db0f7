"""What each sign-in must meet, whatever page it came from: enforced company sign-in, staff's own doors.

Who a provider may speak for is told by admission; what a session must meet later, by validity.
"""

from __future__ import annotations

import hashlib

from django.core.cache import cache
from django.http import HttpRequest

from apps.accounts import validity
from apps.accounts.access import provider_for
from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import Organisation, User
from apps.accounts.sessions import evidence
from apps.core.errors import UnavailableError
from apps.core.tenancy import topic

ONCE_SECONDS = 900  # longer than an answer of a provider is taken


class CompanySignInRequiredError(SignInRefusedError):
    """This organisation's people sign in through their company."""

    code = "company_sign_in_required"

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(
            f"{organisation.name} signs in through its own provider; passwords are not taken.",
            rule="sso_required",
            fix="Go back and continue with your company, with the same e-mail address.",
            organisation=organisation.slug,
        )
        self.organisation = organisation


class StaffThroughCustomerError(SignInRefusedError):
    """Members of Netra's staff do not sign in through a customer."""

    code = "staff_through_customer"

    def __init__(self) -> None:
        super().__init__(
            "Members of Netra's staff do not sign in through a customer.",
            rule="staff_elsewhere",
            fix="Sign in with your password and second factor, or through Netra's own provider.",
        )


class SignInInterruptedError(UnavailableError):
    """Your sign-in was interrupted on our side; you are not signed in."""

    code = "sign_in_interrupted"
    fix = "Try again in a minute, from the sign-in page."


class AnswerUsedError(SignInRefusedError):
    """This answer of the provider was used before."""

    code = "sign_in_answer_used"

    def __init__(self) -> None:
        super().__init__(
            "This answer of your company's provider was used before.",
            rule="answer_once",
            fix="Start again from the sign-in page.",
        )


def check(request: HttpRequest, user: User) -> None:
    """Raise for whoever passed the first step and still may not come in this way."""
    if not evidence.by_provider(request, user):
        _check_password(user)
        return
    provider_id = evidence.provider_id(request, user)
    provider = provider_for(provider_id)
    platform = Organisation.Kind.PLATFORM
    if provider is None or (user.is_staff and provider.organisation.kind != platform):
        raise StaffThroughCustomerError
    _take_once(request, topic(provider.organisation_id, "answered", provider_id))


def _check_password(user: User) -> None:
    wall = None if validity.keeps_password(user) else validity.wall_of(user.pk)
    if wall is not None:
        raise CompanySignInRequiredError(wall)


def _take_once(request: HttpRequest, name: str) -> None:
    """Mark the provider's answer as used, for all servers; without the shared mark nobody comes in."""
    state = request.GET.get("state", "")
    if not state:
        return
    mark = hashlib.sha256(state.encode()).hexdigest()
    first = cache.add(f"{name}.{mark}", 1, ONCE_SECONDS)
    if getattr(cache, "away", False):
        raise SignInInterruptedError(retry_after=60)
    if not first:
        raise AnswerUsedError
