"""The admin of mail domains: what to set in DNS, what was found, and to whom it belongs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.accounts import access, actions, proving
from apps.accounts.actions.domains import checked
from apps.accounts.admin.acting import ActingAdmin, act_on
from apps.accounts.admin.actor import actor
from apps.accounts.admin.stepping import SteppedUpAdmin
from apps.accounts.domains.proofs import ZONE, Finding
from apps.accounts.models import Domain
from apps.core.errors import InvalidInputError, NetraError
from apps.core.templatetags.netra import ident, when

OUTSIDE_SHOWN = 50
FOUND = {
    Finding.FOUND: "The record is there.",
    Finding.ABSENT: "There is no TXT record under that name.",
    Finding.OTHER: "There are TXT records under that name, but none holds this value.",
    Finding.ALIAS: "The name is an alias (CNAME). Set the TXT record itself: whoever holds the alias’s "
    "target could speak for the domain otherwise.",
    Finding.NO_ANSWER: "DNS gave no answer in time. That is not held against the domain.",
}


class DomainForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A new claim: whose, and which domain."""

    class Meta:
        model = Domain
        fields = ("organisation", "domain")

    def clean_domain(self) -> str:
        try:
            return checked(self.cleaned_data["domain"])
        except InvalidInputError as error:
            raise ValidationError(f"{error.message} {error.fix}") from error


@admin.register(Domain)
class DomainAdmin(SteppedUpAdmin, ActingAdmin):
    """Which organisation speaks for which mail domain. A claim gives nothing until DNS proves it."""

    form = DomainForm
    change_form_outer_before_template = "admin/accounts/domain/proof.html"
    list_display = (
        "name",
        "organisation",
        "condition",
        "looked_up",
        "again",
        "failures",
    )
    list_filter = (
        ("proved_at", admin.EmptyFieldListFilter),
        ("suspended_at", admin.EmptyFieldListFilter),
    )
    list_filter_submit = True
    list_select_related = ("organisation",)
    search_fields = ("domain", "organisation__name")
    autocomplete_fields = ("organisation",)
    sortable_by = ()
    actions = ("check_now",)
    shown = (
        "name", "organisation", "condition", "record", "value", "found", "looked_up", "again",
        "failures", "outside",
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        check = path(
            "<uuid:domain_id>/check/",
            self.admin_site.admin_view(self.check_one),
            name="accounts_domain_check",
        )
        return [check, *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Domain | None = None) -> Any:
        return self.shown if obj else ("organisation", "domain")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Domain | None = None
    ) -> Any:
        return self.shown if obj else ()

    def save_model(
        self,
        request: HttpRequest,
        obj: Domain,
        form: forms.ModelForm[Domain],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        if change:
            return
        made = actions.claim_domain(
            actor=actor(request), organisation_id=obj.organisation_id, name=obj.domain
        )
        obj.pk, obj.challenge = made.pk, made.challenge

    def response_add(
        self, request: HttpRequest, obj: Domain, post_url_continue: str | None = None
    ) -> HttpResponse:
        messages.info(request, "Set the TXT record shown here, then press “Check now”.")
        return redirect("admin:accounts_domain_change", obj.pk)

    def delete_model(self, request: HttpRequest, obj: Domain) -> None:
        actions.release_domain(actor=actor(request), domain=obj)

    def has_change_permission(
        self, request: HttpRequest, obj: Domain | None = None
    ) -> bool:
        # There is nothing to save on the page of a domain: it is checked, or released.
        return obj is None and bool(super().has_change_permission(request))

    def has_check_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.change_domain"))

    @admin.action(description="Check now", permissions=["check"])
    def check_now(self, request: HttpRequest, rows: QuerySet[Domain]) -> None:
        act_on(request, rows[:20], lambda row: self._check(request, row))

    def check_one(self, request: HttpRequest, domain_id: UUID) -> HttpResponse:
        """The page's button: look the record up at once."""
        if not self.has_check_permission(request):
            raise PermissionDenied("Your role may not check domains.")
        row = Domain.objects.filter(pk=domain_id).first()
        if row is None:
            raise Http404("There is no such domain.")
        if request.method == "POST":
            try:
                self._check(request, row)
            except NetraError as error:
                messages.error(request, f"{error.message} {error.fix}")
        return redirect("admin:accounts_domain_change", domain_id)

    def _check(self, request: HttpRequest, row: Domain) -> None:
        after = proving.prove(actor=actor(request), domain=row)
        tell = messages.success if after.finding == Finding.FOUND else messages.warning
        tell(request, f"{after.readable}: {FOUND[Finding(after.finding)]}")
        if settings.NETRA_DNS == ZONE:
            messages.info(
                request,
                "No DNS is asked here (NETRA_DNS=zone): records are read from dns.json in NETRA_VAR, "
                'for example {"name": ["value"]}.',
            )

    @admin.display(description="Domain", ordering="domain")
    def name(self, row: Domain) -> str:
        return row.readable

    @admin.display(description="Status")
    def condition(self, row: Domain) -> str:
        return status_of(row)

    @admin.display(description="Name of the TXT record")
    def record(self, row: Domain) -> SafeString:
        return ident(row.record_name)

    @admin.display(description="Value of the TXT record")
    def value(self, row: Domain) -> SafeString:
        return ident(row.challenge)

    @admin.display(description="Last found")
    def found(self, row: Domain) -> str:
        return FOUND[Finding(row.finding)] if row.finding else "Not looked up so far."

    @admin.display(description="Last answer")
    def looked_up(self, row: Domain) -> SafeString:
        return when(row.checked_at)

    @admin.display(description="Looked up again")
    def again(self, row: Domain) -> SafeString:
        return when(row.look_again_at)

    @admin.display(description="Accounts of this domain outside the organisation")
    def outside(self, row: Domain) -> SafeString | str:
        """Nobody is seized: they stay where they are until both sides agree to a move."""
        people = list(access.accounts_outside(row)[: OUTSIDE_SHOWN + 1])
        if not people:
            return "None."
        lines = format_html_join(
            "",
            '<li><a class="nt-link" href="{}">{}</a></li>',
            (
                (reverse("admin:accounts_user_change", args=[p.pk]), p.email)
                for p in people[:OUTSIDE_SHOWN]
            ),
        )
        more = "<li>and more</li>" if len(people) > OUTSIDE_SHOWN else ""
        return format_html('<ul class="nt-related">{}{}</ul>', lines, SafeString(more))


def status_of(row: Domain) -> str:
    """What holds at present, in a sentence."""
    if row.proved_at is None:
        return "Claimed: gives nothing until the record is found."
    if row.suspended_at is not None:
        return "Suspended: the record is gone, so nobody signs in with these addresses."
    if row.failures:
        return "Proved, but the last check did not find the record."
    return "Proved: the organisation’s providers may speak for it."
