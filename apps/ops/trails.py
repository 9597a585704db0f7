"""The sealed trail for people: an organisation's own as a file, and its pages in the admin."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, time
from itertools import islice
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from unfold.contrib.filters.admin import DropdownFilter

from apps.accounts.access import Principal
from apps.accounts.listing import OrganisationFilter
from apps.accounts.models import Organisation
from apps.accounts.permissions import Operation, can
from apps.accounts.sessions import stepup
from apps.audits import export
from apps.audits.acts import Act
from apps.audits.models import Checkpoint, Entry
from apps.audits.trail import PLATFORM
from apps.core.admin import ReadOnlyAdmin
from apps.core.errors import InvalidInputError
from apps.core.templatetags.netra import ident, when

LINES = 500  # that one step of an export reads
# Acts by which somebody saw what was said.
SENSITIVE = frozenset({Act.CONTENT_READ, Act.EXPORTED})
PAGES = {
    "execution": "admin:executions_execution_change",
    "thread": "admin:chat_thread_change",
    "user": "admin:accounts_user_change",
    "organisation": "admin:accounts_organisation_change",
    "membership": "admin:accounts_membership_change",
    "provider": "admin:accounts_identityprovider_change",
    "identity": "admin:accounts_identity_change",
    "domain": "admin:accounts_domain_change",
    "token": "admin:accounts_token_change",
    "grant": "admin:audits_accessgrant_change",
    "issue": "admin:issues_issue_change",
}


# -- an owner's own copy ---------------------------------------------------------------


@never_cache
@require_GET  # HEAD would put on record that somebody took what nobody was given
@login_required
def trail_export(request: HttpRequest) -> HttpResponseBase:
    """The organisation's trail as lines of JSON; `since` and `until` are days."""
    principal: Principal | None = getattr(request, "principal", None)
    if principal is None or not can(principal.role, Operation.EXPORT_TRAIL):
        raise Http404
    if not stepup.stepped_up(request):
        return stepup.step_up(request, request.get_full_path())
    part = export.begin(
        actor=principal.actor,
        chain_id=principal.organisation_id,
        since=_day(request, "since"),
        until=_day(request, "until"),
    )
    slug = principal.organisation_slug
    return StreamingHttpResponse(
        _chunks(export.lines(part, organisation=slug)),
        content_type="application/x-ndjson",
        headers={
            "Content-Disposition": f'attachment; filename="trail-{slug}-{part.first}-{part.last}.ndjson"'
        },
    )


async def _chunks(lines: Iterator[str]) -> AsyncIterator[bytes]:
    """Some lines at a time, read in a thread: whatever its length, an export takes little memory."""

    def some() -> str:
        return "".join(islice(lines, LINES))

    while text := await sync_to_async(some)():
        yield text.encode()


def _day(request: HttpRequest, name: str) -> datetime | None:
    told = request.GET.get(name)
    if not told:
        return None
    try:
        return datetime.combine(date.fromisoformat(told), time(), UTC)
    except ValueError:
        raise InvalidInputError(
            f"{told!r} is no day.", field=name, fix="Write it as 2026-11-21."
        ) from None


# -- the admin -------------------------------------------------------------------------


class ActFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Entries of one kind of act."""

    title = "act"
    parameter_name = "act"

    def lookups(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's
        model_admin: Any,  # noqa: ARG002
    ) -> list[tuple[str, str]]:
        return [(act.value, _words(act.value)) for act in Act]

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's
        queryset: QuerySet[Any],
    ) -> QuerySet[Any] | None:
        return queryset.filter(act=self.value()) if self.value() else None


class PlaceFilter(OrganisationFilter):
    """Entries of one organisation, or of the platform itself."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("-", "The platform"), *super().lookups(request, model_admin)]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        if self.value() == "-":
            return queryset.filter(organisation_id=PLATFORM)
        return super().queryset(request, queryset)


class _ChainAdmin(ReadOnlyAdmin):
    """Rows of chains, which name their organisation by its id alone."""

    list_filter_submit = True
    list_filter_sheet = True
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        names = Organisation.objects.values_list("pk", "name")
        self._names: dict[UUID, str] = dict(names)
        return rows

    @admin.display(description="Organisation")
    def place(self, row: Any) -> str:
        if row.organisation_id == PLATFORM:
            return "The platform"
        return self._names.get(row.organisation_id, str(row.organisation_id))

    @admin.display(description="When")
    def moment(self, row: Any) -> SafeString:
        return when(row.at)


@admin.register(Entry)
class EntryAdmin(_ChainAdmin):
    """What people did and what was refused, newest first; sealed, so nobody edits it."""

    list_display = ("moment", "deed", "who", "about", "place", "number")
    list_display_links = ("number",)
    list_filter = (PlaceFilter, ActFilter)
    ordering = ("-at",)
    id_columns = ("id", "actor_id")
    search_help_text = "Whole id of an entry or of who acted"
    fields = ("place", "number", "moment", "deed", "who", "about", "told", "from_where",
              "key_id", "previous", "digest", "code")  # fmt: skip

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Within one chain by number, whose index begins with the chain; its acts have their own."""
        one_chain = "organisation" in request.GET and "act" not in request.GET
        return ("-seq",) if one_chain else ("-at",)

    @admin.display(description="Number")
    def number(self, row: Entry) -> int:
        return row.seq

    @admin.display(description="Act")
    def deed(self, row: Entry) -> SafeString:
        marks = []
        if row.outcome == "refused":
            marks.append("refused")
        if row.act in SENSITIVE:
            marks.append("sensitive read")
        return format_html(
            "{} {}",
            _words(row.act),
            format_html_join(" ", "<strong>· {}</strong>", ((mark,) for mark in marks)),
        )

    @admin.display(description="Who")
    def who(self, row: Entry) -> str:
        label = _body(row).get("actor") or "–"
        return f"{label} ({row.actor_kind})"

    @admin.display(description="About")
    def about(self, row: Entry) -> SafeString | str:
        kind, _, name = row.target.partition(":")
        if not name:
            return row.target or "–"
        return format_html(
            "{} {}", kind, ident(name, short=True, link=_page(kind, name))
        )

    @admin.display(description="Details")
    def told(self, row: Entry) -> SafeString | str:
        return _listed(_body(row).get("details"))

    @admin.display(description="From")
    def from_where(self, row: Entry) -> SafeString | str:
        names = ("door", "address", "agent", "request_id", "session")
        body = _body(row)
        return _listed({name: body[name] for name in names if name in body})


@admin.register(Checkpoint)
class CheckpointAdmin(_ChainAdmin):
    """Signed statements of where each chain stood."""

    list_display = ("moment", "place", "seq", "key_id")
    list_filter = (PlaceFilter,)
    ordering = ("-at",)
    fields = ("place", "seq", "moment", "digest", "body", "key_id", "signature")


def _words(act: str) -> str:
    return act.replace("_", " ").capitalize()


def _body(row: Entry) -> dict[str, Any]:
    try:
        body = json.loads(row.body)
    except ValueError:
        return {}  # somebody altered it; audit_verify says so
    return body if isinstance(body, dict) else {}


def _listed(values: object) -> SafeString | str:
    if not isinstance(values, dict) or not values:
        return "–"
    rows = (
        (name, json.dumps(value, ensure_ascii=False)) for name, value in values.items()
    )
    return format_html(
        "<dl>{}</dl>", format_html_join("", "<dt>{}</dt><dd>{}</dd>", rows)
    )


def _page(kind: str, name: str) -> str:
    try:
        return reverse(PAGES[kind], args=[UUID(name)])
    except (KeyError, ValueError, NoReverseMatch):
        return ""
