"""The addresses below /scim/v2/. The last one answers for all others in SCIM's own form."""

from __future__ import annotations

from django.urls import path

from apps.accounts.scim import views

urlpatterns = [
    path("ServiceProviderConfig", views.Config.as_view()),
    path("ResourceTypes", views.Described.as_view(what="types")),
    path("ResourceTypes/<str:name>", views.Described.as_view(what="types")),
    path("Schemas", views.Described.as_view(what="schemas")),
    path("Schemas/<str:name>", views.Described.as_view(what="schemas")),
    path("Users", views.Users.as_view()),
    path("Users/<uuid:entry_id>", views.OneUser.as_view()),
    path("Groups", views.Groups.as_view()),
    path("Groups/<uuid:group_id>", views.OneGroup.as_view()),
    path("Bulk", views.NotOffered.as_view()),
    path("Me", views.NotOffered.as_view()),
    path(".search", views.NotOffered.as_view()),
    path("Users/.search", views.NotOffered.as_view()),
    path("Groups/.search", views.NotOffered.as_view()),
    path("", views.Nowhere.as_view()),
    path("<path:rest>", views.Nowhere.as_view()),
]
