"""What the API says about whoever asks, and their own tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from apps.accounts import access, actions
from apps.accounts.access import Principal
from apps.accounts.actions.tokens import LIFETIME, LONGEST
from apps.accounts.api import ScopedAPIView
from apps.accounts.models import Token, User
from apps.accounts.permissions import Operation, TokenScope, can
from apps.accounts.sessions import stepup
from apps.accounts.sessions.stepup import StepUpNeededError
from apps.accounts.throttles import TokenMinting
from apps.core.errors import NotAllowedError
from apps.core.paging import Pages


class PlaceSerializer(serializers.Serializer[Any]):
    """An organisation as one of its members sees it."""

    slug = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()
    current = serializers.BooleanField()


class MeSerializer(serializers.Serializer[Any]):
    """Who asks, and where."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    is_staff = serializers.BooleanField()
    organisation = inline_serializer(
        "Organisation",
        {
            "id": serializers.UUIDField(),
            "slug": serializers.CharField(),
            "name": serializers.CharField(),
            "tier": serializers.CharField(),
        },
    )
    role = serializers.CharField()
    organisations = PlaceSerializer(many=True)
    limits = inline_serializer(
        "Limits",
        {
            "text_max": serializers.IntegerField(),
            "messages_per_minute": serializers.IntegerField(),
            "connections": serializers.IntegerField(),
            "execution_seconds": serializers.IntegerField(),
        },
    )


class TokenSerializer(serializers.ModelSerializer[Token]):
    """A bearer token, without its secret."""

    class Meta:
        model = Token
        fields: tuple[str, ...] = (
            "id",
            "name",
            "prefix",
            "scopes",
            "created_at",
            "last_used_at",
            "expires_at",
        )


class NewTokenSerializer(serializers.Serializer[Any]):
    """What a new token is to be."""

    name = serializers.CharField(max_length=100, required=False, allow_null=True)
    days = serializers.IntegerField(
        min_value=1,
        max_value=LONGEST.days,
        required=False,
        allow_null=True,
        help_text=f"Days until it ends; {LIFETIME.days}, if left out.",
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[scope.value for scope in TokenScope]),
        required=False,
        max_length=len(TokenScope),
        help_text="What it may be used for; everything that you may, if left out.",
    )


class MadeTokenSerializer(TokenSerializer):
    """A token that was just made, with the secret that is shown only now."""

    token = serializers.CharField()

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "token")


class MeView(ScopedAPIView):
    """Who asks."""

    open_to_all_tokens = True

    @extend_schema(responses=MeSerializer, operation_id="me")
    def get(self, request: Request) -> Response:
        """Who you are, in which organisation, and what you may do there."""
        who, plan = self.principal, self.principal.plan
        document = {
            "id": who.user_id,
            "email": who.email,
            "name": who.name,
            "is_staff": who.is_staff,
            "organisation": {
                "id": who.organisation_id,
                "slug": who.organisation_slug,
                "name": who.organisation_name,
                "tier": who.tier,
            },
            "role": who.role,
            "organisations": _places(who),
            "limits": {
                "text_max": plan.text_max,
                "messages_per_minute": plan.messages_per_minute,
                "connections": plan.connections,
                "execution_seconds": plan.execution_seconds,
            },
        }
        return Response(MeSerializer(document).data)


class TokensView(ScopedAPIView):
    """One's own tokens in this organisation."""

    pagination_class = Pages

    def get_throttles(self) -> list[BaseThrottle]:
        return [TokenMinting()] if self.request.method == "POST" else []

    @extend_schema(responses=TokenSerializer(many=True), operation_id="tokens_list")
    def get(self, request: Request) -> Response:
        """Your tokens that were not revoked, the newest first."""
        pages = self.pagination_class()
        rows = access.tokens_of(self.principal.user_id)
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(TokenSerializer(page, many=True).data)

    @extend_schema(
        request=NewTokenSerializer,
        responses={201: MadeTokenSerializer},
        operation_id="tokens_create",
    )
    def post(self, request: Request) -> Response:
        """Make a token. Its secret is in this answer and never shown again."""
        given = NewTokenSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        who, user = self.principal, request.user
        assert isinstance(user, User)
        _check_maker(who, request)
        lifetime = _lifetime(who, given.validated_data.get("days"))
        secret = self.write(
            lambda: actions.create_token(
                actor=who.actor,
                user=user,
                organisation_id=who.organisation_id,
                name=given.validated_data.get("name") or "API",
                lifetime=lifetime,
                scopes=given.validated_data.get("scopes") or (),
            )
        )
        made = access.token_with(secret)
        shown = {**TokenSerializer(made).data, "token": secret}
        return Response(shown, status=201, headers={"Cache-Control": "no-store"})


class TokenView(ScopedAPIView):
    """One of one's own tokens."""

    @extend_schema(responses={204: None}, operation_id="tokens_revoke")
    def delete(self, request: Request, token_id: UUID) -> Response:
        """Revoke a token. It is useless from now on, and its sockets are closed."""
        who = self.principal

        def unit() -> None:
            token = access.token_for(who.user_id, token_id)
            actions.revoke_token(actor=who.actor, token=token)

        self.write(unit)
        return Response(status=204)


def _check_maker(who: Principal, request: Request) -> None:
    """Viewers have no tokens; whoever comes with a session has just proved who they are."""
    if not can(who.role, Operation.KEEP_OWN_TOKENS):
        raise NotAllowedError("Viewers have no tokens.")
    if who.bearer is None and not stepup.stepped_up(request._request):  # noqa: SLF001 - DRF hides it so
        raise StepUpNeededError


def _lifetime(who: Principal, days: int | None) -> timedelta:
    """What a token makes does not outlive it, or a stolen one would never end."""
    wanted = timedelta(days=days) if days else LIFETIME
    if who.bearer is None or who.bearer.ends_at is None:
        return wanted
    return min(wanted, who.bearer.ends_at - timezone.now())


def _places(who: Principal) -> list[dict[str, object]]:
    return [
        {
            "slug": place.organisation.slug,
            "name": place.organisation.name,
            "role": place.role,
            "current": place.organisation_id == who.organisation_id,
        }
        for place in access.memberships_of(who.user_id)
    ]
