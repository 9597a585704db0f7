"""What an organisation's owners and admins do about their directory's tokens over the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from apps.accounts import actions
from apps.accounts.access import Principal
from apps.accounts.actions.scim_tokens import DAYS_MOST, DAYS_USUAL
from apps.accounts.api import ScopedAPIView
from apps.accounts.models import Organisation, ScimToken
from apps.accounts.permissions import Operation, can
from apps.accounts.sessions.stepup import StepUpNeededError, stepped_up
from apps.accounts.throttles import TokenMinting
from apps.core.errors import NotAllowedError, NotFoundError
from apps.core.paging import Pages


class DirectoryTokenSerializer(serializers.ModelSerializer[ScimToken]):
    """A token of the organisation's directory, without its secret."""

    class Meta:
        model = ScimToken
        fields: tuple[str, ...] = (
            "id",
            "name",
            "prefix",
            "created_at",
            "last_used_at",
            "expires_at",
        )


class NewDirectoryTokenSerializer(serializers.Serializer[Any]):
    """What a new token is to be."""

    name = serializers.CharField(max_length=100, required=False, allow_null=True)
    days = serializers.IntegerField(
        min_value=1, max_value=DAYS_MOST, required=False, allow_null=True
    )


class MadeDirectoryTokenSerializer(DirectoryTokenSerializer):
    """A token that was just made, with the secret that is shown only now."""

    token = serializers.CharField()

    class Meta(DirectoryTokenSerializer.Meta):
        fields = (*DirectoryTokenSerializer.Meta.fields, "token")


class DirectoryTokensView(ScopedAPIView):
    """The tokens of the organisation's directory (SCIM)."""

    pagination_class = Pages

    def get_throttles(self) -> list[BaseThrottle]:
        return [TokenMinting()] if self.request.method == "POST" else []

    @extend_schema(
        responses=DirectoryTokenSerializer(many=True),
        operation_id="directory_tokens_list",
    )
    def get(self, request: Request) -> Response:
        """The tokens that were not revoked, the newest first."""
        _check_keeper(self.principal)
        pages = self.pagination_class()
        rows = ScimToken.objects.filter(revoked_at__isnull=True)
        page = pages.paginate_queryset(rows, request, self)
        told = DirectoryTokenSerializer(page, many=True).data
        return pages.get_paginated_response(told)

    @extend_schema(
        request=NewDirectoryTokenSerializer,
        responses={201: MadeDirectoryTokenSerializer},
        operation_id="directory_tokens_create",
    )
    def post(self, request: Request) -> Response:
        """Make a token. Its secret is in this answer and never shown again."""
        who = self.principal
        _check_keeper(who)
        given = NewDirectoryTokenSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        # It speaks for all people of the organisation: no token makes another one.
        if not stepped_up(request._request):  # noqa: SLF001 - DRF's way to Django's request
            raise StepUpNeededError
        made, secret = self.write(
            lambda: actions.create_scim_token(
                actor=who.actor,
                organisation=Organisation.objects.get(pk=who.organisation_id),
                name=given.validated_data.get("name") or "SCIM",
                days=given.validated_data.get("days") or DAYS_USUAL,
            )
        )
        shown = {**DirectoryTokenSerializer(made).data, "token": secret}
        return Response(shown, status=201, headers={"Cache-Control": "no-store"})


class DirectoryTokenView(ScopedAPIView):
    """One token of the organisation's directory."""

    @extend_schema(responses={204: None}, operation_id="directory_tokens_revoke")
    def delete(self, request: Request, token_id: UUID) -> Response:
        """Revoke a token. The directory is shut out from now on."""
        who = self.principal
        _check_keeper(who)

        def unit() -> None:
            token = ScimToken.objects.filter(
                pk=token_id, revoked_at__isnull=True
            ).first()
            if token is None:
                raise NotFoundError("There is no such token.", field="token_id")
            actions.revoke_scim_token(actor=who.actor, token=token)

        self.write(unit)
        return Response(status=204)


def _check_keeper(who: Principal) -> None:
    if not can(who.role, Operation.KEEP_DIRECTORY_TOKENS):
        raise NotAllowedError(
            "Only owners and admins of the organisation keep directory tokens."
        )
