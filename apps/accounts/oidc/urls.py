"""The routes that allauth looks for beside its provider class."""

from __future__ import annotations

from django.urls import path

from apps.accounts.oidc import views

urlpatterns = [
    path(
        "oidc/<slug:provider_id>/login/",
        views.login,
        name="openid_connect_login",
    ),
    path(
        "oidc/<slug:provider_id>/login/callback/",
        views.callback,
        name="openid_connect_callback",
    ),
]
