"""Signing in. What stands before allauth's own paths replaces or closes them."""

from __future__ import annotations

from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.urls import include, path

from apps.accounts import token_views
from apps.accounts.doctor import rehearsal
from apps.accounts.sessions import views as session_views
from apps.accounts.sessions.stepup import fresh_sign_in
from apps.accounts.signin import views

# What changes a second factor asks who one is before; allauth itself asks nobody who has a provider.
# The names lead to allauth's own routes, which have the same paths.
CHANGES = {
    "totp/activate/": totp.activate_totp,
    "totp/deactivate/": totp.deactivate_totp,
    "recovery-codes/": recovery_codes.view_recovery_codes,
    "recovery-codes/generate/": recovery_codes.generate_recovery_codes,
    "recovery-codes/download/": recovery_codes.download_recovery_codes,
    "webauthn/add/": webauthn.add_webauthn,
    "webauthn/keys/<int:pk>/remove/": webauthn.remove_webauthn,
    "webauthn/keys/<int:pk>/edit/": webauthn.edit_webauthn,
}
urlpatterns = [
    path("login/", views.SignInView.as_view(), name="account_login"),
    path("company/", views.company, name="account_company"),
    path("signup/", views.closed),
    path("email/", views.closed),
    path("password/set/", views.closed),
    path("3rdparty/", views.closed),
    path("3rdparty/signup/", views.closed),
    path("social/connections/", views.closed),
    path("social/signup/", views.closed),
    path("logout/", session_views.sign_out, name="account_logout"),
    path("sessions/", session_views.sessions, name="account_sessions"),
    path("sessions/others/", session_views.end_others, name="account_end_others"),
    path(
        "sessions/<uuid:sign_in_id>/",
        session_views.end_session,
        name="account_end_session",
    ),
    path("confirm/", session_views.confirm, name="account_confirm"),
    path(
        "oidc/<slug:provider_id>/backchannel-logout/",
        session_views.provider_left,
        name="openid_connect_backchannel_logout",
    ),
    # The same path as oidc's own route, which stands behind it.
    path(
        "oidc/<slug:provider_id>/login/callback/",
        rehearsal.callback,
        name="openid_connect_callback",
    ),
    path("tokens/", token_views.TokensPage.as_view(), name="account_tokens"),
    path("tokens/<uuid:token_id>/", token_views.revoke, name="account_revoke_token"),
    *(path(f"2fa/{way}", fresh_sign_in()(view)) for way, view in CHANGES.items()),
    path("", include("allauth.urls")),
]
