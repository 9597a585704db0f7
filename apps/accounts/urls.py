"""Signing in. What stands before allauth's own paths replaces or closes them."""

from __future__ import annotations

from django.urls import include, path

from apps.accounts import views

urlpatterns = [
    path("login/", views.SignInView.as_view(), name="account_login"),
    path("company/", views.company, name="account_company"),
    path(
        "oidc/<slug:provider_id>/login/",
        views.provider_login,
        name="openid_connect_login",
    ),
    path("signup/", views.closed),
    path("email/", views.closed),
    path("password/set/", views.closed),
    path("3rdparty/", views.closed),
    path("3rdparty/signup/", views.closed),
    path("social/connections/", views.closed),
    path("social/signup/", views.closed),
    path("", include("allauth.urls")),
]
