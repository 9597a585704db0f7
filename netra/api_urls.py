"""HTTP under /api/v1/: which path leads to which resource."""

from __future__ import annotations

from django.urls import path

from apps.accounts.directory_resources import DirectoryTokensView, DirectoryTokenView
from apps.accounts.resources import MeView, TokensView, TokenView
from apps.agents.api import AgentsView
from apps.chat.api import MessagesView, ThreadEventsView, ThreadsView, ThreadView
from apps.executions.api import (
    CancelView,
    ExecutionEventsView,
    ExecutionsView,
    ExecutionView,
    RetryView,
)
from apps.issues.api import IssuesView, IssueView
from apps.usage.api import UsageView
from netra.api_docs import SchemaView, docs

urlpatterns = [
    path("me/", MeView.as_view()),
    path("threads/", ThreadsView.as_view()),
    path("threads/<uuid:thread_id>/", ThreadView.as_view()),
    path("threads/<uuid:thread_id>/messages/", MessagesView.as_view()),
    path("threads/<uuid:thread_id>/events/", ThreadEventsView.as_view()),
    path("executions/", ExecutionsView.as_view()),
    path("executions/<uuid:execution_id>/", ExecutionView.as_view()),
    path("executions/<uuid:execution_id>/events/", ExecutionEventsView.as_view()),
    path("executions/<uuid:execution_id>/cancel/", CancelView.as_view()),
    path("executions/<uuid:execution_id>/retry/", RetryView.as_view()),
    path("agents/", AgentsView.as_view()),
    path("usage/", UsageView.as_view()),
    path("tokens/", TokensView.as_view()),
    path("tokens/<uuid:token_id>/", TokenView.as_view()),
    path("directory-tokens/", DirectoryTokensView.as_view()),
    path("directory-tokens/<uuid:token_id>/", DirectoryTokenView.as_view()),
    path("issues/", IssuesView.as_view()),
    path("issues/<int:number>/", IssueView.as_view()),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", docs, name="api-docs"),
]
