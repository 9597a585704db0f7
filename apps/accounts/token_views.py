"""The page of one's own API tokens in the open organisation: what there is, making one, revoking one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.accounts import access, actions
from apps.accounts.access import Principal
from apps.accounts.actions.tokens import LIFETIME, LIVE_MOST, LONGEST
from apps.accounts.models import User
from apps.accounts.permissions import Operation, TokenScope, can
from apps.accounts.sessions import stepup
from apps.core.database import retrying, write_now
from apps.core.errors import NetraError, NotAllowedError

SCOPES = {
    TokenScope.CHAT: "Chat: ask, read conversations, follow them live",
    TokenScope.USAGE_READ: "Usage: read figures",
    TokenScope.USAGE_WRITE: "Usage: report calls",
}


class TokenForm(forms.Form):
    """What a new token is to be."""

    name = forms.CharField(max_length=100, help_text="For example where it will run.")
    days = forms.IntegerField(
        label="Days until it ends",
        min_value=1,
        max_value=LONGEST.days,
        initial=LIFETIME.days,
        help_text=f"At most {LONGEST.days}.",
    )
    scopes = forms.MultipleChoiceField(
        label="Only for",
        required=False,
        choices=[(scope.value, words) for scope, words in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text="With none chosen it may do all that you may.",
    )


@method_decorator([never_cache, login_required], name="dispatch")
class TokensPage(View):
    """The list, and the form for one more."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request, TokenForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        who, form = _principal(request), TokenForm(request.POST)
        if not stepup.stepped_up(request):
            return stepup.step_up(request, request.path)
        if not form.is_valid():
            return _page(request, form, status=422)
        try:
            secret = _made(who, cast(User, request.user), form.cleaned_data)
        except NetraError as error:
            form.add_error(error.field if error.field in form.fields else None, f"{error.message} {error.fix}")  # fmt: skip
            return _page(request, form, status=error.status)
        # Shown in the answer itself: nothing keeps the secret until a next page.
        return _page(request, TokenForm(), secret=secret)


@require_POST
@login_required
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Revoke one of one's own tokens; its sockets close within seconds."""
    who = _principal(request)

    def unit() -> None:
        token = access.token_for(who.user_id, token_id)
        actions.revoke_token(actor=who.actor, token=token)

    retrying(lambda: write_now(who.scope, unit))
    messages.success(request, "The token is revoked.")
    return redirect("account_tokens")


def _made(who: Principal, user: User, wanted: dict[str, Any]) -> str:
    return retrying(
        lambda: write_now(
            who.scope,
            lambda: actions.create_token(
                actor=who.actor,
                user=user,
                organisation_id=who.organisation_id,
                name=wanted["name"],
                lifetime=timedelta(days=wanted["days"]),
                scopes=wanted["scopes"],
            ),
        )
    )


def _page(
    request: HttpRequest, form: TokenForm, *, secret: str = "", status: int = 200
) -> HttpResponse:
    who = _principal(request)
    rows = access.tokens_of(who.user_id).order_by("-created_at")
    context = {
        "tokens": [
            {"row": row, "scopes": [SCOPES[TokenScope(s)] for s in row.scopes]}
            for row in rows[: 2 * LIVE_MOST]
        ],
        "form": form,
        "secret": secret,
        "who": who,
        "most": LIVE_MOST,
        "fresh": stepup.stepped_up(request),
    }
    return render(request, "account/tokens.html", context, status=status)


def _principal(request: HttpRequest) -> Principal:
    who = getattr(request, "principal", None)
    if not isinstance(who, Principal):
        raise NotAllowedError("You belong to no active organisation.")
    if not can(who.role, Operation.KEEP_OWN_TOKENS):
        raise NotAllowedError("Viewers have no tokens.")
    return who
