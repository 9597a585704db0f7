"""Agents over HTTP: which ones there are for whoever asks."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import ScopedAPIView
from apps.accounts.permissions import TokenScope
from apps.agents.access import agents_for, policies
from apps.agents.catalogue import DEFAULT, POLICIES, AgentKind, WhileBusy
from apps.core.paging import whole


class AgentSerializer(serializers.Serializer[Any]):
    """An agent that may be asked."""

    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.ChoiceField(choices=[kind.value for kind in AgentKind])
    default = serializers.BooleanField()
    while_busy = serializers.ChoiceField(
        choices=POLICIES,
        help_text="What becomes of a message that comes while an answer is being written.",
    )


class AgentPageSerializer(serializers.Serializer[Any]):
    """All of them, in the form of a page."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = AgentSerializer(many=True)


class AgentsView(ScopedAPIView):
    """The agents one may ask."""

    token_scope = TokenScope.CHAT

    @extend_schema(responses=AgentPageSerializer, operation_id="agents_list")
    def get(self, request: Request) -> Response:
        """The agents you may ask, by the name to send with a message."""
        while_busy = policies()
        found = [
            {
                "name": profile.name,
                "title": profile.title,
                "description": profile.description,
                "kind": profile.kind.value,
                "default": profile.name == DEFAULT,
                "while_busy": while_busy.get(profile.name, WhileBusy.QUEUE).value,
            }
            for profile in agents_for(is_staff=self.principal.is_staff)
        ]
        return whole(AgentSerializer(found, many=True).data)
