"""Admin pages that need names from several apps: receipts, grants and flags, which know ids only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from apps.accounts.listing import OrganisationFilter
from apps.accounts.models import Organisation, User
from apps.accounts.queries import canaries
from apps.audits import readings
from apps.audits.models import AccessGrant, Receipt
from apps.core import actions, clock, flags
from apps.core.actors import Actor
from apps.core.admin import ReadOnlyAdmin
from apps.core.content import quotes_masked
from apps.core.errors import InvalidInputError
from apps.core.flags import SWITCHES, Switch
from apps.core.models import Flag
from apps.core.templatetags.netra import ident, when
from apps.executions.models import Execution
from apps.ops import actions as ops
from apps.ops import trails  # noqa: F401 - registers what it shows


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    """What was refused or failed, in the words that the person got."""

    list_display = (
        "receipt",
        "code",
        "told",
        "organisation",
        "person",
        "times",
        "last",
    )
    list_display_links = None
    list_filter = (OrganisationFilter,)
    list_filter_submit = True
    list_filter_sheet = True
    ordering = ("-last_at",)
    sortable_by = ()
    id_columns = ("id", "user_id")
    search_help_text = "Whole id of a receipt or person"
    fields = (
        "whole_id",
        "code",
        "told",
        "remedy",
        "rule",
        "field",
        "organisation",
        "person",
        "times",
        "first",
        "last",
        "lifts",
        "about",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        rows: QuerySet[Receipt] = super().get_queryset(request)
        company = Organisation.objects.filter(pk=OuterRef("organisation_id"))
        person = User.objects.filter(pk=OuterRef("user_id"))
        return rows.exclude(organisation_id__in=canaries().values("pk")).annotate(
            company=Subquery(company.values("name")),
            email=Subquery(person.values("email")),
        )

    @admin.display(description="Receipt")
    def receipt(self, row: Receipt) -> SafeString:
        url = reverse("admin:audits_receipt_change", args=[row.pk])
        return ident(row.pk, short=True, link=url)

    @admin.display(description="Receipt")
    def whole_id(self, row: Receipt) -> SafeString:
        return ident(row.pk)

    @admin.display(description="Explanation")
    def told(self, row: Receipt) -> str:
        return quotes_masked(row.explanation)

    @admin.display(description="Fix")
    def remedy(self, row: Receipt) -> str:
        return quotes_masked(row.fix)

    @admin.display(description="Organisation")
    def organisation(self, row: Any) -> str:
        return row.company or str(row.organisation_id)

    @admin.display(description="Person")
    def person(self, row: Any) -> str:
        return row.email or "–"

    @admin.display(description="Times")
    def times(self, row: Receipt) -> str:
        return f"{row.count:,}"

    @admin.display(description="First")
    def first(self, row: Receipt) -> SafeString:
        return when(row.created_at)

    @admin.display(description="Last")
    def last(self, row: Receipt) -> SafeString:
        return when(row.last_at)

    @admin.display(description="Lifts")
    def lifts(self, row: Receipt) -> SafeString:
        return when(row.lifts_at)

    @admin.display(description="About")
    def about(self, row: Receipt) -> SafeString:
        """The execution it speaks of, where the correlation id is one's."""
        try:
            execution_id = UUID(row.correlation_id)
        except ValueError:
            return ident(row.correlation_id)
        if not Execution.objects.filter(pk=execution_id).exists():
            return ident(row.correlation_id)
        url = reverse("admin:executions_execution_change", args=[execution_id])
        return ident(execution_id, link=url)


class StandFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Grants that somebody has to do something about."""

    title = "stand"
    parameter_name = "stand"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("asked", "Waiting for consent"),
            ("open", "Open"),
            ("review", "To be reviewed"),
            ("overdue", "Not reviewed in 7 days"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        now = clock.now()
        rows = {
            "asked": readings.asked(now),
            "open": readings.opened(now),
            "review": readings.to_review(now),
            "overdue": readings.to_review(now, overdue=True),
        }.get(self.value() or "")
        return None if rows is None else queryset.filter(pk__in=rows.values("pk"))


@admin.register(AccessGrant)
class AccessGrantAdmin(ReadOnlyAdmin):
    """Who of support asked to read content, why, and what came of it. One grant's page: support."""

    list_display = ("ask", "stands", "organisation", "reach", "asker", "minutes", "asked", "reviewed")  # fmt: skip
    list_display_links = None
    list_filter = (StandFilter, OrganisationFilter)
    list_filter_submit = True
    list_filter_sheet = True
    ordering = ("-requested_at",)
    sortable_by = ()
    id_columns = ("id", "staff_id", "reach_id")
    search_help_text = (
        "Whole id of a grant, of a person of support, or of what it opens"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessGrant]:
        rows: QuerySet[AccessGrant] = super().get_queryset(request)
        company = Organisation.objects.filter(pk=OuterRef("organisation_id"))
        return rows.annotate(company=Subquery(company.values("name")))

    @admin.display(description="Ticket")
    def ask(self, row: AccessGrant) -> SafeString:
        url = reverse("admin:audits_accessgrant_change", args=[row.pk])
        return format_html('<a class="nt-link" href="{}">{}</a>', url, row.ticket)

    @admin.display(description="Stand")
    def stands(self, row: AccessGrant) -> str:
        return str(row.stand(clock.now()).label)

    @admin.display(description="Organisation")
    def organisation(self, row: Any) -> str:
        return row.company or str(row.organisation_id)

    @admin.display(description="Asked by")
    def asker(self, row: AccessGrant) -> str:
        return row.staff_label

    @admin.display(description="Asked")
    def asked(self, row: AccessGrant) -> SafeString:
        return when(row.requested_at)

    @admin.display(description="Reviewed")
    def reviewed(self, row: AccessGrant) -> SafeString | str:
        if row.reviewed_at is not None:
            return when(row.reviewed_at)
        return "To be reviewed" if row.wants_review(clock.now()) else "–"


class FlagForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A switch, for whom, how far, and why."""

    name = forms.ChoiceField(
        label="Switch",
        choices=[(switch.value, switch.value) for switch in Switch],
        widget=UnfoldAdminSelectWidget,
    )
    organisation_id = forms.TypedChoiceField(
        label="Organisation", coerce=UUID, empty_value=None, required=False,
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip
    percentage = forms.IntegerField(
        label="Share (%)",
        min_value=0,
        max_value=flags.WHOLE,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="0 is off, 100 is on; between: on for that share of the organisations.",
    )
    reason = forms.CharField(
        max_length=actions.REASON_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text="Say why. Your name and the time are kept with it.",
    )

    class Meta:
        model = Flag
        fields = ("name", "organisation_id", "percentage", "reason")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "organisation_id" in self.fields:
            rows = Organisation.objects.exclude(kind=Organisation.Kind.CANARY)
            found = rows.order_by("name").values_list("pk", "name")
            self.fields["organisation_id"].choices = [("", "All"), *found]  # type: ignore[attr-defined]
        self.initial.pop("reason", None)  # each change has a reason of its own

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return given
        name = given.get("name", self.instance.name)
        organisation_id = given.get("organisation_id", self.instance.organisation_id)
        try:
            actions.check_flag(
                name, organisation_id, given["percentage"], given["reason"]
            )
        except InvalidInputError as error:
            field = error.field if error.field in self.fields else None
            self.add_error(field, f"{error.message} {error.fix}")
        others = Flag.objects.exclude(pk=self.instance.pk)
        if others.filter(name=name, organisation_id=organisation_id).exists():
            raise ValidationError("There is a row for that already: change that one.")
        return given


@admin.register(Flag)
class FlagAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Which of the switchable paths are on, for whom, since when and why."""

    form = FlagForm
    list_display = ("name", "reach", "share", "reason", "changed_by", "changed")
    list_display_links = ("name",)
    list_before_template = "admin/core/flag/switches.html"
    list_fullwidth = True
    ordering = ("name", "organisation_id")
    sortable_by = ()
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flag]:
        rows: QuerySet[Flag] = super().get_queryset(request)
        company = Organisation.objects.filter(pk=OuterRef("organisation_id"))
        return rows.annotate(company=Subquery(company.values("name")))

    def get_readonly_fields(
        self, request: HttpRequest, obj: Flag | None = None
    ) -> tuple[str, ...]:
        fixed = ("name", "organisation_id", "reach", "changed_by", "changed")
        return fixed if obj else ()

    def get_fields(self, request: HttpRequest, obj: Flag | None = None) -> Any:
        reach = "reach" if obj else "organisation_id"
        shown = ("name", reach, "percentage", "reason")
        return (*shown, "changed_by", "changed") if obj else shown

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown = {**(extra_context or {}), "switches": _switches()}
        page: HttpResponse = super().changelist_view(request, shown)
        return page

    def save_model(
        self,
        request: HttpRequest,
        obj: Flag,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        saved = ops.set_flag(
            actor=_actor(request),
            name=obj.name,
            organisation_id=obj.organisation_id,
            percentage=obj.percentage,
            reason=obj.reason,
        )
        obj.pk = saved.pk

    def delete_model(self, request: HttpRequest, obj: Flag) -> None:
        ops.remove_flag(actor=_actor(request), flag=obj)

    @admin.display(description="For")
    def reach(self, row: Any) -> str:
        if row.organisation_id is None:
            return "All"
        return row.company or str(row.organisation_id)

    @admin.display(description="State")
    def share(self, row: Flag) -> str:
        if row.name not in SWITCHES:
            return "Switches nothing: unknown name"
        return _in_words(row.percentage)

    @admin.display(description="Changed")
    def changed(self, row: Flag) -> SafeString:
        return when(row.updated_at)


def _switches() -> list[dict[str, object]]:
    """Every switch there is, as it stands for organisations without a row of their own."""
    rows = Flag.objects.order_by().exclude(organisation_id=None)
    own = dict(rows.values_list("name").annotate(Count("id")))
    general = dict(
        Flag.objects.filter(organisation_id=None).values_list("name", "percentage")
    )
    return [
        {
            "name": switch.value,
            "facts": facts,
            "default": _in_words(flags.WHOLE if facts.default else 0),
            "state": _in_words(
                general.get(switch.value, flags.WHOLE if facts.default else 0)
            ),
            "own": own.get(switch.value, 0),
        }
        for switch, facts in SWITCHES.items()
    ]


def _in_words(percentage: int) -> str:
    if percentage in {0, flags.WHOLE}:
        return "On" if percentage else "Off"
    return f"On for {percentage} % of organisations"


def _actor(request: HttpRequest) -> Actor:
    assert isinstance(request.user, User)
    return Actor.staff(request.user.pk, request.user.email)
