"""Issues over HTTP, for staff: structure of all organisations, never what was said."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import ScopedAPIView
from apps.accounts.models import User
from apps.core.errors import InvalidInputError, NotFoundError
from apps.core.paging import PagesByNumber
from apps.core.tenancy import Scope, staff
from apps.issues import queries
from apps.issues.models import Evidence, Issue

EVIDENCE = 50  # executions shown of one issue
LARGEST = 2**31 - 1


class IssueSerializer(serializers.ModelSerializer[Issue]):
    """One fault of one organisation."""

    organisation = serializers.CharField(source="organisation.slug")

    class Meta:
        model = Issue
        fields: tuple[str, ...] = (
            "number",
            "organisation",
            "title",
            "status",
            "count",
            "first_seen",
            "last_seen",
        )


class EvidenceSerializer(serializers.ModelSerializer[Evidence]):
    """One failed execution of an issue."""

    class Meta:
        model = Evidence
        fields = ("execution_id", "at")


class IssueDetailSerializer(IssueSerializer):
    """An issue with its newest executions."""

    evidence = serializers.SerializerMethodField()

    class Meta(IssueSerializer.Meta):
        fields = (*IssueSerializer.Meta.fields, "evidence")

    def get_evidence(self, issue: Issue) -> list[dict[str, Any]]:
        rows = queries.evidence_of(issue.pk, EVIDENCE)
        return [dict(shown) for shown in EvidenceSerializer(rows, many=True).data]


class MaySeeIssues(BasePermission):
    """Staff whose role sees issues."""

    message = "Issues are for Netra's staff."

    def has_permission(self, request: Request, view: object) -> bool:
        user = request.user
        return (
            isinstance(user, User)
            and user.is_staff
            and user.has_perm("issues.view_issue")
        )


class StaffAPIView(ScopedAPIView):
    """A view of all organisations' structure."""

    permission_classes = (IsAuthenticated, MaySeeIssues)

    @property
    def everywhere(self) -> Scope:
        return staff(self.principal.user_id)


class IssuesView(StaffAPIView):
    """All issues."""

    pagination_class = PagesByNumber

    @extend_schema(
        responses=IssueSerializer(many=True),
        parameters=[OpenApiParameter("status", enum=Issue.Status.values)],
        operation_id="issues_list",
    )
    def get(self, request: Request) -> Response:
        """Issues of all organisations, the newest first."""
        pages = self.pagination_class()
        with self.everywhere:
            rows = queries.issues().select_related("organisation")
            if asked := request.query_params.get("status"):
                rows = rows.filter(status=_status(asked))
            page = pages.paginate_queryset(rows, request, self)
            shown = IssueSerializer(page, many=True).data
        return pages.get_paginated_response(shown)


class IssueView(StaffAPIView):
    """One issue."""

    @extend_schema(
        responses=IssueDetailSerializer,
        parameters=[
            OpenApiParameter("number", OpenApiTypes.INT, OpenApiParameter.PATH)
        ],
        operation_id="issues_read",
    )
    def get(self, request: Request, number: int) -> Response:
        """One issue, with the executions that are its evidence."""
        with self.everywhere:
            rows = queries.issues().select_related("organisation")
            issue = rows.filter(number=number).first() if number <= LARGEST else None
            if issue is None:
                raise NotFoundError("There is no such issue.", field="number")
            return Response(IssueDetailSerializer(issue).data)


def _status(asked: str) -> str:
    if asked not in Issue.Status.values:
        raise InvalidInputError(
            f"{asked[:40]!r} is not a status.",
            field="status",
            fix=f"Use one of: {', '.join(Issue.Status.values)}.",
        )
    return asked
