"""Usage over HTTP: what a period came to, and reporting calls of models."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import ScopedAPIView
from apps.accounts.permissions import Operation, TokenScope
from apps.core.bodies import CSVParser, StrictJSONParser
from apps.core.errors import InvalidInputError, NotAllowedError, TooLargeError
from apps.usage import actions, queries
from apps.usage.actions import LENGTHS, MOST_TOKENS, Call, Recorded
from apps.usage.models import Record
from apps.usage.periods import Period, parse_period
from apps.usage.queries import COLUMNS, Dimension

MOST_RECORDS = 5000  # in one request
USUAL_PERIOD = "30d"


class TotalsSerializer(serializers.Serializer[Any]):
    """What a set of calls comes to."""

    calls = serializers.IntegerField()
    failed = serializers.IntegerField()
    unpriced = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    cacheable_tokens = serializers.IntegerField()
    cost_usd = serializers.DecimalField(16, 6, source="cost")


class SliceSerializer(serializers.Serializer[Any]):
    """One feature, model, provider or day of a period."""

    name = serializers.CharField()
    calls = serializers.IntegerField()
    cost_usd = serializers.DecimalField(16, 6)
    cost_before_usd = serializers.DecimalField(16, 6, allow_null=True)
    input_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField(allow_null=True)
    failed = serializers.IntegerField(allow_null=True)


class UsageSerializer(serializers.Serializer[Any]):
    """A period's figures, beside those of the period before."""

    period = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    by = serializers.ChoiceField(choices=[each.value for each in Dimension])
    totals = TotalsSerializer()
    before = TotalsSerializer()
    results = SliceSerializer(many=True)


class CallSerializer(serializers.Serializer[Any]):
    """One call of a model by the company's own software. `id` is the company's name for it."""

    id = serializers.CharField(max_length=LENGTHS["id"])
    at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Now, if left out."
    )
    provider = serializers.CharField(max_length=LENGTHS["provider"])
    model = serializers.CharField(max_length=LENGTHS["model"])
    feature = serializers.CharField(
        max_length=LENGTHS["feature"],
        required=False,
        allow_null=True,
        allow_blank=True,
    )
    input_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, required=False, allow_null=True
    )
    output_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, required=False, allow_null=True
    )
    cached_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, required=False, allow_null=True
    )
    cacheable_tokens = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, required=False, allow_null=True
    )
    latency_ms = serializers.IntegerField(
        min_value=0, max_value=MOST_TOKENS, required=False, allow_null=True
    )
    status = serializers.ChoiceField(
        choices=Record.Status.values, required=False, allow_null=True
    )
    error = serializers.CharField(
        max_length=LENGTHS["error"], required=False, allow_null=True, allow_blank=True
    )
    cost_usd = serializers.DecimalField(
        max_digits=12,
        decimal_places=6,
        min_value=0,
        required=False,
        allow_null=True,
        help_text="By the public price list, if left out.",
    )


class RecordedSerializer(serializers.Serializer[Any]):
    """What became of the reported calls."""

    new = serializers.IntegerField()
    known = serializers.IntegerField(help_text="Recorded before under the same id.")
    unpriced = serializers.IntegerField(help_text="New, of a model without a price.")


class UsageView(ScopedAPIView):
    """What the company's own software spent on AI."""

    token_scope = TokenScope.USAGE_READ
    token_scope_to_write = TokenScope.USAGE_WRITE

    parser_classes = (StrictJSONParser, CSVParser)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "period",
                OpenApiTypes.STR,
                description="Days such as '30d', or a month such as '2026-10'.",
            ),
            OpenApiParameter("by", enum=[each.value for each in Dimension]),
        ],
        responses=UsageSerializer,
        operation_id="usage_read",
    )
    def get(self, request: Request) -> Response:
        """A period's totals, and what they are made of."""
        now = timezone.now()
        asked = request.query_params
        period = parse_period(asked.get("period") or USUAL_PERIOD, now=now)
        by = _dimension(asked.get("by") or Dimension.MODEL.value)
        document = {
            "period": period.name,
            "start": period.start,
            "end": period.end,
            "by": by.value,
            "totals": queries.totals(period.start, period.end),
            "before": queries.totals(period.before_start, period.before_end),
            "results": _results(by, period),
        }
        return Response(UsageSerializer(document).data)

    @extend_schema(
        request={
            "application/json": CallSerializer(many=True),
            "text/csv": OpenApiTypes.STR,
        },
        responses={200: RecordedSerializer, 201: RecordedSerializer},
        operation_id="usage_record",
    )
    def post(self, request: Request) -> Response:
        """Report one call, or a list: all are recorded or none. An id that is known changes nothing."""
        if not self.principal.may(Operation.WRITE_USAGE):
            raise NotAllowedError("Your role may read but not report.")
        calls = _calls(request.data, timezone.now())
        recorded: Recorded = self.write(lambda: actions.record_usage(calls))
        status = 201 if recorded.new else 200
        return Response(asdict(recorded), status=status)


def _dimension(asked: str) -> Dimension:
    try:
        return Dimension(asked)
    except ValueError:
        known = ", ".join(each.value for each in Dimension)
        raise InvalidInputError(
            f"{asked[:40]!r} is nothing to break down by.",
            field="by",
            fix=f"Use one of: {known}.",
        ) from None


def _results(by: Dimension, period: Period) -> list[dict[str, object]]:
    if by is Dimension.DAY:
        return [
            {
                "name": day.day.isoformat(),
                "calls": day.calls,
                "cost_usd": day.cost,
                "cost_before_usd": None,
                "input_tokens": None,
                "output_tokens": None,
                "failed": None,
            }
            for day in queries.days(period.start, period.end)
        ]
    return [
        {
            "name": one.name,
            "calls": one.present.calls,
            "cost_usd": one.present.cost,
            "cost_before_usd": one.before.cost,
            "input_tokens": one.present.input_tokens,
            "output_tokens": one.present.output_tokens,
            "failed": one.present.failed,
        }
        for one in queries.slices(COLUMNS[by], period)
    ]


def _calls(body: object, now: datetime) -> list[Call]:
    reported = body if isinstance(body, list) else [body]
    if len(reported) > MOST_RECORDS:
        raise TooLargeError(
            f"{len(reported):,} records are more than {MOST_RECORDS:,}.",
            fix="Send them in parts; ids make that safe.",
            values={"limit": MOST_RECORDS},
        )
    given = CallSerializer(data=reported, many=True)
    given.is_valid(raise_exception=True)
    return [_call(values, now) for values in given.validated_data]


def _call(values: dict[str, Any], now: datetime) -> Call:
    known = {name: value for name, value in values.items() if value is not None}
    return Call(**({"at": now} | known))
