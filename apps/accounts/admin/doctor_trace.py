"""The doctor on the pages of providers and organisations: what ends soon, what happened, who would be locked out.

Beside them: one sign-in in all its steps, and the question that is asked before company sign-in is enforced.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin

from apps.accounts.doctor import expiry, trace
from apps.accounts.doctor.lockout import SHOWN, picture_of
from apps.accounts.models import IdentityProvider, Organisation
from apps.core.errors import NotFoundError

CONFIRMED = "locked_out_confirmed"  # the list that somebody agreed to
LONGEST_REFERENCE = 64


def sees_people(request: HttpRequest) -> bool:
    """Whether addresses of people are shown; others see the domain and a letter."""
    return bool(request.user.has_perm("accounts.view_user"))


class TracedAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """A provider's page with what ends soon and the newest sign-ins through it."""

    change_form_before_template = "admin/accounts/trace_endings.html"
    change_form_outer_after_template = "admin/accounts/trace_provider.html"

    def get_urls(self) -> list[URLPattern]:
        one = path(
            "<uuid:provider_id>/sign-ins/<uuid:entry_id>/",
            self.admin_site.admin_view(self.sign_in_page),
            name="accounts_identityprovider_trace",
        )
        return [one, *super().get_urls()]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        obj: IdentityProvider | None = None,
        **options: Any,
    ) -> HttpResponse:
        if obj is not None:
            context |= _provider_context(request, obj)
        shown: HttpResponse = super().render_change_form(
            request, context, *args, obj=obj, **options
        )
        return shown

    def sign_in_page(
        self, request: HttpRequest, provider_id: UUID, entry_id: UUID
    ) -> HttpResponse:
        """One sign-in, step by step."""
        if not self.has_view_permission(request):
            raise PermissionDenied("Your role may not see providers.")
        row = IdentityProvider.objects.filter(pk=provider_id).first()
        if row is None:
            raise Http404("There is no such provider.")
        try:
            found = trace.attempt(row, entry_id, sees_people=sees_people(request))
        except NotFoundError as error:
            raise Http404(error.message) from error
        return TemplateResponse(
            request,
            "admin/accounts/trace_one.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "One sign-in",
                "provider": row,
                "attempt": found,
            },
        )


class EnforcingAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """An organisation's page with who would be locked out, and the question before it is so."""

    change_form_outer_after_template = "admin/accounts/lockout_organisation.html"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self._to_be_enforced(request, object_id)
        if row is not None:
            return self._ask(request, row)
        shown: HttpResponse = super().changeform_view(
            request, object_id, form_url, extra_context
        )
        return shown

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        obj: Organisation | None = None,
        **options: Any,
    ) -> HttpResponse:
        if obj is not None:
            context |= _lockout_context(request, obj)
        shown: HttpResponse = super().render_change_form(
            request, context, *args, obj=obj, **options
        )
        return shown

    def _to_be_enforced(
        self, request: HttpRequest, object_id: str | None
    ) -> Organisation | None:
        """The organisation whose company sign-in this form would enforce, before anybody agreed to it."""
        asked = request.method == "POST" and "sso_required" in request.POST
        if not asked or object_id is None or request.POST.get(CONFIRMED):
            return None
        row: Organisation | None = self.get_object(request, object_id)
        if row is None or row.sso_required or not self.has_change_permission(request):
            return None
        return row

    def _ask(self, request: HttpRequest, row: Organisation) -> HttpResponse:
        """The list, and a tick. What was filled in goes along."""
        kept = [
            (name, value)
            for name, values in request.POST.lists()
            if name not in {"csrfmiddlewaretoken", CONFIRMED}
            for value in values
        ]
        return TemplateResponse(
            request,
            "admin/accounts/lockout_confirm.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Before company sign-in is enforced",
                "organisation": row,
                "kept": kept,
                "confirmed": CONFIRMED,
                "ticked_not": "asked" in request.POST,
                **_lockout_context(request, row),
            },
        )


def _provider_context(request: HttpRequest, row: IdentityProvider) -> dict[str, Any]:
    reference = request.GET.get("reference", "")[:LONGEST_REFERENCE]
    return {
        "endings": expiry.endings(row),
        "attempts": trace.attempts(
            row, sees_people=sees_people(request), reference=reference
        ),
        "reference": reference,
        "shown": trace.SHOWN,
        "looked_through": trace.LOOKED_THROUGH,
    }


def _lockout_context(request: HttpRequest, row: Organisation) -> dict[str, Any]:
    return {
        "lockout": picture_of(row),
        "names_shown": sees_people(request),
        "most_shown": SHOWN,
    }
