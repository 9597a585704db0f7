"""The admin's pages of the sign-in doctor: the set-up check and the test login of one provider."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.utils import build_absolute_uri
from csp.decorators import csp_update
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from unfold.admin import ModelAdmin

from apps.accounts.doctor import check, rehearsal
from apps.accounts.doctor.findings import worst
from apps.accounts.models import Domain, IdentityProvider
from apps.accounts.oidc.views import ways_out
from apps.accounts.sessions.stepup import step_up, stepped_up
from apps.core.errors import NetraError

CHANGE = "admin:accounts_identityprovider_change"


class DoctorAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Adds to the page of a provider what finds its faults. Nothing here changes a row."""

    def get_urls(self) -> list[URLPattern]:
        pages = {
            "check": self.check_set_up,
            "rehearse": self.rehearse,
            "rehearsal": self.rehearsal_report,
        }
        own = [
            path(
                f"<uuid:provider_id>/{name}/",
                self.admin_site.admin_view(never_cache(page)),
                name=f"accounts_identityprovider_{name}",
            )
            for name, page in pages.items()
        ]
        return [*own, *super().get_urls()]

    def check_set_up(self, request: HttpRequest, provider_id: UUID) -> HttpResponseBase:
        """Fetch what the provider tells about itself, and say what is in order. A GET fetches nothing."""
        row = self._provider(request, provider_id)
        if request.method != "POST":
            return redirect(CHANGE, row.pk)
        domains = list(Domain.objects.filter(organisation_id=row.organisation_id))
        findings = check.examined(row, domains, timezone.now())
        return self._page(
            request,
            "doctor_check.html",
            row,
            findings=findings,
            worst=worst(findings),
            addresses=_addresses(request, row),
        )

    def rehearse(self, request: HttpRequest, provider_id: UUID) -> HttpResponseBase:
        """Tell what a test login is (GET), then lead to the provider (POST)."""
        row = self._provider(request, provider_id)
        if not stepped_up(request):
            return step_up(request, request.path)
        if request.method != "POST":
            page = self._page(
                request,
                "doctor_rehearse.html",
                row,
                addresses=_addresses(request, row),
            )
            leave_to = csp_update({"form-action": ways_out(row)})
            response: HttpResponseBase = leave_to(lambda _: page)(request)
            return response
        try:
            return rehearsal.begin(request, row)
        except NetraError as error:
            messages.error(request, f"{error.message} {error.fix}")
            return redirect(CHANGE, row.pk)

    def rehearsal_report(
        self, request: HttpRequest, provider_id: UUID
    ) -> HttpResponseBase:
        """What this session's last test of the provider found."""
        row = self._provider(request, provider_id)
        report = rehearsal.last_report(request, row, timezone.now())
        for claim in report["claims"] if report else ():
            claim["moment"] = parse_datetime(claim["moment"] or "")
        return self._page(request, "doctor_rehearsal.html", row, report=report)

    def _provider(self, request: HttpRequest, provider_id: UUID) -> IdentityProvider:
        if not rehearsal.may_test(request):
            raise PermissionDenied("Your role may not check providers.")
        rows = IdentityProvider.objects.select_related("organisation")
        row: IdentityProvider | None = rows.filter(pk=provider_id).first()
        if row is None:
            raise Http404("There is no such provider.")
        return row

    def _page(
        self, request: HttpRequest, template: str, row: IdentityProvider, **more: Any
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": row.name,
            "opts": self.opts,
            "provider": row,
            **more,
        }
        return TemplateResponse(request, f"admin/accounts/{template}", context)


def _addresses(request: HttpRequest, row: IdentityProvider) -> dict[str, str]:
    """What has to be entered at the provider, to the letter as sign-in sends it."""
    names = {
        "Redirect URI": "openid_connect_callback",
        "Back-channel logout URI": "openid_connect_backchannel_logout",
    }
    return {
        label: build_absolute_uri(request, reverse(name, args=[row.provider_id]))
        for label, name in names.items()
    }
